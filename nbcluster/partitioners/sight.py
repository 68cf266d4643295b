"""Whether a process sees the file that was split elsewhere, and sees it as it was."""

from __future__ import annotations

import glob
import os
import socket
import stat
from dataclasses import dataclass

from nbcluster import running
from nbcluster.errors import FileChanged, FileNotSeen, UsageError

_SAME_MOMENT = 2_000_000_000
"""Nanoseconds that times of one file may differ by: some file systems keep whole or even seconds only."""

_OTHER_TIME = "on {} it has another time of change; a copy needs the same (cp -p, rsync -a)"


@dataclass(frozen=True, slots=True)
class SeenFile:
    """A file as it was when it was split: absolute path, size in bytes, time of its last change in ns."""

    path: str
    size: int
    changed: int

    @classmethod
    def at(cls, path: str) -> SeenFile:
        """The file as it is now.  Raises OSError."""
        found = _looked_at(path)
        return cls(path, found.st_size, found.st_mtime_ns)

    def check(self) -> None:
        """Raise FileNotSeen or FileChanged unless this process can read it as it was."""
        try:
            found = _looked_at(self.path)
        except PermissionError as error:
            raise FileNotSeen(_forbidden(self.path)) from error
        except OSError as error:
            raise FileNotSeen(unseen(self.path, error)) from error
        if not stat.S_ISREG(found.st_mode):
            raise FileNotSeen(_forbidden(self.path))
        if found.st_size != self.size:
            raise FileChanged(_changed(self.path, f"it had {self.size:,} bytes and has {found.st_size:,}"))
        if abs(found.st_mtime_ns - self.changed) > _SAME_MOMENT:
            raise FileChanged(_changed(self.path, _OTHER_TIME.format(here())))

    def identity(self) -> tuple[str, int, int]:
        """Path, size and time of change."""
        return self.path, self.size, self.changed


@dataclass(frozen=True, slots=True)
class SeenPattern:
    """What an absolute pattern matched when it was split: how many files, their bytes, the newest one's time in ns."""

    pattern: str
    count: int
    size: int
    changed: int

    @classmethod
    def at(cls, pattern: str) -> SeenPattern:
        """What it matches now."""
        paths = [pattern] if os.path.exists(pattern) else glob.glob(pattern, recursive=True)
        found = [os.stat(path) for path in paths if os.path.isfile(path)]
        sizes, times = [one.st_size for one in found], [one.st_mtime_ns for one in found]
        return cls(pattern, len(found), sum(sizes), max(times, default=0))

    def check(self) -> None:
        """Raise FileNotSeen or FileChanged unless it matches the same here."""
        found = SeenPattern.at(self.pattern)
        if not found.count:
            raise FileNotSeen(unseen(self.pattern))
        if (found.count, found.size) != (self.count, self.size):
            was, now = (f"{one.count:,} of {one.size:,} bytes" for one in (self, found))
            raise FileChanged(_changed(self.pattern, f"{was} was matched, on {here()} it is {now}"))
        if abs(found.changed - self.changed) > _SAME_MOMENT:
            raise FileChanged(_changed(self.pattern, _OTHER_TIME.format(here())))

    def identity(self) -> tuple[str, int, int, int]:
        """Pattern, number, bytes and newest time."""
        return self.pattern, self.count, self.size, self.changed


def unseen(path: str, error: OSError | None = None) -> str:
    """The sentence for a file that this process cannot see."""
    why = f" ({error.strerror})" if error is not None and not isinstance(error, FileNotFoundError) else ""
    return (
        f"{here()} cannot see {path}{why}: put it where every node sees it under the same path, or choose "
        "the nodes that do by require= or pin="
    )


def here() -> str:
    """What messages call this process: its node, or its machine where no node runs it."""
    try:
        return running.current().node
    except UsageError:
        return socket.gethostname()


def _looked_at(path: str) -> os.stat_result:
    """The state of a file that can be read.

    It is opened for that: what a network file system remembers of a path may be seconds old,
    but opening asks the server; so does opening the folder when it remembers that there is no such file.
    """
    how = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        descriptor = os.open(path, how)
    except FileNotFoundError:
        os.close(os.open(os.path.dirname(path), how))
        descriptor = os.open(path, how)
    try:
        return os.fstat(descriptor)
    finally:
        os.close(descriptor)


def _forbidden(path: str) -> str:
    return f"{here()} may not read {path}: let the user that runs the node read it"


def _changed(path: str, how: str) -> str:
    return f"{path} has changed since it was split: {how}; run the job anew, which splits it as it is now"
