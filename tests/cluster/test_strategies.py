"""Who gets which partition, on real nodes."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

import nbcluster as nb
from tests.cluster.conftest import Lab, about_processes
from tests.waiting import wait_until


def owners(job: Any) -> Counter[str]:
    return Counter(job.partitions()["node"])


@pytest.mark.parametrize("strategy", ["round_robin", "least_loaded"])
def test_every_node_gets_its_share(lab: Lab, strategy: str) -> None:
    one, two = lab.nodes(2, slots=1)
    job = lab.connect().map(lab.effects.worker(), range(8), chunk=1, strategy=strategy)
    assigned = lab.tables.rows("SELECT assigned_node, count(*) FROM batch_partitions GROUP BY assigned_node")
    assert {row[0]: row[1] for row in assigned} == {one.id: 4, two.id: 4}
    lab.effects.wait_for_begins(2)  # else a node whose child is still starting would lose its share to the other
    lab.effects.open_gate()
    job.wait(60)
    assert set(owners(job)) == {one.id, two.id}
    assert job.snapshot().strategy == strategy


def test_a_busy_nodes_share_is_taken_by_an_idle_one(lab: Lab) -> None:
    """A long partition never waits behind a claimed queue while another node idles."""
    one, two = lab.nodes(2, slots=1)
    job = lab.connect().map(lab.effects.worker(), range(8), chunk=1)
    first = lab.effects.wait_for_begins(2)
    held = next(note for note in first if note.node == one.id)
    for index in set(range(8)) - {held.index}:
        lab.effects.open_gate(index)
    wait_until(lambda: job.snapshot().partitions["COMPLETED"] == 7, message="all but the long one")
    lab.effects.open_gate()
    job.wait(60)
    assert owners(job) == {one.id: 1, two.id: 7}
    assert set(lab.effects.begun().values()) == {1}


def test_fixed_node_count_uses_so_many_and_replaces_the_lost(lab: Lab) -> None:
    nodes = lab.nodes(3, slots=1)
    cluster = lab.connect()
    job = cluster.map(lab.effects.worker(), range(12), chunk=1, strategy="fixed_node_count", nodes=1)
    (begun,) = lab.effects.wait_for_begins(1)
    for index in range(4):
        lab.effects.open_gate(index)
    lab.effects.wait_for_begins(5)
    wait_until(lambda: job.snapshot().partitions["COMPLETED"] == 4, message="four results")
    assert {note.node for note in lab.effects.notes()} == {begun.node}
    chosen = next(node for node in nodes if node.id == begun.node)
    chosen.kill()
    lab.effects.open_gate()
    assert job.wait(60).results() == [n * n for n in range(12)]
    workers = {note.node for note in lab.effects.notes()}
    assert len(workers) == 2
    assert sorted(owners(job).values()) == [4, 8]


@about_processes
def test_fixed_node_count_of_zero_is_one_and_of_many_is_all(lab: Lab) -> None:
    nodes = lab.nodes(2, slots=1)
    cluster = lab.connect()
    lab.effects.open_gate()
    worker = lab.effects.worker(seconds=0.02)
    none = cluster.map(worker, range(8), chunk=1, strategy="fixed_node_count", nodes=0).wait(60)
    assert len(owners(none)) == 1
    many = cluster.map(worker, range(8), chunk=1, strategy="fixed_node_count", nodes=99).wait(60)
    assert set(owners(many)) == {node.id for node in nodes}


def test_fixed_node_count_without_nodes_takes_the_first_that_come(lab: Lab) -> None:
    job = lab.connect().map(lab.effects.worker(), range(8), chunk=1, strategy="fixed_node_count", nodes=1)
    lab.nodes(2, slots=1)
    lab.effects.wait_for_begins(1)
    lab.effects.open_gate()
    job.wait(60)
    assert len(owners(job)) == 1


def test_a_node_that_joins_later_pulls_its_weight(lab: Lab) -> None:
    (early,) = lab.nodes(1, slots=1)
    job = lab.connect().map(lab.effects.worker(), range(12), chunk=1, strategy="scale_up")
    lab.effects.wait_for_begins(1, early.id)
    assert lab.tables.count("batch_partitions", "status = 'PENDING' AND assigned_node IS NOT NULL") == 0
    (late,) = lab.nodes(1, slots=1)
    lab.effects.wait_for_begins(1, late.id)
    lab.effects.open_gate()
    assert job.wait(60).results() == [n * n for n in range(12)]
    assert set(owners(job)) == {early.id, late.id}


class EvenOdd:
    """Even partitions to the first node by id, odd ones to the other."""

    name = "even_odd"

    def assign(self, partitions: Any, candidates: Any) -> Any:
        nodes = sorted(candidates, key=lambda one: one.node_id)
        return [nodes[partition.index % 2] for partition in partitions]


def test_a_class_and_a_function_decide(lab: Lab) -> None:
    ids = sorted(node.id for node in lab.nodes(2, slots=1))
    cluster = lab.connect()
    seen = []

    def to_the_last(partitions: Any, candidates: Any) -> Any:
        seen.append((len(partitions), sorted(one.slots for one in candidates)))
        return [max(candidates, key=lambda one: one.node_id).node_id] * len(partitions)

    by_class = cluster.map(lab.effects.worker(), range(6), chunk=1, strategy=EvenOdd)
    assigned = lab.tables.rows("SELECT assigned_node FROM batch_partitions ORDER BY partition_index")
    assert [row[0] for row in assigned] == ids * 3
    lab.effects.open_gate()
    by_class.wait(60)
    assert by_class.snapshot().strategy == "even_odd"

    by_function = cluster.map(lambda n: n, range(6), chunk=1, strategy=to_the_last).wait(60)
    assert by_function.results() == list(range(6))
    assert by_function.snapshot().strategy == "to_the_last"
    assert seen == [(6, [1, 1])]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"strategy": "round_robbin"}, "there is no strategy 'round_robbin'; known are round_robin, "),
        ({"strategy": 7}, "7 is no assignment strategy"),
        ({"strategy": lambda partitions, candidates: []}, "gave 0 owners for 4 partitions; give one each"),
        ({"strategy": lambda partitions, candidates: ["ghost"] * 4}, "named 'ghost', which is no live node"),
        ({"nodes": 2}, "nodes= goes with strategy='fixed_node_count' only"),
        ({"strategy": "fixed_node_count", "nodes": -1}, "nodes is -1"),
        ({"strategy": "fixed_node_count", "nodes": "two"}, "nodes is 'two'"),
    ],
)
def test_a_senseless_strategy_is_one_sentence_and_no_job(cluster: Any, options: dict[str, Any], said: str) -> None:
    before = len(cluster.jobs(all=True))
    with pytest.raises(nb.UsageError) as caught:
        cluster.map(lambda n: n, range(4), chunk=1, **options)
    assert said in str(caught.value)
    assert len(cluster.jobs(all=True)) == before


def test_a_strategy_that_raises_is_named(cluster: Any) -> None:
    def broken(partitions: Any, candidates: Any) -> Any:
        raise ZeroDivisionError("in the strategy")

    with pytest.raises(ZeroDivisionError, match="in the strategy"):
        cluster.map(lambda n: n, range(4), strategy=broken)
