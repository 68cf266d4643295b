"""Jobs that nobody runs yet say why, and begin as soon as somebody can."""

from __future__ import annotations

from typing import Any

from tests.cluster.conftest import Lab, about_processes
from tests.waiting import wait_until


def double(n: int) -> int:
    return 2 * n


def test_without_nodes_a_job_waits_says_which_command_starts_one_and_begins_when_one_comes(lab: Lab) -> None:
    cluster = lab.connect()
    job = cluster.map(double, range(5), name="waits")
    snapshot = job.snapshot()
    assert snapshot.partitions == {"PENDING": len(snapshot.grid), "CLAIMED": 0, "COMPLETED": 0, "FAILED": 0}
    (obstacle,) = snapshot.obstacles
    assert obstacle.startswith("No node is alive.")
    assert "nbcluster-node --url" in obstacle
    assert cluster.url in obstacle
    password = cluster.store.database.dialect.url.password
    assert password is None or password not in obstacle
    (node,) = lab.nodes(1, slots=1)
    assert job.wait(60).results() == [0, 2, 4, 6, 8]
    assert job.snapshot().obstacles == ()
    assert set(job.nodes()["node"]) == {node.id}


def test_when_the_last_node_dies_the_job_waits_for_another(lab: Lab) -> None:
    cluster = lab.connect()
    (victim,) = lab.nodes(1, slots=1)
    job = cluster.map(lab.effects.worker(), range(4), chunk=1)
    lab.effects.wait_for_begins(1)
    victim.kill()
    lab.effects.open_gate()
    wait_until(lambda: job.snapshot().obstacles, message="an obstacle")
    assert "No node is alive" in job.snapshot().obstacles[0]
    lab.nodes(1, slots=1)
    assert job.wait(60).results() == [0, 1, 4, 9]


def test_a_job_of_another_python_is_left_alone_and_says_why(lab: Lab) -> None:
    cluster = lab.connect()
    stranger = cluster.map(double, range(3), name="stranger")
    lab.tables.change("UPDATE batch_step_execution SET python = '3.99'")
    (node,) = lab.nodes(1, slots=1)
    assert cluster.map(double, range(3)).wait(60).results() == [0, 2, 4]  # the node works for others
    stranger = cluster.job("stranger")
    assert stranger.snapshot().partitions["PENDING"] == len(stranger.partitions())
    first, second = stranger.snapshot().obstacles
    assert first.startswith(f"Node {node.id} runs Python 3.")
    assert "needs 3.99" in first
    assert "start one with Python 3.99" in second
    stranger.cancel()
    assert stranger.state == "STOPPED"


@about_processes
def test_a_node_of_another_python_is_not_counted_for_the_split(lab: Lab) -> None:
    cluster = lab.connect()
    lab.nodes(1, slots=3)
    odd = lab.nodes(1, slots=20)[0]
    lab.tables.change("UPDATE batch_nodes SET python = '3.99' WHERE node_id = :id", id=odd.id)
    job: Any = cluster.map(double, range(1000)).wait(60)
    assert len(job.partitions()) == 12


def test_an_empty_split_completes_without_nodes(lab: Lab) -> None:
    job = lab.connect().map_partitions(double, lambda partitions: [])
    assert job.wait(30).results() == []
    assert job.state == "COMPLETED"
    assert job.frame().empty
