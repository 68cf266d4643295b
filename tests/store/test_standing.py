"""What the live view reads again and again."""

from __future__ import annotations

import json

from nbcluster.lifecycle import ExitCode, JobStatus, PartitionStatus
from nbcluster.records import Finish, StepToRun
from nbcluster.shown import Tally
from nbcluster.snapshots.ledger import Ledger
from nbcluster.store import Store
from tests.builders import a_new_partition, an_error, completed, failed, handed_back
from tests.store.acts import earlier, rows, run, submit, take


def tally(store: Store, step: StepToRun) -> Tally:
    return store.standings.tally(step.step_execution_id)


# --- the job -------------------------------------------------------------------------------------


def test_the_state_of_a_job_and_how_long_it_goes_on(store: Store) -> None:
    step = submit(store)
    earlier(store, "batch_job_execution", "create_time", 100, "1 = 1")
    standing = store.standings.job(step.job_execution_id)
    assert standing is not None
    assert (standing.status, standing.stop_requested, standing.paused) == (JobStatus.STARTED, False, False)
    assert standing.ended is None
    assert 100 <= standing.elapsed < 200
    store.coordination.pause(step.job_execution_id, paused=True)
    paused = store.standings.job(step.job_execution_id)
    assert paused is not None
    assert paused.paused


def test_the_time_of_an_ended_job_stands_still(store: Store) -> None:
    step = submit(store)
    earlier(store, "batch_job_execution", "create_time", 100, "1 = 1")
    run(store, step)
    store.advancing.advance(step.job_execution_id, 1)
    earlier(store, "batch_job_execution", "end_time", 90, "1 = 1")
    standing = store.standings.job(step.job_execution_id)
    assert standing is not None
    assert standing.status is JobStatus.COMPLETED
    assert 0 <= standing.elapsed < 60


def test_a_job_that_is_gone_has_no_state(store: Store) -> None:
    assert store.standings.job(999_999) is None


# --- its partitions ------------------------------------------------------------------------------


def test_each_partition_has_a_letter_in_the_order_of_their_numbers(store: Store) -> None:
    step = submit(store, 300)
    claims = {claim.index: claim for claim in take(store, step)[:200]}
    store.finishes.finish([completed(claims[0]), failed(claims[1]), completed(claims[150])])
    letters = tally(store, step).letters
    states = {"PENDING": ".", "CLAIMED": "r", "COMPLETED": "c", "FAILED": "f"}
    stored = rows(store, "SELECT status FROM batch_partitions ORDER BY partition_index")
    assert letters == "".join(states[status] for (status,) in stored)
    assert (letters[:2], letters[150]) == ("cf", "c")


def test_items_are_summed(store: Store) -> None:
    step = submit(store, [a_new_partition(index, items=10) for index in range(6)])
    claims = take(store, step, limit=4)
    store.finishes.finish([completed(claims[0]), completed(claims[1]), failed(claims[2], failed_items=4)])
    assert tally(store, step) == Tally("ccfr..", 60)


def test_what_a_stop_kept_from_its_end_has_a_letter_of_its_own(store: Store) -> None:
    step = submit(store, 3)
    (claim,) = take(store, step, limit=1)
    store.finishes.finish([failed(claim)])
    store.coordination.request_stop(step.job_execution_id)
    assert tally(store, step).letters == "fss"


def test_a_step_without_partitions_has_an_empty_tally(store: Store) -> None:
    assert tally(store, submit(store, 0)) == Tally("", 0)


def test_tally_and_ledger_agree_with_the_progress(store: Store) -> None:
    step = submit(store, [a_new_partition(index, items=7) for index in range(9)])
    claims = take(store, step, limit=5)
    store.finishes.finish([completed(claims[0]), failed(claims[1], failed_items=3), handed_back(claims[2])])
    store.coordination.request_stop(step.job_execution_id)
    seen, now = tally(store, step), store.views.progress(step.job_execution_id, step.step_execution_id)
    ledger = Ledger()
    ledger.enter(seen.letters, store.standings.ended(step.step_execution_id, ledger.missing(seen.letters)), now=0.0)
    assert (seen.items, ledger.items_done, ledger.items_failed) == (now.items, now.items_done, now.items_failed)
    assert seen.letters.count("s") == now.cancelled
    assert len(ledger.missing(seen.letters.translate(str.maketrans("r.", "cc")))) == now.open


def test_what_is_told_of_partitions_that_ended(store: Store) -> None:
    step = submit(store, [a_new_partition(index, items=10) for index in range(4)])
    first, second, third = take(store, step, "a-1", limit=3)
    store.finishes.finish([completed(first, seconds=0.75), failed(second, "ValueError: bad date", failed_items=4)])
    for column, seconds in (("end_time", 100), ("claimed_time", 101)):
        earlier(store, "batch_partitions", column, seconds, "step_execution_id = :id", id=first.partition_id)
    good, bad = sorted(store.standings.ended(step.step_execution_id, [0, 1]))
    assert (good.partition, good.node, good.items, good.failed_items, good.seconds) == (0, "a-1", 10, 0, 0.75)
    assert good.ended_ago is not None
    assert good.claimed_ago is not None
    assert (round(good.claimed_ago - good.ended_ago), 100 <= good.ended_ago < 160) == (1, True)
    assert (bad.failed_items, bad.exit_code, bad.message) == (4, "FAILED", "ValueError: bad date")
    assert third.index not in (good.partition, bad.partition)


def test_what_was_carried_over_ended_in_an_earlier_execution(store: Store) -> None:
    step = submit(store, 2)
    first, second = take(store, step)
    store.finishes.finish([completed(first), failed(second)])
    store.advancing.advance(step.job_execution_id, 1)
    resumed = store.jobs.resume(step.job_execution_id, "kernel-2")
    assert resumed is not None
    (carried,) = store.standings.ended(resumed.step_execution_id, [0])
    assert carried.ended_ago is None


def test_what_runs_is_counted_for_each_node(store: Store) -> None:
    step, other = submit(store, 5), submit(store, 2)
    take(store, step, "a-1", limit=2)
    earlier(store, "batch_partitions", "claimed_time", 40, "assigned_node = 'a-1'")
    take(store, step, "a-1", limit=1)
    take(store, step, "b-1", limit=1)
    take(store, other, "c-1")
    running = store.standings.running(step.step_execution_id)
    assert {name: one.number for name, one in running.items()} == {"a-1": 3, "b-1": 1}
    assert 40 <= running["a-1"].longest < 100


# --- failures ------------------------------------------------------------------------------------


def test_a_failure_is_explained_by_its_errors_and_its_place_in_the_input(store: Store) -> None:
    step = submit(store, [a_new_partition(index, items=10) for index in range(3)])
    claims = take(store, step)
    store.finishes.finish([completed(claims[0]), completed(claims[1]), failed(claims[2], "ValueError: no file")])
    before, errors = store.views.failure(step.step_execution_id, 2)
    assert (before, json.loads(errors)) == (20, [an_error(message="no file")])


def test_a_failure_without_a_result_has_no_error_texts(store: Store) -> None:
    step = submit(store)
    (claim,) = take(store, step)
    store.finishes.finish([Finish(claim, PartitionStatus.FAILED, ExitCode.POISON, "it killed 3 processes")])
    assert store.views.failure(step.step_execution_id, 0) == (0, "[]")


# --- output --------------------------------------------------------------------------------------


def test_the_last_output_is_that_of_the_partition_that_ended_last(store: Store) -> None:
    step = submit(store, 3)
    first, second, third = take(store, step)
    last = store.standings.log_tail
    assert last(step.step_execution_id) is None
    for number, claim in enumerate((second, first)):
        store.finishes.finish([completed(claim, log=b"%d" % claim.index)])
        earlier(store, "batch_partitions", "end_time", 10 - number, "step_execution_id = :id", id=claim.partition_id)
    assert last(step.step_execution_id) == (0, b"0")
    assert last(step.step_execution_id, [1, 2]) == (1, b"1")
    assert last(step.step_execution_id, [2]) is None
    store.finishes.finish([handed_back(third, crashed=True, log=b"of one that is tried again")])
    assert last(step.step_execution_id) == (0, b"0")
