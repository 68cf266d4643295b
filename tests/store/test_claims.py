"""A partition belongs to one node at a time, whoever else reaches for it."""

from __future__ import annotations

from concurrent.futures import Executor
from functools import partial

import pytest

from nbcluster.newjob import NewPartition
from nbcluster.records import Claim, StepToRun
from nbcluster.store import Store
from tests.builders import a_new_partition, a_new_step, completed, handed_back, some_new_partitions
from tests.store import processes as elsewhere
from tests.store.acts import at_once, count, ids, indexes, lose, owners, register, run, statuses, submit, take
from tests.store.conftest import RACERS, OpenStore

MANY = 2000


def assigned(*owners: str | None) -> list[NewPartition]:
    return [a_new_partition(index, assigned_node=owner) for index, owner in enumerate(owners)]


def claim(
    store: Store, step: StepToRun, node_id: str, limit: int, *, free: bool = True, steal: bool = False
) -> list[int]:
    return indexes(store.claims.claim(step, node_id, limit, free=free, steal=steal))


# --- which, and in which order -------------------------------------------------------------------


def test_own_work_is_claimed_first_then_free_then_that_of_others(store: Store) -> None:
    mixed = assigned("b-1", None, "a-1", "b-1", None, "a-1")
    step = submit(store, mixed, step=a_new_step(strategy="somebody's own"))
    assert claim(store, step, "a-1", 1) == [2]
    assert claim(store, step, "a-1", 2) == [1, 5]
    assert claim(store, step, "a-1", 9) == [4]
    assert claim(store, step, "a-1", 9) == []
    assert claim(store, step, "a-1", 9, steal=True) == [0, 3]


@pytest.mark.parametrize("strategy", ["round_robin", "least_loaded", "fixed_node_count"])
def test_what_came_back_goes_first_where_all_had_owners(store: Store, strategy: str) -> None:
    register(store, "a-1", "b-1")
    step = submit(store, assigned(*["a-1", "b-1"] * 4), step=a_new_step(strategy=strategy))
    assert claim(store, step, "b-1", 2) == [1, 3]
    lose(store, "b-1")
    assert claim(store, step, "a-1", 2) == [1, 3]


def test_work_of_others_is_taken_from_its_far_end(store: Store) -> None:
    step = submit(store, assigned(*["b-1"] * 6))
    assert claim(store, step, "a-1", 2, steal=True) == [4, 5]
    assert claim(store, step, "b-1", 2) == [0, 1]


def test_free_work_may_be_left_alone(store: Store) -> None:
    step = submit(store, assigned("a-1", None))
    assert claim(store, step, "a-1", 9, free=False) == [0]


@pytest.mark.parametrize("limit", [1, 3, 10, 11])
def test_no_more_than_asked_for_is_claimed(store: Store, limit: int) -> None:
    step = submit(store, 10)
    assert claim(store, step, "a-1", limit) == list(range(min(limit, 10)))
    assert count(store, "batch_partitions", "status = 'CLAIMED'") == min(limit, 10)


def test_claims_come_in_the_order_of_the_input(store: Store) -> None:
    step = submit(store, 100)
    assert claim(store, step, "a-1", 60) == list(range(60))
    assert claim(store, step, "b-1", 60) == list(range(60, 100))


def test_only_work_of_the_asked_step_is_claimed(store: Store) -> None:
    one, other = submit(store, 3), submit(store, 3)
    assert len(take(store, one)) == 3
    assert statuses(store, other) == ["PENDING"] * 3


def test_what_is_claimed_or_final_is_not_claimed(store: Store) -> None:
    step = submit(store, 3)
    first, *_ = take(store, step, "a-1", limit=2)
    store.finishes.finish([completed(first)])
    assert indexes(take(store, step, "b-1")) == [2]


# --- what a claim is -----------------------------------------------------------------------------


def test_a_claim_carries_what_its_run_needs(store: Store) -> None:
    step = submit(store, [a_new_partition(0, b"range(5)", key="0..4", items=5, transferable=False)])
    (one,) = take(store, step, "a-1")
    assert (one.step, one.index, one.key, one.items, one.node_id) == (step, 0, "0..4", 5, "a-1")
    assert (one.attempt, one.crashes, one.transferable) == (1, 0, False)
    assert one.arguments is not None
    assert one.arguments.body == b"range(5)"


def test_each_claim_raises_the_attempt_and_has_a_token_of_its_own(store: Store) -> None:
    step = submit(store)
    tokens = set()
    for attempt in (1, 2, 3):
        (one,) = take(store, step, "a-1")
        assert one.attempt == attempt
        tokens.add(one.token)
        store.finishes.finish([handed_back(one)])
    assert len(tokens) == 3


def test_a_claimed_partition_shows_its_owner_and_when_it_was_claimed(store: Store) -> None:
    step = submit(store, 2)
    take(store, step, "a-1", limit=1)
    first, second = store.views.partitions(step.step_execution_id)
    assert (first.status, first.node, first.attempt) == ("CLAIMED", "a-1", 1)
    assert first.claimed is not None
    assert (second.status, second.node, second.attempt, second.claimed) == ("PENDING", None, 0, None)


# --- still mine? ---------------------------------------------------------------------------------


def test_what_was_moved_is_no_longer_owned(store: Store) -> None:
    register(store, "a-1", "b-1")
    step = submit(store, 3)
    claims = take(store, step, "a-1")
    assert store.claims.still_owned(claims) == ids(claims)
    lose(store, "a-1")
    assert store.claims.still_owned(claims) == set()
    take(store, step, "b-1", limit=1)
    back = take(store, step, "a-1", limit=1)
    assert store.claims.still_owned(claims) == set(), "the same node, but another attempt"
    assert store.claims.still_owned(back) == ids(back)


def test_what_is_final_is_no_longer_owned(store: Store) -> None:
    step = submit(store, 2)
    claims = take(store, step)
    store.finishes.finish([completed(claims[0])])
    assert store.claims.still_owned(claims) == {claims[1].partition_id}
    assert store.claims.still_owned([]) == set()


def test_a_node_can_ask_what_it_holds(store: Store) -> None:
    step = submit(store, 3)
    claims = take(store, step, "a-1", limit=2)
    take(store, step, "b-1")
    assert sorted(store.claims.held_by("a-1")) == sorted((c.partition_id, c.token, c.attempt) for c in claims)
    assert store.claims.held_by("c-1") == []


def held(claim: Claim) -> tuple[int, int, int]:
    return claim.partition_id, claim.token, claim.attempt


def test_claims_that_a_node_knows_nothing_of_are_given_back(store: Store) -> None:
    step = submit(store, 3)
    claims = take(store, step, "a-1")
    store.claims.give_back("a-1", [held(one) for one in claims[:2]])
    assert statuses(store, step) == ["PENDING", "PENDING", "CLAIMED"]
    assert owners(store, step) == [None, None, "a-1"]


def test_only_the_very_claim_is_given_back(store: Store) -> None:
    step = submit(store, 2)
    first, second = take(store, step, "a-1")
    store.claims.give_back("b-1", [held(first)])
    store.claims.give_back("a-1", [(first.partition_id, first.token + 1, first.attempt)])
    store.claims.give_back("a-1", [(first.partition_id, first.token, first.attempt + 1)])
    store.finishes.finish([completed(second)])
    store.claims.give_back("a-1", [held(second)])
    assert statuses(store, step) == ["CLAIMED", "COMPLETED"]


# --- the start of what may run only once ---------------------------------------------------------


def test_the_start_is_committed_for_what_is_still_owned(store: Store) -> None:
    register(store, "a-1")
    step = submit(store, some_new_partitions(3, transferable=False))
    claims = take(store, step, "a-1")
    store.finishes.finish([handed_back(claims[0])])
    assert store.claims.start(claims) == ids(claims[1:])
    assert count(store, "batch_partitions", "start_time IS NOT NULL") == 2


def test_a_start_that_comes_too_late_is_refused(store: Store) -> None:
    register(store, "a-1")
    step = submit(store, some_new_partitions(2, transferable=False))
    claims = take(store, step, "a-1")
    lose(store, "a-1")
    assert store.claims.start(claims) == set()
    take(store, step, "a-1")
    assert store.claims.start(claims) == set(), "an earlier attempt of the same node"


def test_a_new_claim_has_not_been_started(store: Store) -> None:
    step = submit(store, some_new_partitions(1, transferable=False))
    (one,) = take(store, step)
    store.claims.start([one])
    store.finishes.finish([handed_back(one)])
    take(store, step)
    assert count(store, "batch_partitions", "start_time IS NOT NULL") == 0


# --- races ---------------------------------------------------------------------------------------


def test_several_threads_never_claim_the_same(store: Store, open_another: OpenStore) -> None:
    step = submit(store, MANY)
    stores = [open_another() for _ in range(RACERS)]

    def claim_all(number: int) -> list[Claim]:
        taken = []
        while found := take(stores[number], step, f"racer{number}-1", limit=13):
            taken += found
        return taken

    shares = at_once(*(partial(claim_all, number) for number in range(RACERS)))
    taken = [one for share in shares for one in share]
    assert sorted(indexes(taken)) == list(range(MANY))
    assert {one.attempt for one in taken} == {1}


def test_several_processes_never_claim_the_same(store: Store, database_url: str, processes: Executor) -> None:
    step = submit(store, MANY)
    shares = elsewhere.race(processes, RACERS, elsewhere.claim_all, database_url, step.step_execution_id, 13)
    taken = [one for share in shares for one in share]
    assert len(taken) == len({partition for partition, _ in taken}) == MANY
    assert {attempt for _, attempt in taken} == {1}
    assert sum(bool(share) for share in shares) > 1


def test_several_processes_that_reach_for_each_others_work_finish_each_partition_once(
    store: Store, database_url: str, processes: Executor
) -> None:
    mine = [f"racer{index % RACERS}-1" if index < 300 else "racer0-1" for index in range(600)]
    step = submit(store, assigned(*mine))
    accepted = elsewhere.race(processes, RACERS, elsewhere.run_all, database_url, step.step_execution_id, 5)
    assert sum(accepted) == 600
    assert statuses(store, step) == ["COMPLETED"] * 600
    assert count(store, "batch_results") == 600
    assert count(store, "batch_partitions", "attempt = 1") == 600


def test_one_partition_and_many_who_want_it(store: Store, database_url: str, processes: Executor) -> None:
    for _ in range(3):
        step = submit(store)
        shares = elsewhere.race(processes, RACERS, elsewhere.claim_all, database_url, step.step_execution_id, 1)
        assert sorted(len(share) for share in shares) == [0, 0, 0, 1]


def test_claims_and_losses_at_once_leave_nothing_behind(store: Store, open_another: OpenStore) -> None:
    """While one node works, another is suspected again and again: its work moves, and nothing is lost or doubled."""
    step = submit(store, 300)
    worker, victim, watcher = open_another(), open_another(), open_another()
    register(store, "worker-1", "victim-1")
    accepted: list[int] = []

    def work(own: Store, node_id: str) -> int:
        done = 0
        while any(status != "COMPLETED" for status in statuses(own, step)):
            claims = take(own, step, node_id, limit=7)
            done += len(own.finishes.finish([completed(one) for one in claims])) if claims else 0
        return done

    def watch() -> int:
        while any(status != "COMPLETED" for status in statuses(watcher, step)):
            lose(watcher, "victim-1")
            watcher.nodes.beat("victim-1", 0)
        return 0

    accepted = at_once(lambda: work(worker, "worker-1"), lambda: work(victim, "victim-1"), watch)
    assert sum(accepted) == 300
    assert count(store, "batch_results") == 300
    run(store, step)  # nothing is left
