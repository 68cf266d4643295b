"""A job that failed or was stopped goes on: a new execution with the stored split."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

from nbcluster.lifecycle import ExitCode, PartitionStatus
from nbcluster.records import Finish, Signed
from nbcluster.store import Store
from tests.builders import (
    a_new_step,
    completed,
    failed,
    mac_of,
)
from tests.store.acts import (
    at_once,
    count,
    indexes,
    owners,
    run,
    statuses,
    step_of,
    submit,
    take,
)
from tests.store.conftest import OpenStore


def fixed(store: Store, *nodes: str, places: int = 2, partitions: int = 4) -> Any:
    return submit(store, partitions, step=a_new_step(fixed_nodes=nodes, fixed_count=places))


def end(store: Store, step: Any) -> None:
    assert store.advancing.advance(step.job_execution_id, 1) is not None


def a_failed_job(store: Store) -> Any:
    """Partitions 0 and 2 are done by a-1, 1 and 3 failed there."""
    step = submit(store, 4)
    claims = take(store, step)
    store.finishes.finish([completed(c, b"value %d" % c.index) if c.index % 2 == 0 else failed(c) for c in claims])
    end(store, step)
    return step


def go_on(store: Store, step: Any) -> Any:
    resumed = store.jobs.resume(step.job_execution_id, "kernel-2")
    assert resumed is not None
    return step_of(store, resumed)


def test_going_on_keeps_what_is_done_and_offers_the_rest_again(store: Store) -> None:
    step = a_failed_job(store)
    again = go_on(store, step)
    assert again.job_execution_id != step.job_execution_id
    assert statuses(store, again) == ["COMPLETED", "PENDING", "COMPLETED", "PENDING"]
    assert owners(store, again) == ["a-1", None, "a-1", None]
    assert statuses(store, step) == ["COMPLETED", "FAILED", "COMPLETED", "FAILED"]
    assert (again.uid, again.function_id) == (step.uid, step.function_id)


def test_going_on_uses_the_stored_split(store: Store) -> None:
    step = a_failed_job(store)
    again = go_on(store, step)
    before, after = (store.views.partitions(one.step_execution_id) for one in (step, again))
    assert [(p.index, p.key, p.items, p.transferable) for p in before] == [
        (p.index, p.key, p.items, p.transferable) for p in after
    ]
    assert [c.arguments for c in take(store, again)] == [Signed(b"arguments", b"arguments mac")] * 2


def test_carried_results_are_read_and_their_signatures_hold(store: Store) -> None:
    step = submit(store, 2)
    first, second = take(store, step)
    done: Finish = completed(first)
    assert done.result is not None
    done = replace(done, result=replace(done.result, mac=mac_of(store.signer, done)))
    store.finishes.finish([done, failed(second)])
    end(store, step)
    again = go_on(store, go_on_and_fail(store, step))
    (read,) = store.outcomes.read(again.step_execution_id, [0], arguments=True)
    assert read.result == done.result
    assert (read.attempt, read.token, read.node) == (first.attempt, first.token, "a-1")
    assert count(store, "batch_results", "step_execution_id = :id", id=first.partition_id) == 1


def go_on_and_fail(store: Store, step: Any) -> Any:
    again = go_on(store, step)
    run(store, again, "b-1", failed)
    end(store, again)
    return again


def test_attempts_go_on_counting_so_that_no_signature_is_good_twice(store: Store) -> None:
    step = a_failed_job(store)
    again = go_on(store, step)
    assert [claim.attempt for claim in take(store, again, "b-1")] == [2, 2]


def test_a_resumed_job_ends_by_its_own_partitions(store: Store) -> None:
    again = go_on(store, a_failed_job(store))
    run(store, again, "b-1")
    ended = store.advancing.advance(again.job_execution_id, 1)
    assert ended == "COMPLETED"
    read = store.outcomes.read(again.step_execution_id, range(4), arguments=False)
    assert [one.result.values if one.result else None for one in read] == [b"value 0", b"values", b"value 2", b"values"]


def test_a_stopped_job_goes_on(store: Store) -> None:
    step = submit(store, 3)
    (claim,) = take(store, step, limit=1)
    store.coordination.request_stop(step.job_execution_id)
    store.finishes.finish([completed(claim)])
    assert store.advancing.advance(step.job_execution_id, 1) == "STOPPED"
    assert indexes(take(store, go_on(store, step))) == [1, 2]


def test_a_fixed_node_count_starts_with_free_places(store: Store) -> None:
    step = fixed(store, "a-1", "b-1")
    run(store, step, how=failed)
    end(store, step)
    again = go_on(store, step)
    assert (again.fixed_nodes, again.fixed_count) == ((), 2)


def test_what_runs_or_is_complete_or_was_resumed_already_cannot_go_on(store: Store) -> None:
    running = submit(store)
    assert store.jobs.resume(running.job_execution_id, "kernel-2") is None
    run(store, running)
    end(store, running)
    assert store.jobs.resume(running.job_execution_id, "kernel-2") is None
    resumed = a_failed_job(store)
    go_on(store, resumed)
    assert store.jobs.resume(resumed.job_execution_id, "kernel-2") is None
    assert store.jobs.resume(999_999, "kernel-2") is None


def test_of_two_who_resume_at_once_one_does(store: Store, open_another: OpenStore) -> None:
    others = [open_another(), open_another()]
    for _ in range(5):
        job_id = a_failed_job(store).job_execution_id
        found = at_once(*(partial(other.jobs.resume, job_id, "kernel-2") for other in others))
        assert sum(one is not None for one in found) == 1
    assert count(store, "batch_job_execution", "run_number = 2") == 5


def test_crashes_of_an_earlier_execution_do_not_count(store: Store) -> None:
    step = submit(store)
    (claim,) = take(store, step)
    store.finishes.finish(
        [Finish(claim, PartitionStatus.FAILED, ExitCode.POISON, "poison", failed_items=1, crashed=True)]
    )
    end(store, step)
    (again,) = take(store, go_on(store, step))
    assert again.crashes == 0
