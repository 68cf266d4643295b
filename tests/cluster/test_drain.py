"""A node that is told to drain finishes what it runs, takes nothing more, and leaves."""

from __future__ import annotations

import pytest

from nbcluster.errors import InputError
from tests.cluster.conftest import Lab
from tests.waiting import wait_until

SQUARES = [n * n for n in range(1000)]


@pytest.mark.parametrize("by", ["id", "name"])
def test_a_draining_node_finishes_what_runs_and_leaves(lab: Lab, by: str) -> None:
    leaving = lab.nodes(1, slots=2, node_id_prefix="leaving", shutdown_grace="100ms")[0]
    staying = lab.nodes(1, slots=1, node_id_prefix="staying")[0]
    cluster = lab.connect()
    job = cluster.map(lab.effects.worker(), range(8), chunk=1)
    running = {note.index for note in lab.effects.wait_for_begins(2, leaving.id)}
    assert cluster.drain(leaving.id if by == "id" else "leaving") == [leaving.id]
    wait_until(lambda: "told to stop" in leaving.said(), message="that the node learns it")
    states = dict(cluster.nodes()[["node", "state"]].astype(str).values.tolist())
    assert states == {leaving.id: "DRAINING", staying.id: "ACTIVE"}
    # What runs may take longer than the grace period of a signal.
    wait_until(lambda: lab.effects.begun().total() == 3 and leaving.running, message="one node that works on")
    lab.effects.open_gate()
    assert leaving.process.wait(30) == 0
    assert job.wait(60).results() == SQUARES[:8]
    owners = dict(job.partitions()[["partition", "node"]].values.tolist())
    assert {index for index, node in owners.items() if node == leaving.id} == running
    assert set(job.partitions()["attempt"]) == {1}
    assert list(cluster.nodes()["node"]) == [staying.id]
    left = lab.tables.rows("SELECT node_id, detail FROM batch_events WHERE phase = 'NODE_LEFT'")
    assert [tuple(row) for row in left] == [(leaving.id, "in good order")]


def test_a_signal_ends_the_patience_of_a_draining_node(lab: Lab) -> None:
    (node,) = lab.nodes(1, slots=1, shutdown_grace="100ms")
    cluster = lab.connect()
    job = cluster.map(lab.effects.worker(), range(2), chunk=1)
    lab.effects.wait_for_begins(1)
    cluster.drain(node.id)
    wait_until(lambda: "told to stop" in node.said(), message="that the node learns it")
    node.process.terminate()
    assert node.process.wait(30) == 0
    assert job.snapshot().partitions["PENDING"] == 2
    lab.effects.open_gate()
    lab.nodes(1, slots=1)
    assert job.wait(60).results() == [0, 1]


def test_draining_whom_there_is_not_names_those_there_are(lab: Lab) -> None:
    cluster = lab.connect()
    with pytest.raises(InputError, match="no node is alive"):
        cluster.drain("nobody")
    (node,) = lab.nodes(1, slots=1, node_id_prefix="gpu-box")
    with pytest.raises(InputError, match=f"alive are gpu-box .{node.id}."):
        cluster.drain("gpu")
