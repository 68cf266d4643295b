"""Several steps in one job: stored at once, started one after the other, gone on with where they stopped."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from nbcluster import payload
from nbcluster.lifecycle import JobStatus, StepKind
from nbcluster.newjob import NewJob, NewPartition, NewStep
from nbcluster.records import StepToRun
from nbcluster.store import Store
from tests.builders import a_new_job, a_new_step, completed, failed, some_new_partitions
from tests.store.acts import at_once, count, lose, register, rows, take, value
from tests.store.conftest import OpenStore

ONE = (NewPartition(0, "one", 1, None),)


def a_step(name: str, *after: str, **changes: Any) -> NewStep:
    return a_new_step(name=name, after=after, partitions=some_new_partitions(2), **changes)


def three_steps(**changes: Any) -> NewJob:
    """Load -> score -> report (an aggregation), and both callbacks."""
    chained = tuple(replace(part, arguments=None) for part in some_new_partitions(2))
    steps = (
        a_step("load"),
        replace(a_step("score", "load"), input_of="load", partitions=chained),
        a_new_step(
            name="report", after=("score",), kind=StepKind.AGGREGATE, mode=payload.VALUES, input_of="score",
            partitions=ONE,
        ),
        a_new_step(name="on_success", kind=StepKind.ON_SUCCESS, mode=payload.OUTCOME),
        a_new_step(name="on_failure", kind=StepKind.ON_FAILURE, mode=payload.OUTCOME),
    )  # fmt: skip
    return a_new_job(steps=steps, main_step="score", **changes)


def states(store: Store, job_id: int) -> list[str]:
    """The states of the steps, in order; the same in both tables."""
    found = rows(
        store,
        "SELECT s.status, c.status FROM batch_step_execution s JOIN batch_job_coordination c "
        "ON c.master_step_execution_id = s.step_execution_id WHERE s.job_execution_id = :job ORDER BY s.position",
        job=job_id,
    )
    assert all(one == other for one, other in found)
    return [one for one, _ in found]


def started(store: Store) -> StepToRun:
    (step,) = store.jobs.started_steps()
    return step


def finish(store: Store, how: Any = completed) -> None:
    """Run the one started step to its end."""
    step = started(store)
    store.finishes.finish([how(claim) for claim in take(store, step)])


def advance(store: Store, job_id: int, term: int = 1) -> JobStatus | None:
    assert store.advancing.due(job_id)
    return store.advancing.advance(job_id, term)


def test_everything_is_stored_before_anything_runs(store: Store) -> None:
    job_id = store.jobs.create(three_steps()).job_execution_id
    assert states(store, job_id) == ["STARTED", "CREATED", "CREATED", "CREATED", "CREATED"]
    assert started(store).name == "load"
    assert count(store, "batch_partitions") == 5, "a callback has none before it is known that it runs"
    assert not store.advancing.due(job_id)


def test_each_step_starts_when_the_one_before_it_ended_and_the_job_ends_with_its_callback(store: Store) -> None:
    job_id = store.jobs.create(three_steps()).job_execution_id
    names = []
    for _ in range(4):
        names.append(started(store).name)
        finish(store)
        ended = advance(store, job_id)
    assert names == ["load", "score", "report", "on_success"]
    assert ended is JobStatus.COMPLETED
    assert states(store, job_id) == ["COMPLETED"] * 4 + ["STOPPED"]
    assert [step.not_run for step in store.steps.of_job(job_id)] == [False] * 4 + [True]


def test_a_failed_step_ends_the_rest_unstarted_and_on_failure_is_called(store: Store) -> None:
    job_id = store.jobs.create(three_steps()).job_execution_id
    finish(store, failed)
    assert advance(store, job_id) is None
    assert states(store, job_id) == ["FAILED", "FAILED", "FAILED", "STOPPED", "STARTED"]
    assert started(store).kind is StepKind.ON_FAILURE
    finish(store)
    assert advance(store, job_id) is JobStatus.FAILED


def test_what_a_callback_is_told_is_read_from_the_database(store: Store) -> None:
    job_id = store.jobs.create(three_steps(name="nightly")).job_execution_id
    finish(store, failed)
    advance(store, job_id)
    told = store.steps.outcome(job_id, JobStatus.FAILED)
    assert (told.job, told.id, told.status) == ("nightly", job_id, "FAILED")
    assert [(part.step, part.index, part.status, part.exit_code) for part in told.partitions] == [
        ("load", 0, "FAILED", "FAILED"), ("load", 1, "FAILED", "FAILED"),
        ("score", 0, "FAILED", "CANCELLED"), ("score", 1, "FAILED", "CANCELLED"),
        ("report", 0, "FAILED", "CANCELLED"),
    ]  # fmt: skip
    assert told.partitions[0].error == "ValueError: bad"
    assert (told.partitions[0].node, told.partitions[0].attempt) == ("a-1", 1)
    assert told.ended is not None
    assert told.started < told.ended


def test_nothing_is_moved_by_a_former_master(store: Store) -> None:
    job_id = store.jobs.create(three_steps()).job_execution_id
    finish(store)
    store.coordination.take_over(job_id, 1, "b-1")
    assert advance(store, job_id, term=1) is None
    assert states(store, job_id)[:2] == ["STARTED", "CREATED"]
    assert advance(store, job_id, term=2) is None
    assert states(store, job_id)[:2] == ["COMPLETED", "STARTED"]
    assert [lease.open_steps for lease in store.coordination.mastered_by("b-1")] == [4]


def test_of_several_who_advance_at_once_one_starts_the_next_step(store: Store, open_another: OpenStore) -> None:
    job_id = store.jobs.create(three_steps()).job_execution_id
    finish(store)
    stores = [open_another() for _ in range(3)]
    at_once(*(lambda one=one: one.advancing.advance(job_id, 1) for one in stores))
    assert count(store, "batch_events", "phase = 'STEP_STARTED'") == 1
    assert states(store, job_id)[:2] == ["COMPLETED", "STARTED"]


def test_a_stop_ends_every_step_and_calls_nobody(store: Store) -> None:
    job_id = store.jobs.create(three_steps()).job_execution_id
    store.coordination.request_stop(job_id)
    assert advance(store, job_id) is JobStatus.STOPPED
    assert set(states(store, job_id)) == {"STOPPED"}


def test_a_resumed_job_starts_at_its_first_unfinished_step(store: Store) -> None:
    job_id = store.jobs.create(three_steps()).job_execution_id
    finish(store)
    advance(store, job_id)
    first, second = take(store, started(store))
    store.finishes.finish([completed(first), failed(second)])
    advance(store, job_id)
    finish(store)
    assert advance(store, job_id) is JobStatus.FAILED
    resumed = store.jobs.resume(job_id, "kernel-2")
    assert resumed is not None
    again = resumed.job_execution_id
    assert states(store, again) == ["COMPLETED", "STARTED", "CREATED", "CREATED", "CREATED"]
    step = started(store)
    assert [claim.index for claim in take(store, step)] == [1]
    inputs = store.outcomes.read(store.steps.id_of(again, "load") or 0, [0, 1], arguments=False)
    assert [(one.index, one.result is not None) for one in inputs] == [(0, True), (1, True)]


def test_a_partition_that_is_run_again_has_what_follows_from_it_computed_again(store: Store) -> None:
    job_id = store.jobs.create(three_steps()).job_execution_id
    for _ in range(4):
        finish(store)
        advance(store, job_id)
    resumed = store.jobs.resume(job_id, "kernel-2", [1])
    assert resumed is not None
    assert states(store, resumed.job_execution_id) == ["COMPLETED", "STARTED", "CREATED", "CREATED", "CREATED"]
    assert [claim.index for claim in take(store, started(store))] == [1]
    report = store.steps.id_of(resumed.job_execution_id, "report")
    assert rows(store, "SELECT status FROM batch_partitions WHERE master_step_execution_id = :s", s=report) == [
        ("PENDING",)
    ]


def test_a_local_step_belongs_to_its_launcher_until_that_is_lost(store: Store) -> None:
    register(store, "kernel-1", "a-1")
    part = replace(some_new_partitions(1)[0], assigned_node="kernel-1")
    step = a_new_step(name="prepare", kind=StepKind.LOCAL, strategy="local", partitions=(part,))
    store.jobs.create(a_new_job(steps=(step,), main_step="prepare"))
    assert store.claims.claim(started(store), "a-1", 1, free=True, steal=False) == []
    lose(store, "kernel-1")
    assert len(store.claims.claim(started(store), "a-1", 1, free=True, steal=False)) == 1


def test_a_resumed_local_step_belongs_to_the_new_master_only_if_that_has_its_function(store: Store) -> None:
    for own, owner in ((False, None), (True, "kernel-2")):
        part = replace(some_new_partitions(1)[0], assigned_node="kernel-1")
        step = a_new_step(name="prepare", kind=StepKind.LOCAL, strategy="local", partitions=(part,))
        job_id = store.jobs.create(a_new_job(steps=(step,), main_step="prepare")).job_execution_id
        store.coordination.request_stop(job_id)
        advance(store, job_id)
        resumed = store.jobs.resume(job_id, "kernel-2", own_local=own)
        assert resumed is not None
        found = value(
            store,
            "SELECT assigned_node FROM batch_partitions WHERE job_execution_id = :job",
            job=resumed.job_execution_id,
        )
        assert found == owner
        store.coordination.request_stop(resumed.job_execution_id)
        advance(store, resumed.job_execution_id)


def test_too_many_failed_items_stop_the_job_as_failed(store: Store) -> None:
    job = a_new_job(5, max_errors=1)
    job_id = store.jobs.create(job).job_execution_id
    first, second = take(store, started(store), limit=2)
    store.finishes.finish([failed(first)])
    assert advance(store, job_id) is None
    store.finishes.finish([failed(second)])
    assert advance(store, job_id) is JobStatus.FAILED
    assert count(store, "batch_partitions", "exit_code = 'CANCELLED'") == 3
