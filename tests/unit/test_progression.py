"""What a master does next, as a function of what the steps have come to."""

from __future__ import annotations

import pytest

from nbcluster.lifecycle import JobStatus, StepKind, StopRequest
from nbcluster.progression import StepState, next_moves

CREATED, STARTED = JobStatus.CREATED, JobStatus.STARTED
COMPLETED, FAILED, STOPPED = JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.STOPPED


def step(name: str, status: JobStatus = STARTED, after: tuple[str, ...] = (), **more: object) -> StepState:
    return StepState(1, name, StepKind.PARTITIONED, status, after, **more)  # type: ignore[arg-type]


def callback(kind: StepKind, status: JobStatus = CREATED, **more: object) -> StepState:
    return StepState(9, kind.value, kind, status, **more)  # type: ignore[arg-type]


def written(
    steps: list[StepState], stop: StopRequest = StopRequest.NONE
) -> tuple[dict[str, str], list[str], JobStatus | None]:
    """What ends how, what starts, and how the job ends."""
    moves = next_moves(steps, stop)
    return {one.name: to.value for one, to in (*moves.end, *moves.drop)}, [s.name for s in moves.start], moves.job


def test_a_step_with_open_partitions_goes_on() -> None:
    assert not next_moves([step("a", open=1), step("b", CREATED, ("a",))], StopRequest.NONE)


def test_the_next_step_starts_in_the_move_that_ends_the_one_before_it() -> None:
    assert written([step("a"), step("b", CREATED, ("a",)), step("c", CREATED, ("b",))]) == (
        {"a": "COMPLETED"}, ["b"], None,
    )  # fmt: skip


def test_a_step_waits_for_all_that_it_follows() -> None:
    both = step("c", CREATED, ("a", "b"))
    assert written([step("a"), step("b", open=1), both]) == ({"a": "COMPLETED"}, [], None)
    assert written([step("a", COMPLETED), step("b"), both]) == ({"b": "COMPLETED"}, ["c"], None)


def test_what_follows_a_failed_step_is_dropped_all_the_way() -> None:
    steps = [step("a", failed=1), step("b", CREATED, ("a",)), step("c", CREATED, ("b",))]
    assert written(steps) == ({"a": "FAILED", "b": "FAILED", "c": "FAILED"}, [], FAILED)


def test_what_runs_beside_a_failed_step_is_waited_for() -> None:
    steps = [step("a", failed=1), step("b", open=1), step("c", CREATED, ("a",))]
    assert written(steps) == ({"a": "FAILED", "c": "FAILED"}, [], None)


@pytest.mark.parametrize(
    ("failed", "runs", "other"),
    [(0, StepKind.ON_SUCCESS, StepKind.ON_FAILURE), (1, StepKind.ON_FAILURE, StepKind.ON_SUCCESS)],
)
def test_the_callback_of_the_outcome_starts_and_the_other_does_not(
    failed: int, runs: StepKind, other: StepKind
) -> None:
    callbacks = [callback(StepKind.ON_SUCCESS), callback(StepKind.ON_FAILURE)]
    ended, started, job = written([step("a", failed=failed), *callbacks])
    assert started == [runs.value]
    assert ended == {"a": "FAILED" if failed else "COMPLETED", other.value: "STOPPED"}
    assert job is None, "the job ends when the callback has"


def test_the_job_ends_with_its_callback() -> None:
    done = [step("a", COMPLETED), callback(StepKind.ON_FAILURE, STOPPED, not_run=True)]
    assert written([*done, callback(StepKind.ON_SUCCESS, STARTED)])[2] is COMPLETED
    assert written([*done, callback(StepKind.ON_SUCCESS, STARTED, failed=1)])[2] is FAILED


@pytest.mark.parametrize("stop", [StopRequest.STOP, StopRequest.NOW])
def test_no_callback_runs_for_what_a_user_stopped(stop: StopRequest) -> None:
    steps = [step("a", failed=1, cancelled=1), step("b", CREATED, ("a",)), callback(StepKind.ON_FAILURE)]
    ended, started, job = written(steps, stop)
    assert (started, job) == ([], STOPPED)
    assert ended == {"a": "STOPPED", "b": "STOPPED", "ON_FAILURE": "STOPPED"}


def test_too_many_errors_are_a_failure_that_is_told() -> None:
    steps = [step("a", failed=3, cancelled=2), step("b", CREATED, ("a",)), callback(StepKind.ON_FAILURE)]
    ended, started, job = written(steps, StopRequest.TOO_MANY_ERRORS)
    assert ended == {"a": "FAILED", "b": "FAILED"}
    assert (started, job) == (["ON_FAILURE"], None)
