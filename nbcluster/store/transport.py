"""Where large values travel: through the database, in files beside it, or in a folder that a job names.

Whoever stores a value gets a reference for the row; whoever reads one gets the bytes, checked, or a
file to map.  On one machine files are all there is; a server takes the values itself unless the job
says ``results="file:///share"``.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from nbcluster.depot.folders import Folder, LocalFolder, folder_at, not_stored, portions
from nbcluster.depot.names import FILE, OWN, made_before, name_in
from nbcluster.depot.spool import Spool, SpoolFile, mapped
from nbcluster.errors import DatabaseError, ValueLost, ValueNotStored
from nbcluster.records import Reference, StoredResult
from nbcluster.signing import LARGE_ARGUMENTS, Signer, check_result
from nbcluster.store.engine import Database
from nbcluster.store.streams import CHUNK, FORGOTTEN, Streams

if TYPE_CHECKING:  # a node's store does without pickles
    from nbcluster.payload import Body, Packed

log = logging.getLogger(__name__)

Blob = bytes | Path | SpoolFile
"""Bytes for a child: as they are, or as a file to map."""


@dataclass(frozen=True, slots=True)
class Sealed:
    """A large value that is neither fetched nor checked yet.  ``check`` is told its SHA-256."""

    reference: Reference
    check: Callable[[bytes], None]


class Transport:
    """The ways of large values to and from one database.  Safe to use from several threads."""

    def __init__(self, database: Database, signer: Signer, spool: Path, large: int) -> None:
        self.large = large
        """Values above this size, in bytes, travel apart from the rows that refer to them."""
        self._file = database.dialect.file
        self._streams = Streams(database)
        self._signer = signer
        self.spool = Spool(spool)
        self._folders: dict[str | None, Folder] = {}
        self._finding = threading.Lock()

    def folder(self, at: str | None) -> Folder | None:
        """The folder of the address ``at``; without one the folder beside the database, None for a server."""
        with self._finding:
            if at not in self._folders:
                if at is not None:
                    self._folders[at] = folder_at(at, f"nbcluster-{self._signer.cluster_id}")
                elif self._file is not None:
                    beside = self._file.with_name(f"{self._file.name}.values")
                    self._folders[at] = LocalFolder(beside, str(beside), shared=False)
                else:
                    return None
            return self._folders[at]

    def close(self) -> None:
        """Remove what this process has spooled."""
        self.spool.close()
        for folder in self._folders.values():
            folder.close()

    # --- storing ------------------------------------------------------------

    def put(self, packed: Packed, at: str | None) -> str:
        """Store a value of this process; gives the reference to it.  Raises ValueNotStored."""
        folder = self.folder(at)
        if folder is None:
            return self._streams.write(packed.chunks(CHUNK))
        return FILE + folder.add(packed.write)

    def room(self, at: str | None) -> SpoolFile:
        """A file, not there yet, that a child may write a value to which will go to ``at``.  Raises ValueNotStored."""
        folder = self.folder(at)
        spool = None
        if folder is not None:
            with contextlib.suppress(ValueNotStored):  # it is said when a value is large enough to go there
                spool = folder.spool()
        try:
            return (spool or self.spool).file()
        except OSError as error:
            raise not_stored("the spool of this process", error) from error

    def take_in(self, file: SpoolFile, at: str | None) -> str:
        """Store a spooled value; gives the reference to it.  Raises ValueNotStored."""
        folder = self.folder(at)
        if folder is not None:
            return FILE + folder.take_in(file)
        return self._streams.write(_chunks(file.path))

    def drop(self, reference: Reference) -> None:
        """Remove a value that no row refers to."""
        name = name_in(reference.name)
        if reference.name.startswith(OWN):
            self._streams.drop([reference.name])
        elif name is not None and (folder := self.folder(reference.at)) is not None:
            folder.delete(name)

    def drop_all(self, references: Iterable[Reference]) -> None:
        """Remove values that no row refers to; what cannot be reached now is left for ``sweep``."""
        for reference in references:
            try:
                self.drop(reference)
            except (DatabaseError, OSError, ValueLost) as error:
                log.warning("a value that nobody needs could not be removed now: %s", error)

    # --- reading ------------------------------------------------------------

    def bring(self, sealed: Sealed) -> Path | SpoolFile:
        """The value as a file that a child can map.  Raises SignatureError, or ValueLost when it is not there."""
        reference = sealed.reference
        folder = None if reference.name.startswith(OWN) else self.folder(reference.at)
        if folder is not None:
            file = folder.bring(name_in(reference.name) or "", self.spool)
            sealed.check(digest_of(Path(file)))
            return file
        copy, code = self.spool.file(), hashlib.sha256()
        with open(os.open(copy, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb", buffering=0) as raw:
            for chunk in self._streams.read(reference.name):
                raw.write(chunk)
                code.update(chunk)
        sealed.check(code.digest())
        return copy

    def open(self, sealed: Sealed) -> Body:
        """The value's bytes in memory that may be written to: a mapped file where there is one.

        Raises SignatureError, or ValueLost when it is not there or not to be reached from here.
        """
        reference = sealed.reference
        if reference.name.startswith(OWN) or self.folder(reference.at) is None:
            body, code = bytearray(), hashlib.sha256()
            for chunk in self._streams.read(reference.name):
                body += chunk
                code.update(chunk)
            sealed.check(code.digest())
            return body
        return mapped(self.bring(sealed))

    def values(self, uid: str, step_name: str, stored: StoredResult) -> Body:
        """The checked values of a result, still closed.  Raises SignatureError or ValueLost."""
        assert stored.result is not None
        if stored.result.reference is None:
            check_result(self._signer, uid, step_name, stored)
            return stored.result.values
        return self.open(self.sealed_values(uid, step_name, stored))

    def sealed_values(self, uid: str, step_name: str, stored: StoredResult) -> Sealed:
        """The large values of a result, to be fetched and checked."""
        assert stored.result is not None
        assert stored.result.reference is not None
        signer = self._signer

        def check(digest: bytes) -> None:
            check_result(signer, uid, step_name, stored, digest)

        return Sealed(stored.result.reference, check)

    def sealed_arguments(self, reference: Reference, mac: bytes, *identity: object) -> Sealed:
        """Large arguments, to be fetched and checked."""
        signer = self._signer

        def check(digest: bytes) -> None:
            signer.check(mac, LARGE_ARGUMENTS, *identity, body=digest)

        return Sealed(reference, check)

    # --- what nobody refers to ----------------------------------------------

    def sweep(self, older_than: float = FORGOTTEN) -> int:
        """Remove stored values that no row refers to and that are so many seconds old; gives how many."""
        removed = self._streams.sweep(older_than)
        limit = made_before(older_than)
        referred: set[str] | None = None
        for at in self._streams.addresses() | {None}:
            folder = self.folder(at)
            for name in [name for name in (folder.names() if folder else ()) if name < limit]:
                referred = self._streams.referred(FILE) if referred is None else referred
                if FILE + name not in referred and folder is not None:
                    folder.delete(name)
                    removed += 1
        return removed


def digest_of(path: Path) -> bytes:
    """The SHA-256 of a file."""
    code = hashlib.sha256()
    for portion in portions(path):
        code.update(portion)
    return code.digest()


def _chunks(path: Path) -> Iterator[bytes]:
    with open(path, "rb", buffering=0) as file:
        while chunk := file.read(CHUNK):
            yield chunk
