"""Which packages each process has: one row for all that have the same."""

from __future__ import annotations

from sqlalchemy import Connection, delete, exists, select, update

from nbcluster.environment import Environment, read
from nbcluster.store.engine import Database
from nbcluster.store.tables import environments, nodes

_LOCK = "SELECT pg_advisory_xact_lock(7116924)"
"""Held on PostgreSQL by whoever tells its packages: what one refers to, another must not take for unused."""


class Environments:
    """``batch_environments``."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._insert = database.dialect.insert_missing(environments)

    def tell(self, node_id: str, environment: Environment) -> bool:
        """Store what a process has, and forget what no process has any more; False when its row is gone."""

        def work(connection: Connection) -> bool:
            if self._database.dialect.name == "postgresql":
                connection.exec_driver_sql(_LOCK)
            digest = environment.digest
            connection.execute(self._insert, {"digest": digest, "packages": environment.text})
            told = connection.execute(update(nodes).where(nodes.c.node_id == node_id).values(environment=digest))
            unused = ~exists().where(nodes.c.environment == environments.c.digest)
            connection.execute(delete(environments).where(unused))
            return bool(told.rowcount)

        return self._database.write(work)

    def all(self) -> dict[str, Environment]:
        """By digest, those that are stored and readable."""
        statement = select(environments.c.digest, environments.c.packages)
        rows = self._database.read(lambda connection: connection.execute(statement).all())
        found = {row.digest: read(row.packages) for row in rows}
        return {digest: environment for digest, environment in found.items() if environment is not None}
