"""The job repository: a job appears together with all its partitions, or not at all."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, func, insert, literal, select, update
from sqlalchemy.exc import IntegrityError

from nbcluster.errors import InputError
from nbcluster.lifecycle import (
    JOB_FINAL,
    JobStatus,
    PartitionStatus,
)
from nbcluster.records import NewJob, NewPartition, StepToRun
from nbcluster.store import payloads
from nbcluster.store.engine import Database
from nbcluster.store.tables import (
    coordination,
    events,
    job_execution,
    job_execution_params,
    job_instance,
    partitions,
    step_execution,
)
from nbcluster.store.wakeup import WORK, node_topic

_WAKE_EACH = 16
"""Up to this many owners are woken one by one; more are woken by one call for all."""


@dataclass(frozen=True, slots=True)
class Submitted:
    """The ids of a job that is stored."""

    job_execution_id: int
    step_execution_id: int


class JobRepository:
    """Submitting, resuming and reading jobs and their steps."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._dialect = database.dialect

    # --- submission ---------------------------------------------------------

    def create(self, job: NewJob) -> Submitted:
        """Store a job with its step, coordination and partitions: all or nothing.

        Repeatable: when the answer to the COMMIT was lost, the second try finds the first.
        """
        try:
            return self._database.write(lambda connection: self._create(connection, job))
        except IntegrityError:
            raise InputError("this job was submitted already") from None

    def _create(self, connection: Connection, job: NewJob) -> Submitted:
        earlier = self._find_uid(connection, job.uid)
        if earlier is not None:
            return earlier
        now = self._dialect.now()
        instance_id = connection.execute(
            insert(job_instance).values(job_name=job.name, job_key=job.uid).returning(job_instance.c.job_instance_id)
        ).scalar_one()
        job_id = self._insert_execution(
            connection, {"job_instance_id": instance_id, "job_uid": job.uid, "user_name": job.user, "host": job.host}
        )
        if job.parameters:
            connection.execute(
                insert(job_execution_params),
                [
                    {
                        "job_execution_id": job_id,
                        "parameter_name": name,
                        "parameter_type": "str",
                        "parameter_value": value[:2500],
                        "identifying": "N",
                    }
                    for name, value in job.parameters.items()
                ],
            )
        payloads.put(connection, job.step.function.body)
        step = job.step
        step_id = self._insert_step(
            connection,
            {
                "step_name": step.name,
                "job_execution_id": job_id,
                "mode": step.mode,
                "strategy": step.strategy,
                "python": step.python,
                "function_id": step.function_id,
                "function_mac": step.function.mac,
                "source": step.source,
                "max_attempts": step.max_attempts,
                "max_result": step.max_result,
                "max_log": step.max_log,
                "fixed_nodes": None if step.fixed_nodes is None else json.dumps(step.fixed_nodes),
                "fixed_count": step.fixed_count,
            },
        )
        self._insert_coordination(connection, job_id, step_id, step.name, job.master_node_id)
        self._insert_partitions(connection, job_id, step_id, job.partitions)
        for phase in ("RECEIVED", "PARTITIONED", "DISTRIBUTED"):
            connection.execute(
                insert(events).values(event_time=now, phase=phase, job_execution_id=job_id, node_id=job.master_node_id)
            )
        self._database.announce(connection, _owners_to_wake(job.partitions))
        return Submitted(job_id, step_id)

    def _find_uid(self, connection: Connection, uid: str) -> Submitted | None:
        row = connection.execute(
            select(job_execution.c.job_execution_id, step_execution.c.step_execution_id)
            .join(step_execution, step_execution.c.job_execution_id == job_execution.c.job_execution_id)
            .where(job_execution.c.job_uid == uid, job_execution.c.run_number == 1)
        ).first()
        return Submitted(*row) if row else None

    def _insert_execution(self, connection: Connection, values: dict[str, Any]) -> int:
        now = self._dialect.now()
        statement = (
            insert(job_execution)
            .values(create_time=now, start_time=now, last_updated=now, status=JobStatus.STARTED, **values)
            .returning(job_execution.c.job_execution_id)
        )
        return int(connection.execute(statement).scalar_one())

    def _insert_step(self, connection: Connection, values: dict[str, Any]) -> int:
        now = self._dialect.now()
        ids = self._dialect.reserve_ids(connection, "step_execution", 1)
        if ids is not None:
            values = values | {"step_execution_id": next(iter(ids))}
        statement = (
            insert(step_execution)
            .values(create_time=now, start_time=now, last_updated=now, status=JobStatus.STARTED, **values)
            .returning(step_execution.c.step_execution_id)
        )
        return int(connection.execute(statement).scalar_one())

    def _insert_coordination(
        self, connection: Connection, job_id: int, step_id: int, step_name: str, master: str
    ) -> None:
        now = self._dialect.now()
        connection.execute(
            insert(coordination).values(
                job_execution_id=job_id,
                master_step_execution_id=step_id,
                master_step_name=step_name,
                master_node_id=master,
                term=1,
                status=JobStatus.STARTED,
                created_time=now,
                last_updated=now,
            )
        )

    def _insert_partitions(
        self, connection: Connection, job_id: int, step_id: int, split: Sequence[NewPartition]
    ) -> None:
        moment = connection.execute(select(self._dialect.now())).scalar_one()
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
                    "last_updated": moment,
                    "arguments": part.arguments.body if inline else None,
                    "arguments_mac": part.arguments.mac,
                    "arguments_payload": None if inline else payloads.put(connection, part.arguments.body),
                }
            )
        ids = self._dialect.reserve_ids(connection, "step_execution", len(rows)) if rows else None
        if ids is not None:
            rows = [row | {"step_execution_id": one} for row, one in zip(rows, ids, strict=True)]
        self._dialect.insert_many(connection, partitions, rows)

    # --- the running job ----------------------------------------------------

    def function(self, function_id: str) -> bytes | None:
        """The pickled function of that content hash."""
        return self._database.read(lambda connection: payloads.get(connection, function_id))

    def started_steps(self) -> list[StepToRun]:
        """Every step whose partitions may be claimed, in the order in which they were submitted."""
        statement = (
            select(
                step_execution,
                job_execution.c.job_uid,
                job_execution.c.stop_requested,
                job_instance.c.job_name,
            )
            .join(job_execution, job_execution.c.job_execution_id == step_execution.c.job_execution_id)
            .join(job_instance, job_instance.c.job_instance_id == job_execution.c.job_instance_id)
            .where(step_execution.c.status == literal(JobStatus.STARTED.value, literal_execute=True))
            .order_by(step_execution.c.step_execution_id)
        )
        rows = self._database.read(lambda connection: connection.execute(statement).all())
        return [_step_to_run(row) for row in rows]

    def add_fixed_node(self, step: StepToRun, node_id: str) -> bool:
        """Take a free place among the nodes of a ``fixed_node_count`` step; False when another was quicker."""
        before = json.dumps(step.fixed_nodes or ())
        after = json.dumps([*(step.fixed_nodes or ()), node_id])
        statement = (
            update(step_execution)
            .where(step_execution.c.step_execution_id == step.step_execution_id, step_execution.c.fixed_nodes == before)
            .values(fixed_nodes=after)
        )
        return bool(self._database.write(lambda connection: connection.execute(statement).rowcount))

    def drop_fixed_node(self, connection: Connection, node_id: str) -> None:
        """Free the place of a lost or leaving node in every started step."""
        statement = select(step_execution.c.step_execution_id, step_execution.c.fixed_nodes).where(
            step_execution.c.status == JobStatus.STARTED, step_execution.c.fixed_nodes.is_not(None)
        )
        for step_id, listed in connection.execute(statement).all():
            names = json.loads(listed)
            if node_id in names:
                connection.execute(
                    update(step_execution)
                    .where(step_execution.c.step_execution_id == step_id, step_execution.c.fixed_nodes == listed)
                    .values(fixed_nodes=json.dumps([name for name in names if name != node_id]))
                )

    # --- going on -----------------------------------------------------------

    def resume(self, job_id: int, master: str) -> Submitted | None:
        """A new execution of a FAILED or STOPPED job with its stored split; None when it is not in such a state.

        COMPLETED partitions are carried over with their results; the others are PENDING
        again, unassigned.  Nothing is split or computed again.
        """
        return self._database.write(lambda connection: self._resume(connection, job_id, master))

    def _resume(self, connection: Connection, job_id: int, master: str) -> Submitted | None:
        old = connection.execute(
            select(job_execution).where(
                job_execution.c.job_execution_id == job_id,
                job_execution.c.status.in_([s for s in JOB_FINAL if s is not JobStatus.COMPLETED]),
            )
        ).first()
        if old is None:
            return None
        newest = connection.scalar(
            select(func.max(job_execution.c.run_number)).where(job_execution.c.job_uid == old.job_uid)
        )
        if newest != old.run_number:
            return None
        step = connection.execute(select(step_execution).where(step_execution.c.job_execution_id == job_id)).one()
        new_id = self._insert_execution(
            connection,
            {
                "job_instance_id": old.job_instance_id,
                "job_uid": old.job_uid,
                "run_number": old.run_number + 1,
                "user_name": old.user_name,
                "host": old.host,
            },
        )
        kept = (
            "step_name", "mode", "strategy", "python", "function_id", "function_mac", "source",
            "max_attempts", "max_result", "max_log", "fixed_count",
        )  # fmt: skip
        values = {name: getattr(step, name) for name in kept}
        values |= {"job_execution_id": new_id, "fixed_nodes": None if step.fixed_nodes is None else "[]"}
        new_step = self._insert_step(connection, values)
        self._insert_coordination(connection, new_id, new_step, step.step_name, master)
        self._copy_partitions(connection, step.step_execution_id, new_id, new_step)
        self._database.announce(connection, [WORK])
        return Submitted(new_id, new_step)

    def _copy_partitions(self, connection: Connection, old_step: int, new_job: int, new_step: int) -> None:
        moment = connection.execute(select(self._dialect.now())).scalar_one()
        rows = connection.execute(
            select(partitions)
            .where(partitions.c.master_step_execution_id == old_step)
            .order_by(partitions.c.partition_index)
        ).mappings()
        copies: list[dict[str, Any]] = []
        for row in rows:
            done = row["status"] == PartitionStatus.COMPLETED
            copy = {name: row[name] for name in _SPLIT_COLUMNS}
            copy |= {
                "job_execution_id": new_job,
                "master_step_execution_id": new_step,
                "status": row["status"] if done else PartitionStatus.PENDING.value,
                "assigned_node": row["assigned_node"] if done else None,
                "seconds": row["seconds"] if done else None,
                "exit_code": row["exit_code"] if done else None,
                "result_of": (row["result_of"] or row["step_execution_id"]) if done else None,
                "last_updated": moment,
            }
            copies.append(copy)
        ids = self._dialect.reserve_ids(connection, "step_execution", len(copies)) if copies else None
        if ids is not None:
            copies = [copy | {"step_execution_id": one} for copy, one in zip(copies, ids, strict=True)]
        self._dialect.insert_many(connection, partitions, copies)


# The attempt goes on counting over the executions of an instance, so that a result's signature stays unique.
_SPLIT_COLUMNS = (
    "partition_index", "partition_key", "is_transferable", "item_count", "attempt", "claim_token",
    "arguments", "arguments_mac", "arguments_payload",
)  # fmt: skip


def _owners_to_wake(split: Sequence[NewPartition]) -> list[str]:
    owners = {part.assigned_node for part in split}
    if None in owners or not owners or len(owners) > _WAKE_EACH:
        return [WORK] if split else []
    return sorted(node_topic(owner) for owner in owners if owner)


def _step_to_run(row: Any) -> StepToRun:
    return StepToRun(
        step_execution_id=row.step_execution_id,
        job_execution_id=row.job_execution_id,
        job_name=row.job_name,
        uid=row.job_uid,
        name=row.step_name,
        mode=row.mode,
        strategy=row.strategy,
        function_id=row.function_id,
        function_mac=bytes(row.function_mac),
        python=row.python,
        max_attempts=row.max_attempts,
        max_result=row.max_result,
        max_log=row.max_log,
        fixed_nodes=None if row.fixed_nodes is None else tuple(json.loads(row.fixed_nodes)),
        fixed_count=row.fixed_count,
        stop_requested=bool(row.stop_requested),
    )
