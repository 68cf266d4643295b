"""What a master writes: steps end, the next ones start, the job ends.  Every write names the master's term."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Connection,
    bindparam,
    case,
    func,
    insert,
    literal_column,
    select,
    update,
)

from nbcluster.lifecycle import (
    CALLBACKS,
    OPEN,
    ExitCode,
    JobStatus,
    PartitionStatus,
    Phase,
    StepKind,
    StopRequest,
    job_sources,
)
from nbcluster.progression import NOT_RUN, Moves, StepState, next_moves
from nbcluster.store.dialects.base import Dialect
from nbcluster.store.engine import Database
from nbcluster.store.events import EventLog
from nbcluster.store.partitions.claim import PENDING
from nbcluster.store.partitions.release import Releases
from nbcluster.store.tables import coordination, job_execution, partitions, step_execution
from nbcluster.store.wakeup import WORK, job_topic


class _Superseded(Exception):
    """Another master, with a later term, owns the job: nothing of this transaction may stay."""


class Advancing:
    """The moves of one job's steps."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._dialect = database.dialect
        self._releases = Releases(database)
        self._events = EventLog(database)
        self._count = _count_statement(database.dialect)
        self._build()

    def _build(self) -> None:
        now = self._dialect.now()
        its_step: BindParameter[int] = bindparam("step")
        self._move_coordination = (
            update(coordination)
            .where(
                coordination.c.job_execution_id == bindparam("job"),
                coordination.c.master_step_execution_id == its_step,
                coordination.c.term == bindparam("its_term"),
                coordination.c.status == bindparam("was"),
            )
            .values(status=bindparam("becomes"), last_updated=now)
        )
        moved = update(step_execution).where(
            step_execution.c.step_execution_id == its_step, step_execution.c.status == bindparam("was")
        )
        self._start_step = moved.values(status=bindparam("becomes"), start_time=now, last_updated=now)
        self._end_step = moved.values(
            status=bindparam("becomes"), exit_code=bindparam("exit_code"), end_time=now, last_updated=now
        )
        self._end_job = (
            update(job_execution)
            .where(
                job_execution.c.job_execution_id == bindparam("job"),
                job_execution.c.status.in_([status.value for status in job_sources(JobStatus.COMPLETED)]),
            )
            .values(status=bindparam("becomes"), exit_code=bindparam("becomes"), end_time=now, last_updated=now)
        )

    def advance(self, job_id: int, term: int) -> JobStatus | None:
        """Write what the states of the steps call for; gives how the job ended, None while it goes on.

        Also None when another is master now: then nothing was written.  Completeness is a
        query, never a counter; final partitions stay final, so what the query saw holds
        whenever this transaction commits.
        """

        def work(connection: Connection) -> JobStatus | None:
            stop, steps = self._states(connection, job_id)
            moves = next_moves(steps, stop)
            if not moves:
                return None
            self._apply(connection, job_id, term, moves)
            return moves.job

        try:
            return self._database.write(work)
        except _Superseded:
            return None

    def due(self, job_id: int) -> bool:
        """Whether ``advance`` would write anything.  Only reads; quick while something waits in each started step."""

        def work(connection: Connection) -> bool:
            rows = connection.execute(_STEPS_WAITING, {"job": job_id}).all()
            if not rows or rows[0].stop_requested or rows[0].max_errors is not None:
                return bool(rows)
            started = [row.waiting for row in rows if row.status == JobStatus.STARTED]
            if started and all(started):
                return False
            counts = self._counts(connection, rows)
            return bool(next_moves([_state(row, counts.get(row.step_execution_id)) for row in rows], StopRequest.NONE))

        return self._database.read(work)

    def _states(self, connection: Connection, job_id: int) -> tuple[StopRequest, list[StepState]]:
        rows = connection.execute(_STEPS, {"job": job_id}).all()
        if not rows:
            return StopRequest.NONE, []
        counts = self._counts(connection, rows)
        stop, limit = StopRequest(rows[0].stop_requested), rows[0].max_errors
        failed_items = sum(count.failed_items for count in counts.values())
        if stop is StopRequest.NONE and limit is not None and failed_items > limit:
            stop = self._too_many_errors(connection, job_id)
        callbacks = {row.step_execution_id for row in rows if row.kind in CALLBACKS}
        if stop is not StopRequest.NONE and any(c.pending for one, c in counts.items() if one not in callbacks):
            # What was handed back since the stop was asked for will never be claimed.
            self._releases.cancel_pending(connection, job_id)
            counts = self._counts(connection, rows)
        return stop, [_state(row, counts.get(row.step_execution_id)) for row in rows]

    def _counts(self, connection: Connection, steps: Sequence[Any]) -> dict[int, Any]:
        """The partitions of the steps that may have open or failed ones, counted."""
        looked_at = [step.step_execution_id for step in steps if step.status in _COUNTED]
        rows = connection.execute(self._count, {"steps": self._dialect.listed(looked_at)}).all()
        return {row[0]: row for row in rows}

    def _too_many_errors(self, connection: Connection, job_id: int) -> StopRequest:
        asked = connection.execute(
            update(job_execution)
            .where(job_execution.c.job_execution_id == job_id, job_execution.c.stop_requested == StopRequest.NONE)
            .values(stop_requested=StopRequest.TOO_MANY_ERRORS)
        ).rowcount
        if asked:
            self._events.record(connection, Phase.STOP_REQUESTED, job=job_id, detail=StopRequest.TOO_MANY_ERRORS.name)
            self._database.announce(connection, [WORK, job_topic(job_id)])
        return StopRequest.TOO_MANY_ERRORS if asked else StopRequest.NONE

    def _apply(self, connection: Connection, job_id: int, term: int, moves: Moves) -> None:
        for step, becomes in moves.end:
            self._move(connection, job_id, term, step, becomes, becomes.value)
        for step, becomes in moves.drop:
            self._releases.cancel_step(connection, step.step_execution_id)
            self._move(connection, job_id, term, step, becomes, NOT_RUN)
        for step in moves.start:
            self._move(connection, job_id, term, step, JobStatus.STARTED, "")
            if step.kind in CALLBACKS:
                self._add_partition(connection, job_id, step.step_execution_id)
        topics = [job_topic(job_id), *([WORK] if moves.start else [])]
        if moves.job is not None:
            ended = {"job": job_id, "becomes": moves.job.value}
            if not connection.execute(self._end_job, ended).rowcount:
                raise _Superseded
            self._events.record(connection, Phase.COMPLETION_DETECTED, job=job_id, term=term)
        self._database.announce(connection, topics)

    def _move(
        self, connection: Connection, job_id: int, term: int, step: StepState, becomes: JobStatus, exit_code: str
    ) -> None:
        bound = {
            "job": job_id,
            "step": step.step_execution_id,
            "its_term": term,
            "was": step.status.value,
            "becomes": becomes.value,
        }
        if not connection.execute(self._move_coordination, bound).rowcount:
            raise _Superseded
        starts = becomes is JobStatus.STARTED
        statement = self._start_step if starts else self._end_step
        if not connection.execute(statement, bound | ({} if starts else {"exit_code": exit_code})).rowcount:
            raise _Superseded
        phase = Phase.STEP_STARTED if starts else Phase.STEP_ENDED
        self._events.record(
            connection, phase, job=job_id, step=step.step_execution_id, term=term, detail=f"{step.name} {becomes}"
        )

    def _add_partition(self, connection: Connection, job_id: int, step_id: int) -> None:
        """The one partition of a callback: it comes into being when it is known that it runs."""
        values: dict[str, Any] = {
            "job_execution_id": job_id,
            "master_step_execution_id": step_id,
            "partition_index": 0,
            "partition_key": "callback",
            "status": PartitionStatus.PENDING,
            "is_transferable": 1,
            "arguments_mac": b"",
            "last_updated": self._dialect.now(),
        }
        ids = self._dialect.reserve_ids(connection, "step_execution", 1)
        if ids is not None:
            values["step_execution_id"] = next(iter(ids))
        connection.execute(insert(partitions).values(**values))


_COUNTED = (JobStatus.STARTED, JobStatus.FAILED)

_STEPS = (
    select(
        step_execution.c.step_execution_id,
        step_execution.c.step_name,
        step_execution.c.kind,
        step_execution.c.status,
        step_execution.c.exit_code,
        step_execution.c.after_steps,
        job_execution.c.stop_requested,
        job_execution.c.max_errors,
    )
    .join(job_execution, job_execution.c.job_execution_id == step_execution.c.job_execution_id)
    .where(step_execution.c.job_execution_id == bindparam("job"), job_execution.c.status == JobStatus.STARTED.value)
    .order_by(step_execution.c.position)
)


# In the order of the index of what is PENDING, or PostgreSQL reads the whole table to find one.
_WAITING = (
    select(literal_column("1"))
    .where(partitions.c.master_step_execution_id == step_execution.c.step_execution_id, partitions.c.status == PENDING)
    .order_by(partitions.c.assigned_node, partitions.c.partition_index)
    .limit(1)
    .correlate(step_execution)
    .scalar_subquery()
    .label("waiting")
)


_STEPS_WAITING = _STEPS.add_columns(_WAITING)


def _count_statement(dialect: Dialect) -> Any:
    def number(condition: ColumnElement[bool]) -> ColumnElement[int]:
        return func.coalesce(func.sum(case((condition, 1), else_=0)), 0)

    final_failure = (partitions.c.status == PartitionStatus.FAILED.value) & (
        func.coalesce(partitions.c.exit_code, "") != ExitCode.CANCELLED.value
    )
    return (
        select(
            partitions.c.master_step_execution_id,
            number(partitions.c.status.in_(OPEN)).label("open"),
            number(partitions.c.status == PartitionStatus.PENDING.value).label("pending"),
            number(partitions.c.status == PartitionStatus.FAILED.value).label("failed"),
            number(partitions.c.exit_code == ExitCode.CANCELLED.value).label("cancelled"),
            func.coalesce(func.sum(case((final_failure, partitions.c.failed_items), else_=0)), 0).label("failed_items"),
        )
        .where(dialect.among(partitions.c.master_step_execution_id, "steps"))
        .group_by(partitions.c.master_step_execution_id)
    )


def _state(row: Any, count: Any) -> StepState:
    return StepState(
        step_execution_id=row.step_execution_id,
        name=row.step_name,
        kind=StepKind(row.kind),
        status=JobStatus(row.status),
        after=tuple(json.loads(row.after_steps)),
        open=count.open if count else 0,
        failed=count.failed if count else 0,
        cancelled=count.cancelled if count else 0,
        not_run=row.exit_code == NOT_RUN,
    )
