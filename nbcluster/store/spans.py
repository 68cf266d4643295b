"""Reading what pictures are drawn from: every attempt of a job, in seconds.  Nothing here opens a payload.

Seconds come from the database and not from times, which for a hundred thousand partitions saves most of the cost.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Select, func, select

from nbcluster.lifecycle import FINAL, ExitCode, JobStatus, PartitionStatus
from nbcluster.spans import Execution, JobSpans, Span
from nbcluster.store.engine import BULK, Database
from nbcluster.store.tables import attempts, job_execution, partitions, step_execution

_SAMPLE = 2000
"""Attempts of each execution by which its slots are told."""

_MAIN = ""
_RUNNING = "RUNNING"
# Plain texts: comparing a hundred thousand rows with members of an enumeration takes its time.
_PENDING, _CLAIMED = PartitionStatus.PENDING.value, PartitionStatus.CLAIMED.value
_CANCELLED = ExitCode.CANCELLED.value


class Spans:
    """The attempts of job executions, one row each."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._between = database.dialect.between

    def _rows(self, statement: Any) -> Sequence[Any]:
        return self._database.read(lambda connection: connection.execute(statement).all(), patience=BULK)

    def of_job(self, job_id: int) -> JobSpans:
        """Every attempt of a job execution, in no particular order."""
        steps = {row[0]: row[1] for row in self._rows(_steps(job_id))}
        earlier = {tuple(row[:3]): row for row in self._rows(self._earlier(job_id))}
        rows = self._rows(self._last(job_id))
        spans, carried, unbegun = [], 0, []
        for row in rows:
            step, index, attempt, node, status, exit_code, _claimed, ended, _seconds, _items, never_began, result_of = (
                row
            )
            if result_of is not None:
                carried += 1
            elif never_began and exit_code == _CANCELLED:
                unbegun.append(float(ended or 0.0))
            elif attempt and node is not None and status != _PENDING:
                spans.append(_last_span(row, steps[step]))
                if earlier:
                    # What the partition's own row tells decided it.
                    earlier.pop((step, index, attempt), None)
        spans += [_earlier_span(row, steps[row[0]]) for row in earlier.values()]
        return JobSpans(tuple(steps.values()), len(rows), tuple(spans), carried, tuple(unbegun))

    def executions(self, job_id: int, limit: int = 30) -> list[Execution]:
        """The COMPLETED executions of the same name, code and input, oldest first.

        Resumed ones did only a part, and are not among them.
        """
        instance = (
            select(job_execution.c.job_instance_id).where(job_execution.c.job_execution_id == job_id).scalar_subquery()
        )
        rows = self._rows(
            select(
                job_execution.c.job_execution_id,
                self._between(job_execution.c.create_time, job_execution.c.end_time),
                select(func.count())
                .where(partitions.c.job_execution_id == job_execution.c.job_execution_id)
                .scalar_subquery(),
            )
            .where(
                job_execution.c.job_instance_id == instance,
                job_execution.c.status == JobStatus.COMPLETED,
                job_execution.c.run_number == 1,
            )
            .order_by(job_execution.c.job_execution_id.desc())
            .limit(limit)
        )
        return [Execution(row[0], float(row[1]), row[2], self._sample(row[0])) for row in reversed(rows)]

    def _sample(self, job_id: int) -> tuple[Span, ...]:
        ended = self._last(job_id).where(partitions.c.status.in_(FINAL), partitions.c.attempt > 0)
        rows = self._rows(ended.order_by(partitions.c.end_time).limit(_SAMPLE))
        return tuple(_last_span(row, _MAIN) for row in rows)

    def _last(self, job_id: int) -> Select[Any]:
        """The last attempt of each partition: what its own row tells."""
        zero = job_execution.c.create_time
        return (
            select(
                partitions.c.master_step_execution_id, partitions.c.partition_index, partitions.c.attempt,
                partitions.c.assigned_node, partitions.c.status, partitions.c.exit_code,
                self._between(zero, partitions.c.claimed_time).label("claimed"),
                self._between(zero, partitions.c.end_time).label("ended"),
                partitions.c.seconds, partitions.c.item_count, partitions.c.start_time.is_(None),
                partitions.c.result_of,
            )
            .join(job_execution, job_execution.c.job_execution_id == partitions.c.job_execution_id)
            .where(partitions.c.job_execution_id == job_id)
        )  # fmt: skip

    def _earlier(self, job_id: int) -> Select[Any]:
        """The attempts that were not the last."""
        zero = job_execution.c.create_time
        return (
            select(
                partitions.c.master_step_execution_id, partitions.c.partition_index, attempts.c.attempt,
                attempts.c.node_id, attempts.c.outcome,
                self._between(zero, attempts.c.claimed_time).label("claimed"),
                self._between(zero, attempts.c.end_time).label("ended"),
                attempts.c.seconds, partitions.c.item_count,
            )
            .join(partitions, partitions.c.step_execution_id == attempts.c.step_execution_id)
            .join(job_execution, job_execution.c.job_execution_id == partitions.c.job_execution_id)
            .where(partitions.c.job_execution_id == job_id)
        )  # fmt: skip


def _steps(job_id: int) -> Select[Any]:
    return (
        select(step_execution.c.step_execution_id, step_execution.c.step_name)
        .where(step_execution.c.job_execution_id == job_id)
        .order_by(step_execution.c.position, step_execution.c.step_execution_id)
    )


def _last_span(row: Any, name: str) -> Span:
    _step, index, attempt, node, status, exit_code, claimed, ended, seconds, items, _never_began, _result_of = row
    if status == _CLAIMED:
        return Span(name, index, attempt, node, _RUNNING, _since(claimed, None), None, None, items, False)
    return Span(name, index, attempt, node, exit_code or status, _since(claimed, ended), ended, seconds, items, True)


def _earlier_span(row: Any, name: str) -> Span:
    _step, index, attempt, node, outcome, claimed, ended, seconds, items = row
    return Span(name, index, attempt, node, outcome, _since(claimed, ended), ended, seconds, items, False)


def _since(claimed: float | None, ended: float | None) -> float:
    """When it was claimed; a row that was never told counts from its end."""
    return float(claimed if claimed is not None else ended or 0.0)
