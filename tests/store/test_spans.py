"""What pictures read: attempts of a job in seconds."""

from __future__ import annotations

from typing import Any

from nbcluster.lifecycle import ExitCode, PartitionStatus, StopRequest
from nbcluster.records import Claim, Finish
from nbcluster.store import Store
from tests.builders import a_new_job, completed, failed
from tests.store.acts import earlier, lose, register, submit, take


def retried(claim: Claim) -> Finish:
    return Finish(claim, PartitionStatus.PENDING, None, "ValueError: bad", seconds=0.5, erred=True, retry_after=0.0)


def outcomes(store: Store, job: int) -> list[tuple[int, int, str, str, bool]]:
    found = store.spans.of_job(job).spans
    return sorted((one.partition, one.attempt, one.node, one.outcome, one.final) for one in found)


def test_every_attempt_is_told_with_what_became_of_it(store: Store) -> None:
    register(store, "a-1", "b-1")
    step = submit(store, 5)
    good, bad, again, _ = take(store, step, "a-1", 4)
    store.finishes.finish([completed(good, seconds=0.25), failed(bad), retried(again)])
    lose(store, "a-1")
    take(store, step, "b-1", 2)
    assert outcomes(store, step.job_execution_id) == [
        (0, 1, "a-1", "COMPLETED", True),
        (1, 1, "a-1", "FAILED", True),
        (2, 1, "a-1", "RETRIED", False),
        (2, 2, "b-1", "RUNNING", False),
        (3, 1, "a-1", "NODE_LOST", False),
        (3, 2, "b-1", "RUNNING", False),
    ]
    spans = store.spans.of_job(step.job_execution_id)
    assert (spans.steps, spans.partitions, spans.carried, spans.unbegun) == (("map",), 5, 0, ())
    measured = {(one.partition, one.attempt): one.seconds for one in spans.spans}
    assert measured[0, 1] == 0.25
    assert measured[3, 1] is None
    assert measured[2, 2] is None


def test_times_count_from_the_first_row_of_the_job(store: Store) -> None:
    step = submit(store, 2)
    done, _ = take(store, step)
    store.finishes.finish([completed(done)])
    earlier(store, "batch_job_execution", "create_time", 60, "job_execution_id = :job", job=step.job_execution_id)
    ended, running = sorted(store.spans.of_job(step.job_execution_id).spans)
    assert 60 <= ended.claimed < 70
    assert ended.ended is not None
    assert 60 <= ended.ended < 70
    assert running.ended is None


def test_what_a_stop_kept_from_beginning_is_no_attempt(store: Store) -> None:
    step = submit(store, 4)
    done, stopped = take(store, step, limit=2)
    store.finishes.finish([completed(done)])
    store.coordination.request_stop(step.job_execution_id, StopRequest.STOP)
    store.finishes.finish([Finish(stopped, PartitionStatus.FAILED, ExitCode.CANCELLED, "stopped", seconds=0.1)])
    spans = store.spans.of_job(step.job_execution_id)
    assert outcomes(store, step.job_execution_id) == [
        (0, 1, "a-1", "COMPLETED", True),
        (1, 1, "a-1", "CANCELLED", True),
    ]
    assert len(spans.unbegun) == 2


def test_a_resumed_execution_counts_what_it_was_spared(store: Store) -> None:
    step = submit(store, 3)
    first, second, third = take(store, step)
    store.finishes.finish([completed(first), completed(second), failed(third)])
    store.advancing.advance(step.job_execution_id, 1)
    resumed = store.jobs.resume(step.job_execution_id, "kernel-1")
    assert resumed is not None
    spans = store.spans.of_job(resumed.job_execution_id)
    assert (spans.partitions, spans.carried, spans.spans) == (3, 2, ())


def test_executions_of_the_same_code_and_input_are_compared_and_others_are_not(store: Store) -> None:
    same: dict[str, Any] = {"name": "fit", "key": "one", "fresh": True}
    jobs = []
    for changes in (same, same, same | {"key": "another input"}):
        submitted = store.jobs.create(a_new_job(2, **changes))
        step = next(s for s in store.jobs.started_steps() if s.step_execution_id == submitted.step_execution_id)
        store.finishes.finish([completed(claim) for claim in take(store, step)])
        store.advancing.advance(submitted.job_execution_id, 1)
        jobs.append(submitted.job_execution_id)
    unfinished = store.jobs.create(a_new_job(2, **same)).job_execution_id
    found = store.spans.executions(unfinished)
    assert [(one.job, one.partitions, len(one.spans)) for one in found] == [(jobs[0], 2, 2), (jobs[1], 2, 2)]
    assert all(one.seconds >= 0 for one in found)
