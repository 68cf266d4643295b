"""Which states there are, and who may move what from where to where.  Pure.

Every write of a state in ``store`` takes its expected source states from the
tables below, and obeys the affected row count.
"""

from __future__ import annotations

from enum import StrEnum


class NodeStatus(StrEnum):
    """The life of a node process."""

    ACTIVE = "ACTIVE"
    """Registered and beating: it may claim."""
    UNREACHABLE = "UNREACHABLE"
    """Silent beyond the threshold: its work has been moved; its own next beat makes it ACTIVE."""
    DRAINING = "DRAINING"
    """Told to stop: it claims nothing, finishes or hands back, then removes its row."""


class PartitionStatus(StrEnum):
    """The life of a partition within one job execution."""

    PENDING = "PENDING"
    """Waits to be claimed."""
    CLAIMED = "CLAIMED"
    """Belongs to one node and one attempt, which runs it or starts it at once."""
    COMPLETED = "COMPLETED"
    """Final: its result is stored."""
    FAILED = "FAILED"
    """Final: ``exit_code`` and ``exit_message`` say why."""


class JobStatus(StrEnum):
    """The life of a job execution, its step and its coordination row."""

    CREATED = "CREATED"
    """Being written; never seen outside the submitting transaction."""
    STARTED = "STARTED"
    """Its partitions may be claimed."""
    COMPLETED = "COMPLETED"
    """Final: every partition is COMPLETED."""
    FAILED = "FAILED"
    """Final: at least one partition FAILED."""
    STOPPED = "STOPPED"
    """Final: somebody stopped it before it was complete; it can be resumed."""


class ExitCode(StrEnum):
    """Why a partition ended."""

    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    """The function raised."""
    CANCELLED = "CANCELLED"
    """The job was stopped."""
    NODE_LOST = "NODE_LOST"
    """The node was lost and the partition may not run again."""
    CRASHED = "CRASHED"
    """The child process died and the partition may not run again."""
    POISON = "POISON"
    """The child process died as often as ``max_attempts`` allows."""
    UNSERIALIZABLE = "UNSERIALIZABLE"
    """The result cannot be pickled."""
    RESULT_TOO_LARGE = "RESULT_TOO_LARGE"
    """The result is above ``max_result``."""
    BAD_SIGNATURE = "BAD_SIGNATURE"
    """The stored function or arguments are not signed with the cluster's key."""


PARTITION_TRANSITIONS: dict[tuple[PartitionStatus, PartitionStatus], str] = {
    (PartitionStatus.PENDING, PartitionStatus.CLAIMED): "a node claims it; the attempt goes up by one",
    (PartitionStatus.CLAIMED, PartitionStatus.COMPLETED): "the owner of this attempt finished",
    (PartitionStatus.CLAIMED, PartitionStatus.FAILED): (
        "the owner's function raised, or the owner is gone and it may not run again"
    ),
    (PartitionStatus.CLAIMED, PartitionStatus.PENDING): (
        "handed back on an orderly stop, retried after a crash, or moved after the owner was lost"
    ),
    (PartitionStatus.PENDING, PartitionStatus.FAILED): "the job was stopped before anybody claimed it",
}

NODE_TRANSITIONS: dict[tuple[NodeStatus, NodeStatus], str] = {
    (NodeStatus.ACTIVE, NodeStatus.UNREACHABLE): "silent beyond the threshold, seen by a node in contact",
    (NodeStatus.DRAINING, NodeStatus.UNREACHABLE): "silent beyond the threshold while draining",
    (NodeStatus.UNREACHABLE, NodeStatus.ACTIVE): "its own beat came again",
    (NodeStatus.ACTIVE, NodeStatus.DRAINING): "told to stop",
    (NodeStatus.UNREACHABLE, NodeStatus.DRAINING): "told to stop while silent",
}

JOB_TRANSITIONS: dict[tuple[JobStatus, JobStatus], str] = {
    (JobStatus.CREATED, JobStatus.STARTED): "the submission committed",
    (JobStatus.STARTED, JobStatus.COMPLETED): "every partition is COMPLETED",
    (JobStatus.STARTED, JobStatus.FAILED): "no partition is open and one FAILED",
    (JobStatus.STARTED, JobStatus.STOPPED): "a stop was asked for and no partition is open",
}

OPEN = (PartitionStatus.PENDING, PartitionStatus.CLAIMED)
FINAL = (PartitionStatus.COMPLETED, PartitionStatus.FAILED)
JOB_FINAL = (JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.STOPPED)
PRESENT = (NodeStatus.ACTIVE, NodeStatus.DRAINING)


def sources(target: PartitionStatus) -> tuple[PartitionStatus, ...]:
    """The states from which a partition may go to ``target``."""
    return tuple(source for source, to in PARTITION_TRANSITIONS if to is target)


def node_sources(target: NodeStatus) -> tuple[NodeStatus, ...]:
    """The states from which a node may go to ``target``."""
    return tuple(source for source, to in NODE_TRANSITIONS if to is target)


def job_sources(target: JobStatus) -> tuple[JobStatus, ...]:
    """The states from which a job may go to ``target``."""
    return tuple(source for source, to in JOB_TRANSITIONS if to is target)


def final_job_status(*, failed: int, stop_requested: bool, cancelled: int) -> JobStatus:
    """How a job without open partitions ends.

    A job that was asked to stop but had nothing left to cancel ended by itself.
    """
    if stop_requested and cancelled:
        return JobStatus.STOPPED
    return JobStatus.FAILED if failed else JobStatus.COMPLETED
