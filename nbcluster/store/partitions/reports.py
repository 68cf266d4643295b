"""How far CLAIMED partitions are, as their owners report it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import BigInteger, Connection, Float, String, update
from sqlalchemy.types import TypeEngine

from nbcluster.lifecycle import PartitionStatus
from nbcluster.records import Claim
from nbcluster.store.engine import Database
from nbcluster.store.partitions.claim import still
from nbcluster.store.tables import partitions
from nbcluster.store.wakeup import job_topic

_COLUMNS: dict[str, TypeEngine[Any]] = {
    "id": BigInteger(),
    "attempt": BigInteger(),
    "token": BigInteger(),
    "owner": String(),
    "progress": Float(),
    "message": String(),
}


class Reports:
    """Progress of running partitions."""

    def __init__(self, database: Database) -> None:
        self._database = database
        dialect = self._dialect = database.dialect
        batch = dialect.batch(_COLUMNS)
        self._write = (
            update(partitions)
            .where(
                dialect.narrowed(partitions.c.step_execution_id, "ids"),
                partitions.c.step_execution_id == batch.c.id,
                partitions.c.attempt == batch.c.attempt,
                partitions.c.claim_token == batch.c.token,
                partitions.c.assigned_node == batch.c.owner,
                still(PartitionStatus.CLAIMED),
            )
            .values(progress=batch.c.progress, progress_message=batch.c.message, last_updated=dialect.now())
        )

    def write(self, told: Sequence[tuple[Claim, float, str]]) -> None:
        """Show how far these are: claim, fraction, message.  Those that were moved meanwhile are passed over."""
        rows = [(c.partition_id, c.attempt, c.token, c.node_id, fraction, message) for c, fraction, message in told]
        bound = self._dialect.batch_values(_COLUMNS, rows)
        bound["ids"] = self._dialect.listed([claim.partition_id for claim, _, _ in told])

        def work(connection: Connection) -> None:
            connection.execute(self._write, bound)
            self._database.announce(connection, {job_topic(claim.step.job_execution_id) for claim, _, _ in told})

        self._database.write(work)
