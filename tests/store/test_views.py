"""What listings and the live view read."""

from __future__ import annotations

from nbcluster.lifecycle import PartitionStatus
from nbcluster.records import StepToRun
from nbcluster.store import Store
from tests.builders import a_new_partition, a_new_step, a_result, completed, failed, handed_back
from tests.store.acts import count, earlier, run, submit, take


def progress(store: Store, step: StepToRun) -> object:
    return store.views.progress(step.job_execution_id, step.step_execution_id)


# --- jobs ----------------------------------------------------------------------------------------


def test_a_job_is_found_by_id_and_by_name(store: Store) -> None:
    step = submit(store, 2, name="collatz")
    by_id, by_name = store.views.job(step.job_execution_id), store.views.job_named("collatz")
    assert by_id is not None
    assert by_name is not None
    assert by_id.step_execution_id == by_name.step_execution_id == step.step_execution_id
    assert store.views.job(999_999) is None
    assert store.views.job_named("%") is None


def test_jobs_are_listed_newest_first(store: Store) -> None:
    steps = [submit(store, name=f"job {number}") for number in range(4)]
    run(store, steps[2])
    store.advancing.advance(steps[2].job_execution_id, 1)
    assert [job.name for job in store.views.jobs(running_only=False)] == ["job 3", "job 2", "job 1", "job 0"]
    assert [job.name for job in store.views.jobs(running_only=True)] == ["job 3", "job 1", "job 0"]
    assert [job.name for job in store.views.jobs(running_only=False, limit=2)] == ["job 3", "job 2"]


def test_without_jobs_the_lists_are_empty(store: Store) -> None:
    assert store.views.jobs(running_only=False) == []
    assert store.views.waiting() == 0


def test_a_listed_job_counts_its_items(store: Store) -> None:
    step = submit(store, [a_new_partition(index, items=10) for index in range(4)])
    first, second, _ = take(store, step, limit=3)
    store.finishes.finish([completed(first), failed(second, failed_items=3)])
    (job,) = store.views.jobs(running_only=True)
    assert (job.partitions, job.partitions_done) == (4, 2)
    assert (job.items, job.items_done, job.items_failed) == (40, 20, 3)


def test_a_job_tells_how_it_was_made(store: Store) -> None:
    submit(
        store,
        [a_new_partition(0, transferable=False)],
        step=a_new_step(source="n * 2", strategy="scale_up", mode="star"),
    )
    (job,) = store.views.jobs(running_only=True)
    assert (job.source, job.strategy, job.mode, job.transferable) == ("n * 2", "scale_up", "star", False)
    assert (job.stop_requested, job.master_node_id, job.term) == (False, "kernel-1", 1)


def test_the_time_of_a_running_job_goes_on_and_that_of_an_ended_one_stays(store: Store) -> None:
    step = submit(store)
    earlier(store, "batch_job_execution", "create_time", 100, "1 = 1")
    (running,) = store.views.jobs(running_only=True)
    assert 100 <= running.elapsed < 200
    run(store, step)
    store.advancing.advance(step.job_execution_id, 1)
    earlier(store, "batch_job_execution", "end_time", 90, "1 = 1")
    (ended,) = store.views.jobs(running_only=False)
    assert 0 <= ended.elapsed < 60


def test_what_waits_is_counted_over_all_running_jobs(store: Store) -> None:
    submit(store, 5)
    step = submit(store, 3)
    take(store, step, limit=1)
    stopped = submit(store, 7)
    store.coordination.request_stop(stopped.job_execution_id)
    assert store.views.waiting() == 7


# --- progress ------------------------------------------------------------------------------------


def test_progress_counts_partitions_and_items_by_state(store: Store) -> None:
    step = submit(store, [a_new_partition(index, items=10) for index in range(6)])
    claims = take(store, step, limit=4)
    store.finishes.finish([completed(claims[0]), completed(claims[1]), failed(claims[2], failed_items=4)])
    now = store.views.progress(step.job_execution_id, step.step_execution_id)
    assert (now.pending, now.claimed, now.completed, now.failed) == (2, 1, 2, 1)
    assert (now.items, now.items_done, now.items_failed, now.open) == (60, 30, 4, 3)
    assert (now.status, now.stop_requested, now.cancelled) == ("STARTED", False, 0)


def test_progress_of_a_stopped_job_tells_what_was_cancelled(store: Store) -> None:
    step = submit(store, [a_new_partition(index, items=10) for index in range(3)])
    (claim,) = take(store, step, limit=1)
    store.finishes.finish([completed(claim)])
    store.coordination.request_stop(step.job_execution_id)
    now = store.views.progress(step.job_execution_id, step.step_execution_id)
    assert (now.stop_requested, now.cancelled, now.failed, now.open) == (True, 2, 2, 0)
    assert (now.items_done, now.items_failed) == (30, 20)


def test_progress_of_an_empty_job_is_all_zeros(store: Store) -> None:
    step = submit(store, 0)
    now = store.views.progress(step.job_execution_id, step.step_execution_id)
    assert (now.status, now.items, now.items_done, now.open) == ("STARTED", 0, 0, 0)


# --- partitions ----------------------------------------------------------------------------------


def test_partitions_are_found_by_their_state(store: Store) -> None:
    step = submit(store, 5)
    claims = take(store, step, limit=4)
    store.finishes.finish([completed(claims[0]), failed(claims[2]), completed(claims[3])])
    found = store.views.indexes
    assert found(step.step_execution_id, [PartitionStatus.COMPLETED]) == [0, 3]
    assert found(step.step_execution_id, [PartitionStatus.PENDING, PartitionStatus.CLAIMED]) == [1, 4]
    assert found(step.step_execution_id, []) == []
    assert found(step.step_execution_id, [PartitionStatus.COMPLETED], 1) == [3]


def test_the_first_open_partition_is_found(store: Store) -> None:
    step = submit(store, 3)
    claims = take(store, step, limit=3)
    store.finishes.finish([completed(claims[2])])
    assert store.views.first_open(step.step_execution_id) == 0
    store.finishes.finish([failed(claims[0])])
    assert store.views.first_open(step.step_execution_id) == 1
    store.finishes.finish([completed(claims[1])])
    assert store.views.first_open(step.step_execution_id) is None


def test_sizes_come_in_order(store: Store) -> None:
    step = submit(store, [a_new_partition(index, items=10 - index) for index in range(4)])
    assert store.views.sizes(step.step_execution_id) == [10, 9, 8, 7]


def test_completed_partitions_are_counted_for_each_node(store: Store) -> None:
    step = submit(store, 6)
    store.finishes.finish([completed(claim) for claim in take(store, step, "a-1", limit=3)])
    store.finishes.finish([completed(claim) for claim in take(store, step, "b-1", limit=1)])
    store.finishes.finish([failed(claim) for claim in take(store, step, "c-1")])
    assert store.views.done_by_node(step.step_execution_id) == {"a-1": 3, "b-1": 1}


# --- output --------------------------------------------------------------------------------------


def test_the_output_of_a_partition_is_that_of_its_last_attempt_that_printed(store: Store) -> None:
    step = submit(store, 2)
    first, second = take(store, step)
    store.finishes.finish([handed_back(first, crashed=True, log=b"first try"), completed(second)])
    assert store.views.log(step.step_execution_id, 0) == b"first try"
    assert store.views.log(step.step_execution_id, 1) == b""
    (again,) = take(store, step)
    store.finishes.finish([completed(again, log=b"second \0 \xff try")])
    assert store.views.log(step.step_execution_id, 0) == b"second \0 \xff try"
    assert store.views.log(step.step_execution_id, 99) == b""


def test_output_that_was_carried_over_is_found(store: Store) -> None:
    step = submit(store, 2)
    first, second = take(store, step)
    store.finishes.finish([completed(first, log=b"hello"), failed(second)])
    store.advancing.advance(step.job_execution_id, 1)
    resumed = store.jobs.resume(step.job_execution_id, "kernel-2")
    assert resumed is not None
    assert store.views.log(resumed.step_execution_id, 0) == b"hello"


def test_looking_changes_nothing(store: Store) -> None:
    step = submit(store, 3, name="looked at")
    store.finishes.finish([completed(claim, result=a_result()) for claim in take(store, step, limit=2)])
    before = [count(store, table) for table in ("batch_partitions", "batch_results", "batch_events")]
    store.views.jobs(running_only=False)
    progress(store, step)
    store.views.partitions(step.step_execution_id)
    store.standings.tally(step.step_execution_id)
    store.standings.running(step.step_execution_id)
    assert [count(store, table) for table in ("batch_partitions", "batch_results", "batch_events")] == before
