"""Whole tables for questions over all jobs: partitions, attempts, events, logs.  Nothing here opens a payload."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import Select, func, select

from nbcluster.lifecycle import PartitionStatus
from nbcluster.store.engine import BULK, Database
from nbcluster.store.events import parse_members
from nbcluster.store.tables import attempts, events, job_execution, job_instance, logs, partitions, step_execution

_RUNNING = "RUNNING"


class Asking:
    """Rows of all jobs, each with the number and the name of its job, its step and its partition."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def _rows(self, statement: Any) -> Sequence[Any]:
        return self._database.read(lambda connection: connection.execute(statement).all(), patience=BULK)

    def partitions(self) -> Sequence[Any]:
        """Every partition: job, name, step, partition, key, state, node, attempt, ... as in PARTITION_COLUMNS."""
        return self._rows(
            _about_partitions(
                partitions.c.partition_key, partitions.c.status, partitions.c.assigned_node, partitions.c.attempt,
                partitions.c.item_count, partitions.c.failed_items, partitions.c.exit_code, partitions.c.exit_message,
                partitions.c.seconds, partitions.c.progress,
                partitions.c.claimed_time, partitions.c.end_time,
            )
        )  # fmt: skip

    def attempts(self) -> list[tuple[Any, ...]]:
        """Every attempt, the last one of each partition too, as in ATTEMPT_COLUMNS."""
        last = _about_partitions(
            partitions.c.attempt, partitions.c.assigned_node, partitions.c.status, partitions.c.exit_code,
            partitions.c.exit_message, partitions.c.seconds, partitions.c.claimed_time, partitions.c.end_time,
        ).where(partitions.c.attempt > 0, partitions.c.status != PartitionStatus.PENDING)  # fmt: skip
        found = {(*row[:4], row.attempt): _last_attempt(row) for row in self._rows(last)}
        earlier = _about_partitions(
            attempts.c.attempt, attempts.c.node_id, attempts.c.outcome, attempts.c.message, attempts.c.seconds,
            attempts.c.peak_memory, attempts.c.claimed_time, attempts.c.end_time,
        ).join(attempts, attempts.c.step_execution_id == partitions.c.step_execution_id)  # fmt: skip
        # What was written down at its end knows more than the partition's row.
        found |= {(*row[:4], row.attempt): tuple(row) for row in self._rows(earlier)}
        return list(found.values())

    def events(self) -> Iterator[tuple[Any, ...]]:
        """One row an event and partition that it tells of, in the order of their recording, as in EVENT_COLUMNS."""
        places = {row[0]: row[1] for row in self._rows(select(_P.step_execution_id, _P.partition_index))}
        statement = (
            select(
                events.c.event_time, events.c.phase, events.c.job_execution_id, job_instance.c.job_name,
                step_execution.c.step_name, events.c.node_id, events.c.detail, events.c.members,
            )
            .outerjoin(job_execution, job_execution.c.job_execution_id == events.c.job_execution_id)
            .outerjoin(job_instance, job_instance.c.job_instance_id == job_execution.c.job_instance_id)
            .outerjoin(step_execution, step_execution.c.step_execution_id == events.c.step_execution_id)
            .order_by(events.c.event_id)
        )  # fmt: skip
        for row in self._rows(statement):
            about, (node, detail, members) = tuple(row[:5]), row[5:]
            told = parse_members(members)
            if not told:
                yield (*about, None, None, node, detail)
            for partition, attempt in told:
                yield (*about, places.get(partition), attempt, node, detail)

    def logs(self) -> Sequence[Any]:
        """What every attempt printed, as bytes, as in LOG_COLUMNS."""
        mine = func.coalesce(partitions.c.result_of, partitions.c.step_execution_id)
        statement = _about_partitions(logs.c.attempt, logs.c.body).join(logs, logs.c.step_execution_id == mine)
        return self._rows(statement.order_by(logs.c.attempt))

    def ended_steps(self) -> Sequence[Any]:
        """The ids of the jobs and the names of their steps that have final partitions."""
        statement = (
            select(step_execution.c.job_execution_id, step_execution.c.step_name)
            .where(select(_P.step_execution_id).where(_P.master_step_execution_id == _S.step_execution_id,
                                                      _P.end_time.is_not(None) | _P.result_of.is_not(None)).exists())
            .order_by(step_execution.c.job_execution_id, step_execution.c.position)
        )  # fmt: skip
        return self._rows(statement)


_P, _S = partitions.c, step_execution.c

_ABOUT = ("job", "name", "step", "partition")
PARTITION_COLUMNS = (
    *_ABOUT, "key", "state", "node", "attempt", "items", "failed", "exit_code", "message", "seconds",
    "progress", "claimed", "ended",
)  # fmt: skip
ATTEMPT_COLUMNS = (*_ABOUT, "attempt", "node", "outcome", "message", "seconds", "peak_memory", "claimed", "ended")
EVENT_COLUMNS = ("time", "phase", "job", "name", "step", "partition", "attempt", "node", "detail")
LOG_COLUMNS = (*_ABOUT, "attempt", "text")


def _about_partitions(*columns: Any) -> Select[Any]:
    """These columns behind those that say which partition of which job it is, in the order of the jobs."""
    return (
        select(
            job_execution.c.job_execution_id.label("job"),
            job_instance.c.job_name.label("name"),
            step_execution.c.step_name.label("step"),
            partitions.c.partition_index,
            *columns,
        )
        .select_from(partitions)
        .join(step_execution, step_execution.c.step_execution_id == partitions.c.master_step_execution_id)
        .join(job_execution, job_execution.c.job_execution_id == partitions.c.job_execution_id)
        .join(job_instance, job_instance.c.job_instance_id == job_execution.c.job_instance_id)
        .order_by(partitions.c.master_step_execution_id, partitions.c.partition_index)
    )


def _last_attempt(row: Any) -> tuple[Any, ...]:
    running = row.status == PartitionStatus.CLAIMED
    outcome = _RUNNING if running else row.exit_code or row.status
    seconds = None if running else row.seconds
    return (
        *row[:4], row.attempt, row.assigned_node, outcome, row.exit_message, seconds, None, row.claimed_time,
        row.end_time,
    )  # fmt: skip
