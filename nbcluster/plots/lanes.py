"""Which attempts ran side by side: lanes of a node, and how busy it was.  Pure.

The end of an attempt is recorded when its node commits, several at a time, and how long it ran was measured
before that.  So several that ran one after the other seem to end together.  A lane sets them right: attempts are
moved towards their claim, as little as it takes, until none overlaps another.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nbcluster.plots.runs import Floats, Runs, Whole

_TOLERANCE = 0.05
"""Seconds before its claim at which an attempt may seem to begin: two clocks have measured it."""

_MOST_LANES = 64


@dataclass(frozen=True)
class Seats:
    """For each attempt its lane within its node, and the begin and end that its bar has; lanes of each node."""

    lane: Whole
    begin: Floats
    end: Floats
    lanes: Whole


def seats_of(runs: Runs, slots: dict[str, int]) -> Seats:
    """Give every attempt a lane of its node: as few lanes as can be, or as many as the node is known to have."""
    lane = np.zeros(len(runs), dtype=np.int64)
    begin, end = runs.begin.copy(), runs.end.copy()
    lanes = np.ones(len(runs.nodes), dtype=np.int64)
    for place, node in enumerate(runs.nodes):
        mine = np.flatnonzero(runs.node == place)
        ran = mine[runs.measured[mine]]
        held = mine[~runs.measured[mine]]
        number = _seat_measured(runs, ran, slots.get(node, 0), lane, begin, end)
        lanes[place] = _seat_held(ran, held, max(number, slots.get(node, 0)), lane, begin, end)
    return Seats(lane, begin, end, lanes)


def _seat_measured(runs: Runs, ran: Whole, known: int, lane: Whole, begin: Floats, end: Floats) -> int:
    """Seat what was measured; gives the number of lanes."""
    if not len(ran):
        return 0
    order = ran[np.argsort(-runs.end[ran], kind="stable")]
    number = max(known, _fewest(runs, ran))
    while not (seated := _fitted(runs, order, number)) and number < _MOST_LANES:
        number += 1
    if not seated:
        seated = _fitted(runs, order, _MOST_LANES, strict=False)
    for one, (its_lane, its_begin, its_end) in zip(order, seated, strict=True):
        lane[one], begin[one], end[one] = its_lane, its_begin, its_end
    return number


def _fewest(runs: Runs, ran: Whole) -> int:
    """Lanes that there were at least: all the work between the first claim and the last record."""
    span = float(runs.end[ran].max() - runs.claimed[ran].min()) + _TOLERANCE
    return max(1, min(_MOST_LANES, int(np.ceil(float(runs.seconds[ran].sum()) / span))))


def _fitted(runs: Runs, order: Whole, number: int, *, strict: bool = True) -> list[tuple[int, float, float]]:
    """Lane, begin and end of each, from the last to the first; empty when one would begin before its claim."""
    free = [np.inf] * number
    seated = []
    for one in order:
        recorded = float(runs.end[one])
        # The lane that is free until shortly after; else the one that is free the longest.
        fitting = [place for place in range(number) if free[place] >= recorded]
        chosen = min(fitting, key=free.__getitem__) if fitting else max(range(number), key=free.__getitem__)
        end = min(recorded, free[chosen])
        begin = end - float(runs.seconds[one])
        if strict and begin < float(runs.claimed[one]) - _TOLERANCE and begin < float(runs.begin[one]):
            return []
        free[chosen] = begin
        seated.append((chosen, begin, end))
    return seated


def _seat_held(ran: Whole, held: Whole, number: int, lane: Whole, begin: Floats, end: Floats) -> int:
    """Seat what runs, and what was lost with its node: in a lane from when that was free; gives the lanes.

    A node claims a little ahead.  What was claimed and never found a free lane stands in one more.
    """
    if not len(held):
        return max(1, number)
    count = number or min(len(held), _MOST_LANES)
    taken: list[list[int]] = [[int(one) for one in ran if lane[one] == place] for place in range(count)]
    waiting = False
    for one in held[np.argsort(begin[held], kind="stable")]:
        free = [
            max([float(begin[one]), *(float(end[other]) for other in taken[place] if begin[other] < end[one])])
            for place in range(count)
        ]
        best = min(range(count), key=free.__getitem__)
        if free[best] >= end[one]:
            lane[one], waiting = count, True
            continue
        lane[one], begin[one] = best, free[best]
        taken[best].append(int(one))
    return count + waiting


def busy(begin: Floats, end: Floats, weight: Floats, row: Whole, rows: int, edges: Floats) -> npt.NDArray[np.float64]:
    """How many of these spans were open on average in each bin, a line for each row.  Bins are of one width."""
    bins = len(edges) - 1
    slopes = np.zeros((rows, bins + 2))
    width = float(edges[1] - edges[0])
    for times, sign in ((begin, 1.0), (end, -1.0)):
        place = np.clip((times - edges[0]) / width, 0.0, float(bins))
        whole = place.astype(np.int64)
        part = place - whole
        np.add.at(slopes, (row, whole), sign * weight * (1.0 - part))
        np.add.at(slopes, (row, whole + 1), sign * weight * part)
    return np.maximum(np.cumsum(slopes, axis=1)[:, :bins], 0.0)


def smeared(runs: Runs) -> tuple[Floats, Floats, Floats]:
    """Begin, end and weight of each attempt for ``busy``: what was recorded together ran since the record before.

    The weight makes up for the longer span, so that the work stays the same.
    """
    begin = runs.begin.copy()
    weight = np.ones(len(runs))
    order = np.lexsort((runs.end, runs.node))
    node, end = runs.node[order], runs.end[order]
    fresh = np.ones(len(order), dtype=np.bool_)
    fresh[1:] = (node[1:] != node[:-1]) | (end[1:] > end[:-1])
    group = np.cumsum(fresh) - 1
    heads = np.flatnonzero(fresh)
    before = np.where(np.r_[False, node[heads][1:] == node[heads][:-1]], np.r_[0.0, end[heads][:-1]], 0.0)
    since = np.maximum(before[group], runs.claimed[order])
    stretched = runs.measured[order] & (since < begin[order]) & (end > since)
    chosen = order[stretched]
    begin[chosen] = since[stretched]
    weight[chosen] = runs.seconds[chosen] / (runs.end[chosen] - begin[chosen])
    return begin, runs.end, weight
