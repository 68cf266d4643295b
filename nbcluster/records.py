"""Frozen rows: what travels between the rooms.  Plain values, no behaviour that reads or writes.

Times are aware datetimes in UTC, taken from the database's clock.  Durations are seconds.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import datetime

from nbcluster.cachedresult import TakenOver
from nbcluster.lifecycle import (
    ExitCode,
    JobStatus,
    NodeStatus,
    PartitionStatus,
    StepKind,
    StopRequest,
)
from nbcluster.statements import Statement


@dataclass(frozen=True, slots=True)
class Node:
    """A registered process: a worker (slots > 0) or a kernel (0 slots)."""

    node_id: str
    status: NodeStatus
    host: str
    pid: int
    slots: int
    busy: int
    python: str
    version: str
    started: datetime
    heartbeat_age: float
    labels: tuple[str, ...] = ()
    watched: bool = False
    environment: str | None = None
    """The digest of its packages; None while it has not told them."""

    @property
    def name(self) -> str:
        """The stable prefix that people see and pin to."""
        return self.node_id.rsplit("-", 1)[0]

    @property
    def load(self) -> float:
        """Busy slots as a share of all, 0.0 to 1.0 and above when overbooked."""
        return self.busy / self.slots if self.slots else 0.0


@dataclass(frozen=True, slots=True)
class Rights:
    """What a login may not do with the tables (``INSERT on batch_nodes``), and what gives it the right."""

    lacking: tuple[str, ...] = ()
    cure: str = ""
    command: str = ""


@dataclass(frozen=True, slots=True)
class Checkup:
    """A database as it answers this process; ``round_trip`` and ``clock_ahead`` (of this machine's) in seconds."""

    driver: str
    server: str
    round_trip: float
    clock_ahead: float
    rights: Rights


@dataclass(frozen=True, slots=True)
class NewNode:
    """What a process says of itself when it registers."""

    node_id: str
    host: str
    pid: int
    slots: int
    python: str
    version: str
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Signed:
    """Bytes with the code that proves who wrote them."""

    body: bytes
    mac: bytes


@dataclass(frozen=True, slots=True)
class StepToRun:
    """What a node knows of a started step when it claims from it."""

    step_execution_id: int
    job_execution_id: int
    job_name: str
    uid: str
    name: str
    mode: str
    strategy: str
    function_id: str
    function_mac: bytes
    python: str
    max_attempts: int
    max_result: int
    max_log: int
    fixed_nodes: tuple[str, ...] | None
    fixed_count: int | None
    stop_requested: StopRequest
    transferable: bool = True
    kind: StepKind = StepKind.PARTITIONED
    input_of: str | None = None
    retries: int = 0
    retry_on: tuple[str, ...] | None = None
    retry_wait: float = 1.0
    timeout: float | None = None
    require: tuple[str, ...] = ()
    user: str = ""
    priority: int = 0
    paused: bool = False
    into_table: str | None = None
    """The table that takes the rows of its partitions."""
    values_at: str | None = None
    """The folder or address where large values travel; None for the database."""
    bundle_id: str | None = None
    bundle_mac: bytes | None = None


@dataclass(frozen=True, slots=True)
class Claim:
    """A partition that belongs to this node for one attempt."""

    partition_id: int
    step: StepToRun
    index: int
    key: str
    attempt: int
    token: int
    node_id: str
    transferable: bool
    items: int
    crashes: int
    arguments: Signed | None
    arguments_payload: str | None
    errors: int = 0
    has_checkpoint: bool = False
    cache_key: str | None = None
    """The digest of its code and inputs, when its result may be given to other jobs; with the kernel's signature."""
    cache_mac: bytes | None = None

    @property
    def idempotency_key(self) -> str:
        """What is the same for every attempt and every execution of the partition, and for no other one."""
        return f"{self.step.uid}/{self.step.name}/{self.index}"


@dataclass(frozen=True, slots=True)
class Reference:
    """Where a large value is: ``name`` as the row refers to it, in the folder ``at``; None: where the database says.

    ``size`` in bytes; 0 when that is not known.
    """

    name: str
    at: str | None = None
    size: int = 0


@dataclass(frozen=True, slots=True)
class Result:
    """What one attempt produced: pickled values, item errors as JSON text, item seconds as float64 bytes.

    Of large ``values`` there is a ``reference`` instead, and their SHA-256 as ``digest`` where it is known.
    """

    values: bytes
    errors: str
    seconds: bytes
    mac: bytes = b""
    reference: Reference | None = None
    digest: bytes = b""
    unfetched: str | None = None
    """The name of ``values`` that are in the database, but were not read with their row."""


@dataclass(frozen=True, slots=True)
class TableRows:
    """The rows of a partition for the step's table: (name, kind) of each column, how many, and their bytes or file."""

    columns: tuple[tuple[str, str], ...]
    count: int
    body: bytes | os.PathLike[str]


@dataclass(frozen=True, slots=True)
class Finish:
    """The end of one attempt, as it is to be recorded.

    ``status`` COMPLETED or FAILED is final; PENDING hands the partition back, not to be
    claimed before ``retry_after`` seconds from now.  ``crashed`` counts against
    ``max_attempts``, ``erred`` against the step's ``retries``.
    """

    claim: Claim
    status: PartitionStatus
    exit_code: ExitCode | None = None
    exit_message: str = ""
    seconds: float = 0.0
    failed_items: int = 0
    peak_memory: int = 0
    crashed: bool = False
    erred: bool = False
    retry_after: float | None = None
    result: Result | None = None
    """What is stored with COMPLETED or FAILED; with PENDING, the items that are done, kept for the next attempt."""
    log: bytes = b""
    rows: TableRows | None = None
    """What a COMPLETED partition writes into the table of its step."""
    statements: tuple[Statement, ...] = ()
    """What its function gave to its connection."""
    cached_mac: bytes | None = None
    """The signature under which other jobs may take the result over; None when they may not."""


@dataclass(frozen=True, slots=True)
class JobRow:
    """A job execution as the listings show it."""

    job_execution_id: int
    name: str
    user: str
    host: str
    status: JobStatus
    stop_requested: bool
    strategy: str
    mode: str
    transferable: bool
    python: str
    uid: str
    step_execution_id: int
    step_name: str
    master_node_id: str
    term: int
    source: str
    created: datetime
    ended: datetime | None
    elapsed: float
    items: int
    items_done: int
    items_failed: int
    partitions: int
    partitions_done: int
    input_of: str | None = None
    paused: bool = False


@dataclass(frozen=True, slots=True)
class StepRow:
    """A step of a job execution."""

    step_execution_id: int
    name: str
    kind: StepKind
    status: JobStatus
    mode: str
    strategy: str
    source: str
    after: tuple[str, ...]
    input_of: str | None
    not_run: bool
    """Whether it was ended unstarted."""

    @property
    def failed(self) -> bool:
        """Whether it ran and ended FAILED."""
        return self.status is JobStatus.FAILED and not self.not_run

    def aggregates(self, step: str) -> bool:
        """Whether it aggregates the values of that step."""
        return self.kind is StepKind.AGGREGATE and self.input_of == step


@dataclass(frozen=True, slots=True)
class PartitionRow:
    """A partition as the listings show it."""

    partition_id: int
    index: int
    key: str
    status: PartitionStatus
    node: str | None
    attempt: int
    items: int
    failed_items: int
    transferable: bool
    exit_code: str | None
    exit_message: str | None
    seconds: float | None
    claimed: datetime | None
    ended: datetime | None
    progress: float | None = None
    progress_message: str | None = None


@dataclass(frozen=True, slots=True)
class AttemptRow:
    """An attempt at a partition as the listings show it; ``outcome`` says how it ended, or RUNNING.

    ``seconds`` is how long it ran, ``peak_memory`` what its process had used at most, in bytes.
    """

    index: int
    key: str
    attempt: int
    node: str | None
    outcome: str
    message: str
    claimed: datetime | None
    ended: datetime | None
    seconds: float | None
    peak_memory: int | None


@dataclass(frozen=True, slots=True)
class StoredResult:
    """A final partition with what is needed to check and read its result."""

    index: int
    key: str
    status: PartitionStatus
    node: str | None
    attempt: int
    token: int
    items: int
    exit_code: str | None
    exit_message: str | None
    seconds: float | None
    result: Result | None
    arguments: Signed | None
    arguments_reference: Reference | None = None
    """Where large arguments are; the body of ``arguments`` is empty then."""
    arguments_unfetched: str | None = None
    """The name of arguments that are in the database, but were not read with their row."""
    taken_over: TakenOver | None = None


@dataclass(frozen=True, slots=True)
class ItemError:
    """One item that failed, as text: nothing of it is unpickled to look at it."""

    item: int
    error_type: str
    message: str
    traceback: str


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a job is, in counts that one statement gives."""

    status: JobStatus
    stop_requested: bool
    pending: int
    claimed: int
    completed: int
    failed: int
    cancelled: int
    items: int
    items_done: int
    items_failed: int

    @property
    def open(self) -> int:
        """Partitions that are not final."""
        return self.pending + self.claimed
