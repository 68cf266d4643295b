"""The default: nodes in turn, least loaded first, a node with more slots more often."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

from nbcluster.strategies.base import Assignment, Candidate, Planned


class RoundRobin:
    """Live nodes in turn, weighted by slots."""

    name = "round_robin"

    def assign(self, partitions: Sequence[Planned], candidates: Sequence[Candidate]) -> Assignment:
        if not candidates:
            return Assignment((None,) * len(partitions))
        return Assignment(tuple(itertools.islice(turns(candidates), len(partitions))))


def turns(candidates: Sequence[Candidate]) -> Iterator[str]:
    """Node ids for ever: each round names a node once for each of its slots, spread over the round."""
    order = sorted(candidates, key=lambda one: one.load)
    most = max(one.slots for one in order)
    one_round = [one.node_id for turn in range(most) for one in order if turn < one.slots]
    return itertools.cycle(one_round)
