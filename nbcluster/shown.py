"""What the view of a job shows, at one moment: frozen rows, nothing unpickled."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from nbcluster.lifecycle import JOB_FINAL, JobStatus

_ENOUGH = 3
"""Partitions that must have ended in the recent past before it says how quickly things go."""


@dataclass(frozen=True, slots=True)
class Standing:
    """The state of a job execution; ``elapsed`` seconds since it was created, until its end."""

    status: JobStatus
    stop_requested: bool
    paused: bool
    ended: datetime | None
    elapsed: float


@dataclass(frozen=True, slots=True)
class Tally:
    """Every partition of a step in one letter, in order, and how many items all have.

    ``c`` COMPLETED, ``f`` FAILED, ``s`` stopped (FAILED as CANCELLED), ``r`` CLAIMED, ``.`` PENDING.
    """

    letters: str
    items: int


class Ended(NamedTuple):
    """A partition that has ended, so many seconds ago; None when that was in an earlier execution."""

    partition: int
    node: str | None
    items: int
    failed_items: int
    seconds: float | None
    ended_ago: float | None
    claimed_ago: float | None
    exit_code: str | None
    message: str | None


class Running(NamedTuple):
    """How many partitions a node has now, and for how many seconds the longest."""

    number: int
    longest: float


@dataclass(frozen=True, slots=True)
class NodeWork:
    """What a node has done of a step.  ``items`` are those of the partitions that ended on it, in ``seconds``.

    What is recent ended in the last ``recent_seconds``; for that long the node is at it, if not longer.
    """

    node: str
    running: int
    completed: int
    ended: int
    items: int
    seconds: float
    recent_partitions: int
    recent_items: int
    recent_seconds: float


def pace(work: NodeWork) -> float | None:
    """Items a second that a node does now; None when nothing tells.

    What ended in the recent past, when that is enough to tell; otherwise what the partitions that it runs now
    give if they take as long as those that ended.  So neither a slow start nor a pause counts.
    """
    if work.recent_partitions >= _ENOUGH and work.recent_seconds:
        return work.recent_items / work.recent_seconds
    return work.running * work.items / work.seconds if work.seconds and work.running else None


def pace_of_all(works: Iterable[NodeWork]) -> float | None:
    """Items a second that all nodes do together; None when nothing tells of any."""
    known = [found for found in map(pace, works) if found is not None]
    return sum(known) if known else None


@dataclass(frozen=True, slots=True)
class NodeView:
    """A node as the live view of a job shows it."""

    node_id: str
    name: str
    status: str
    host: str
    pid: int
    slots: int
    busy: int
    load: float
    heartbeat_age: float
    python: str
    version: str
    done: int = 0
    rate: float | None = None
    """Items a second that it does of the job (see ``pace``); None when nothing tells."""


@dataclass(frozen=True, slots=True)
class RunningView:
    """A partition that a node has: for how many ``seconds``, and how far it says it is (0.0 to 1.0)."""

    index: int
    node: str
    seconds: float
    progress: float | None
    message: str


@dataclass(frozen=True, slots=True)
class StepView:
    """A step as the live view shows it; ``done`` of ``total`` partitions while it runs, ``running`` of them now."""

    name: str
    kind: str
    status: str
    not_run: bool
    done: int = 0
    total: int = 0
    running: int = 0


@dataclass(frozen=True, slots=True)
class StepPart:
    """The items of a step that is shown in place of the job's main one."""

    name: str
    items: int
    items_done: int
    items_failed: int


@dataclass(frozen=True, slots=True)
class ErrorGroup:
    """Errors of one type and message, counted."""

    error_type: str
    message: str
    count: int
    first_partition: int
    first_item: int
    traceback: str


@dataclass(frozen=True, slots=True)
class JobSnapshot:
    """Everything the view of a job shows, at one moment of the database's clock."""

    job_id: int
    name: str
    user: str
    status: str
    stop_requested: bool
    created: datetime
    ended: datetime | None
    elapsed: float
    strategy: str
    transferable: bool
    python: str
    partitions: dict[str, int]
    items: int
    items_done: int
    items_failed: int
    grid: str
    """A letter for each partition, in order (see ``Tally``)."""
    nodes: tuple[NodeView, ...]
    errors: tuple[ErrorGroup, ...]
    obstacles: tuple[str, ...]
    log_tail: str
    cancelled: int = 0
    """How many of the FAILED partitions a stop kept from their end."""
    running: tuple[RunningView, ...] = ()
    """The first of the partitions that run now, in order; not more than 20."""
    paused: bool = False
    steps: tuple[StepView, ...] = ()
    """Every step of a job that has several, in order."""
    rate: float | None = None
    """Items a second (see ``pace``); None when nothing tells."""
    log_partition: int | None = None
    """The partition that printed ``log_tail``."""
    told: StepPart | None = None
    """The step that grid, nodes, errors, output and rate are of, when that is not the main one."""
    cached: str = ""
    """How many partitions took results of earlier jobs over: ``3 of 5``; empty when none did."""

    @property
    def finished(self) -> bool:
        """Whether the job's state is final."""
        return self.status in JOB_FINAL

    @property
    def remaining(self) -> float | None:
        """Seconds that the rest takes at the present rate; None when nothing tells."""
        if self.finished or not self.rate:
            return None
        part = self.told or self
        return (part.items - part.items_done) / self.rate
