"""What happened, from every witness: the tables, the events, the partitions' own notes, the nemesis, the logs.

Nothing here imports the package.  Times are seconds since 1970.
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

TERMINAL = ("COMPLETED", "FAILED", "CANCELLED")
"""Phases after which nothing may happen to a partition."""

RELEASES = ("HANDED_BACK", "RETRIED", "CRASHED", "MOVED")
"""Phases that make a claimed partition PENDING again."""

MOVING = ("CLAIMED", "STARTED", *RELEASES, *TERMINAL)
"""Phases that tell of a partition's state; the others (REFUSED, FENCED) tell of what was not done."""

FINAL = ("COMPLETED", "FAILED")
JOB_FINAL = ("COMPLETED", "FAILED", "STOPPED")
CALLBACKS = ("ON_SUCCESS", "ON_FAILURE")


@dataclass(frozen=True, slots=True)
class Event:
    """A row of ``batch_events``."""

    seq: int
    time: float
    phase: str
    job: int | None = None
    step: int | None = None
    node: str | None = None
    term: int | None = None
    members: tuple[tuple[int, int], ...] = ()
    detail: str | None = None


@dataclass(frozen=True, slots=True)
class Move:
    """One partition's share of an event."""

    event: Event
    partition: int
    attempt: int

    @property
    def phase(self) -> str:
        return self.event.phase

    @property
    def node(self) -> str | None:
        return self.event.node

    def __str__(self) -> str:
        detail = f"  ({self.event.detail})" if self.event.detail else ""
        return f"event {self.event.seq}: {self.phase} attempt {self.attempt} by {self.node}{detail}"


@dataclass(frozen=True, slots=True)
class Job:
    id: int
    name: str
    uid: str
    run: int
    status: str
    stop_requested: int = 0


@dataclass(frozen=True, slots=True)
class Step:
    id: int
    job: int
    name: str
    kind: str
    status: str


@dataclass(frozen=True, slots=True)
class Lease:
    job: int
    step: int
    master: str
    term: int
    status: str


@dataclass(frozen=True, slots=True)
class Partition:
    id: int
    job: int
    step: int
    index: int
    status: str
    attempt: int
    token: int = 0
    node: str | None = None
    transferable: bool = True
    crashes: int = 0
    node_losses: int = 0
    errors: int = 0
    exit_code: str | None = None
    result_of: int | None = None
    """Set when the row was carried over from an earlier execution: it has no history of its own."""


@dataclass(frozen=True, slots=True)
class Result:
    partition: int
    attempt: int
    token: int = 0


@dataclass(frozen=True, slots=True)
class Attempt:
    partition: int
    attempt: int
    node: str
    outcome: str


@dataclass(frozen=True, slots=True)
class Row:
    """A row that a partition wrote into a table of the user's; ``number`` is -1 for the one of its own statement."""

    job: str
    index: int
    attempt: int
    number: int


@dataclass(frozen=True, slots=True)
class Note:
    """A line that a partition itself wrote into a file outside the database."""

    event: str
    job: str
    step: str
    index: int
    attempt: int
    node: str
    pid: int
    monotonic: float = 0.0
    wall: float = 0.0

    def __str__(self) -> str:
        return f"note: {self.event} attempt {self.attempt} on {self.node}, process {self.pid}"


@dataclass(frozen=True, slots=True)
class Harm:
    """What the nemesis did, to which nodes, from when to when (None: to the end)."""

    name: str
    nodes: tuple[str, ...] = ()
    start: float = 0.0
    end: float | None = None
    excuses: frozenset[str] = frozenset()
    """What may follow from it: ``loss`` (the node is given up), ``crash`` (a child of the node dies)."""
    aftermath: float = 2.0
    """Seconds after its end in which that may still happen."""

    def explains(self, what: str, node: str | None, time: float) -> bool:
        over = self.end is not None and time > self.end + self.aftermath
        return what in self.excuses and node in self.nodes and time >= self.start - 0.5 and not over

    def __str__(self) -> str:
        return f"nemesis: {self.name} {' '.join(self.nodes)}"


@dataclass(slots=True)
class Submission:
    """What a kernel asked for; ``returned`` says that it was told that the job is stored."""

    name: str
    partitions: int
    returned: bool = True
    expected: list[Any] | None = None
    """The right values, input by input; None when nobody compares."""
    read: list[Any] | None = None
    """The values as a kernel read them, signatures checked."""
    unreadable: str = ""
    """Why a kernel could not read them."""
    hostile: frozenset[int] = frozenset()
    """Indexes of partitions that kill their child by themselves."""
    rows: int = 0
    """How many rows each partition writes into the user's table; with one more by a statement of its own."""


@dataclass(frozen=True, slots=True)
class Idle:
    """A partition that was seen CLAIMED for so long by a living node in contact, without having begun."""

    partition: int
    attempt: int
    node: str
    seconds: float


@dataclass(slots=True)
class Leftovers:
    """What was still there after everything had been told to end."""

    processes: list[str] = field(default_factory=list)
    sessions: list[str] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    exit_codes: dict[str, int] = field(default_factory=dict)
    """Of processes that were told to end in good order and did not give 0."""


@dataclass
class History:
    """Everything that a check looks at."""

    events: list[Event] = field(default_factory=list)
    jobs: list[Job] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    leases: list[Lease] = field(default_factory=list)
    partitions: list[Partition] = field(default_factory=list)
    results: list[Result] = field(default_factory=list)
    attempts: list[Attempt] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
    harms: list[Harm] = field(default_factory=list)
    submissions: list[Submission] = field(default_factory=list)
    idle: list[Idle] = field(default_factory=list)
    logs: dict[str, str] = field(default_factory=dict)
    aliases: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """For each log, the node ids under which its process was registered."""
    leftovers: Leftovers = field(default_factory=Leftovers)

    # Computed once: add to the lists before the first question.

    @cached_property
    def moves(self) -> dict[int, list[Move]]:
        """Each partition's moves in the order in which they were committed.

        The order of the ids: each event is written after its partition's row was locked.
        """
        found: defaultdict[int, list[Move]] = defaultdict(list)
        for event in sorted(self.events, key=lambda one: one.seq):
            if event.phase in MOVING:
                for partition, attempt in event.members:
                    found[partition].append(Move(event, partition, attempt))
        return found

    @cached_property
    def job(self) -> dict[int, Job]:
        return {job.id: job for job in self.jobs}

    @cached_property
    def step(self) -> dict[int, Step]:
        return {step.id: step for step in self.steps}

    @cached_property
    def partition(self) -> dict[int, Partition]:
        return {partition.id: partition for partition in self.partitions}

    @cached_property
    def begins(self) -> dict[tuple[str, str, int], list[Note]]:
        """The BEGIN notes of each (job name, step name, index)."""
        found: defaultdict[tuple[str, str, int], list[Note]] = defaultdict(list)
        for note in self.notes:
            if note.event == "BEGIN":
                found[note.job, note.step, note.index].append(note)
        return found

    @cached_property
    def places(self) -> dict[tuple[str, str, int], list[Partition]]:
        """The partitions (one in each execution) that a note may be about."""
        found: defaultdict[tuple[str, str, int], list[Partition]] = defaultdict(list)
        for partition in self.partitions:
            found[self.place(partition)].append(partition)
        return found

    def place(self, partition: Partition) -> tuple[str, str, int]:
        job, step = self.job.get(partition.job), self.step.get(partition.step)
        return job.name if job else "?", step.name if step else "?", partition.index

    def of_job(self, job: int) -> list[Event]:
        return [event for event in sorted(self.events, key=lambda one: one.seq) if event.job == job]

    def harmed(self, what: str, node: str | None, time: float) -> bool:
        return any(harm.explains(what, node, time) for harm in self.harms)

    @cached_property
    def fenced(self) -> list[tuple[int, int, str]]:
        """(partition, attempt, node) of outcomes that nodes dropped because "another has it by now"."""
        found = {(m[0], m[1], e.node or "") for e in self.events if e.phase == "FENCED" for m in e.members}
        for log, said in self.logs.items():
            for line in _FENCED.finditer(said):
                index, name, attempt = int(line["index"]), line["job"], int(line["attempt"])
                for place, partitions in self.places.items():
                    if (place[0], place[2]) == (name, index):
                        for node in self.aliases.get(log, ()):
                            found |= {(partition.id, attempt, node) for partition in partitions}
        return sorted(found)


_FENCED = re.compile(r"FENCED: partition (?P<index>\d+) of (?P<job>\S+), attempt (?P<attempt>\d+)")
