"""A job has one master at a time and one end."""

from __future__ import annotations

from concurrent.futures import Executor
from functools import partial
from typing import Any

import pytest

from nbcluster.lifecycle import JobStatus
from nbcluster.records import StepToRun
from nbcluster.store import Store
from tests.builders import completed, failed, handed_back
from tests.store import processes as elsewhere
from tests.store.acts import (
    at_once,
    change,
    count,
    earlier,
    lose,
    register,
    rows,
    run,
    statuses,
    submit,
    take,
)
from tests.store.conftest import RACERS, OpenStore


def end(store: Store, step: StepToRun, term: int = 1) -> JobStatus | None:
    return store.advancing.advance(step.job_execution_id, term)


def take_over(store: Store, step: StepToRun, term: int, node_id: str) -> bool:
    return store.coordination.take_over(step.job_execution_id, term, node_id)


def states(store: Store, step: StepToRun) -> set[str]:
    """What the three tables say of a job."""
    job = {"job": step.job_execution_id}
    return {
        rows(store, f"SELECT status FROM {table} WHERE job_execution_id = :job", **job)[0][0]
        for table in ("batch_job_execution", "batch_step_execution", "batch_job_coordination")
    }


def ends(store: Store) -> int:
    return count(store, "batch_events", "phase = 'COMPLETION_DETECTED'")


# --- the end -------------------------------------------------------------------------------------


def test_a_job_with_open_partitions_does_not_end(store: Store) -> None:
    step = submit(store, 2)
    assert end(store, step) is None
    first, second = take(store, step)
    assert end(store, step) is None
    store.finishes.finish([completed(first), handed_back(second)])
    assert end(store, step) is None
    assert states(store, step) == {"STARTED"}


@pytest.mark.parametrize(("how", "status"), [(completed, "COMPLETED"), (failed, "FAILED")])
def test_a_job_without_open_partitions_ends_in_every_table(store: Store, how: Any, status: str) -> None:
    step = submit(store, 3)
    run(store, step, how=how)
    assert end(store, step) == status
    assert states(store, step) == {status}
    job = store.views.job(step.job_execution_id)
    assert job is not None
    assert job.ended is not None
    assert ends(store) == 1


def test_one_failed_partition_makes_the_job_failed(store: Store) -> None:
    step = submit(store, 3)
    first, *others = take(store, step)
    store.finishes.finish([failed(first), *(completed(claim) for claim in others)])
    assert end(store, step) is JobStatus.FAILED


def test_a_job_ends_once(store: Store) -> None:
    step = submit(store)
    run(store, step)
    assert end(store, step) is JobStatus.COMPLETED
    assert end(store, step) is None
    assert ends(store) == 1


def test_of_several_who_end_a_job_at_once_one_does(store: Store, open_another: OpenStore) -> None:
    stores = [open_another() for _ in range(3)]
    for turn in range(1, 6):
        step = submit(store)
        run(store, step)
        found = at_once(*(partial(end, one, step) for one in stores))
        assert sorted(map(str, found)) == ["COMPLETED", "None", "None"]
        assert ends(store) == turn


def test_only_the_asked_job_ends(store: Store) -> None:
    one, other = submit(store), submit(store)
    run(store, one)
    end(store, one)
    assert states(store, other) == {"STARTED"}
    assert end(store, other) is None


# --- stopping ------------------------------------------------------------------------------------


def test_a_stop_cancels_what_nobody_has_begun(store: Store) -> None:
    step = submit(store, 4)
    take(store, step, limit=1)
    assert store.coordination.request_stop(step.job_execution_id)
    assert statuses(store, step) == ["CLAIMED", "FAILED", "FAILED", "FAILED"]
    cancelled = store.views.partitions(step.step_execution_id)[1]
    assert cancelled.exit_code == "CANCELLED"
    assert cancelled.exit_message == "the job was stopped before this partition began"
    (again,) = store.jobs.started_steps()
    assert again.stop_requested


def test_a_stopped_job_keeps_what_was_finished(store: Store) -> None:
    step = submit(store, 3)
    first, second = take(store, step, limit=2)
    store.finishes.finish([completed(first)])
    store.coordination.request_stop(step.job_execution_id)
    assert end(store, step) is None, "one still runs"
    store.finishes.finish([completed(second)])
    assert end(store, step) is JobStatus.STOPPED
    assert states(store, step) == {"STOPPED"}
    assert statuses(store, step) == ["COMPLETED", "COMPLETED", "FAILED"]


def test_what_is_handed_back_after_a_stop_is_cancelled(store: Store) -> None:
    step = submit(store)
    (claim,) = take(store, step)
    store.coordination.request_stop(step.job_execution_id)
    store.finishes.finish([handed_back(claim)])
    assert end(store, step) is JobStatus.STOPPED
    assert statuses(store, step) == ["FAILED"]


def test_a_stop_that_comes_after_the_last_partition_changes_nothing(store: Store) -> None:
    step = submit(store)
    run(store, step)
    assert store.coordination.request_stop(step.job_execution_id)
    assert end(store, step) is JobStatus.COMPLETED


def test_what_is_not_running_cannot_be_stopped(store: Store) -> None:
    step = submit(store)
    run(store, step)
    end(store, step)
    assert not store.coordination.request_stop(step.job_execution_id)
    assert not store.coordination.request_stop(999_999)


def test_a_stop_twice_is_a_stop(store: Store) -> None:
    step = submit(store, 2)
    assert store.coordination.request_stop(step.job_execution_id)
    assert store.coordination.request_stop(step.job_execution_id)
    assert end(store, step) is JobStatus.STOPPED


def test_a_stop_stops_one_job(store: Store) -> None:
    one, other = submit(store, 2), submit(store, 2)
    store.coordination.request_stop(one.job_execution_id)
    assert statuses(store, other) == ["PENDING", "PENDING"]
    assert [step.stop_requested for step in store.jobs.started_steps()] == [True, False]


# --- masters -------------------------------------------------------------------------------------


def test_the_launcher_is_the_first_master(store: Store) -> None:
    step = submit(store, master_node_id="kernel-1")
    submit(store, master_node_id="kernel-2")
    assert store.coordination.mastered_by("kernel-1") == [(step.job_execution_id, 1, 1)]
    assert store.coordination.mastered_by("kernel-3") == []


def test_a_take_over_raises_the_term(store: Store) -> None:
    step = submit(store)
    assert take_over(store, step, 1, "a-1")
    assert take_over(store, step, 2, "b-1")
    assert store.coordination.mastered_by("b-1") == [(step.job_execution_id, 3, 1)]
    assert store.coordination.mastered_by("a-1") == []
    events = rows(store, "SELECT node_id, term FROM batch_events WHERE phase = 'TAKEN_OVER' ORDER BY event_id")
    assert events == [("a-1", 2), ("b-1", 3)]


@pytest.mark.parametrize("term", [0, 2])
def test_a_take_over_of_another_term_is_refused(store: Store, term: int) -> None:
    step = submit(store)
    assert not take_over(store, step, term, "a-1")
    assert store.coordination.mastered_by("a-1") == []
    assert count(store, "batch_events", "phase = 'TAKEN_OVER'") == 0


def test_a_job_that_ended_is_not_taken_over(store: Store) -> None:
    step = submit(store)
    run(store, step)
    end(store, step)
    assert not take_over(store, step, 1, "a-1")


def test_a_former_master_cannot_end_the_job(store: Store) -> None:
    step = submit(store)
    run(store, step)
    take_over(store, step, 1, "a-1")
    assert end(store, step, term=1) is None
    assert states(store, step) == {"STARTED"}
    assert end(store, step, term=2) is JobStatus.COMPLETED


def test_of_several_who_take_over_at_once_one_becomes_master(
    store: Store, database_url: str, processes: Executor
) -> None:
    step = submit(store)
    job = step.job_execution_id
    won = elsewhere.race(processes, RACERS, elsewhere.take_over, database_url, job, 1)
    assert sorted(won) == [False] * (RACERS - 1) + [True]
    assert store.coordination.mastered_by(f"racer{won.index(True)}-1") == [(job, 2, 1)]


def test_a_take_over_computes_nothing_again(store: Store) -> None:
    step = submit(store, 3)
    first, _ = take(store, step, "a-1", limit=2)
    store.finishes.finish([completed(first)])
    before = rows(store, "SELECT * FROM batch_partitions ORDER BY step_execution_id")
    take_over(store, step, 1, "b-1")
    assert rows(store, "SELECT * FROM batch_partitions ORDER BY step_execution_id") == before


# --- orphans -------------------------------------------------------------------------------------


def orphans(store: Store, *present: str) -> list[int]:
    """Whose master is not among those who are present."""
    change(store, "DELETE FROM batch_nodes")
    register(store, *present)
    return [job for job, _ in store.coordination.orphans(10)]


def test_a_job_whose_master_is_gone_is_an_orphan(store: Store) -> None:
    here, gone = submit(store, master_node_id="kernel-1"), submit(store, master_node_id="kernel-2")
    assert orphans(store, "kernel-1") == [gone.job_execution_id]
    assert orphans(store, "kernel-1", "kernel-2") == []
    assert orphans(store) == [here.job_execution_id, gone.job_execution_id]


def test_a_job_whose_lease_lapsed_is_an_orphan(store: Store) -> None:
    step = submit(store, master_node_id="kernel-1")
    earlier(store, "batch_job_coordination", "last_updated", 60, "1 = 1")
    assert orphans(store, "kernel-1") == [step.job_execution_id]


def test_a_take_over_renews_the_lease(store: Store) -> None:
    step = submit(store, master_node_id="kernel-1")
    earlier(store, "batch_job_coordination", "last_updated", 60, "1 = 1")
    take_over(store, step, 1, "a-1")
    assert orphans(store, "a-1") == []


def test_a_job_that_ended_is_no_orphan(store: Store) -> None:
    step = submit(store)
    run(store, step)
    end(store, step)
    assert orphans(store) == []


def test_losing_the_master_leaves_its_job_to_the_nodes(store: Store) -> None:
    register(store, "kernel-1", slots=0)
    step = submit(store, 2, master_node_id="kernel-1")
    lose(store, "kernel-1")
    store.remove_silent("kernel-1", 30)
    run(store, step, "a-1")
    assert statuses(store, step) == ["COMPLETED", "COMPLETED"]
    assert states(store, step) == {"STARTED"}
    assert orphans(store, "a-1") == [step.job_execution_id]
