"""Nodes that are killed or frozen in mid-job: nothing is lost, nothing is recorded twice."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.cluster.conftest import Lab
from tests.cluster.nodes import alive
from tests.waiting import wait_until

SQUARES = [n * n for n in range(1000)]


def results_per_partition(lab: Lab, job: Any) -> list[int]:
    """How many results each partition of a job has in the database."""
    rows = lab.tables.rows(
        "SELECT count(r.step_execution_id) FROM batch_partitions p "
        "LEFT JOIN batch_results r ON r.step_execution_id = p.step_execution_id "
        "WHERE p.job_execution_id = :job GROUP BY p.partition_index ORDER BY p.partition_index",
        job=job.id,
    )
    return [row[0] for row in rows]


def node_states(cluster: Any) -> dict[str, str]:
    return dict(cluster.nodes()[["node", "state"]].astype(str).values.tolist())


def test_the_work_of_a_killed_node_is_done_elsewhere_and_recorded_once(lab: Lab) -> None:
    victim, survivor = lab.nodes(2, slots=2)
    cluster = lab.connect()
    job = cluster.map(lab.effects.worker(), range(24), chunk=1)
    lab.effects.wait_for_begins(2, survivor.id)
    interrupted = {note.index for note in lab.effects.wait_for_begins(2, victim.id) if note.node == victim.id}
    family = victim.children()
    assert len(family) == 2
    victim.kill()
    lab.effects.open_gate()

    frame = job.wait(60).frame()
    assert job.state == "COMPLETED"
    assert frame["value"].tolist() == SQUARES[:24]
    assert results_per_partition(lab, job) == [1] * 24
    # Exactly what the victim ran was begun twice, and the second run is the one that counts.
    begun = lab.effects.begun()
    assert {index for index, times in begun.items() if times == 2} == interrupted
    assert set(begun.values()) == {1, 2}
    moved = job.partitions().set_index("partition").loc[sorted(interrupted)]
    assert set(moved["attempt"]) == {2}
    assert set(moved["node"]) == {survivor.id}
    lost = lab.tables.rows("SELECT node_id, outcome FROM batch_attempts")
    assert [tuple(row) for row in lost] == [(victim.id, "NODE_LOST")] * 2
    for pid in family:
        wait_until(lambda pid=pid: not alive(pid), message="the end of the killed node's children")
    wait_until(lambda: list(node_states(cluster)) == [survivor.id], message="the removal of the killed node")


def test_what_may_run_only_once_fails_with_its_node_and_the_rest_goes_on(lab: Lab) -> None:
    victim, survivor = lab.nodes(2, slots=2)
    cluster = lab.connect()
    job = cluster.map(lab.effects.worker(), range(16), chunk=1, transferable=False)
    lab.effects.wait_for_begins(2, survivor.id)
    running = {note.index for note in lab.effects.wait_for_begins(2, victim.id) if note.node == victim.id}
    victim.kill()
    lab.effects.open_gate()

    partitions = job.wait(60).partitions()
    assert job.state == "FAILED"
    failed = partitions[partitions["state"] == "FAILED"]
    assert set(failed["partition"]) == running
    assert set(failed["exit_code"]) == {"NODE_LOST"}
    assert all("was lost" in message and "not transferable" in message for message in failed["message"])
    assert set(lab.effects.begun().values()) == {1}
    frame = job.frame()
    assert frame["value"].dropna().tolist() == [n * n for n in range(16) if n not in running]
    assert frame.loc[sorted(running), "error"].str.startswith("NODE_LOST").all()
    # PENDING work that was the victim's was done by the survivor.
    assert set(partitions.loc[partitions["state"] == "COMPLETED", "node"]) == {survivor.id}


def test_every_node_is_killed_in_turn_and_the_job_still_completes(lab: Lab) -> None:
    cluster = lab.connect()
    nodes = lab.nodes(2, slots=2)
    job = cluster.map(lab.effects.worker(seconds=0.02), range(60), chunk=1)
    for index in range(60):
        lab.effects.open_gate(index)
    for round_number in range(3):
        lab.effects.wait_for_begins(10 * (round_number + 1))
        nodes.pop(0).kill()
        nodes += lab.nodes(1, slots=2)
    assert job.wait(60).results() == SQUARES[:60]
    assert results_per_partition(lab, job) == [1] * 60
    # Only what ran on a victim can have run twice: two slots, three victims.
    assert sum(lab.effects.begun().values()) <= 60 + 3 * 2 + lab.tables.count("batch_attempts")


@pytest.mark.parametrize("family", [False, True], ids=["agent", "agent-and-children"])
def test_a_frozen_node_is_refused_and_goes_on_as_a_healthy_one(lab: Lab, family: bool) -> None:
    frozen, other = lab.nodes(2, slots=2, node_cleanup_threshold="60s")
    cluster = lab.connect(node_cleanup_threshold="60s")
    job = cluster.map(lab.effects.worker(), range(12), chunk=1)
    lab.effects.wait_for_begins(2, other.id)
    held = {note.index for note in lab.effects.wait_for_begins(2, frozen.id) if note.node == frozen.id}
    frozen.freeze(family=family)
    wait_until(lambda: node_states(cluster)[frozen.id] == "UNREACHABLE", message="the suspicion")
    for index in set(range(12)) - held:
        lab.effects.open_gate(index)
    wait_until(lambda: {lab.effects.begun()[n] for n in held} == {2}, message="the second attempts elsewhere")
    # While the second attempts run, the first ones end and their results arrive.
    for index in held:
        lab.effects.open_gate(index, attempt=1)
    if not family:
        wait_until(lambda: set(lab.effects.ended()) >= held, message="the first attempts' ends")
    frozen.thaw()
    wait_until(lambda: fenced(frozen.said()) == 2, message=lambda: f"two refusals:\n{frozen.said()}")
    wait_until(lambda: node_states(cluster)[frozen.id] == "ACTIVE", message="the return of the frozen node")
    assert {n: job.partitions()["state"][n] for n in held} == dict.fromkeys(held, "CLAIMED")
    assert [results_per_partition(lab, job)[n] for n in held] == [0, 0]
    lab.effects.open_gate()

    assert job.wait(60).results() == SQUARES[:12]
    assert results_per_partition(lab, job) == [1] * 12
    second = job.partitions().set_index("partition").loc[sorted(held)]
    assert set(second["attempt"]) == {2}
    assert set(second["node"]) == {other.id}
    # A healthy node again: it claims under the same id.
    lab.effects.start_anew()
    back = cluster.map(lab.effects.worker(), range(8), chunk=1)
    lab.effects.wait_for_begins(2, frozen.id)
    lab.effects.open_gate()
    assert set(back.wait(60).partitions()["node"]) == {frozen.id, other.id}


def fenced(log: str) -> int:
    """How many outcomes of its own a node has dropped, by its log."""
    at_once = len(re.findall(r"FENCED: partition ", log))
    moved = [int(number) for number in re.findall(r"FENCED: (\d+) partitions were moved", log)]
    return at_once + sum(moved)


def test_a_node_that_was_removed_meanwhile_registers_anew(lab: Lab) -> None:
    frozen, other = lab.nodes(2, slots=1, database_patience="2s")  # being frozen is no lack of a database
    cluster = lab.connect()
    job = cluster.map(lab.effects.worker(), range(6), chunk=1)
    lab.effects.wait_for_begins(1, other.id)
    lab.effects.wait_for_begins(1, frozen.id)
    old = frozen.id
    frozen.freeze()
    wait_until(lambda: old not in node_states(cluster), message="its removal")
    lab.effects.open_gate()
    frozen.thaw()
    new = wait_until(lambda: next(iter(set(node_states(cluster)) - {other.id}), None), message="its new registration")
    assert new.rsplit("-", 1)[0] == old.rsplit("-", 1)[0]
    assert job.wait(60).results() == SQUARES[:6]
    assert results_per_partition(lab, job) == [1] * 6
    wait_until(lambda: fenced(frozen.said()) == 1, message=lambda: f"a refusal:\n{frozen.said()}")
    lab.effects.start_anew()
    later = cluster.map(lab.effects.worker(), range(6), chunk=1)
    lab.effects.wait_for_begins(1, new)
    lab.effects.open_gate()
    assert set(later.wait(60).partitions()["node"]) == {new, other.id}


def test_the_only_node_takes_its_own_moved_work_again(lab: Lab) -> None:
    """The old run of a partition must not end the new one that the same node claimed."""
    (node,) = lab.nodes(1, slots=2, node_cleanup_threshold="60s")
    cluster = lab.connect(node_cleanup_threshold="60s")
    job = cluster.map(lab.effects.worker(), range(4), chunk=1)
    lab.effects.wait_for_begins(2, node.id)
    node.freeze(family=True)
    wait_until(lambda: node_states(cluster)[node.id] == "UNREACHABLE", message="the suspicion")
    lab.effects.open_gate()
    node.thaw()
    assert job.wait(30).results() == SQUARES[:4]
    assert results_per_partition(lab, job) == [1] * 4
    assert sorted(job.partitions()["attempt"]) == [1, 1, 2, 2]
