"""Which files a pattern means here, named so that they mean the same on every node."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from nbcluster.errors import InputError
from nbcluster.partitioners.sight import SeenFile

_WILD = "*?["


@dataclass(frozen=True)
class Patterns:
    """Absolute paths and globs.  ``who`` begins messages, ``ending`` is how files of the kind are usually called."""

    who: str
    patterns: tuple[str, ...]
    ending: str = ""

    @classmethod
    def of(cls, who: str, given: Any, ending: str = "") -> Patterns:
        """One or several, as the user gave them.  Raises InputError for what cannot be files."""
        many = isinstance(given, Iterable) and not isinstance(given, (str, bytes, os.PathLike))
        patterns = list(given) if many else [given]
        if not patterns:
            raise InputError(f"{who}: the list of paths is empty; name at least one file or pattern")
        found = cls(who, tuple(absolute(who, one) for one in patterns), ending)
        for pattern in found.patterns:
            if not is_pattern(pattern):
                found._check_file(pattern)
        return found

    def __repr__(self) -> str:
        return ", ".join(map(repr, self.patterns))

    def files(self) -> list[SeenFile]:
        """What they match now, each file once, sorted by path.  Raises InputError."""
        met: dict[str, str] = {}
        for pattern in self.patterns:
            for path in self._matching(pattern):
                real = os.path.realpath(path)
                if real in met:
                    raise InputError(f"{self.who}: {_twice(path, met[real])}; name each file once")
                met[real] = path
        try:
            return [SeenFile.at(path) for path in sorted(met.values())]
        except OSError as error:
            raise InputError(f"{self.who}: {error.filename} cannot be read ({error.strerror})") from error

    def _matching(self, pattern: str) -> list[str]:
        if not is_pattern(pattern):
            self._check_file(pattern)
            return [pattern]
        found = [path for path in glob.glob(pattern, recursive=True) if os.path.isfile(path)]
        if not found:
            raise InputError(f"{self.who}: no file matches {pattern}")
        return found

    def _check_file(self, path: str) -> None:
        if os.path.isdir(path):
            inside = os.path.join(path, f"*{self.ending}")
            raise InputError(f"{self.who}: {path} is a directory; write {inside} for the files in it")
        if not os.path.exists(path):
            raise InputError(f"{self.who}: there is no file {path}")


def absolute(who: str, given: Any) -> str:
    """A path or pattern as an absolute one.  Raises InputError for what cannot be one."""
    text = os.fspath(given) if isinstance(given, os.PathLike) else given
    if not isinstance(text, str) or not text.strip() or "\0" in text:
        raise InputError(f"{who} needs a path or a pattern such as 'data/*.csv', not {given!r:.60}")
    if "://" in text:
        raise InputError(f"{who}: {text} is no file that a node can open; give a path that every node sees")
    return os.path.abspath(os.path.expanduser(text))


def is_pattern(path: str) -> bool:
    """Whether a path means what it matches; a file of exactly that name comes first."""
    return any(sign in path for sign in _WILD) and not os.path.exists(path)


def names_of(paths: Sequence[str]) -> list[str]:
    """Short names that still differ: what is below the folder that all have in common."""
    if not paths:
        return []
    common = os.path.commonpath([os.path.dirname(path) for path in paths])
    return [os.path.relpath(path, common) for path in paths]


def _twice(path: str, other: str) -> str:
    return f"{path} is matched twice" if path == other else f"{path} and {other} are the same file"
