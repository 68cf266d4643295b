from __future__ import annotations

import itertools

import pytest

from nbcluster.lifecycle import (
    FINAL,
    JOB_FINAL,
    JOB_TRANSITIONS,
    NODE_TRANSITIONS,
    OPEN,
    PARTITION_TRANSITIONS,
    PRESENT,
    JobStatus,
    NodeStatus,
    PartitionStatus,
    job_sources,
    node_sources,
    sources,
)

LEGAL_FOR_PARTITIONS = {
    ("PENDING", "CLAIMED"),
    ("CLAIMED", "COMPLETED"),
    ("CLAIMED", "FAILED"),
    ("CLAIMED", "PENDING"),
    ("PENDING", "FAILED"),
}
LEGAL_FOR_NODES = {
    ("ACTIVE", "UNREACHABLE"),
    ("DRAINING", "UNREACHABLE"),
    ("UNREACHABLE", "ACTIVE"),
    ("ACTIVE", "DRAINING"),
    ("UNREACHABLE", "DRAINING"),
}
LEGAL_FOR_JOBS = {
    ("CREATED", "STARTED"),
    ("CREATED", "FAILED"),
    ("CREATED", "STOPPED"),
    ("STARTED", "COMPLETED"),
    ("STARTED", "FAILED"),
    ("STARTED", "STOPPED"),
}


@pytest.mark.parametrize(("source", "target"), list(itertools.product(PartitionStatus, repeat=2)))
def test_a_partition_makes_only_the_five_moves(source: PartitionStatus, target: PartitionStatus) -> None:
    legal = (source, target) in LEGAL_FOR_PARTITIONS
    assert (source in sources(target)) is legal
    assert ((source, target) in PARTITION_TRANSITIONS) is legal


@pytest.mark.parametrize(("source", "target"), list(itertools.product(NodeStatus, repeat=2)))
def test_a_node_makes_only_the_five_moves(source: NodeStatus, target: NodeStatus) -> None:
    assert (source in node_sources(target)) is ((source, target) in LEGAL_FOR_NODES)


@pytest.mark.parametrize(("source", "target"), list(itertools.product(JobStatus, repeat=2)))
def test_a_job_and_its_steps_make_only_these_moves(source: JobStatus, target: JobStatus) -> None:
    assert (source in job_sources(target)) is ((source, target) in LEGAL_FOR_JOBS)


@pytest.mark.parametrize("final", FINAL)
def test_nothing_leaves_a_final_state_of_a_partition(final: PartitionStatus) -> None:
    assert not [target for target in PartitionStatus if final in sources(target)]


@pytest.mark.parametrize("final", JOB_FINAL)
def test_nothing_leaves_a_final_state_of_a_job(final: JobStatus) -> None:
    assert not [target for target in JobStatus if final in job_sources(target)]


def test_a_partition_is_open_or_final() -> None:
    assert {*OPEN, *FINAL} == set(PartitionStatus)
    assert not {*OPEN} & {*FINAL}


def test_a_node_is_present_unless_it_is_thought_lost() -> None:
    assert set(NodeStatus) - {*PRESENT} == {NodeStatus.UNREACHABLE}


@pytest.mark.parametrize("table", [PARTITION_TRANSITIONS, NODE_TRANSITIONS, JOB_TRANSITIONS])
def test_each_move_has_its_sentence(table: dict[tuple[str, str], str]) -> None:
    assert all(len(sentence.split()) > 2 for sentence in table.values())
