"""What a master does next with the steps of a job.  Pure: counts in, moves out.

A step starts when every step that it follows is COMPLETED; it ends when none of its
partitions is open.  What follows a step that did not complete is ended unstarted.
When every ordinary step has ended, the callback that belongs to the outcome runs,
and the other one is ended unstarted; after that the job ends.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from nbcluster.lifecycle import CALLBACKS, JOB_FINAL, JobStatus, StepKind, StopRequest

NOT_RUN = "NOT_RUN"
"""The exit code of a step that was ended unstarted."""


@dataclass(frozen=True, slots=True)
class StepState:
    """A step as the database counts it."""

    step_execution_id: int
    name: str
    kind: StepKind
    status: JobStatus
    after: tuple[str, ...] = ()
    open: int = 0
    failed: int = 0
    cancelled: int = 0
    not_run: bool = False
    """Whether it was ended unstarted."""


@dataclass(slots=True)
class Moves:
    """What is to be written, in this order; nothing when all is as it should be."""

    end: list[tuple[StepState, JobStatus]] = field(default_factory=list)
    """STARTED steps without open partitions."""
    drop: list[tuple[StepState, JobStatus]] = field(default_factory=list)
    """CREATED steps that will not run."""
    start: list[StepState] = field(default_factory=list)
    job: JobStatus | None = None
    """How the whole job ends now."""

    def __bool__(self) -> bool:
        return bool(self.end or self.drop or self.start or self.job)


def next_moves(steps: Sequence[StepState], stop: StopRequest) -> Moves:
    """The moves that the states of all steps of a job call for."""
    moves = Moves()
    status = {step.name: step.status for step in steps}
    for step in steps:
        if step.status is JobStatus.STARTED and not step.open:
            status[step.name] = _end_of(step, stop)
            moves.end.append((step, status[step.name]))
    ordinary = [step for step in steps if step.kind not in CALLBACKS]
    _follow(ordinary, status, stop, moves)
    if any(status[step.name] not in JOB_FINAL for step in ordinary):
        return moves
    outcome = _worst([status[step.name] for step in ordinary])
    cut_off = _call_back([step for step in steps if step.kind in CALLBACKS], outcome, status, stop, moves)
    if all(one in JOB_FINAL for one in status.values()):
        ran = [step for step in steps if step.kind in CALLBACKS and step.status is not JobStatus.CREATED]
        called = [status[step.name] for step in ran if not step.not_run]
        moves.job = _worst([outcome, *called, *cut_off])
    return moves


def _end_of(step: StepState, stop: StopRequest) -> JobStatus:
    """A step that was asked to stop but had nothing left to cancel ended by itself."""
    if stop in (StopRequest.STOP, StopRequest.NOW) and step.cancelled:
        return JobStatus.STOPPED
    return JobStatus.FAILED if step.failed else JobStatus.COMPLETED


def _follow(ordinary: Sequence[StepState], status: dict[str, JobStatus], stop: StopRequest, moves: Moves) -> None:
    """Start or drop what waits; in order, so that what follows a dropped step is dropped in the same turn."""
    for step in ordinary:
        if step.status is not JobStatus.CREATED:
            continue
        before = [status[name] for name in step.after]
        if stop is not StopRequest.NONE:
            by_user = stop in (StopRequest.STOP, StopRequest.NOW)
            status[step.name] = JobStatus.STOPPED if by_user else JobStatus.FAILED
        elif all(one is JobStatus.COMPLETED for one in before):
            moves.start.append(step)
            continue
        elif any(one in (JobStatus.FAILED, JobStatus.STOPPED) for one in before):
            status[step.name] = _worst(before)
        else:
            continue
        moves.drop.append((step, status[step.name]))


def _call_back(
    callbacks: Sequence[StepState],
    outcome: JobStatus,
    status: dict[str, JobStatus],
    stop: StopRequest,
    moves: Moves,
) -> list[JobStatus]:
    """Start the callback that belongs to the outcome, and drop the other.

    After a user's stop neither runs: the user knows.  A job whose callback was kept from
    running by it is STOPPED, and will run it when it is resumed; that is what is returned.
    """
    cut_off: list[JobStatus] = []
    by_user = stop in (StopRequest.STOP, StopRequest.NOW)
    wanted = {JobStatus.COMPLETED: StepKind.ON_SUCCESS, JobStatus.FAILED: StepKind.ON_FAILURE}.get(outcome)
    for step in callbacks:
        if step.status is not JobStatus.CREATED:
            continue
        if step.kind is wanted and not by_user:
            moves.start.append(step)
            continue
        status[step.name] = JobStatus.STOPPED
        moves.drop.append((step, JobStatus.STOPPED))
        if step.kind is wanted:
            cut_off.append(JobStatus.STOPPED)
    return cut_off


def _worst(statuses: Sequence[JobStatus]) -> JobStatus:
    """STOPPED before FAILED before COMPLETED: what a job is called that has some of each."""
    for one in (JobStatus.STOPPED, JobStatus.FAILED):
        if one in statuses:
            return one
    return JobStatus.COMPLETED
