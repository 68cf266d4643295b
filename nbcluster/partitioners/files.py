"""Files, as paths."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from nbcluster.errors import InputError
from nbcluster.partitioners.base import Nodes, Part, Partitioner, bounds, distinct, positive, several, span
from nbcluster.partitioners.handle import Handle
from nbcluster.partitioners.paths import Patterns, names_of
from nbcluster.partitioners.sight import SeenFile


class Paths(list[str], Handle):
    """Paths that know how their files were when they were split; a plain list where it arrives."""

    def __init__(self, seen: Iterable[SeenFile] = (), key: str = "") -> None:
        self.seen = tuple(seen)
        self._key = key
        super().__init__(one.path for one in self.seen)

    def __reduce__(self) -> Any:
        return Paths, (self.seen, self._key)

    @property
    def key(self) -> str:
        """The names of the first file and the last."""
        return self._key

    @property
    def reads(self) -> int:
        """The bytes of the files together."""
        return sum(one.size for one in self.seen)

    def identity(self) -> Any:
        """Each path with its size and time of change."""
        return "files", [one.identity() for one in self.seen]

    def arrive(self) -> list[str]:
        """The paths, each of them seen from here as it was."""
        for one in self.seen:
            one.check()
        return list(self)


@dataclass(frozen=True)
class Files(Partitioner):
    """Files that some patterns match; the function gets a list of ``per`` paths."""

    patterns: Patterns
    per: int = 1
    partitions: int | None = None

    def split(self, nodes: Nodes) -> Iterable[Paths]:
        return (part.value for part in self.parts(nodes))

    def parts(self, _nodes: Nodes) -> list[Part]:
        seen = self.patterns.files()
        names = names_of([one.path for one in seen])
        cuts = list(bounds(len(seen), self.partitions or 1, None if self.partitions else self.per))
        keys = distinct([span(names[start], names[stop - 1]) for start, stop in cuts])
        return [
            Part(key, stop - start, Paths(seen[start:stop], key)) for key, (start, stop) in zip(keys, cuts, strict=True)
        ]

    def in_chunks(self, chunk: int) -> Files:
        return replace(self, per=chunk, partitions=None)

    def in_partitions(self, partitions: int) -> Files:
        return replace(self, partitions=partitions)

    def identity(self, parts: Sequence[Part]) -> Any:
        return "files", [one.identity() for part in parts for one in part.value.seen]

    def __repr__(self) -> str:
        return f"files({self.patterns!r}): {self._told()}"

    def _told(self) -> str:
        try:
            found = len(self.patterns.files())
        except InputError as error:
            return str(error)
        return f"{several(found, 'file')}, {self.per} for each part"


def files(pattern: str | os.PathLike[str] | Iterable[str | os.PathLike[str]], per: int = 1) -> Files:
    """Split files, ``per`` of them for each part, sorted by path.

    ``pattern`` is a path, a glob (``"data/*.csv"``; ``**`` goes into folders) or a list of them.
    ``map_partitions`` gives the function a list of ``per`` absolute paths, ``map`` each path; nothing of the
    files is read here.  A node that cannot see one, or sees another content than was split,
    fails that partition and says so.  Raises InputError.
    """
    return Files(Patterns.of("nb.files", pattern), positive(per, "per") or 1)
