"""Orderly ends of a node: Ctrl-C, SIGTERM, and an impatient second one."""

from __future__ import annotations

import signal

import pytest

from tests.cluster.conftest import Lab, about_processes
from tests.cluster.nodes import alive
from tests.waiting import wait_until

ORDINARY = {"unreachable_node_threshold": "60s", "node_cleanup_threshold": "120s"}
"""Nothing here may be noticed by silence."""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_node_that_is_told_to_stop_finishes_what_runs_and_hands_back_the_rest(lab: Lab, number: int) -> None:
    leaving, staying = lab.nodes(2, slots=1, **ORDINARY)
    cluster = lab.connect(**ORDINARY)
    job = cluster.map(lab.effects.worker(), range(12), chunk=1)
    lab.effects.wait_for_begins(1, staying.id)
    lab.effects.wait_for_begins(1, leaving.id)
    family = leaving.children()
    leaving.send(number)
    wait_until(
        lambda: lab.tables.value("SELECT status FROM batch_nodes WHERE node_id = :id", id=leaving.id) == "DRAINING",
        message="draining",
    )
    lab.effects.open_gate()
    assert leaving.process.wait(30) == 0
    assert not any(alive(pid) for pid in family)
    assert lab.tables.count("batch_nodes", "node_id = :id", id=leaving.id) == 0
    assert job.wait(60).results() == [n * n for n in range(12)]
    assert set(lab.effects.begun().values()) == {1}
    assert job.nodes().set_index("node")["done"].to_dict() == {leaving.id: 1, staying.id: 11}


def test_what_does_not_end_within_the_grace_is_handed_back(lab: Lab) -> None:
    leaving, staying = lab.nodes(2, slots=1, shutdown_grace="300ms", **ORDINARY)
    cluster = lab.connect(**ORDINARY)
    job = cluster.map(lab.effects.worker(), range(6), chunk=1)
    lab.effects.wait_for_begins(1, staying.id)
    lab.effects.wait_for_begins(1, leaving.id)
    leaving.send(signal.SIGTERM)
    assert leaving.process.wait(30) == 0
    lab.effects.open_gate()
    assert job.wait(60).results() == [n * n for n in range(6)]
    assert sorted(lab.effects.begun().values()) == [1, 1, 1, 1, 1, 2]
    assert [tuple(row) for row in lab.tables.rows("SELECT node_id, outcome FROM batch_attempts")] == [
        (leaving.id, "HANDED_BACK")
    ]


@about_processes
def test_a_second_sigterm_does_not_wait(lab: Lab) -> None:
    leaving, staying = lab.nodes(2, slots=1, shutdown_grace="10m", **ORDINARY)
    cluster = lab.connect(**ORDINARY)
    job = cluster.map(lab.effects.worker(), range(6), chunk=1)
    lab.effects.wait_for_begins(1, staying.id)
    lab.effects.wait_for_begins(1, leaving.id)
    leaving.send(signal.SIGTERM)
    wait_until(lambda: "told to stop" in leaving.said(), message=leaving.said)
    assert leaving.running
    leaving.send(signal.SIGTERM)
    assert leaving.process.wait(20) == 0
    lab.effects.open_gate()
    assert job.wait(60).results() == [n * n for n in range(6)]
    assert lab.tables.count("batch_nodes", "slots > 0") == 1


@about_processes
def test_what_may_run_only_once_is_finished_within_the_grace(lab: Lab) -> None:
    leaving, staying = lab.nodes(2, slots=1, **ORDINARY)
    cluster = lab.connect(**ORDINARY)
    job = cluster.map(lab.effects.worker(), range(6), chunk=1, transferable=False)
    lab.effects.wait_for_begins(1, staying.id)
    lab.effects.wait_for_begins(1, leaving.id)
    leaving.send(signal.SIGTERM)
    wait_until(lambda: "told to stop" in leaving.said(), message=leaving.said)
    lab.effects.open_gate()
    assert leaving.process.wait(30) == 0
    assert job.wait(60).results() == [n * n for n in range(6)]
    assert set(lab.effects.begun().values()) == {1}


def test_what_may_run_only_once_and_does_not_end_fails(lab: Lab) -> None:
    leaving, staying = lab.nodes(2, slots=1, shutdown_grace="300ms", **ORDINARY)
    cluster = lab.connect(**ORDINARY)
    job = cluster.map(lab.effects.worker(), range(6), chunk=1, transferable=False)
    lab.effects.wait_for_begins(1, staying.id)
    (note,) = [note for note in lab.effects.wait_for_begins(1, leaving.id) if note.node == leaving.id]
    leaving.send(signal.SIGTERM)
    assert leaving.process.wait(30) == 0
    lab.effects.open_gate()
    partitions = job.wait(60).partitions()
    failed = partitions[partitions["state"] == "FAILED"]
    assert failed["partition"].tolist() == [note.index]
    assert failed["exit_code"].tolist() == ["NODE_LOST"]
    assert "was stopped while this partition ran" in failed["message"].item()
    assert set(lab.effects.begun().values()) == {1}


@about_processes
def test_an_idle_node_leaves_at_once(lab: Lab) -> None:
    (node,) = lab.nodes(1, slots=2, **ORDINARY)
    node.send(signal.SIGTERM)
    assert node.process.wait(10) == 0
    assert lab.tables.count("batch_nodes") == 0
