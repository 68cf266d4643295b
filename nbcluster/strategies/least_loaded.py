"""Each partition to whoever has least to do."""

from __future__ import annotations

import heapq
from collections.abc import Sequence

from nbcluster.strategies.base import Assignment, Candidate, Planned


class LeastLoaded:
    """Each partition to the node with the lowest load, counting what it was just given; ties in order."""

    name = "least_loaded"

    def assign(self, partitions: Sequence[Planned], candidates: Sequence[Candidate]) -> Assignment:
        if not candidates:
            return Assignment((None,) * len(partitions))
        heap = [(one.busy / one.slots, place, one.busy) for place, one in enumerate(candidates)]
        heapq.heapify(heap)
        owners = []
        for _ in partitions:
            _, place, given = heap[0]
            owners.append(candidates[place].node_id)
            heapq.heapreplace(heap, ((given + 1) / candidates[place].slots, place, given + 1))
        return Assignment(tuple(owners))
