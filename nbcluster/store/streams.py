"""Large values through the database: in chunks, each few in a short transaction of their own.

They are stored before the row that refers to them and read after it, so that no transaction that
others wait for lasts as long as a transfer.  Each has a name of its own: what nobody refers to is
removed by ``sweep``.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import Any

from sqlalchemy import Connection, Select, delete, select

from nbcluster.depot.names import OWN, made_before, new_name
from nbcluster.errors import DatabaseError, ValueLost
from nbcluster.store.engine import Database
from nbcluster.store.tables import checkpoints, partitions, payloads, results, shared, step_execution

CHUNK = 1 << 19
"""Bytes of a value in one row."""

_TOGETHER = 8
"""Chunks in one transaction, or in one answer."""

_RAW, _ZSTD = b"\0", b"\1"
_SAMPLE = 32 << 10
_WORTH = 0.8
"""Chunks are compressed when they shrink to less than this share of their size."""

_LEVEL = 1
_SPOILT = "a large value in the database was altered: it cannot be read"

FORGOTTEN = 24 * 3600.0
"""Seconds after which a value that nobody refers to was surely left by one who is gone."""

_REFERRING = (results.c.payload_id, partitions.c.arguments_payload, checkpoints.c.payload_id, shared.c.payload_id)


class Streams:
    """``batch_payloads``, for values with a name of their own."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._dialect = database.dialect

    def write(self, chunks: Iterable[bytes]) -> str:
        """Store a value, given in chunks of ``CHUNK`` bytes; gives the reference to it.

        What was written is removed when this ends early, by whatever.
        """
        reference = OWN + new_name()
        try:
            self._write(reference, chunks)
        except BaseException:
            with contextlib.suppress(DatabaseError):  # the sweep removes what cannot be removed now
                self.drop([reference])
            raise
        return reference

    def _write(self, reference: str, chunks: Iterable[bytes]) -> None:
        waiting: list[tuple[str, int, bytes]] = []
        for number, chunk in enumerate(chunks):
            waiting.append((reference, number, _encoded(chunk)))
            if len(waiting) == _TOGETHER:
                self._commit(waiting)
                waiting = []
        if waiting:
            self._commit(waiting)

    def _commit(self, rows: list[tuple[str, int, bytes]]) -> None:
        def work(connection: Connection) -> None:
            # The answer to an earlier try's COMMIT may have been lost.
            name, first, _ = rows[0]
            connection.execute(delete(payloads).where(payloads.c.payload_id == name, payloads.c.chunk >= first))
            self._dialect.write_chunks(connection, payloads, rows)

        self._database.write(work)

    def read(self, reference: str) -> Iterator[bytes]:
        """The chunks of a value, few of them at a time.  Raises ValueLost when they are gone or spoilt."""
        first = 0
        while True:
            chunks = self._chunks(reference, first)
            for chunk in chunks:
                yield _decoded(chunk)
            first += len(chunks)
            if len(chunks) < _TOGETHER:
                break
        if not first:
            raise ValueLost("a large value is not in the database any more")

    def _chunks(self, reference: str, first: int) -> list[bytes]:
        return self._database.read(
            lambda connection: self._dialect.read_chunks(connection, payloads, reference, first, _TOGETHER)
        )

    def drop(self, references: Iterable[str]) -> None:
        """Remove these values."""
        for reference in references:
            self._database.single(partial(_delete, reference=reference))

    def sweep(self, older_than: float = FORGOTTEN) -> int:
        """Remove values that nobody refers to and that are so many seconds old; gives how many."""
        first = select(payloads.c.payload_id).where(payloads.c.chunk == 0, payloads.c.payload_id.startswith(OWN))
        found = self._database.read(partial(_column, statement=first))
        old = {name for name in found if name < OWN + made_before(older_than)}
        forgotten = old - self.referred(OWN) if old else old
        self.drop(forgotten)
        return len(forgotten)

    def referred(self, kind: str) -> set[str]:
        """Every reference of that kind that a row holds."""
        found: set[str] = set()
        for column in _REFERRING:
            statement = select(column).where(column.startswith(kind))
            found |= set(self._database.read(partial(_column, statement=statement)))
        return found

    def addresses(self) -> set[str | None]:
        """The addresses at which steps have kept large values in files; None for the place beside the database."""
        statement = select(step_execution.c.values_at).distinct()
        return set(self._database.read(partial(_column, statement=statement)))


def _delete(connection: Connection, reference: str) -> None:
    connection.execute(delete(payloads).where(payloads.c.payload_id == reference))


def _column(connection: Connection, statement: Select[Any]) -> Sequence[Any]:
    return connection.execute(statement).scalars().all()


def _encoded(chunk: bytes) -> bytes:
    """The chunk with a mark before it, compressed if a sample of it says that this pays."""
    import zstandard  # only where large values travel

    sample = chunk[: 2 * _SAMPLE][-_SAMPLE:]
    if len(zstandard.compress(sample, _LEVEL)) < _WORTH * len(sample):
        smaller = zstandard.compress(chunk, _LEVEL)
        if len(smaller) < _WORTH * len(chunk):
            return _ZSTD + smaller
    return _RAW + chunk


def _decoded(stored: bytes) -> bytes:
    """What ``_encoded`` was given.  Signatures are checked on these bytes: what is spoilt only must not do harm."""
    if stored[:1] == _RAW:
        return stored[1:]
    import zstandard

    try:
        if zstandard.frame_content_size(stored[1:]) <= CHUNK:
            return zstandard.decompress(stored[1:])
    except zstandard.ZstdError as error:
        raise ValueLost(_SPOILT) from error
    raise ValueLost(_SPOILT)
