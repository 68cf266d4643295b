"""A name and a key are one job, however often and from wherever it is submitted."""

from __future__ import annotations

from concurrent.futures import Executor
from typing import Any

from nbcluster.lifecycle import JobStatus
from nbcluster.newjob import NewJob
from nbcluster.store import Store
from tests.builders import a_new_job, completed, failed
from tests.store import processes as elsewhere
from tests.store.acts import count, rows, run, step_of
from tests.store.conftest import RACERS


def named(uid: str, **changes: Any) -> NewJob:
    return a_new_job(2, name="collatz", uid=uid, key="k" * 64, **changes)


def end(store: Store, job_id: int) -> JobStatus | None:
    return store.advancing.advance(job_id, 1)


def test_the_same_key_finds_the_run_that_is_there(store: Store) -> None:
    first = store.jobs.create(named("one"))
    second = store.jobs.create(named("two"))
    assert first.found is None
    assert (second.job_execution_id, second.found) == (first.job_execution_id, JobStatus.STARTED)
    assert count(store, "batch_job_execution") == count(store, "batch_job_instance") == 1
    run(store, step_of(store, first))
    end(store, first.job_execution_id)
    assert store.jobs.create(named("three")).found is JobStatus.COMPLETED


def test_another_key_of_the_same_name_is_another_instance(store: Store) -> None:
    store.jobs.create(named("one"))
    other = store.jobs.create(a_new_job(2, name="collatz", uid="two", key="other"))
    assert other.found is None
    assert count(store, "batch_job_instance") == 2


def test_fresh_asks_for_another_execution_of_the_same_instance(store: Store) -> None:
    first = store.jobs.create(named("one"))
    second = store.jobs.create(named("two", fresh=True))
    assert second.found is None
    assert second.job_execution_id != first.job_execution_id
    assert count(store, "batch_job_instance") == 1
    assert store.jobs.create(named("three")).job_execution_id == second.job_execution_id, "the newest is found"


def test_a_failed_run_is_found_and_gone_on_with_once(store: Store) -> None:
    first = store.jobs.create(named("one"))
    run(store, step_of(store, first), how=lambda claim: (failed if claim.index else completed)(claim))
    assert end(store, first.job_execution_id) is JobStatus.FAILED
    found = store.jobs.create(named("two"))
    assert found.found is JobStatus.FAILED
    resumed = store.jobs.resume(found.job_execution_id, "kernel-2")
    assert resumed is not None
    assert store.jobs.resume(found.job_execution_id, "kernel-3") is None
    again = store.jobs.create(named("three"))
    assert (again.job_execution_id, again.found) == (resumed.job_execution_id, JobStatus.STARTED)


def test_what_an_instance_is_made_from_is_kept_with_each_of_its_runs(store: Store) -> None:
    given = (("code", "c" * 64, True), ("user", "ada", False))
    first = store.jobs.create(named("one", parameters=given))
    run(store, step_of(store, first), how=failed)
    end(store, first.job_execution_id)
    store.jobs.resume(first.job_execution_id, "kernel-2")
    assert rows(
        store,
        "SELECT parameter_name, parameter_value, identifying, count(*) FROM batch_job_execution_params "
        "GROUP BY 1, 2, 3 ORDER BY 1",
    ) == [("code", "c" * 64, "Y", 2), ("user", "ada", "N", 2)]


def test_of_several_kernels_that_submit_it_at_once_one_makes_it(
    store: Store, database_url: str, processes: Executor
) -> None:
    found = elsewhere.race(processes, RACERS, elsewhere.submit_named, database_url, named("any"))
    assert len({job_id for job_id, _ in found}) == 1
    assert sum(status is None for _, status in found) == 1
    assert count(store, "batch_job_execution") == 1
    assert count(store, "batch_partitions") == 2
