"""The attempts of a job as columns of numbers, and what became of each.  Pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

import numpy as np
import numpy.typing as npt

from nbcluster.spans import JobSpans, Span

Floats = npt.NDArray[np.float64]
Whole = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]


class Fate(IntEnum):
    """What became of an attempt, as a picture tells it."""

    COMPLETED = 0
    RUNNING = 1
    FAILED = 2
    RETRIED = 3
    CRASHED = 4
    LOST = 5
    STOPPED = 6


_FATES = {
    "COMPLETED": Fate.COMPLETED,
    "RUNNING": Fate.RUNNING,
    "RETRIED": Fate.RETRIED,
    "CRASHED": Fate.CRASHED,
    "POISON": Fate.CRASHED,
    "NODE_LOST": Fate.LOST,
    "MOVED": Fate.LOST,
    "HANDED_BACK": Fate.STOPPED,
    "CANCELLED": Fate.STOPPED,
}


def fate_of(outcome: str) -> Fate:
    """The fate behind an exit code or a phase; whatever else it says, the function failed."""
    return _FATES.get(outcome, Fate.FAILED)


@dataclass(frozen=True)
class Runs:
    """Attempts as columns; times in seconds since the job was received.

    ``step`` and ``node`` are places in ``steps`` and ``nodes``.  ``begin`` is when the work began as far as that
    is known, ``end`` when its end was recorded, or now.  ``measured`` tells those whose length was measured.
    """

    steps: tuple[str, ...]
    nodes: tuple[str, ...]
    step: Whole
    partition: Whole
    attempt: Whole
    node: Whole
    claimed: Floats
    begin: Floats
    end: Floats
    seconds: Floats
    fate: Whole
    items: Whole
    final: Flags

    def __len__(self) -> int:
        return len(self.step)

    @property
    def measured(self) -> Flags:
        """Those whose seconds are known."""
        known: Flags = ~np.isnan(self.seconds)
        return known

    @property
    def completed(self) -> Flags:
        """Those that completed their partition."""
        decided: Flags = self.final & (self.fate == Fate.COMPLETED)
        return decided

    def where(self, chosen: Any) -> Runs:
        """Some of the attempts, by a mask or by their places."""
        columns = {name: getattr(self, name)[chosen] for name in _COLUMNS}
        return Runs(self.steps, self.nodes, **columns)


_COLUMNS = (
    "step", "partition", "attempt", "node", "claimed", "begin", "end", "seconds", "fate", "items", "final",
)  # fmt: skip


@dataclass(frozen=True)
class Story:
    """What a picture of a job is drawn from: its attempts and what frames them."""

    name: str
    state: str
    length: float
    """Seconds from its first row to its end, or until now."""
    runs: Runs
    partitions: int
    carried: int = 0
    unbegun: Floats = field(default_factory=lambda: np.empty(0))
    slots: dict[str, int] = field(default_factory=dict)
    """Of the nodes that are alive, by their ids."""

    @property
    def going_on(self) -> bool:
        """Whether it has not ended."""
        return self.state == "STARTED"

    @property
    def fates(self) -> Counter[Fate]:
        """How many attempts had which fate."""
        found, numbers = np.unique(self.runs.fate, return_counts=True)
        return Counter({Fate(int(one)): int(number) for one, number in zip(found, numbers, strict=True)})


def story_of(name: str, state: str, length: float, spans: JobSpans, slots: dict[str, int] | None = None) -> Story:
    """A job's rows as the story that pictures are drawn from."""
    last = max((span.ended for span in spans.spans if span.ended is not None), default=0.0)
    length = max(length, last)
    runs = runs_of(spans.spans, spans.steps, length)
    return Story(name, state, length, runs, spans.partitions, spans.carried, np.array(spans.unbegun), slots or {})


def runs_of(spans: Sequence[Span], steps: Sequence[str], now: float) -> Runs:
    """Rows as columns."""
    columns: list[Sequence[Any]] = list(zip(*spans, strict=True)) if spans else [() for _ in Span._fields]
    found: dict[str, Any] = dict(zip(Span._fields, columns, strict=True))
    fates = {outcome: fate_of(outcome) for outcome in set(found["outcome"])}
    found["fate"] = [fates[outcome] for outcome in found.pop("outcome")]
    return columns_of(found, steps, now)


def columns_of(found: Mapping[str, Any], steps: Sequence[str], now: float) -> Runs:
    """Columns of any kind, named as in ``Span`` but with ``fate``, as a ``Runs``.  What goes on lasts until ``now``."""
    claims, ends, lengths = (np.asarray(found[name], dtype=np.float64) for name in ("claimed", "ended", "seconds"))
    ends = np.where(np.isnan(ends), max(now, 0.0), ends)
    nodes, places = _in_order(found["node"])
    known = {name: place for place, name in enumerate(dict.fromkeys([*steps, *found["step"]]))}
    return Runs(
        steps=tuple(known),
        nodes=nodes,
        step=_whole([known[name] for name in found["step"]]),
        partition=_whole(found["partition"]),
        attempt=_whole(found["attempt"]),
        node=places,
        claimed=claims,
        begin=np.where(np.isnan(lengths), claims, ends - lengths),
        end=ends,
        seconds=lengths,
        fate=_whole(found["fate"]),
        items=_whole(found["items"]),
        final=np.asarray(found["final"], dtype=np.bool_),
    )


def _whole(values: Any) -> Whole:
    return np.asarray(values, dtype=np.int64)


def _in_order(names: Any) -> tuple[tuple[str, ...], Whole]:
    """Different names as people order them (lab9 before lab10), and the place of each name among them."""
    found = sorted({str(name) for name in names}, key=lambda name: [
        (1, int(part), "") if part.isdecimal() else (0, 0, part) for part in re.split(r"(\d+)", name)
    ])  # fmt: skip
    places = {name: place for place, name in enumerate(found)}
    return tuple(found), _whole([places[str(name)] for name in names])
