"""Results that other jobs take over: entered with COMPLETED, found by key, gone with what they point at."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from nbcluster.cachedresult import CachedResult, TakenOver
from nbcluster.lifecycle import PartitionStatus
from nbcluster.newjob import NewPartition
from nbcluster.records import Claim, Finish, StepToRun
from nbcluster.store import Store
from tests.builders import a_new_partition, completed, failed, handed_back, some_new_partitions
from tests.store.acts import at_once, change, count, ids, rows, run, statements_of, statuses, submit, take
from tests.store.conftest import OpenStore

KEYS = ["a" * 64, "b" * 64, "c" * 64]


def keyed(*keys: str | None, **changes: Any) -> list[NewPartition]:
    return [
        a_new_partition(place, cache_key=key, cache_mac=None if key is None else b"key mac", **changes)
        for place, key in enumerate(keys)
    ]


def for_others(claim: Claim, **changes: Any) -> Finish:
    return completed(claim, values=f"values of {claim.cache_key}".encode(), cached_mac=b"entry mac", **changes)


def computed(store: Store, *keys: str | None) -> StepToRun:
    """A job that has computed what these keys stand for."""
    step = submit(store, keyed(*keys))
    run(store, step, how=for_others)
    return step


def found(store: Store, *keys: str) -> list[CachedResult]:
    results, gone = store.cached.find(keys)
    assert gone == []
    return results


def test_a_good_result_is_entered_with_the_attempt_that_it_is_of(store: Store) -> None:
    step = submit(store, keyed(KEYS[0], None))
    keyed_claim, plain = take(store, step)
    assert (keyed_claim.cache_key, keyed_claim.cache_mac) == (KEYS[0], b"key mac")
    assert (plain.cache_key, plain.cache_mac) == (None, None)
    store.finishes.finish([for_others(keyed_claim), completed(plain)])
    (one,) = found(store, *KEYS)
    assert one == CachedResult(
        key=KEYS[0],
        partition_id=keyed_claim.partition_id,
        uid=step.uid,
        step_name="map",
        index=0,
        attempt=1,
        token=keyed_claim.token,
        mac=b"entry mac",
        node="a-1",
        seconds=0.25,
    )


def test_only_what_is_completed_is_entered(store: Store) -> None:
    step = submit(store, keyed(*KEYS))
    one, two, three = take(store, step)
    store.finishes.finish([failed(one), handed_back(two), completed(three)])
    assert count(store, "batch_cached") == 0


def test_a_late_finish_enters_nothing(store: Store) -> None:
    step = submit(store, keyed(KEYS[0]))
    (late,) = take(store, step)
    change(store, "UPDATE batch_partitions SET status = 'PENDING', assigned_node = NULL")
    (now,) = take(store, step, "b-1")
    store.finishes.finish([for_others(now)])
    assert store.finishes.finish([for_others(late)]) == set()
    (one,) = found(store, KEYS[0])
    assert (one.attempt, one.token) == (now.attempt, now.token)


def test_the_first_entry_of_a_key_stays(store: Store, open_another: OpenStore) -> None:
    steps = [submit(store, keyed(*KEYS)) for _ in range(2)]
    first, second = ([for_others(claim) for claim in take(store, step)] for step in steps)
    another = open_another()
    at_once(
        lambda: store.finishes.finish(first),
        lambda: another.finishes.finish(list(reversed(second))),
    )
    assert [statuses(store, step) for step in steps] == [["COMPLETED"] * 3] * 2
    entered = {one.partition_id for one in found(store, *KEYS)}
    assert len(entered) == 3
    assert entered <= ids([finish.claim for finish in first + second])


def test_a_partition_takes_a_result_over_and_is_not_run(store: Store) -> None:
    source = computed(store, *KEYS[:2])
    one, two = sorted(found(store, *KEYS), key=lambda entry: entry.key)
    step = submit(
        store, [replace(part, cached=entry) for part, entry in zip(keyed(*KEYS), (one, two, None), strict=True)]
    )
    assert statuses(store, step) == ["COMPLETED", "COMPLETED", "PENDING"]
    (left,) = take(store, step)
    assert left.index == 2
    store.finishes.finish([for_others(left)])
    read = store.outcomes.read(step.step_execution_id, range(3), arguments=True)
    assert [stored.result.values for stored in read if stored.result is not None] == [
        f"values of {key}".encode() for key in KEYS
    ]
    assert [stored.taken_over for stored in read] == [
        TakenOver(source.uid, "map", 0, KEYS[0], b"key mac", b"entry mac"),
        TakenOver(source.uid, "map", 1, KEYS[1], b"key mac", b"entry mac"),
        None,
    ]
    assert [(stored.attempt, stored.token) for stored in read[:2]] == [
        (one.attempt, one.token),
        (two.attempt, two.token),
    ]
    rows_of = store.views.partitions(step.step_execution_id)
    assert [(row.node, row.seconds, row.exit_message) for row in rows_of[:2]] == [("a-1", 0.25, "from the cache")] * 2
    assert rows(store, "SELECT detail FROM batch_events WHERE phase = 'CACHED'") == [("2 of 3",)]


def test_a_resumed_job_keeps_what_it_took_over(store: Store) -> None:
    source = computed(store, KEYS[0])
    (entry,) = found(store, KEYS[0])
    step = submit(
        store, [replace(part, cached=cached) for part, cached in zip(keyed(*KEYS[:2]), (entry, None), strict=True)]
    )
    run(store, step, how=failed)
    store.advancing.advance(step.job_execution_id, 1)
    resumed = store.jobs.resume(step.job_execution_id, "kernel-2")
    assert resumed is not None
    (stored,) = store.outcomes.read(resumed.step_execution_id, [0, 1], arguments=False)
    assert stored.result is not None
    assert stored.result.values == f"values of {KEYS[0]}".encode()
    assert stored.taken_over == TakenOver(source.uid, "map", 0, KEYS[0], b"key mac", b"entry mac")
    again = store.jobs.step(resumed.step_execution_id)
    assert again is not None
    (left,) = take(store, again)
    assert (left.index, left.cache_key) == (1, KEYS[1])


def test_what_a_job_computed_in_an_earlier_execution_is_its_own(store: Store) -> None:
    step = submit(store, keyed(*KEYS[:2]))
    good, bad = take(store, step)
    store.finishes.finish([for_others(good), failed(bad)])
    store.advancing.advance(step.job_execution_id, 1)
    resumed = store.jobs.resume(step.job_execution_id, "kernel-2")
    assert resumed is not None
    (stored,) = store.outcomes.read(resumed.step_execution_id, [0], arguments=False)
    assert stored.taken_over is not None
    assert (stored.taken_over.uid, stored.taken_over.index) == (step.uid, 0)


def test_an_entry_whose_result_is_gone_is_a_miss_and_can_be_dropped(store: Store) -> None:
    computed(store, *KEYS[:2])
    entries = found(store, *KEYS)
    change(store, "DELETE FROM batch_results WHERE step_execution_id = :id", id=entries[0].partition_id)
    results, gone = store.cached.find(KEYS)
    assert [one.key for one in results] == [KEYS[1]]
    assert gone == [KEYS[0]]
    # Whoever looked before it went does not take over what is not there any more.
    step = submit(store, [replace(part, cached=entry) for part, entry in zip(keyed(*KEYS[:2]), entries, strict=True)])
    assert statuses(store, step) == ["PENDING", "COMPLETED"]
    store.cached.drop(gone)
    run(store, step, how=for_others)
    assert {one.key for one in found(store, *KEYS)} == set(KEYS[:2])


def test_an_entry_that_changed_since_it_was_looked_at_is_a_miss(store: Store) -> None:
    computed(store, KEYS[0])
    (entry,) = found(store, KEYS[0])
    other = computed(store, KEYS[1])
    (elsewhere,) = found(store, KEYS[1])
    change(store, "UPDATE batch_cached SET step_execution_id = :id WHERE cache_key = :key",
           id=elsewhere.partition_id, key=KEYS[0])  # fmt: skip
    step = submit(store, [replace(part, cached=entry) for part in keyed(KEYS[0])])
    assert statuses(store, step) == ["PENDING"]
    assert other.step_execution_id != step.step_execution_id


def test_many_keys_are_looked_up_and_taken_over_at_once(store: Store) -> None:
    keys = [f"{place:064d}" for place in range(1200)]
    computed(store, *keys)
    entries = {one.key: one for one in found(store, *keys)}
    step = submit(store, [replace(part, cached=entries[key]) for key, part in zip(keys, keyed(*keys), strict=True)])
    assert statuses(store, step) == ["COMPLETED"] * 1200
    read = store.outcomes.read(step.step_execution_id, range(1200), arguments=False)
    assert all(stored.taken_over is not None for stored in read)
    assert store.advancing.advance(step.job_execution_id, 1) == "COMPLETED"


def test_jobs_without_the_option_ask_nothing_of_the_cache(store: Store) -> None:
    def ordinary() -> None:
        step = submit(store, some_new_partitions(3))
        run(store, step)
        store.outcomes.read(step.step_execution_id, range(3), arguments=True)

    assert [one for one, _ in statements_of(store, ordinary) if "batch_cached" in one] == []


def test_a_finish_whose_answer_was_lost_is_entered_once(store: Store) -> None:
    step = submit(store, keyed(KEYS[0]))
    finishes = [for_others(claim) for claim in take(store, step)]
    assert store.finishes.finish(finishes) == store.finishes.finish(finishes)
    assert count(store, "batch_cached") == 1
    assert store.views.partitions(step.step_execution_id)[0].status is PartitionStatus.COMPLETED
