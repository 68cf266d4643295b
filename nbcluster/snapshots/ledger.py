"""What is known of the partitions of a step that have ended: sums that grow with each look, so that a look is cheap.

An ended partition stays as it is for the rest of its execution: each is read and counted once.  Pure.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from nbcluster.shown import Ended, NodeWork, Running

RECENTLY = 30.0
"""Seconds that count as the recent past of a node's work."""

_ENDED = "cfs"
_STRIDE = 512
_ONLY_ENDED = str.maketrans("r", ".")


@dataclass
class _Node:
    """The sums of one node.  Moments are seconds of the caller's clock."""

    completed: int = 0
    ended: int = 0
    items: int = 0
    seconds: float = 0.0
    recent_partitions: int = 0
    recent_items: int = 0
    since: float = field(default=float("inf"))


@dataclass
class FailedGroup:
    """Partitions that failed for the same reason: how many items of them, and the first one."""

    exit_code: str
    message: str
    number: int
    first_partition: int


class Ledger:
    """The ended partitions of one step, in sums."""

    def __init__(self) -> None:
        self.items_done = 0
        self.items_failed = 0
        self._letters = ""
        self._nodes: dict[str, _Node] = {}
        self._recent: deque[tuple[float, _Node, int]] = deque()
        self._groups: dict[tuple[str, str], FailedGroup] = {}

    def missing(self, letters: str) -> list[int]:
        """The partitions that ended since the last entries, from the letters of all (see ``Tally``)."""
        ended, known = letters.translate(_ONLY_ENDED), self._letters
        found = []
        for start in range(0, len(ended), _STRIDE):
            part, before = ended[start : start + _STRIDE], known[start : start + _STRIDE]
            if part != before:
                before = before.ljust(len(part), ".")
                found += [start + place for place, one in enumerate(part) if one != before[place]]
        return found

    def enter(self, letters: str, rows: Sequence[Ended], now: float) -> None:
        """Count partitions that ``missing(letters)`` named; ``now`` is the moment of the look."""
        self._letters = letters.translate(_ONLY_ENDED)
        for row in sorted(rows, key=lambda row: -(row.ended_ago or 0.0)):
            letter = letters[row.partition]
            self.items_done += row.items
            self.items_failed += row.failed_items
            if letter == "f":
                self._group(row)
            # What a stop kept from its end is nobody's work, nor is what was carried over from an earlier execution.
            if letter != "s" and row.node is not None and row.ended_ago is not None:
                self._work(row, letter, row.node, now)

    def _group(self, row: Ended) -> None:
        key = (row.exit_code or "", row.message or "")
        group = self._groups.setdefault(key, FailedGroup(*key, 0, row.partition))
        group.number += max(1, row.failed_items)
        group.first_partition = min(group.first_partition, row.partition)

    def _work(self, row: Ended, letter: str, name: str, now: float) -> None:
        node = self._nodes.setdefault(name, _Node())
        node.completed += letter == "c"
        node.ended += 1
        node.items += row.items
        node.seconds += row.seconds or 0.0
        node.since = min(node.since, now - (row.claimed_ago or 0.0))
        ended = now - (row.ended_ago or 0.0)
        if now - ended < RECENTLY:
            node.recent_partitions += 1
            node.recent_items += row.items
            self._recent.append((ended, node, row.items))

    def works(self, running: Mapping[str, Running], now: float) -> list[NodeWork]:
        """What each node has done, and does now."""
        while self._recent and now - self._recent[0][0] >= RECENTLY:
            _, node, items = self._recent.popleft()
            node.recent_partitions -= 1
            node.recent_items -= items
        return [
            _node_work(name, self._nodes.get(name, _Node()), running.get(name), now)
            for name in sorted(self._nodes.keys() | running.keys())
        ]

    def groups(self, most: int) -> list[FailedGroup]:
        """Why partitions failed, the most frequent first."""
        return sorted(self._groups.values(), key=lambda group: (-group.number, group.first_partition))[:most]


def _node_work(name: str, node: _Node, running: Running | None, now: float) -> NodeWork:
    since = min(node.since, now if running is None else now - running.longest)
    return NodeWork(
        node=name,
        running=0 if running is None else running.number,
        completed=node.completed,
        ended=node.ended,
        items=node.items,
        seconds=node.seconds,
        recent_partitions=node.recent_partitions,
        recent_items=node.recent_items,
        recent_seconds=min(RECENTLY, max(0.0, now - since)),
    )
