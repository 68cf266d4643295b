"""What a strategy gets and gives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Candidate:
    """A live node as a strategy sees it.  ``busy`` counts partitions that it runs now."""

    node_id: str
    slots: int
    busy: int = 0

    @property
    def name(self) -> str:
        """The stable prefix of the id."""
        return self.node_id.rsplit("-", 1)[0]

    @property
    def load(self) -> float:
        """Busy share of the slots."""
        return self.busy / self.slots if self.slots else 0.0


@dataclass(frozen=True, slots=True)
class Planned:
    """A partition as a strategy sees it."""

    index: int
    key: str
    items: int


@dataclass(frozen=True, slots=True)
class Assignment:
    """An owner (or None) for each partition, in order.

    ``only`` limits the step to these nodes until one is lost, then ``count`` says how
    many may take their places; None admits everybody.
    """

    owners: tuple[str | None, ...]
    only: tuple[str, ...] | None = None
    count: int | None = None


class AssignmentStrategy(Protocol):
    """A pure function from partitions and live nodes to owners."""

    @property
    def name(self) -> str:
        """What listings show."""

    def assign(self, partitions: Sequence[Planned], candidates: Sequence[Candidate]) -> Assignment:
        """Choose.  ``candidates`` may be empty: nobody is alive yet."""
