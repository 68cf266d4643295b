"""The work of a lost node: it moves, or it fails because it may run only once."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from sqlalchemy import Connection, text

from nbcluster.records import StepToRun
from nbcluster.store import Store
from tests.builders import a_new_partition, a_new_step, completed
from tests.store.acts import (
    count,
    indexes,
    lose,
    owners,
    register,
    rows,
    silence,
    statuses,
    submit,
    take,
)
from tests.store.conftest import OpenStore


@pytest.fixture(autouse=True)
def two_nodes(store: Store) -> None:
    register(store, "a-1", "b-1")


def mixed(store: Store) -> StepToRun:
    """Claimed by a-1: transferable, once and begun, once and not begun; assigned to it: one; free: one."""
    step = submit(
        store,
        [
            a_new_partition(0),
            a_new_partition(1, transferable=False, items=5),
            a_new_partition(2, transferable=False),
            a_new_partition(3, assigned_node="a-1"),
            a_new_partition(4),
        ],
        step=a_new_step(strategy="scale_up"),
    )
    claims = store.claims.claim(step, "a-1", 4, free=True, steal=False)
    assert indexes(claims) == [0, 1, 2, 3]
    store.claims.give_back("a-1", [(claims[3].partition_id, claims[3].token, claims[3].attempt)])
    store.database.write(
        lambda c: c.execute(text("UPDATE batch_partitions SET assigned_node = 'a-1' WHERE partition_index = 3"))
    )
    store.claims.start([claims[1]])
    return step


def test_what_may_run_again_or_had_not_begun_moves_and_the_rest_is_lost(store: Store) -> None:
    step = mixed(store)
    assert lose(store, "a-1") == (2, 1)
    assert statuses(store, step) == ["PENDING", "FAILED", "PENDING", "PENDING", "PENDING"]
    assert owners(store, step) == [None, "a-1", None, None, None]
    assert indexes(take(store, step, "b-1")) == [0, 2, 3, 4]


def test_what_is_lost_says_so(store: Store) -> None:
    step = mixed(store)
    lose(store, "a-1")
    lost = store.views.partitions(step.step_execution_id)[1]
    assert lost.exit_code == "NODE_LOST"
    assert lost.exit_message == "the node a-1 was lost while it ran this partition and it is not transferable"
    assert lost.failed_items == 5
    assert lost.ended is not None


def test_losses_are_remembered(store: Store) -> None:
    mixed(store)
    lose(store, "a-1")
    assert rows(store, "SELECT DISTINCT node_id, attempt, outcome FROM batch_attempts") == [("a-1", 1, "NODE_LOST")]
    assert count(store, "batch_attempts") == 3
    assert count(store, "batch_partitions", "node_losses = 1") == 3


def test_a_loss_counts_as_no_crash(store: Store) -> None:
    step = submit(store)
    take(store, step, "a-1")
    lose(store, "a-1")
    (again,) = take(store, step, "b-1")
    assert (again.attempt, again.crashes) == (2, 0)


def test_final_work_of_a_lost_node_stays(store: Store) -> None:
    step = submit(store, 2)
    first, _ = take(store, step, "a-1")
    store.finishes.finish([completed(first)])
    lose(store, "a-1")
    assert statuses(store, step) == ["COMPLETED", "PENDING"]
    assert owners(store, step) == ["a-1", None]


def test_work_of_others_stays(store: Store) -> None:
    step = submit(store, 4)
    take(store, step, "a-1", limit=2)
    take(store, step, "b-1", limit=2)
    assert lose(store, "a-1") == (2, 0)
    assert owners(store, step) == [None, None, "b-1", "b-1"]


def test_work_of_all_jobs_moves(store: Store) -> None:
    steps = [submit(store, 2) for _ in range(3)]
    for step in steps:
        take(store, step, "a-1")
    assert lose(store, "a-1") == (6, 0)


def test_what_a_node_claims_after_it_was_suspected_moves_when_it_is_removed(store: Store) -> None:
    step = submit(store, 3)
    lose(store, "a-1")
    take(store, step, "a-1", limit=2)
    assert store.remove_silent("a-1", 30)
    assert statuses(store, step) == ["PENDING"] * 3


def test_what_a_leaving_node_still_holds_is_free_at_once(store: Store) -> None:
    step = mixed(store)
    store.deregister("a-1")
    assert statuses(store, step) == ["PENDING", "FAILED", "PENDING", "PENDING", "PENDING"]


# --- a node that stopped in the middle of a commit -----------------------------------------------


class StoppedInACommit:
    """A node that finishes a partition, and stops between the statement and its commit."""

    def __init__(self, store: Store, claim: Any) -> None:
        self._held, self._go, self._end = threading.Event(), threading.Event(), "commit"
        self._thread = threading.Thread(target=self._run, args=(store, claim))
        self._thread.start()
        assert self._held.wait(30)

    def _run(self, store: Store, claim: Any) -> None:
        with store.database.engine.connect() as connection:
            statement = "UPDATE batch_partitions SET status = 'COMPLETED' WHERE step_execution_id = :id AND attempt = 1"
            connection.execute(text(statement), {"id": claim.partition_id})
            self._held.set()
            assert self._go.wait(60)
            getattr(connection, self._end)()

    def end(self, how: str) -> None:
        self._end = how
        self._go.set()
        self._thread.join(30)


@pytest.mark.needs("skip_locked")
def test_a_node_that_stopped_in_a_commit_holds_up_nobody(store: Store, open_another: OpenStore) -> None:
    step = submit(store, 5)
    claims = take(store, step, "a-1")
    stopped = StoppedInACommit(open_another(), claims[2])
    try:
        assert lose(store, "a-1") == (4, 0)
        assert indexes(take(store, step, "b-1")) == [0, 1, 3, 4]
    finally:
        stopped.end("commit")
    assert statuses(store, step)[2] == "COMPLETED"


@pytest.mark.needs("skip_locked")
@pytest.mark.parametrize("leave", ["remove_silent", "deregister"])
def test_what_a_node_held_when_it_died_in_a_commit_is_found(store: Store, open_another: OpenStore, leave: str) -> None:
    step = submit(store, 5)
    claims = take(store, step, "a-1")
    stopped = StoppedInACommit(open_another(), claims[2])
    try:
        lose(store, "a-1")
        if leave == "remove_silent":
            store.remove_silent("a-1", 30)
        else:
            store.deregister("a-1")
    finally:
        stopped.end("rollback")
    store.release_orphans()
    assert statuses(store, step) == ["PENDING"] * 5


# --- work whose owner is not there any more ------------------------------------------------------


def test_claims_of_a_node_that_was_removed_are_found(store: Store) -> None:
    register(store, "gone-1")
    lose(store, "gone-1")
    store.remove_silent("gone-1", 30)
    step = submit(store, 3)
    take(store, step, "gone-1", limit=2)  # it woke up, claimed, and died before its next heartbeat
    assert store.release_orphans() == 2
    assert statuses(store, step) == ["PENDING"] * 3
    assert store.release_orphans() == 0


def test_claims_of_registered_nodes_are_no_orphans(store: Store) -> None:
    step = submit(store, 4)
    take(store, step, "a-1", limit=2)
    take(store, step, "b-1", limit=1)
    lose(store, "b-1")
    silence(store, "a-1", 3600)
    assert store.release_orphans() == 0
    assert statuses(store, step) == ["CLAIMED", "CLAIMED", "PENDING", "PENDING"]


def test_a_failure_while_work_is_moved_moves_nothing(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    step = submit(store, 3)
    take(store, step, "a-1")
    silence(store, "a-1", 60)

    def fails(_connection: Connection, _node_id: str) -> None:
        raise RuntimeError("in the middle")

    monkeypatch.setattr(type(store.releases), "release_lost", lambda _self, c, n: fails(c, n))
    with pytest.raises(RuntimeError):
        store.suspect("a-1", 10)
    assert statuses(store, step) == ["CLAIMED"] * 3
    assert store.nodes.all()[0].status == "ACTIVE"
