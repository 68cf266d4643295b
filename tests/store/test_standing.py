"""What the live view reads again and again."""

from __future__ import annotations

import pytest

from nbcluster.lifecycle import JobStatus
from nbcluster.records import StepToRun
from nbcluster.shown import NodeWork, Tally
from nbcluster.store import Store
from tests.builders import a_new_partition, completed, failed, handed_back
from tests.store.acts import change, earlier, rows, run, submit, take


def tally(store: Store, step: StepToRun) -> Tally:
    return store.standings.tally(step.step_execution_id)


def work(store: Store, step: StepToRun) -> dict[str, NodeWork]:
    return {one.node: one for one in store.standings.work(step.step_execution_id)}


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
    assert tally(store, step) == Tally("ccfr..", 60, 30, 4)


def test_what_a_stop_kept_from_its_end_has_a_letter_of_its_own(store: Store) -> None:
    step = submit(store, 3)
    (claim,) = take(store, step, limit=1)
    store.finishes.finish([failed(claim)])
    store.coordination.request_stop(step.job_execution_id)
    assert tally(store, step).letters == "fss"


def test_the_tally_agrees_with_the_progress(store: Store) -> None:
    step = submit(store, [a_new_partition(index, items=7) for index in range(9)])
    claims = take(store, step, limit=5)
    store.finishes.finish([completed(claims[0]), failed(claims[1], failed_items=3), handed_back(claims[2])])
    store.coordination.request_stop(step.job_execution_id)
    seen, now = tally(store, step), store.views.progress(step.job_execution_id, step.step_execution_id)
    assert (seen.items, seen.items_done, seen.items_failed) == (now.items, now.items_done, now.items_failed)
    assert seen.letters.count("s") == now.cancelled
    assert len(seen.letters.translate(str.maketrans("", "", "r."))) == now.completed + now.failed


def test_a_step_without_partitions_has_an_empty_tally(store: Store) -> None:
    assert tally(store, submit(store, 0)) == Tally("", 0, 0, 0)


# --- its nodes -----------------------------------------------------------------------------------


def test_what_each_node_did_and_does(store: Store) -> None:
    step = submit(store, [a_new_partition(index, items=10) for index in range(9)])
    first = take(store, step, "a-1", limit=4)
    store.finishes.finish([completed(first[0]), completed(first[1], seconds=0.75), failed(first[2], seconds=2.0)])
    store.finishes.finish([failed(claim) for claim in take(store, step, "b-1", limit=1)])
    known = work(store, step)
    assert set(known) == {"a-1", "b-1"}
    a = known["a-1"]
    assert (a.running, a.completed, a.ended, a.items, a.seconds) == (1, 2, 3, 30, 3.0)
    assert (known["b-1"].running, known["b-1"].completed) == (0, 0)


def test_what_ended_long_ago_is_not_recent(store: Store) -> None:
    step = submit(store, [a_new_partition(index, items=10) for index in range(3)])
    for seconds, claim in zip((100, 5), take(store, step, "a-1", limit=2), strict=True):
        store.finishes.finish([completed(claim)])
        for column in ("end_time", "claimed_time"):
            earlier(store, "batch_partitions", column, seconds, "step_execution_id = :id", id=claim.partition_id)
    a = work(store, step)["a-1"]
    assert (a.ended, a.recent_partitions, a.recent_items, a.recent_seconds) == (2, 1, 10, 30.0)


def test_a_node_that_just_began_is_measured_from_its_first_claim(store: Store) -> None:
    step = submit(store, 2)
    claims = take(store, step, "a-1")
    store.finishes.finish([completed(claims[0])])
    earlier(store, "batch_partitions", "claimed_time", 4, "assigned_node = 'a-1'")
    assert work(store, step)["a-1"].recent_seconds == pytest.approx(4, abs=3)


def test_what_was_stopped_or_handed_back_is_nobodys_work(store: Store) -> None:
    step = submit(store, 3)
    claims = take(store, step, "a-1", limit=2)
    store.finishes.finish([handed_back(claims[0])])
    store.coordination.request_stop(step.job_execution_id)
    store.finishes.finish([completed(claims[1])])
    change(store, "UPDATE batch_partitions SET assigned_node = 'b-1' WHERE exit_code = 'CANCELLED'")
    assert "b-1" not in work(store, step)


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
    store.finishes.finish([handed_back(third, crashed=True, log=b"of one that is tried again")])
    assert last(step.step_execution_id) == (0, b"0")
