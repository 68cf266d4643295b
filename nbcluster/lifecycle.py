"""Which states there are, and who may move what from where to where.  Pure.

Every write of a state in ``store`` takes its expected source states from the
tables below, and obeys the affected row count.
"""

from __future__ import annotations

from enum import IntEnum, StrEnum


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
    """Of a step: it waits for an earlier one."""
    STARTED = "STARTED"
    """Its partitions may be claimed."""
    COMPLETED = "COMPLETED"
    """Final: every partition is COMPLETED."""
    FAILED = "FAILED"
    """Final: at least one partition FAILED."""
    STOPPED = "STOPPED"
    """Final: somebody stopped it before it was complete; it can be resumed."""


class StepKind(StrEnum):
    """What a step is for.  All of them are partitions that are claimed, fenced and recorded alike."""

    PARTITIONED = "PARTITIONED"
    """One partition for each piece of a split, on the nodes."""
    LOCAL = "LOCAL"
    """One partition that the launcher runs itself, in its own process; a node when the launcher is gone."""
    AGGREGATE = "AGGREGATE"
    """One partition whose argument is every value of an earlier step."""
    ON_SUCCESS = "ON_SUCCESS"
    """One partition that is told how everything ended; started when every other step is COMPLETED."""
    ON_FAILURE = "ON_FAILURE"
    """The same for a job in which something FAILED."""


CALLBACKS = (StepKind.ON_SUCCESS, StepKind.ON_FAILURE)


class StopRequest(IntEnum):
    """Who asked a job to stop, and how."""

    NONE = 0
    STOP = 1
    """A user: running partitions get SIGINT and some seconds."""
    NOW = 2
    """A user: running partitions are killed."""
    TOO_MANY_ERRORS = 3
    """More items failed than ``max_errors`` allows: the rest is not begun, and the job ends FAILED."""


class Phase(StrEnum):
    """What ``batch_events`` records, each in the transaction of what it tells."""

    RECEIVED = "RECEIVED"
    PARTITIONED = "PARTITIONED"
    DISTRIBUTED = "DISTRIBUTED"
    STEP_STARTED = "STEP_STARTED"
    STEP_ENDED = "STEP_ENDED"
    COMPLETION_DETECTED = "COMPLETION_DETECTED"
    TAKEN_OVER = "TAKEN_OVER"
    RESUMED = "RESUMED"
    STOP_REQUESTED = "STOP_REQUESTED"
    PAUSED = "PAUSED"
    UNPAUSED = "UNPAUSED"
    CACHED = "CACHED"
    """Some partitions of a step took their results over from earlier jobs; ``detail`` says how many."""
    # Of partitions, listed in ``members``:
    CLAIMED = "CLAIMED"
    STARTED = "STARTED"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    HANDED_BACK = "HANDED_BACK"
    RETRIED = "RETRIED"
    CRASHED = "CRASHED"
    MOVED = "MOVED"
    CANCELLED = "CANCELLED"
    REFUSED = "REFUSED"
    FENCED = "FENCED"
    # Of nodes:
    NODE_JOINED = "NODE_JOINED"
    NODE_DRAINING = "NODE_DRAINING"
    NODE_RETURNED = "NODE_RETURNED"
    NODE_UNREACHABLE = "NODE_UNREACHABLE"
    NODE_REMOVED = "NODE_REMOVED"
    NODE_LEFT = "NODE_LEFT"


class ExitCode(StrEnum):
    """Why a partition ended."""

    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    """The function raised."""
    CANCELLED = "CANCELLED"
    """The job was stopped, or an earlier step of it failed."""
    TIMEOUT = "TIMEOUT"
    """It ran longer than the job's ``timeout`` and was killed."""
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
        "handed back on an orderly stop, retried after an error or a crash, or moved after the owner was lost"
    ),
    (PartitionStatus.PENDING, PartitionStatus.FAILED): "the job was stopped, or failed, before anybody claimed it",
}

NODE_TRANSITIONS: dict[tuple[NodeStatus, NodeStatus], str] = {
    (NodeStatus.ACTIVE, NodeStatus.UNREACHABLE): "silent beyond the threshold, seen by a node in contact",
    (NodeStatus.DRAINING, NodeStatus.UNREACHABLE): "silent beyond the threshold while draining",
    (NodeStatus.UNREACHABLE, NodeStatus.ACTIVE): "its own beat came again",
    (NodeStatus.ACTIVE, NodeStatus.DRAINING): "told to stop",
    (NodeStatus.UNREACHABLE, NodeStatus.DRAINING): "told to stop while silent",
}

JOB_TRANSITIONS: dict[tuple[JobStatus, JobStatus], str] = {
    (JobStatus.CREATED, JobStatus.STARTED): "the submission committed, or the steps before it are COMPLETED",
    (JobStatus.STARTED, JobStatus.COMPLETED): "every partition is COMPLETED",
    (JobStatus.STARTED, JobStatus.FAILED): "no partition is open and one FAILED",
    (JobStatus.STARTED, JobStatus.STOPPED): "a stop was asked for and no partition is open",
    (JobStatus.CREATED, JobStatus.FAILED): "an earlier step failed, or the other callback is the one to run",
    (JobStatus.CREATED, JobStatus.STOPPED): "a stop was asked for before the step started",
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
