"""Which packages each process has: one row for all that have the same."""

from __future__ import annotations

from sqlalchemy import delete, exists, select, update

from nbcluster.environment import Environment, read
from nbcluster.store.engine import Database
from nbcluster.store.tables import environments, nodes


class Environments:
    """``batch_environments``."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._insert = database.dialect.insert_missing(environments)

    def tell(self, node_id: str, environment: Environment) -> bool:
        """Store what a process has, and forget what no process has any more; False when its row is gone.

        Each statement is a transaction by itself: one that stayed open, because its answer was lost, would hold the
        process's row and with it its heartbeats.  What is referred to is stored after that was said, so that nobody
        takes it for unused.
        """
        digest = environment.digest
        mine = update(nodes).where(nodes.c.node_id == node_id).values(environment=digest)
        if not self._database.single(lambda connection: connection.execute(mine).rowcount):
            return False
        stored = {"digest": digest, "packages": environment.text}
        self._database.single(lambda connection: connection.execute(self._insert, stored))
        unused = ~exists().where(nodes.c.environment == environments.c.digest)
        self._database.single(lambda connection: connection.execute(delete(environments).where(unused)))
        return True

    def all(self) -> dict[str, Environment]:
        """By digest, those that are stored and readable."""
        statement = select(environments.c.digest, environments.c.packages)
        rows = self._database.read(lambda connection: connection.execute(statement).all())
        found = {row.digest: read(row.packages) for row in rows}
        return {digest: environment for digest, environment in found.items() if environment is not None}
