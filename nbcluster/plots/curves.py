"""Numbers over time, lengths and their outliers, repeated runs: what the panels draw.  Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from nbcluster.plots.lanes import busy, seats_of, smeared
from nbcluster.plots.runs import Fate, Floats, Runs, Story, runs_of
from nbcluster.spans import Execution

POINTS = 400
"""Times at which states are counted: more than a figure can show."""

_SHOWN_STRAGGLERS = 4
_STRAGGLES = 3.0
"""How many times the median a partition must take to be named."""


class States(NamedTuple):
    """How many partitions were in which state, at each of ``times``."""

    times: Floats
    completed: Floats
    failed: Floats
    stopped: Floats
    running: Floats
    waiting: Floats


def states(story: Story) -> States:
    """Counts over the whole length of the job; at every time they add up to its partitions."""
    runs = story.runs
    times = np.linspace(0.0, max(story.length, 1e-3), POINTS)

    def until(moments: Floats) -> Floats:
        return np.searchsorted(np.sort(moments), times, side="right").astype(np.float64)

    good = runs.completed
    stopped = runs.final & (runs.fate == Fate.STOPPED)
    completed = until(runs.end[good]) + story.carried
    failed = until(runs.end[runs.final & ~good & ~stopped])
    ended = until(runs.end[stopped]) + until(story.unbegun)
    over = runs.fate != Fate.RUNNING
    running = until(runs.begin) - until(runs.end[over])
    running = np.clip(running, 0.0, np.maximum(story.partitions - completed - failed - ended, 0.0))
    waiting = np.maximum(story.partitions - completed - failed - ended - running, 0.0)
    return States(times, completed, failed, ended, running, waiting)


class Rate(NamedTuple):
    """Items completed in a second, in each bin between ``edges``, and on average over the job."""

    edges: Floats
    per_second: Floats
    mean: float


def rate(story: Story) -> Rate:
    """The throughput over the whole length of the job; no more bins than there are partitions to fill them."""
    done = story.runs.where(story.runs.completed)
    bins = int(np.clip(len(done) // 8, 1, 80))
    edges = np.linspace(0.0, max(story.length, 1e-3), bins + 1)
    counted, _ = np.histogram(np.clip(done.end, 0.0, edges[-1]), edges, weights=done.items)
    return Rate(edges, counted / np.diff(edges), float(done.items.sum()) / float(edges[-1]))


class Straggler(NamedTuple):
    """A partition that took several times the median of its step: where it ran, its seconds, how many times."""

    step: str
    partition: int
    node: str
    seconds: float
    times: float


@dataclass(frozen=True)
class Durations:
    """How long completed partitions ran: counts between ``edges`` (seconds), the median, who stands out."""

    edges: Floats
    counts: tuple[tuple[str, Floats], ...]
    """Of each step that has completed partitions, without those that stand out."""
    slow: Floats
    """Those that stand out."""
    median: float
    logarithmic: bool
    stragglers: tuple[Straggler, ...]
    """The slowest, named."""

    @property
    def number(self) -> int:
        """How many partitions it is about."""
        return int(sum(float(counts.sum()) for _, counts in self.counts)) + self.straggling

    @property
    def straggling(self) -> int:
        """How many stand out."""
        return int(self.slow.sum())


def durations(story: Story) -> Durations | None:
    """The histogram of completed partitions; None when nothing has completed."""
    done = story.runs.where(story.runs.completed & story.runs.measured)
    if not len(done):
        return None
    seconds = np.maximum(done.seconds, 1e-6)
    steps = np.unique(done.step)
    times = np.empty(len(done))
    for step in steps:
        mine = done.step == step
        times[mine] = seconds[mine] / np.median(seconds[mine])
    slow = times > _STRAGGLES
    edges, logarithmic = _edges(seconds)
    order = [one for one in np.argsort(-times, kind="stable")[:_SHOWN_STRAGGLERS] if slow[one]]
    return Durations(
        edges=edges,
        counts=tuple((done.steps[step], _counted(seconds[(done.step == step) & ~slow], edges)) for step in steps),
        slow=_counted(seconds[slow], edges),
        median=float(np.median(seconds)),
        logarithmic=logarithmic,
        stragglers=tuple(
            Straggler(
                done.steps[done.step[one]],
                int(done.partition[one]),
                done.nodes[done.node[one]],
                float(seconds[one]),
                float(times[one]),
            )
            for one in order
        ),
    )


def _edges(seconds: Floats) -> tuple[Floats, bool]:
    """Where bins begin and end, and whether they grow."""
    low, high = float(seconds.min()), float(seconds.max())
    bins = int(np.clip(np.sqrt(len(seconds)) * 2, 5, 48))
    if high > 30 * low and len(seconds) > 10:
        return np.geomspace(low * 0.95, high * 1.05, bins + 1), True
    return np.linspace(0.0, high * 1.05, bins + 1), False


def _counted(seconds: Floats, edges: Floats) -> Floats:
    return np.histogram(seconds, edges)[0].astype(np.float64)


class Scaled(NamedTuple):
    """One execution: its job number, how many slots and nodes worked for it, and its seconds."""

    job: int
    slots: int
    nodes: int
    seconds: float


def scaling(executions: Sequence[Execution]) -> list[Scaled]:
    """The slots of each execution are the fewest that explain what is recorded of it."""
    found = []
    for one in executions:
        runs = runs_of(one.spans, (), one.seconds)
        if len(runs):
            lanes = seats_of(runs, {}).lanes
            found.append(Scaled(one.job, int(lanes.sum()), len(runs.nodes), one.seconds))
    return found


class Load(NamedTuple):
    """Busy slots in each bin between ``edges``; a row holds the nodes of one entry of ``rows``."""

    edges: Floats
    rows: tuple[tuple[int, ...], ...]
    busy: Floats


def load(story: Story, most_rows: int, bins: int = 480) -> Load:
    """How busy nodes were: for jobs with more attempts than bars can tell apart."""
    runs = story.runs
    number = len(runs.nodes)
    each = max(1, -(-number // max(1, most_rows)))
    rows = tuple(tuple(range(first, min(first + each, number))) for first in range(0, number, each))
    edges = np.linspace(0.0, max(story.length, 1e-3), bins + 1)
    begin, end, weight = smeared(runs)
    return Load(edges, rows, busy(begin, end, weight, runs.node // each, len(rows), edges) / each)


class Moved(NamedTuple):
    """A partition that a lost node held, and the attempt after it: places of both among the runs."""

    lost: int
    after: int


def moved(runs: Runs) -> list[Moved]:
    """What was lost with a node and claimed again."""
    order = np.lexsort((runs.attempt, runs.partition, runs.step))
    same = (runs.partition[order][1:] == runs.partition[order][:-1]) & (runs.step[order][1:] == runs.step[order][:-1])
    lost = runs.fate[order][:-1] == Fate.LOST
    return [Moved(int(order[place]), int(order[place + 1])) for place in np.flatnonzero(same & lost)]
