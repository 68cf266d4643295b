"""What is read of attempts, of what runs now, and of when what happened."""

from __future__ import annotations

from dataclasses import replace

from nbcluster.lifecycle import ExitCode, PartitionStatus
from nbcluster.records import Claim, Finish
from nbcluster.shown import RunningView
from nbcluster.store import Store
from nbcluster.timeline import moments, overhead
from tests.builders import completed, failed, handed_back
from tests.store.acts import change, earlier, lose, register, run, submit, take


def retried(claim: Claim) -> Finish:
    return Finish(claim, PartitionStatus.PENDING, None, "ValueError: bad", seconds=0.5, erred=True, retry_after=0.0)


# --- what runs now -------------------------------------------------------------------------------


def test_what_runs_is_shown_with_what_it_reports(store: Store) -> None:
    step = submit(store, 3)
    first, second, _ = take(store, step)
    store.reports.write([(first, 0.25, "reading"), (second, 1.0, "")])
    earlier(store, "batch_partitions", "claimed_time", 30, "partition_index = 0")
    shown = store.history.running(step.step_execution_id)
    assert [replace(one, seconds=0.0) for one in shown] == [
        RunningView(0, "a-1", 0.0, 0.25, "reading"),
        RunningView(1, "a-1", 0.0, 1.0, ""),
        RunningView(2, "a-1", 0.0, None, ""),
    ]
    assert shown[0].seconds > 29
    assert len(store.history.running(step.step_execution_id, limit=2)) == 2
    rows = store.views.partitions(step.step_execution_id)
    assert [(row.progress, row.progress_message) for row in rows] == [(0.25, "reading"), (1.0, ""), (None, None)]


def test_progress_of_an_attempt_that_is_over_is_not_shown(store: Store) -> None:
    register(store, "a-1")
    step = submit(store, 3)
    done, again, moved = take(store, step)
    store.finishes.finish([completed(done), handed_back(again)])
    lose(store, "a-1")
    claims = take(store, step, "b-1")
    store.reports.write([(claim, 0.5, "late") for claim in (done, again, moved)])
    assert [row.progress for row in store.views.partitions(step.step_execution_id)] == [None] * 3
    store.reports.write([(claims[0], 0.1, "current"), (done, 0.5, "late")])
    assert [row.progress for row in store.views.partitions(step.step_execution_id)] == [None, 0.1, None]


def test_the_next_attempt_begins_without_progress(store: Store) -> None:
    step = submit(store)
    (claim,) = take(store, step)
    store.reports.write([(claim, 0.9, "almost")])
    store.finishes.finish([handed_back(claim)])
    take(store, step)
    (row,) = store.views.partitions(step.step_execution_id)
    assert (row.progress, row.progress_message) == (None, None)


# --- attempts ------------------------------------------------------------------------------------


def test_every_attempt_is_listed_in_order(store: Store) -> None:
    register(store, "a-1")
    step = submit(store, 3)
    first, second, third = take(store, step)
    crash = handed_back(second, crashed=True, exit_message="killed by SIGSEGV", peak_memory=77, seconds=0.1)
    store.finishes.finish([retried(first), crash, completed(third)])
    take(store, step)
    lose(store, "a-1")
    again, running = take(store, step, "b-1")
    store.finishes.finish([failed(again, "ValueError: still bad")])
    rows = store.history.attempts(step.step_execution_id)
    assert [(row.index, row.attempt, row.node, row.outcome) for row in rows] == [
        (0, 1, "a-1", "RETRIED"),
        (0, 2, "a-1", "NODE_LOST"),
        (0, 3, "b-1", "FAILED"),
        (1, 1, "a-1", "CRASHED"),
        (1, 2, "a-1", "NODE_LOST"),
        (1, 3, "b-1", "RUNNING"),
        (2, 1, "a-1", "COMPLETED"),
    ]
    assert (rows[3].message, rows[3].peak_memory, rows[3].seconds) == ("killed by SIGSEGV", 77, 0.1)
    assert all(row.claimed is not None for row in rows)
    assert [row.ended is None for row in rows] == [False] * 5 + [True, False]
    assert running.index == 1


def test_what_nobody_claimed_has_no_attempts(store: Store) -> None:
    assert store.history.attempts(submit(store, 2).step_execution_id) == []


def test_a_last_crash_is_one_attempt_and_not_two(store: Store) -> None:
    step = submit(store)
    (claim,) = take(store, step)
    store.finishes.finish(
        [Finish(claim, PartitionStatus.FAILED, ExitCode.POISON, "died", crashed=True, failed_items=1, peak_memory=5)]
    )
    (row,) = store.history.attempts(step.step_execution_id)
    assert (row.outcome, row.peak_memory) == ("CRASHED", 5)


# --- the whole job -------------------------------------------------------------------------------


def test_a_timeline_tells_of_every_claim_beginning_and_end(store: Store) -> None:
    step = submit(store, 2)
    first, second = take(store, step)
    store.finishes.finish([retried(first)])
    run(store, step)
    store.finishes.finish([completed(second)])
    store.advancing.advance(step.job_execution_id, 1)
    history = store.history.job(step.job_execution_id)
    told = moments(history)
    assert sorted((m.phase, m.attempt) for m in told if m.partition == 0) == [
        ("CLAIMED", 1),
        ("CLAIMED", 2),
        ("COMPLETED", 2),
        ("RETRIED", 1),
        ("STARTED", 1),
        ("STARTED", 2),
    ]
    assert {m.step for m in told if m.partition is not None} == {"map"}
    assert [m.phase for m in told if m.partition is None] == [
        "RECEIVED", "PARTITIONED", "DISTRIBUTED", "STEP_ENDED", "COMPLETION_DETECTED",
    ]  # fmt: skip
    assert overhead(history) is not None


def test_what_is_carried_over_did_not_run_in_the_new_execution(store: Store) -> None:
    step = submit(store, 2)
    done, broken = take(store, step)
    store.finishes.finish([completed(done, seconds=100.0), failed(broken, seconds=100.0)])
    store.advancing.advance(step.job_execution_id, 1)
    resumed = store.jobs.resume(step.job_execution_id, "kernel-1")
    assert resumed is not None
    assert store.history.job(resumed.job_execution_id).runs == ()


def test_an_unknown_job_has_no_history(store: Store) -> None:
    history = store.history.job(999_999)
    assert (history.events, history.runs, moments(history), overhead(history)) == ((), (), [], None)


def test_what_others_did_to_the_tables_does_not_spoil_a_timeline(store: Store) -> None:
    step = submit(store, 1)
    change(store, "UPDATE batch_events SET step_execution_id = 999999")
    assert {m.step for m in moments(store.history.job(step.job_execution_id))} == {None}
