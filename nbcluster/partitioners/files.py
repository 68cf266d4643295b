"""Paths of files that nodes see too."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from nbcluster.errors import InputError
from nbcluster.partitioners.base import Nodes, Part, Partitioner, bounds, distinct, positive, several, span
from nbcluster.partitioners.handle import Handle
from nbcluster.partitioners.sight import SeenFile

_WILD = "*?["


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

    patterns: tuple[str, ...]
    per: int = 1
    partitions: int | None = None

    def split(self, nodes: Nodes) -> Iterable[Paths]:
        return (part.value for part in self.parts(nodes))

    def parts(self, _nodes: Nodes) -> list[Part]:
        seen = files_of(self.patterns, "nb.files")
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
        return f"files({', '.join(map(repr, self.patterns))}): {self._told()}"

    def _told(self) -> str:
        try:
            found = len(files_of(self.patterns, "nb.files"))
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
    return Files(patterns_of(pattern, "nb.files"), positive(per, "per") or 1)


def patterns_of(given: Any, who: str) -> tuple[str, ...]:
    """One or several patterns as absolute ones, so that they mean the same on every node.  Raises InputError."""
    several_of_them = isinstance(given, Iterable) and not isinstance(given, (str, bytes, os.PathLike))
    patterns = list(given) if several_of_them else [given]
    if not patterns:
        raise InputError(f"{who}: the list of paths is empty; name at least one file or pattern")
    return tuple(_absolute(one, who) for one in patterns)


def _absolute(given: Any, who: str) -> str:
    text = os.fspath(given) if isinstance(given, os.PathLike) else given
    if not isinstance(text, str) or not text.strip() or "\0" in text:
        raise InputError(f"{who} needs a path or a pattern such as 'data/*.csv', not {given!r:.60}")
    if "://" in text:
        raise InputError(f"{who}: {text} is no file that a node can open; give a path that every node sees")
    path = os.path.abspath(os.path.expanduser(text))
    if not _is_pattern(path):
        _check_file(path, who)
    return path


def files_of(patterns: Sequence[str], who: str) -> list[SeenFile]:
    """The files that absolute patterns match, each once, sorted by path.  Raises InputError."""
    met: dict[str, str] = {}
    paths: list[str] = []
    for pattern in patterns:
        for path in _matching(pattern, who):
            real = os.path.realpath(path)
            if real in met:
                raise InputError(f"{who}: {_twice(path, met[real])}; name each file once")
            met[real] = path
            paths.append(path)
    return [SeenFile.at(path) for path in sorted(paths)]


def _matching(pattern: str, who: str) -> list[str]:
    if not _is_pattern(pattern):
        _check_file(pattern, who)
        return [pattern]
    found = [path for path in glob.glob(pattern, recursive=True) if os.path.isfile(path)]
    if not found:
        raise InputError(f"{who}: no file matches {pattern}")
    return found


def _twice(path: str, other: str) -> str:
    return f"{path} is matched twice" if path == other else f"{path} and {other} are the same file"


def _check_file(path: str, who: str) -> None:
    if os.path.isdir(path):
        raise InputError(f"{who}: {path} is a directory; write {os.path.join(path, '*')} for the files in it")
    if not os.path.exists(path):
        raise InputError(f"{who}: there is no file {path}")


def _is_pattern(path: str) -> bool:
    return any(sign in path for sign in _WILD) and not os.path.exists(path)


def names_of(paths: Sequence[str]) -> list[str]:
    """Short names that still differ: what is below the folder that all have in common."""
    if not paths:
        return []
    common = os.path.dirname(paths[0]) if len(paths) == 1 else os.path.commonpath([os.path.dirname(p) for p in paths])
    return [os.path.relpath(path, common) for path in paths]
