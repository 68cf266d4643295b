"""Files of one process: large values between a node and its children, and on their way to and from the database.

A process makes its folder when it needs it and removes it when it ends.  What a killed one left is removed
by the next that starts on the same machine: the lock that told of its life is free then.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import secrets
import socket
import threading
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

_HOST = re.sub(r"[^A-Za-z0-9-]", "-", socket.gethostname())[:60]


class SpoolFile:
    """A file that is removed as soon as nobody refers to this object any more."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._remove = weakref.finalize(self, _unlink, str(path))
        self._remove.atexit = False  # the folder goes as a whole

    def __fspath__(self) -> str:
        return str(self.path)

    @property
    def size(self) -> int:
        """Its length in bytes."""
        return self.path.stat().st_size

    def give_away(self) -> Path:
        """From now on it belongs to whoever called this."""
        self._remove.detach()
        return self.path


def _unlink(path: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)


class Spool:
    """The files of this process in one place.  Made on first use; safe to use from several threads.

    ``base`` is made with its ``parents``, or only if those are there.
    """

    def __init__(self, base: Path, *, parents: bool = True) -> None:
        self._base = base
        self._parents = parents
        self._folder: Path | None = None
        self._lock: int | None = None
        self._making = threading.Lock()

    def file(self) -> SpoolFile:
        """A file that is not there yet, under a random name.  Raises OSError."""
        with self._making:
            if self._folder is None:
                self._make()
            assert self._folder is not None
            return SpoolFile(self._folder / secrets.token_hex(16))

    def _make(self) -> None:
        self._base.mkdir(parents=self._parents, exist_ok=True, mode=0o700)
        sweep(self._base)
        name = f"spool-{_HOST}-{os.getpid()}-{secrets.token_hex(8)}"
        # The lock is held before the folder is there: whoever sees the folder can tell whether we live.
        lock = os.open(self._base / f"{name}.lock", os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        fcntl.flock(lock, fcntl.LOCK_EX)
        folder = self._base / name
        folder.mkdir(mode=0o700)
        self._lock, self._folder = lock, folder

    def close(self) -> None:
        """Remove the folder with everything in it."""
        with self._making:
            if self._folder is not None and self._lock is not None:
                _remove(self._folder)
                os.close(self._lock)
            self._folder = self._lock = None


def sweep(base: Path) -> None:
    """Remove what processes of this machine left that are not there any more."""
    for lock in base.glob(f"spool-{_HOST}-*.lock"):
        try:
            descriptor = os.open(lock, os.O_RDWR)
        except (FileNotFoundError, PermissionError):
            continue  # its owner, or another sweeper, was quicker; or it is another user's
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _remove(lock.with_suffix(""))
        except BlockingIOError:
            continue
        finally:
            os.close(descriptor)


def _remove(folder: Path) -> None:
    import shutil  # brings all kinds of compression with it

    shutil.rmtree(folder, ignore_errors=True)
    with contextlib.suppress(FileNotFoundError):
        folder.with_name(f"{folder.name}.lock").unlink()


def whole(raw: Any) -> Callable[[Any], object]:
    """``raw.write`` that goes on until all is written."""

    def write(piece: Any) -> None:
        view = memoryview(piece)
        while view:
            view = view[raw.write(view) :]

    return write


def mapped(path: str | os.PathLike[str], *, writable: bool = True) -> memoryview:
    """A file as memory that may be written to without changing the file; or that may not be written to."""
    import mmap  # only where large values are

    with open(path, "rb") as file:
        return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY if writable else mmap.ACCESS_READ))
