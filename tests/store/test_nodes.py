from __future__ import annotations

import json
from concurrent.futures import Executor

import pytest

from nbcluster.errors import DatabaseError
from nbcluster.lifecycle import NodeStatus
from nbcluster.records import Node
from nbcluster.store import Store
from tests.builders import a_new_node
from tests.store import processes as elsewhere
from tests.store.acts import (
    change,
    count,
    earlier,
    lose,
    register,
    rows,
    run,
    silence,
    statements_of,
    submit,
    take,
)
from tests.store.conftest import RACERS, OpenStore


def node(store: Store, node_id: str = "a-1") -> Node:
    return next(one for one in store.nodes.all() if one.node_id == node_id)


def mark(store: Store, node_id: str, threshold: float) -> bool:
    return store.database.write(lambda connection: store.nodes.mark_unreachable(connection, node_id, threshold))


# --- registering and beating ---------------------------------------------------------------------


def test_a_registered_node_is_active_and_fresh(store: Store) -> None:
    store.nodes.register(a_new_node("gpu-box-1", slots=4))
    (one,) = store.nodes.all()
    assert (one.node_id, one.name, one.status) == ("gpu-box-1", "gpu-box", NodeStatus.ACTIVE)
    assert (one.slots, one.busy, one.host, one.pid, one.python) == (4, 0, "host", 4711, "3.11")
    assert 0 <= one.heartbeat_age < 60


def test_an_id_is_never_used_twice(store: Store) -> None:
    register(store, "a-1")
    with pytest.raises(DatabaseError):
        register(store, "a-1")


@pytest.mark.parametrize("node_id", ["x" * 187 + "-0123456789ab", "a'b\"c<d>&%-1", "knöten-1"])
def test_an_id_is_kept_as_it_is(store: Store, node_id: str) -> None:
    register(store, node_id)
    assert store.nodes.beat(node_id, 1).known
    assert [one.node_id for one in store.nodes.all()] == [node_id]


def test_a_beat_tells_the_load_and_makes_the_node_fresh(store: Store) -> None:
    register(store, "a-1")
    silence(store, "a-1", 100)
    assert node(store).heartbeat_age >= 100
    beat = store.nodes.beat("a-1", busy=2)
    assert (beat.known, beat.was) == (True, NodeStatus.ACTIVE)
    assert node(store).heartbeat_age < 60
    assert node(store).load == 1.0


def test_a_beat_of_a_node_that_was_removed_says_so_and_makes_no_row(store: Store) -> None:
    beat = store.nodes.beat("gone-1", 0)
    assert (beat.known, beat.was) == (False, None)
    assert store.nodes.all() == []


def test_a_beat_renews_the_lease_of_the_jobs_that_the_node_is_master_of(store: Store) -> None:
    register(store, "kernel-1", "kernel-2")
    mine, others = submit(store, master_node_id="kernel-1"), submit(store, master_node_id="kernel-2")
    earlier(store, "batch_job_coordination", "last_updated", 100, "1 = 1")
    store.nodes.beat("kernel-1", 0)
    orphans = store.coordination.orphans(50)
    assert [job for job, _ in orphans] == [others.job_execution_id]
    assert mine.job_execution_id != others.job_execution_id


# --- suspecting ----------------------------------------------------------------------------------


def test_a_node_is_suspected_only_when_it_is_silent_for_long_enough(store: Store) -> None:
    register(store, "a-1")
    silence(store, "a-1", 30)
    assert store.suspect("a-1", 60) is None
    assert node(store).status is NodeStatus.ACTIVE
    assert store.suspect("a-1", 20) == (0, 0)
    assert node(store).status is NodeStatus.UNREACHABLE


def test_a_node_that_beat_meanwhile_is_not_suspected(store: Store) -> None:
    register(store, "a-1")
    silence(store, "a-1", 30)
    seen = store.nodes.all()
    store.nodes.beat("a-1", 0)
    assert seen[0].heartbeat_age >= 30
    assert store.suspect("a-1", 20) is None


def test_a_suspected_node_is_not_suspected_again(store: Store) -> None:
    register(store, "a-1")
    lose(store, "a-1")
    assert store.suspect("a-1", 10) is None


def test_the_beat_of_a_suspected_node_makes_it_active_and_tells_it(store: Store) -> None:
    register(store, "a-1")
    lose(store, "a-1")
    beat = store.nodes.beat("a-1", 0)
    assert (beat.known, beat.was) == (True, NodeStatus.UNREACHABLE)
    assert node(store).status is NodeStatus.ACTIVE


def test_of_several_who_suspect_a_node_at_once_one_moves_its_work(
    store: Store, database_url: str, processes: Executor
) -> None:
    register(store, "a-1")
    step = submit(store, 50)
    take(store, step, "a-1", limit=20)
    silence(store, "a-1", 60)
    found = elsewhere.race(processes, RACERS, elsewhere.suspect, database_url, "a-1")
    assert [one for one in found if one is not None] == [(20, 0)]
    assert count(store, "batch_attempts") == 20


# --- removing ------------------------------------------------------------------------------------


def test_a_suspected_node_that_stays_silent_is_removed(store: Store) -> None:
    register(store, "a-1", "b-1")
    lose(store, "a-1")
    assert not store.remove_silent("a-1", 3600)
    assert store.remove_silent("a-1", 30)
    assert not store.remove_silent("a-1", 30)
    assert [one.node_id for one in store.nodes.all()] == ["b-1"]


def test_a_node_that_nobody_suspected_is_not_removed(store: Store) -> None:
    register(store, "a-1")
    silence(store, "a-1", 60)
    assert not store.remove_silent("a-1", 30)
    assert node(store).status is NodeStatus.ACTIVE


def test_a_node_that_beat_again_is_not_removed(store: Store) -> None:
    register(store, "a-1")
    lose(store, "a-1")
    store.nodes.beat("a-1", 0)
    assert not store.remove_silent("a-1", 30)


def test_removing_a_node_touches_no_job(store: Store) -> None:
    register(store, "a-1")
    step = submit(store, 2, master_node_id="a-1")
    run(store, step, "a-1")
    lose(store, "a-1")
    assert store.remove_silent("a-1", 30)
    assert rows(store, "SELECT DISTINCT assigned_node FROM batch_partitions") == [("a-1",)]
    assert rows(store, "SELECT master_node_id FROM batch_job_coordination") == [("a-1",)]


# --- leaving -------------------------------------------------------------------------------------


def test_a_draining_node_stays_so_while_it_beats(store: Store) -> None:
    register(store, "a-1")
    assert store.nodes.drain("a-1")
    assert store.nodes.beat("a-1", 1).was is NodeStatus.DRAINING
    assert node(store).status is NodeStatus.DRAINING


def test_draining_a_node_that_is_gone_or_drains_already_changes_nothing(store: Store) -> None:
    register(store, "a-1")
    assert not store.nodes.drain("gone-1")
    assert store.nodes.drain("a-1")
    assert not store.nodes.drain("a-1")


def test_a_draining_node_that_falls_silent_is_suspected(store: Store) -> None:
    register(store, "a-1")
    store.nodes.drain("a-1")
    lose(store, "a-1")
    assert node(store).status is NodeStatus.UNREACHABLE


def test_a_node_that_leaves_is_gone_at_once_and_its_work_is_free(store: Store) -> None:
    register(store, "a-1", "b-1")
    step = submit(store, 3)
    take(store, step, "a-1", limit=2)
    store.deregister("a-1")
    assert [one.node_id for one in store.nodes.all()] == ["b-1"]
    assert len(take(store, step, "b-1")) == 3


# --- who may be given work -----------------------------------------------------------------------


def test_workers_are_active_fresh_and_have_slots(store: Store) -> None:
    register(store, "active-1", "silent-1", "lost-1", "draining-1")
    register(store, "kernel-1", slots=0)
    silence(store, "silent-1", 60)
    lose(store, "lost-1")
    store.nodes.drain("draining-1")
    assert [one.node_id for one in store.nodes.workers(10)] == ["active-1"]


def test_nodes_are_listed_in_the_order_in_which_they_came(store: Store) -> None:
    for place, node_id in enumerate(["c-1", "a-1", "b-1"]):
        register(store, node_id)
        earlier(store, "batch_nodes", "created_time", 100 - place, "node_id = :node", node=node_id)
    assert [one.node_id for one in store.nodes.all()] == ["c-1", "a-1", "b-1"]


def test_a_time_from_the_future_makes_no_negative_age(store: Store) -> None:
    register(store, "a-1")
    silence(store, "a-1", -3600)
    assert node(store).heartbeat_age == 0
    assert not mark(store, "a-1", 0)


def test_two_stores_see_the_same_nodes(store: Store, open_another: OpenStore) -> None:
    register(store, "a-1")
    other = open_another()
    register(other, "b-1")
    assert [one.node_id for one in store.nodes.all()] == [one.node_id for one in other.nodes.all()]
    assert change(other, "DELETE FROM batch_nodes") == 2
    assert store.nodes.all() == []


# --- draining from outside -----------------------------------------------------------------------


def test_a_node_is_told_to_drain_by_its_id_or_by_its_name(store: Store) -> None:
    register(store, "box-1", "box-2", "box-gpu-1")
    assert store.nodes.drain_named("box-1") == ["box-1"]
    assert sorted(store.nodes.drain_named("box")) == ["box-1", "box-2"]
    assert node(store, "box-gpu-1").status is NodeStatus.ACTIVE
    assert node(store, "box-2").status is NodeStatus.DRAINING
    assert store.nodes.drain_named("other") == []


def test_a_kernel_cannot_be_drained(store: Store) -> None:
    register(store, "kernel-1", slots=0)
    assert store.nodes.drain_named("kernel-1") == []


def test_a_draining_node_that_was_thought_lost_drains_on(store: Store) -> None:
    register(store, "a-1")
    store.nodes.drain("a-1")
    lose(store, "a-1")
    assert store.nodes.beat("a-1", 1, draining=True).was is NodeStatus.UNREACHABLE
    assert node(store).status is NodeStatus.DRAINING


# --- what is told of nodes -----------------------------------------------------------------------


def told(store: Store) -> list[tuple[str, str, str]]:
    statement = "SELECT phase, node_id, detail FROM batch_events WHERE phase LIKE 'NODE%' ORDER BY event_id"
    return [(row[0], row[1], row[2]) for row in rows(store, statement) if row[0] != "NODE_JOINED"]


def test_what_a_node_is_and_every_change_of_its_state_are_recorded(store: Store) -> None:
    register(store, "a-1", slots=3)
    (joined,) = rows(store, "SELECT node_id, detail FROM batch_events WHERE phase = 'NODE_JOINED'")
    assert joined[0] == "a-1"
    about = json.loads(joined[1])
    assert {name: about[name] for name in ("state", "slots", "labels")} == {"state": "ACTIVE", "slots": 3, "labels": []}
    lose(store, "a-1")
    store.nodes.beat("a-1", 0)
    store.nodes.beat("a-1", 0)
    assert store.nodes.drain("a-1")
    store.nodes.drain("a-1")
    store.nodes.beat("a-1", 0, draining=True)
    assert [row[0] for row in told(store)] == ["NODE_UNREACHABLE", "NODE_RETURNED", "NODE_DRAINING"]


def test_the_ends_of_nodes_are_recorded_with_their_reason(store: Store) -> None:
    register(store, "silent-1", "leaving-1")
    lose(store, "silent-1")
    store.remove_silent("silent-1", 30)
    store.deregister("leaving-1")
    (lost, removed, left) = told(store)
    assert lost[:2] == ("NODE_UNREACHABLE", "silent-1")
    assert lost[2].startswith("silent for 60.")
    assert removed[:2] == ("NODE_REMOVED", "silent-1")
    assert left == ("NODE_LEFT", "leaving-1", "in good order")


def test_nothing_is_recorded_of_a_suspicion_that_was_none(store: Store) -> None:
    register(store, "a-1")
    assert store.suspect("a-1", 10) is None
    assert not store.remove_silent("a-1", 0)
    assert told(store) == []


# --- the cost of a beat --------------------------------------------------------------------------


def test_a_beat_is_one_statement_and_a_second_one_for_a_master(store: Store) -> None:
    register(store, "a-1")
    assert len(statements_of(store, lambda: store.nodes.beat("a-1", 0))) == 1
    submit(store, master_node_id="a-1")
    assert len(statements_of(store, lambda: store.nodes.beat("a-1", 0))) == 2
    assert store.nodes.beat("a-1", 0).leads


# --- looking at all of them ----------------------------------------------------------------------


def test_a_look_tells_who_is_silent_and_nobody_else(store: Store) -> None:
    register(store, "fresh-1", "silent-1", "lost-1", "long-lost-1")
    for node_id in ("lost-1", "long-lost-1"):
        lose(store, node_id)
    silence(store, "silent-1", 20)
    silence(store, "long-lost-1", 100)
    seen = store.lookout.look(10, 120)
    silent = sorted(seen.silent, key=lambda one: one.seconds)
    assert [(one.node_id, one.status) for one in silent] == [
        ("silent-1", NodeStatus.ACTIVE),
        ("long-lost-1", NodeStatus.UNREACHABLE),
    ]
    assert 20 <= silent[0].seconds < 60
    assert (seen.members, seen.working, seen.ownerless, set(seen.doubted)) == (4, False, False, set())
    assert seen.database_age > 0


def test_a_look_tells_whether_there_is_work_and_whether_some_of_it_belongs_to_nobody(store: Store) -> None:
    register(store, "a-1")
    step = submit(store, 2)
    take(store, step, "a-1", limit=1)
    assert (store.lookout.look(10, 30).working, store.lookout.look(10, 30).ownerless) == (True, False)
    take(store, step, "gone-1")
    assert store.lookout.look(10, 30).ownerless
    assert store.release_orphans() == 1
    assert not store.lookout.look(10, 30).ownerless


def test_what_an_unreachable_node_still_holds_is_moved_later(store: Store) -> None:
    register(store, "a-1")
    step = submit(store, 1)
    lose(store, "a-1")
    take(store, step, "a-1")  # as if the row had been locked when the others were moved
    assert store.lookout.look(10, 30).ownerless
    assert store.release_orphans() == 1
