"""How a database answers this process: its version, its speed, its clock, and what may be done there."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime

from sqlalchemy import select

from nbcluster.records import Checkup, Rights
from nbcluster.store.engine import Database
from nbcluster.store.tables import metadata

_TRIES = 5


class Checkups:
    """Looks that change nothing."""

    def __init__(self, database: Database, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._clock = clock

    def look(self) -> Checkup:
        """One look at everything.  Raises DatabaseError."""
        round_trip, ahead = min(self._compare_clocks() for _ in range(_TRIES))
        dialect = self._database.dialect
        return Checkup(dialect.driver(), self._database.read(dialect.server), round_trip, ahead, self.rights())

    def rights(self) -> Rights:
        """What this login may not do."""
        tables = metadata.sorted_tables
        return self._database.read(lambda connection: self._database.dialect.rights(connection, tables))

    def _compare_clocks(self) -> tuple[float, float]:
        """Seconds of one round trip, and how far the database's clock was ahead in its middle."""
        statement = select(self._database.dialect.now())
        wall, began = self._clock(), time.monotonic()
        there: datetime = self._database.read(lambda connection: connection.execute(statement).scalar_one())
        took = time.monotonic() - began
        return took, there.timestamp() - (wall + took / 2)
