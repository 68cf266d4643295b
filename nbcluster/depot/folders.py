"""Folders that keep values for good: a directory that all members see, or a place that fsspec reaches (``s3://...``).

A file appears complete or not at all, and can be read by its owner only.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import stat
import urllib.parse
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from nbcluster.depot.names import is_name, new_name
from nbcluster.depot.spool import Spool, SpoolFile, whole
from nbcluster.errors import InputError, ValueLost, ValueNotStored

Write = Callable[[Callable[[Any], object]], bytes]
"""Hands the pieces of a value to what it is given; gives their SHA-256."""

_PORTION = 1 << 20


class Folder(ABC):
    """A place for files by name.  Methods raise ValueLost or ValueNotStored, with one sentence."""

    @abstractmethod
    def add(self, write: Write) -> str:
        """Store what ``write`` writes; gives its name."""

    @abstractmethod
    def take_in(self, file: SpoolFile) -> str:
        """Store a spooled file, which is gone from its place afterwards; gives its name."""

    @abstractmethod
    def bring(self, name: str, spool: Spool) -> Path | SpoolFile:
        """The file of that name as one that this machine can map: itself, or a copy in the spool."""

    @abstractmethod
    def delete(self, name: str) -> None:
        """Remove it, if it is there."""

    @abstractmethod
    def names(self) -> Iterable[str]:
        """Every name there is."""

    def spool(self) -> Spool | None:
        """Where files are spooled that ``take_in`` only has to move; None where it copies anyway."""
        return None

    def close(self) -> None:  # noqa: B027 -- most have nothing to leave
        """Remove what this process has spooled in it."""


class LocalFolder(Folder):
    """A directory, on this machine or mounted by all.

    ``shared``: others may read the files whom the directory above lets read, and that must be there:
    a mount that is missing is not to be filled in its place.
    """

    def __init__(self, path: Path, origin: str, *, shared: bool) -> None:
        self._path = path
        self._origin = origin
        self._shared = shared
        self._spool = Spool(path, parents=not shared)

    def add(self, write: Write) -> str:
        with self._complaining():
            self._make()
            file = self._spool.file()
            with open(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb", buffering=0) as raw:
                write(whole(raw))
            return self._moved(file)

    def take_in(self, file: SpoolFile) -> str:
        with self._complaining():
            self._make()
            if file.path.stat().st_dev != self._path.stat().st_dev:
                copy = self._spool.file()
                shutil.copyfile(file, copy)
                file = copy
            return self._moved(file)

    def _moved(self, file: SpoolFile) -> str:
        name = new_name()
        if self._shared:
            os.chmod(file, 0o600 | self._path.stat().st_mode & 0o044)
        _sync(file.path)
        os.replace(file, self._path / name)
        _sync(self._path)
        file.give_away()
        return name

    def _make(self) -> None:
        if self._path.is_dir():
            return
        self._path.mkdir(parents=not self._shared, exist_ok=True, mode=0o700)
        if self._shared:
            os.chmod(self._path, stat.S_IMODE(self._path.parent.stat().st_mode))

    @contextlib.contextmanager
    def _complaining(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise not_stored(self._origin, error) from error

    def bring(self, name: str, spool: Spool) -> Path:
        path = self._path / _checked(name)
        if not path.is_file():
            seen = "a file of it is gone" if self._path.is_dir() else "there is no such folder on this machine"
            raise ValueLost(f"a large value cannot be read from {self._origin}: {seen}")
        if not os.access(path, os.R_OK):
            raise ValueLost(
                f"a large value cannot be read from {self._origin}: another user's file is closed to others"
            )
        return path

    def delete(self, name: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            (self._path / _checked(name)).unlink()

    def names(self) -> Iterable[str]:
        if not self._path.is_dir():
            return []
        return [entry.name for entry in os.scandir(self._path) if is_name(entry.name)]

    def spool(self) -> Spool:
        with self._complaining():
            self._make()
        return self._spool

    def close(self) -> None:
        self._spool.close()


class RemoteFolder(Folder):
    """A place that fsspec reaches.  A store of objects shows an object when it is complete."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._files, self._path = _filesystem(url)

    def add(self, write: Write) -> str:
        name = new_name()
        with self._complaining():
            try:
                with self._files.open(self._at(name), "wb") as file:
                    write(file.write)
            except BaseException:
                self.delete(name)
                raise
        return name

    def take_in(self, file: SpoolFile) -> str:
        def write(to: Callable[[Any], object]) -> bytes:
            for portion in portions(file.path):
                to(portion)
            return b""

        return self.add(write)

    def bring(self, name: str, spool: Spool) -> SpoolFile:
        copy = spool.file()
        try:
            with self._files.open(self._at(_checked(name)), "rb") as source, open(copy, "xb") as target:
                shutil.copyfileobj(source, target, _PORTION)
        except FileNotFoundError as error:
            raise ValueLost(f"a large value cannot be read from {self._url}: a file of it is gone") from error
        except Exception as error:
            raise ValueLost(f"a large value cannot be read from {self._url}: {_said(error)}") from error
        return copy

    def delete(self, name: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            self._files.rm_file(self._at(_checked(name)))

    def names(self) -> Iterable[str]:
        with contextlib.suppress(FileNotFoundError):
            listed = (str(one).rpartition("/")[2] for one in self._files.ls(self._path, detail=False))
            return [name for name in listed if is_name(name)]
        return []

    def _at(self, name: str) -> str:
        return f"{self._path.rstrip('/')}/{name}"

    @contextlib.contextmanager
    def _complaining(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            raise not_stored(self._url, error) from error


def folder_at(address: str, part: str) -> Folder:
    """The folder ``part`` below an address.  Raises InputError for one that nobody can reach."""
    path = local_path(address)
    if path is not None:
        return LocalFolder(path / part, str(path), shared=True)
    return RemoteFolder(f"{address.rstrip('/')}/{part}")


def checked_address(address: object) -> str:
    """An address that ``folder_at`` understands.  Raises InputError."""
    text = str(address)
    path = local_path(text)
    if path is not None:
        if not path.is_absolute():
            raise InputError(f"results: {text!r} names no whole path; write for example results='file:///share/values'")
        if path.exists() and not path.is_dir():
            raise InputError(f"results: {path} is no folder; name one that every node sees")
        return text
    if "://" not in text:
        raise InputError(
            f"results: {text!r} is no address of a folder; write for example 'file:///share/values' or 's3://bucket/x'"
        )
    _filesystem(text)
    return text


def local_path(address: str) -> Path | None:
    """The directory that a ``file://`` address names; None for another address."""
    parts = urllib.parse.urlsplit(address)
    if parts.scheme != "file":
        return None
    if parts.netloc not in ("", "localhost"):
        raise InputError(f"results: {address!r} names a host; write file:///share/values, with three slashes")
    return Path(urllib.parse.unquote(parts.path))


def not_stored(where: str, error: BaseException) -> ValueNotStored:
    """That a value found no place, in one sentence."""
    full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    cure = "make room there" if full else "every node and kernel must be able to write there"
    return ValueNotStored(f"a large value cannot be written to {where}: {_said(error)}; {cure}")


def portions(path: Path) -> Iterator[memoryview]:
    """The bytes of a file, in one buffer that is used again for each portion."""
    buffer = memoryview(bytearray(_PORTION))
    with open(path, "rb", buffering=0) as file:
        while length := file.readinto(buffer):
            yield buffer[:length]


def _filesystem(url: str) -> tuple[Any, str]:
    try:
        from fsspec.core import url_to_fs  # an optional package
    except ImportError:
        raise InputError(
            f"results: {url!r} needs the package fsspec; run: pip install 'nbcluster[s3]', or use file:///..."
        ) from None
    try:
        files, path = url_to_fs(url)
    except Exception as error:
        raise InputError(f"results: {url!r} cannot be used: {_said(error)}") from error
    return files, str(path)


def _checked(name: str) -> str:
    if not is_name(name):
        raise ValueLost("a reference to a large value was altered: it names no file of ours")
    return name


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _said(error: BaseException) -> str:
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error) or type(error).__name__
    return " ".join(str(text).split())[:300]
