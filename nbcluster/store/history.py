"""What happened to a job and to each attempt at its partitions.  Nothing here opens a payload."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import bindparam, func, select, union

from nbcluster.lifecycle import FINAL, PartitionStatus
from nbcluster.records import AttemptRow
from nbcluster.shown import RunningView
from nbcluster.store.engine import Database
from nbcluster.store.events import Member, parse_members
from nbcluster.store.partitions.claim import CLAIMED
from nbcluster.store.tables import attempts, events, job_execution, job_execution_params, partitions, step_execution

_SHOWN = 20
"""Running partitions that the live view shows."""


class Event(NamedTuple):
    """Something that was recorded, with the partitions and attempts that it tells of."""

    time: datetime
    phase: str
    step: str | None
    node: str | None
    members: tuple[Member, ...]


class Run(NamedTuple):
    """An attempt that has ended; it ran for ``seconds`` before ``ended``."""

    partition: int
    attempt: int
    node: str | None
    ended: datetime
    seconds: float


@dataclass(frozen=True, slots=True)
class JobHistory:
    """Everything that is known of when what happened in one job execution, by the database's clock."""

    events: tuple[Event, ...]
    runs: tuple[Run, ...]
    places: dict[int, tuple[str, int]]
    """The step and the index of each partition's id."""


class Speed(NamedTuple):
    """How long partitions ran in earlier runs of some code: ``seconds`` for ``items`` in ``partitions``."""

    runs: int
    partitions: int
    items: int
    seconds: float


class History:
    """Reading ``batch_events`` and ``batch_attempts``, with the rows that they tell of."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._dialect = database.dialect

    def _rows(self, statement: Any) -> Sequence[Any]:
        return self._database.read(lambda connection: connection.execute(statement).all())

    def running(self, step_id: int, limit: int = _SHOWN) -> tuple[RunningView, ...]:
        """What runs now, in order, and how far it says it is."""
        statement = (
            select(
                partitions.c.partition_index,
                partitions.c.assigned_node,
                self._dialect.age(partitions.c.claimed_time),
                partitions.c.progress,
                partitions.c.progress_message,
            )
            # Not the bare column: with it the whole step would be walked in place of the few that anybody runs.
            .where(partitions.c.master_step_execution_id + 0 == step_id, partitions.c.status == CLAIMED)
            .order_by(partitions.c.partition_index + 0)
            .limit(limit)
        )
        return tuple(
            RunningView(row[0], row[1] or "", max(0.0, float(row[2] or 0.0)), row[3], row[4] or "")
            for row in self._rows(statement)
        )

    def attempts(self, step_id: int) -> list[AttemptRow]:
        """Every attempt at the partitions of a step, in order: those that were not the last, and the last."""
        mine = partitions.c.master_step_execution_id == step_id
        known = (partitions.c.partition_index, partitions.c.partition_key)
        earlier = self._rows(
            select(*known, attempts)
            .join(partitions, partitions.c.step_execution_id == attempts.c.step_execution_id)
            .where(mine)
        )
        last = self._rows(
            select(
                *known, partitions.c.attempt, partitions.c.status, partitions.c.assigned_node,
                partitions.c.claimed_time, partitions.c.end_time, partitions.c.exit_code, partitions.c.exit_message,
                partitions.c.seconds,
            ).where(mine, partitions.c.attempt > 0, partitions.c.status != PartitionStatus.PENDING)
        )  # fmt: skip
        rows = {(row.partition_index, row.attempt): _last_attempt(row) for row in last}
        # What was written down at its end knows more than the partition's row.
        rows |= {(row.partition_index, row.attempt): _earlier_attempt(row) for row in earlier}
        return [rows[key] for key in sorted(rows)]

    def speed(self, code_id: str, function_id: str) -> Speed | None:
        """How long the good partitions of earlier jobs with this code ran; None when there are none.

        Those of named jobs are known by their code, all others by the bytes of their function, which
        another kernel may make otherwise.
        """
        bound = {"code": code_id, "function": function_id}
        row = next(iter(self._database.read(lambda connection: connection.execute(_SPEED, bound).all())))
        return Speed(row.runs, row.number, int(row.items), float(row.seconds)) if row.number else None

    def job(self, job_id: int) -> JobHistory:
        """The history of a job execution, in the order in which it was recorded."""
        steps = {
            row[0]: row[1]
            for row in self._rows(
                select(step_execution.c.step_execution_id, step_execution.c.step_name).where(
                    step_execution.c.job_execution_id == job_id
                )
            )
        }
        mine = partitions.c.job_execution_id == job_id
        rows = self._rows(
            select(
                partitions.c.step_execution_id, partitions.c.master_step_execution_id, partitions.c.partition_index,
                partitions.c.attempt, partitions.c.assigned_node, partitions.c.status, partitions.c.end_time,
                partitions.c.seconds,
            ).where(mine)
        )  # fmt: skip
        earlier = self._rows(
            select(
                attempts.c.step_execution_id, attempts.c.attempt, attempts.c.node_id, attempts.c.end_time,
                attempts.c.seconds,
            )
            .join(partitions, partitions.c.step_execution_id == attempts.c.step_execution_id)
            .where(mine, attempts.c.seconds > 0)
        )  # fmt: skip
        runs = {(row[0], row[1]): Run(*row) for row in earlier}
        runs |= {
            (row[0], row.attempt): Run(row[0], row.attempt, row.assigned_node, row.end_time, row.seconds)
            for row in rows
            # What never began has no length; what was carried over from an earlier execution has no end in this one.
            if row.status in FINAL and row.end_time is not None and row.seconds
        }
        return JobHistory(
            events=tuple(_event(row, steps) for row in self._rows(_EVENTS.where(events.c.job_execution_id == job_id))),
            runs=tuple(runs.values()),
            places={row[0]: (steps.get(row[1], ""), row[2]) for row in rows},
        )


_MAIN_STEPS = select(step_execution.c.step_execution_id).join(
    job_execution,
    (step_execution.c.job_execution_id == job_execution.c.job_execution_id)
    & (step_execution.c.step_name == job_execution.c.main_step),
)

# What a resumed run carried over was counted in the run that computed it.
_SPEED = select(
    func.count(partitions.c.job_execution_id.distinct()).label("runs"),
    func.count().label("number"),
    func.sum(partitions.c.item_count).label("items"),
    func.sum(partitions.c.seconds).label("seconds"),
).where(
    partitions.c.master_step_execution_id.in_(
        union(
            _MAIN_STEPS.join(
                job_execution_params, job_execution_params.c.job_execution_id == job_execution.c.job_execution_id
            ).where(
                job_execution_params.c.parameter_name == "code",
                job_execution_params.c.parameter_value == bindparam("code"),
            ),
            _MAIN_STEPS.where(step_execution.c.function_id == bindparam("function")),
        )
    ),
    partitions.c.status == PartitionStatus.COMPLETED.value,
    partitions.c.result_of.is_(None),
    partitions.c.seconds.is_not(None),
)

_EVENTS = select(
    events.c.event_time, events.c.phase, events.c.step_execution_id, events.c.node_id, events.c.members
).order_by(events.c.event_id)


def _event(row: Any, steps: dict[int, str]) -> Event:
    return Event(row[0], row[1], steps.get(row[2]), row[3], tuple(parse_members(row[4])))


def _earlier_attempt(row: Any) -> AttemptRow:
    return AttemptRow(
        index=row.partition_index,
        key=row.partition_key,
        attempt=row.attempt,
        node=row.node_id,
        outcome=row.outcome,
        message=row.message or "",
        claimed=row.claimed_time,
        ended=row.end_time,
        seconds=row.seconds,
        peak_memory=row.peak_memory or None,
    )


def _last_attempt(row: Any) -> AttemptRow:
    return AttemptRow(
        index=row.partition_index,
        key=row.partition_key,
        attempt=row.attempt,
        node=row.assigned_node,
        outcome="RUNNING" if row.status == PartitionStatus.CLAIMED else row.exit_code or row.status,
        message=row.exit_message or "",
        claimed=row.claimed_time,
        ended=row.end_time,
        seconds=row.seconds,
        peak_memory=None,
    )
