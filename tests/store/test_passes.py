"""The passes that every member repeats: beat, watch the others, adopt and end jobs.  Each is called once, by hand."""

from __future__ import annotations

import math

import pytest

from nbcluster.lifecycle import NodeStatus
from nbcluster.master.coordinator import Coordinator
from nbcluster.master.takeover import adopt_orphans
from nbcluster.node import heartbeat
from nbcluster.node.heartbeat import Heartbeat
from nbcluster.node.liveness import Liveness
from nbcluster.store import Store
from tests.builders import a_new_node
from tests.clock import Clock
from tests.store.acts import (
    count,
    earlier,
    lose,
    register,
    run,
    silence,
    statuses,
    submit,
    take,
)
from tests.waiting import wait_until

FRESH_DATABASE = True

INTERVAL, THRESHOLD, CLEANUP = 3.0, 10.0, 30.0


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(heartbeat, "time", made)
    return made


class Member:
    """A registered process: its heartbeat, and what it was told."""

    def __init__(self, store: Store, clock: Clock, name: str = "me-1") -> None:
        self._clock = clock
        self.busy = 0
        self.told: list[str] = []
        self.heart = Heartbeat(
            store,
            a_new_node(name),
            interval=INTERVAL,
            threshold=THRESHOLD,
            busy=lambda: self.busy,
            moved=self.told.append,
        )
        self.heart.register()
        self._liveness = Liveness(store, self.heart, THRESHOLD, CLEANUP)

    def beat_for(self, seconds: float) -> None:
        """Beat on time for so long."""
        for _ in range(int(seconds / INTERVAL)):
            self._clock.now += INTERVAL
            self.heart.beat()

    def sweep(self) -> None:
        self._liveness.sweep()


@pytest.fixture
def me(store: Store, clock: Clock) -> Member:
    wait_until(lambda: store.lookout.look(THRESHOLD, CLEANUP).database_age > THRESHOLD, message="a server that is up")
    return Member(store, clock)


def status(store: Store, node_id: str) -> NodeStatus | None:
    return next((node.status for node in store.nodes.all() if node.node_id == node_id), None)


# --- beating -------------------------------------------------------------------------------------


def test_a_beat_tells_the_load(store: Store, me: Member) -> None:
    me.busy = 2
    me.heart.beat()
    assert [node.busy for node in store.nodes.all()] == [2]
    assert me.told == []


def test_who_beats_on_time_is_in_touch(me: Member, clock: Clock) -> None:
    me.beat_for(30)
    assert me.heart.in_touch()
    clock.now += THRESHOLD
    assert not me.heart.in_touch(), "nobody need wait for the others to say so"
    me.heart.beat()
    assert me.heart.in_touch()


def test_who_was_suspected_is_told_that_its_work_was_moved(store: Store, me: Member) -> None:
    lose(store, "me-1")
    me.heart.beat()
    assert me.told == ["me-1"]
    assert status(store, "me-1") is NodeStatus.ACTIVE


def test_who_was_out_of_touch_is_told_even_if_nobody_noticed(me: Member, clock: Clock) -> None:
    clock.now += THRESHOLD + 1
    me.heart.beat()
    assert me.told == ["me-1"]


def test_who_was_removed_goes_on_under_a_new_id(store: Store, me: Member) -> None:
    lose(store, "me-1")
    store.remove_silent("me-1", CLEANUP)
    me.heart.beat()
    assert me.heart.node_id != "me-1"
    assert me.heart.node_id.startswith("me-")
    assert me.told == [me.heart.node_id]
    assert [node.node_id for node in store.nodes.all()] == [me.heart.node_id]


# --- watching ------------------------------------------------------------------------------------


def test_the_silent_are_suspected_their_work_moves_and_later_they_are_removed(store: Store, me: Member) -> None:
    register(store, "other-1")
    step = submit(store, 3)
    take(store, step, "other-1")
    me.beat_for(15)
    silence(store, "other-1", 15)
    me.sweep()
    assert status(store, "other-1") is NodeStatus.UNREACHABLE
    assert statuses(store, step) == ["PENDING"] * 3
    me.sweep()
    assert status(store, "other-1") is NodeStatus.UNREACHABLE, "silent for too short to be removed"
    silence(store, "other-1", 30)
    me.sweep()
    assert status(store, "other-1") is None


def test_those_who_beat_are_left_alone(store: Store, me: Member) -> None:
    register(store, "other-1", "kernel-1")
    me.beat_for(15)
    me.sweep()
    assert {node.status for node in store.nodes.all()} == {NodeStatus.ACTIVE}


def test_nobody_judges_itself(store: Store, me: Member) -> None:
    me.beat_for(15)
    silence(store, "me-1", 3600)
    me.sweep()
    assert status(store, "me-1") is NodeStatus.ACTIVE


def test_who_has_just_come_judges_nobody(store: Store, me: Member) -> None:
    register(store, "other-1")
    silence(store, "other-1", 3600)
    me.beat_for(THRESHOLD - INTERVAL)
    me.sweep()
    assert status(store, "other-1") is NodeStatus.ACTIVE
    me.beat_for(2 * INTERVAL)
    me.sweep()
    assert status(store, "other-1") is NodeStatus.UNREACHABLE


def test_after_an_outage_everybody_has_time_to_beat_again(store: Store, me: Member, clock: Clock) -> None:
    register(store, "other-1")
    me.beat_for(60)
    clock.now += 300  # the database was away, for all of them
    for node_id in ("me-1", "other-1"):
        silence(store, node_id, 300)
    me.sweep()
    me.heart.beat()
    me.sweep()
    assert status(store, "other-1") is NodeStatus.ACTIVE
    me.beat_for(THRESHOLD + INTERVAL)
    me.sweep()
    assert status(store, "other-1") is NodeStatus.UNREACHABLE, "it never came back"


def test_who_lost_touch_itself_judges_nobody(store: Store, me: Member, clock: Clock) -> None:
    register(store, "other-1")
    me.beat_for(60)
    silence(store, "other-1", 3600)
    clock.now += 3 * INTERVAL
    me.sweep()
    assert status(store, "other-1") is NodeStatus.ACTIVE


def test_work_without_an_owner_is_found(store: Store, me: Member) -> None:
    step = submit(store, 3)
    take(store, step, "gone-1", limit=2)
    me.sweep()
    assert statuses(store, step) == ["PENDING"] * 3


# --- masters -------------------------------------------------------------------------------------


def test_a_complete_job_is_ended_by_its_master(store: Store) -> None:
    mine, running, others = (submit(store, master_node_id=master) for master in ("kernel-1", "kernel-1", "kernel-2"))
    run(store, mine)
    run(store, others)
    assert Coordinator(store, 1.0, 1.0).advance_all("kernel-1") == 1
    states = {job.job_execution_id: job.status for job in store.views.jobs(running_only=False)}
    assert states == {
        mine.job_execution_id: "COMPLETED",
        running.job_execution_id: "STARTED",
        others.job_execution_id: "STARTED",
    }


def test_the_jobs_of_a_master_that_is_gone_are_adopted_and_ended(store: Store) -> None:
    register(store, "a-1")
    step = submit(store, 2, master_node_id="kernel-1")
    run(store, step)
    assert len(adopt_orphans(store, "a-1", THRESHOLD)) == 1
    assert Coordinator(store, 1.0, 1.0).advance_all("a-1") == 0
    assert store.views.jobs(running_only=True) == []
    assert len(adopt_orphans(store, "a-1", THRESHOLD)) == 0


def test_the_jobs_of_a_master_that_beats_are_left_to_it(store: Store) -> None:
    register(store, "a-1", "kernel-1")
    submit(store, master_node_id="kernel-1")
    assert len(adopt_orphans(store, "a-1", THRESHOLD)) == 0
    lose(store, "kernel-1")
    assert len(adopt_orphans(store, "a-1", THRESHOLD)) == 1


def test_a_lease_that_lapsed_is_taken(store: Store) -> None:
    register(store, "a-1", "kernel-1")
    submit(store, master_node_id="kernel-1")
    earlier(store, "batch_job_coordination", "last_updated", 60, "1 = 1")
    assert len(adopt_orphans(store, "a-1", THRESHOLD)) == 1
    assert count(store, "batch_job_coordination", "master_node_id = 'a-1' AND term = 2") == 1


def test_who_may_not_judge_takes_no_lease_but_that_of_a_master_that_is_gone(store: Store) -> None:
    register(store, "a-1", "kernel-1")
    submit(store, master_node_id="kernel-1")
    gone = submit(store, master_node_id="kernel-2")
    earlier(store, "batch_job_coordination", "last_updated", 3600, "1 = 1")
    assert len(adopt_orphans(store, "a-1", math.inf)) == 1
    assert [lease.job_id for lease in store.coordination.mastered_by("a-1")] == [gone.job_execution_id]
