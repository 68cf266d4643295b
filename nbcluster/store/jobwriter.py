"""The rows of a job, written inside its submitting transaction.

Statements are built once: building one costs more than running it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, insert, select

from nbcluster.lifecycle import JobStatus, PartitionStatus
from nbcluster.records import NewPartition
from nbcluster.store import payloads
from nbcluster.store.engine import Database
from nbcluster.store.tables import coordination, events, job_execution, job_instance, partitions, step_execution

# The attempt goes on counting over the executions of an instance, so that a result's signature stays unique.
_SPLIT_COLUMNS = (
    "partition_index", "partition_key", "is_transferable", "item_count", "attempt", "claim_token",
    "arguments", "arguments_mac", "arguments_payload",
)  # fmt: skip


class JobWriter:
    """Inserts, each in the caller's transaction."""

    def __init__(self, database: Database) -> None:
        self._dialect = database.dialect
        now = self._dialect.now()
        begun = {"create_time": now, "start_time": now, "last_updated": now, "status": JobStatus.STARTED.value}
        self._instance = insert(job_instance).returning(job_instance.c.job_instance_id)
        self._execution = (
            insert(job_execution)
            .values(**begun)
            .returning(job_execution.c.job_execution_id, job_execution.c.create_time)
        )
        self._step = insert(step_execution).values(**begun).returning(step_execution.c.step_execution_id)
        self._coordination = insert(coordination).values(
            term=1, status=JobStatus.STARTED.value, created_time=now, last_updated=now
        )
        self._event = insert(events).values(event_time=now)

    def instance(self, connection: Connection, name: str, key: str) -> int:
        """A job instance; gives its id."""
        return int(connection.execute(self._instance, {"job_name": name, "job_key": key}).scalar_one())

    def execution(self, connection: Connection, values: dict[str, Any]) -> tuple[int, datetime]:
        """A STARTED execution; gives its id and when it was made, by the database's clock."""
        row = connection.execute(self._execution, values).one()
        return int(row[0]), row[1]

    def step(self, connection: Connection, values: dict[str, Any]) -> int:
        """A STARTED step; gives its id."""
        ids = self._dialect.reserve_ids(connection, "step_execution", 1)
        if ids is not None:
            values = values | {"step_execution_id": next(iter(ids))}
        return int(connection.execute(self._step, values).scalar_one())

    def coordination(self, connection: Connection, job_id: int, step_id: int, step_name: str, master: str) -> None:
        """The lease of the launcher, term 1."""
        connection.execute(
            self._coordination,
            {
                "job_execution_id": job_id,
                "master_step_execution_id": step_id,
                "master_step_name": step_name,
                "master_node_id": master,
            },
        )

    def events(self, connection: Connection, job_id: int, node_id: str, phases: Sequence[str]) -> None:
        """Phases of the job, with the database's clock."""
        rows = [{"phase": phase, "job_execution_id": job_id, "node_id": node_id} for phase in phases]
        connection.execute(self._event, rows)

    def partitions(
        self, connection: Connection, job_id: int, step_id: int, created: datetime, split: Sequence[NewPartition]
    ) -> None:
        """Every partition, PENDING."""
        rows: list[dict[str, Any]] = []
        for part in split:
            inline = len(part.arguments.body) <= payloads.INLINE
            rows.append(
                {
                    "job_execution_id": job_id,
                    "master_step_execution_id": step_id,
                    "partition_index": part.index,
                    "partition_key": part.key,
                    "assigned_node": part.assigned_node,
                    "status": PartitionStatus.PENDING.value,
                    "is_transferable": int(part.transferable),
                    "item_count": part.items,
                    "last_updated": created,
                    "arguments": part.arguments.body if inline else None,
                    "arguments_mac": part.arguments.mac,
                    "arguments_payload": None if inline else payloads.put(connection, part.arguments.body),
                }
            )
        self._insert(connection, rows)

    def copied_partitions(
        self, connection: Connection, old_step: int, new_job: int, new_step: int, created: datetime
    ) -> None:
        """The stored split again: COMPLETED ones with their results, the others PENDING and unassigned."""
        stored = connection.execute(
            select(partitions)
            .where(partitions.c.master_step_execution_id == old_step)
            .order_by(partitions.c.partition_index)
        ).mappings()
        rows: list[dict[str, Any]] = []
        for row in stored:
            done = row["status"] == PartitionStatus.COMPLETED
            rows.append(
                {name: row[name] for name in _SPLIT_COLUMNS}
                | {
                    "job_execution_id": new_job,
                    "master_step_execution_id": new_step,
                    "status": row["status"] if done else PartitionStatus.PENDING.value,
                    "assigned_node": row["assigned_node"] if done else None,
                    "seconds": row["seconds"] if done else None,
                    "exit_code": row["exit_code"] if done else None,
                    "result_of": (row["result_of"] or row["step_execution_id"]) if done else None,
                    "last_updated": created,
                }
            )
        self._insert(connection, rows)

    def _insert(self, connection: Connection, rows: list[dict[str, Any]]) -> None:
        if not rows:
            return
        ids = self._dialect.reserve_ids(connection, "step_execution", len(rows))
        if ids is not None:
            rows = [row | {"step_execution_id": one} for row, one in zip(rows, ids, strict=True)]
        self._dialect.insert_many(connection, partitions, rows)
