"""``batch_shared``: large inputs by their content, each stored once for all who share it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, bindparam, delete, select

from nbcluster.errors import SignatureError
from nbcluster.records import Reference
from nbcluster.signing import Signer, check_shared
from nbcluster.store.engine import Database
from nbcluster.store.tables import shared
from nbcluster.store.transport import Sealed


@dataclass(frozen=True, slots=True)
class SharedRow:
    """A shared input: the SHA-256 of its bytes, their number, and the reference to where they are."""

    shared_id: str
    user: str
    size: int
    reference: str
    mac: bytes
    created: datetime | None = None


def sealed(signer: Signer, row: SharedRow) -> Sealed:
    """Its bytes, to be fetched and checked: somebody with the key stored them, and they are what the id says."""

    def check(digest: bytes) -> None:
        check_shared(signer, row.mac, row.shared_id, row.size)
        if digest.hex() != row.shared_id:
            raise SignatureError(f"the shared value {row.shared_id[:8]} was altered; it was not opened")

    return Sealed(Reference(row.reference, size=row.size), check)


class SharedInputs:
    """Entering, finding and removing shared inputs; their bytes travel by ``transport``."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._enter = (
            database.dialect.insert_missing(shared)
            .values(created_time=database.dialect.now())
            .returning(shared.c.shared_id)
        )

    def find(self, shared_id: str) -> SharedRow | None:
        """The one of that id."""
        row = self._database.read(lambda connection: connection.execute(_FIND, {"ids": [shared_id]}).first())
        return None if row is None else _row(row)

    def all(self) -> list[SharedRow]:
        """Every one there is, oldest first."""
        rows = self._database.read(lambda connection: connection.execute(_ALL).all())
        return [_row(row) for row in rows]

    def existing(self, shared_ids: Collection[str]) -> set[str]:
        """Which of these there are."""
        bound = {"ids": sorted(shared_ids)}
        return set(self._database.read(lambda connection: connection.execute(_FIND, bound).scalars().all()))

    def enter(self, row: SharedRow) -> SharedRow:
        """Enter one whose bytes are stored; gives the one that is there, which another may have entered first."""
        values = {
            "shared_id": row.shared_id,
            "user_name": row.user,
            "size": row.size,
            "payload_id": row.reference,
            "mac": row.mac,
        }
        self._database.write(lambda connection: connection.execute(self._enter, values).all())
        return self.find(row.shared_id) or row

    def remove(self, shared_id: str) -> str | None:
        """Remove it; gives the reference to its bytes, which nobody refers to any more."""

        def work(connection: Connection) -> str | None:
            return connection.execute(_REMOVE, {"id": shared_id}).scalar()

        return self._database.write(work)


def _row(row: Any) -> SharedRow:
    return SharedRow(row.shared_id, row.user_name, row.size, row.payload_id, bytes(row.mac), row.created_time)


_ALL = select(shared).order_by(shared.c.created_time, shared.c.shared_id)
_FIND = select(shared).where(shared.c.shared_id.in_(bindparam("ids", expanding=True)))
_REMOVE = delete(shared).where(shared.c.shared_id == bindparam("id")).returning(shared.c.payload_id)
