"""What the view of a job shows, at one moment: frozen rows, nothing unpickled."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from nbcluster.lifecycle import JOB_FINAL


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
    """A step as the live view shows it; ``done`` of ``total`` partitions while it runs."""

    name: str
    kind: str
    status: str
    not_run: bool
    done: int = 0
    total: int = 0


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
    grid_cell: int
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

    @property
    def total_partitions(self) -> int:
        """All partitions, whatever their state."""
        return sum(self.partitions.values())

    @property
    def finished(self) -> bool:
        """Whether the job's state is final."""
        return self.status in JOB_FINAL

    @property
    def remaining(self) -> float | None:
        """Seconds that the rest takes at the mean rate so far; None before the first item is done."""
        if self.finished or not self.items_done or not self.elapsed:
            return None
        return (self.items - self.items_done) * self.elapsed / self.items_done
