"""A job that may use only so many nodes."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from nbcluster.strategies.base import Assignment, Candidate, Planned
from nbcluster.strategies.round_robin import turns


class FixedNodeCount:
    """The ``count`` least loaded nodes; 0 means 1, more than are alive means all of them."""

    name = "fixed_node_count"

    def __init__(self, count: int) -> None:
        self.count = max(1, count)

    def assign(self, partitions: Sequence[Planned], candidates: Sequence[Candidate]) -> Assignment:
        chosen = sorted(candidates, key=lambda one: one.load)[: self.count]
        if not chosen:
            return Assignment((None,) * len(partitions), (), self.count)
        owners = tuple(itertools.islice(turns(chosen), len(partitions)))
        return Assignment(owners, tuple(one.node_id for one in chosen), len(chosen))
