"""A job that is deleted leaves nothing behind, takes nothing of others with it, and stays while it is needed."""

from __future__ import annotations

from dataclasses import replace

from nbcluster.records import Claim, Finish, Reference, Result, StepToRun
from nbcluster.store import Store
from nbcluster.store.deleting import Deleted
from nbcluster.store.payloads import INLINE, payload_id
from tests.builders import a_new_partition, a_new_step, a_result, completed
from tests.store.acts import at_once, change, count, rows, run, submit, take
from tests.store.conftest import OpenStore

FRESH_DATABASE = True

OF_A_JOB = (
    "batch_job_instance", "batch_job_execution", "batch_job_execution_params", "batch_step_execution",
    "batch_job_coordination", "batch_partitions", "batch_attempts", "batch_results", "batch_checkpoints",
    "batch_logs", "batch_payloads", "batch_events", "batch_cached", "batch_targets",
)  # fmt: skip
KEY = "a" * 64


def left(store: Store) -> dict[str, int]:
    """The tables that are not empty, with their rows."""
    counted = {table: count(store, table) for table in OF_A_JOB}
    return {table: number for table, number in counted.items() if number}


def ended(store: Store, step: StepToRun, how: str = "COMPLETED") -> StepToRun:
    for table in ("batch_job_execution", "batch_step_execution", "batch_job_coordination"):
        change(
            store, f"UPDATE {table} SET status = :how WHERE job_execution_id = :job", how=how, job=step.job_execution_id
        )
    return step


def large(claim: Claim) -> Finish:
    return completed(claim, values=b"v" * (INLINE + 1), log=b"printed")


def test_nothing_of_it_is_left(store: Store) -> None:
    before = left(store)
    step = submit(
        store,
        [a_new_partition(place, cache_key=KEY if not place else None, cache_mac=b"mac") for place in range(3)],
        step=a_new_step(b"f" * (INLINE + 1), into_table="scores", bundle_id=payload_id(b"zip"), bundle=b"zip"),
        parameters=(("code", "1", True),),
    )
    first, *others = take(store, step)
    store.finishes.finish([completed(first, cached_mac=b"entry"), *map(large, others)])
    assert set(left(store)) >= {"batch_results", "batch_payloads", "batch_logs", "batch_events", "batch_cached"}
    ended(store, step)
    assert store.deletions.delete(step.uid) == Deleted(executions=1)
    assert left(store) == before == {}


def test_all_its_executions_go(store: Store) -> None:
    step = ended(store, submit(store, 2), "FAILED")
    again = store.jobs.resume(step.job_execution_id, "kernel-2")
    assert again is not None
    change(store, "UPDATE batch_job_execution SET status = 'FAILED'")
    assert store.deletions.delete(step.uid).executions == 2
    assert left(store) == {}


def test_what_others_refer_to_stays(store: Store) -> None:
    mine, theirs = (submit(store, 1, step=a_new_step(b"the same function")) for _ in range(2))
    for step in (mine, theirs):
        run(store, step, how=large)
        ended(store, step)
    assert store.deletions.delete(mine.uid).executions == 1
    assert store.jobs.function(theirs.function_id) == b"the same function"
    (stored,) = store.outcomes.read(theirs.step_execution_id, [0], arguments=True)
    assert stored.result is not None
    assert stored.result.values == b"v" * (INLINE + 1)


def test_a_running_job_stays(store: Store) -> None:
    step = submit(store, 2)
    before = left(store)
    assert store.deletions.delete(step.uid) == Deleted(running=1)
    assert left(store) == before


def test_a_job_whose_results_others_took_over_stays(store: Store) -> None:
    source = submit(store, [a_new_partition(0, cache_key=KEY, cache_mac=b"mac")])
    run(store, source, how=lambda claim: completed(claim, cached_mac=b"entry"))
    ended(store, source)
    (entry,), _ = store.cached.find([KEY])
    taker = ended(store, submit(store, [replace(a_new_partition(0, cache_key=KEY, cache_mac=b"mac"), cached=entry)]))
    before = left(store)
    assert store.deletions.delete(source.uid) == Deleted(takers=(taker.job_execution_id,))
    assert left(store) == before
    assert store.deletions.delete(taker.uid).executions == 1
    assert store.deletions.delete(source.uid).executions == 1
    assert left(store) == {}


def test_values_with_a_name_of_their_own_are_told(store: Store) -> None:
    step = submit(store, 1, step=a_new_step(values_at="file:///share"))
    (claim,) = take(store, step)
    result = Result(b"", "[]", a_result().seconds, b"mac", Reference("file:0123", "file:///share", 9))
    store.finishes.finish([replace(completed(claim), result=result)])
    ended(store, step)
    assert store.deletions.delete(step.uid).left == (Reference("file:0123", "file:///share"),)


def test_a_job_that_is_gone_is_not_deleted_again(store: Store) -> None:
    step = ended(store, submit(store, 1))
    assert store.deletions.delete(step.uid).executions == 1
    assert store.deletions.delete(step.uid) == Deleted()


def test_the_same_content_stored_at_that_moment_is_there(store: Store, open_another: OpenStore) -> None:
    another = open_another()
    for number in range(20):
        old = ended(store, submit(store, 1, step=a_new_step(f"function {number}".encode())))

        def again(function: bytes = f"function {number}".encode()) -> StepToRun:
            return submit(another, 1, step=a_new_step(function))

        _, new = at_once(lambda uid=old.uid: store.deletions.delete(uid), again)
        assert isinstance(new, StepToRun)
        assert store.jobs.function(new.function_id) == f"function {number}".encode()
    assert len(rows(store, "SELECT DISTINCT payload_id FROM batch_payloads")) == 20
