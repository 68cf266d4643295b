"""The rows of a job, written inside its submitting transaction.

Statements are built once: building one costs more than running it.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, String, bindparam, case, insert, select

from nbcluster.cachedresult import CachedResult
from nbcluster.lifecycle import ExitCode, JobStatus, PartitionStatus
from nbcluster.newjob import NewPartition
from nbcluster.store import payloads
from nbcluster.store.cached import CachedResults
from nbcluster.store.engine import Database
from nbcluster.store.tables import (
    coordination,
    job_execution,
    job_execution_params,
    job_instance,
    partitions,
    step_execution,
)

# The attempt goes on counting over the executions of an instance, so that a result's signature stays unique.
_SPLIT_COLUMNS = (
    "partition_index", "partition_key", "is_transferable", "item_count", "attempt", "claim_token",
    "arguments", "arguments_mac", "arguments_payload", "has_checkpoint", "cache_key", "cache_mac",
)  # fmt: skip

FROM_CACHE = "from the cache"
"""The message of a partition that took its result over."""


class JobWriter:
    """Inserts, each in the caller's transaction."""

    def __init__(self, database: Database) -> None:
        self._dialect = database.dialect
        self._cached = CachedResults(database)
        now = self._dialect.now()
        begun = {"create_time": now, "start_time": now, "last_updated": now, "status": JobStatus.STARTED.value}
        self._instance = self._dialect.insert_missing(job_instance).returning(job_instance.c.job_instance_id)
        self._execution = (
            insert(job_execution)
            .values(**begun)
            .returning(job_execution.c.job_execution_id, job_execution.c.create_time)
        )
        made = {"create_time": now, "last_updated": now, "status": bindparam("status")}
        started = case((bindparam("status", type_=String) == JobStatus.CREATED.value, None), else_=now)
        self._step = (
            insert(step_execution).values(**made, start_time=started).returning(step_execution.c.step_execution_id)
        )
        self._coordination = insert(coordination).values(term=1, created_time=now, last_updated=now)

    def instance(self, connection: Connection, name: str, key: str) -> tuple[int, bool]:
        """The job instance of that name and key, and whether it is new.

        It is locked until the transaction ends: of two who submit it at once the second
        sees what the first stored.
        """
        named = {"job_name": name, "job_key": key}
        made = connection.execute(self._instance, named).scalar()
        if made is not None:
            return int(made), True
        found = (
            select(job_instance.c.job_instance_id)
            .where(job_instance.c.job_name == name, job_instance.c.job_key == key)
            .with_for_update()
        )
        return int(connection.execute(found).scalar_one()), False

    def execution(self, connection: Connection, values: dict[str, Any]) -> tuple[int, datetime]:
        """A STARTED execution; gives its id and when it was made, by the database's clock."""
        row = connection.execute(self._execution, values).one()
        return int(row[0]), row[1]

    def parameters(self, connection: Connection, job_id: int, given: Sequence[tuple[str, str, bool]]) -> None:
        """What the instance was made from, for whoever asks why a cell ran anew."""
        rows = [
            {
                "job_execution_id": job_id,
                "parameter_name": name,
                "parameter_type": "java.lang.String",  # what the tables' other readers expect
                "parameter_value": value[:2500],
                "identifying": "Y" if identifying else "N",
            }
            for name, value, identifying in given
        ]
        if rows:
            connection.execute(insert(job_execution_params), rows)

    def copied_parameters(self, connection: Connection, old_job: int, new_job: int) -> None:
        """The same parameters for another execution."""
        old = connection.execute(
            select(job_execution_params).where(job_execution_params.c.job_execution_id == old_job)
        ).all()
        self.parameters(
            connection, new_job, [(row.parameter_name, row.parameter_value, row.identifying == "Y") for row in old]
        )

    def step(self, connection: Connection, values: dict[str, Any], status: JobStatus) -> int:
        """A step; gives its id."""
        ids = self._dialect.reserve_ids(connection, "step_execution", 1)
        if ids is not None:
            values = values | {"step_execution_id": next(iter(ids))}
        return int(connection.execute(self._step, values | {"status": status.value}).scalar_one())

    def coordination(
        self, connection: Connection, job_id: int, step_id: int, step_name: str, master: str, status: JobStatus
    ) -> None:
        """The lease of the launcher, term 1."""
        connection.execute(
            self._coordination,
            {
                "job_execution_id": job_id,
                "master_step_execution_id": step_id,
                "master_step_name": step_name,
                "master_node_id": master,
                "status": status.value,
            },
        )

    def partitions(
        self, connection: Connection, job_id: int, step_id: int, created: datetime, split: Sequence[NewPartition]
    ) -> int:
        """Every partition, PENDING; but those whose result another job has COMPLETED.  Gives how many these are."""
        taken = self._cached.confirmed(connection, [part.cached for part in split if part.cached is not None])
        rows: list[dict[str, Any]] = []
        for part in split:
            body = None if part.arguments is None else part.arguments.body
            apart = part.arguments_payload
            large = body is not None and len(body) > payloads.INLINE
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
                    "cache_key": part.cache_key,
                    "cache_mac": part.cache_mac,
                    "last_updated": created,
                    "arguments": None if large or apart else body,
                    "arguments_mac": b"" if part.arguments is None else part.arguments.mac,
                    "arguments_payload": payloads.put(connection, body) if large and body else apart,
                }
                | (_carried(part.cached if part.cache_key in taken else None) if taken else {})
            )
        self._insert(connection, rows)
        return sum(part.cached is not None and part.cache_key in taken for part in split)

    def copied_partitions(
        self,
        connection: Connection,
        old_step: int,
        new_job: int,
        new_step: int,
        created: datetime,
        again: Collection[int] = (),
        *,
        keep: bool = True,
        owner: str | None = None,
    ) -> None:
        """The stored split again: COMPLETED ones with their results, the others PENDING and assigned to ``owner``.

        With ``again`` only those are PENDING, and FAILED ones are carried over as they are.
        Without ``keep`` all are PENDING.
        """
        stored = connection.execute(
            select(partitions)
            .where(partitions.c.master_step_execution_id == old_step)
            .order_by(partitions.c.partition_index)
        ).mappings()
        rows: list[dict[str, Any]] = []
        for row in stored:
            done = keep and (
                row["partition_index"] not in again if again else row["status"] == PartitionStatus.COMPLETED
            )
            rows.append(
                {name: row[name] for name in _SPLIT_COLUMNS}
                | {
                    "job_execution_id": new_job,
                    "master_step_execution_id": new_step,
                    "status": row["status"] if done else PartitionStatus.PENDING.value,
                    "assigned_node": row["assigned_node"] if done else owner,
                    "seconds": row["seconds"] if done else None,
                    "exit_code": row["exit_code"] if done else None,
                    "exit_message": row["exit_message"] if done else None,
                    "failed_items": row["failed_items"] if done else 0,
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


def _carried(cached: CachedResult | None) -> dict[str, Any]:
    """What the row of a partition tells besides, one beside which others took results over."""
    if cached is None:
        nothing = dict.fromkeys(("seconds", "exit_code", "exit_message", "result_of"))
        return nothing | {"attempt": 0, "claim_token": 0}
    return {
        "status": PartitionStatus.COMPLETED.value,
        "assigned_node": cached.node,
        "attempt": cached.attempt,  # those that the result's signature tells
        "claim_token": cached.token,
        "seconds": cached.seconds,
        "exit_code": ExitCode.COMPLETED.value,
        "exit_message": FROM_CACHE,
        "result_of": cached.partition_id,
    }
