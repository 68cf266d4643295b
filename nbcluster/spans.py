"""What pictures of a job are drawn from: one row an attempt, in seconds since the job was received.  Plain values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


class Span(NamedTuple):
    """An attempt at a partition.

    ``claimed`` and ``ended`` count from the job's first row; ``ended`` is None while it runs.  ``seconds`` is how
    long it ran, None where nobody measured it (it runs, or its node was lost).  ``final`` tells the attempt that
    decided the partition.
    """

    step: str
    partition: int
    attempt: int
    node: str
    outcome: str
    claimed: float
    ended: float | None
    seconds: float | None
    items: int
    final: bool


@dataclass(frozen=True, slots=True)
class JobSpans:
    """Every attempt of one job execution, with what frames them."""

    steps: tuple[str, ...]
    partitions: int
    spans: tuple[Span, ...]
    carried: int = 0
    """Partitions that an earlier execution completed."""
    unbegun: tuple[float, ...] = ()
    """When partitions that nobody had begun were ended by a stop or by another step's failure."""


class Execution(NamedTuple):
    """A whole run of a job: how long it took, and attempts of it (not all, of a large one) to tell its slots by."""

    job: int
    seconds: float
    partitions: int
    spans: tuple[Span, ...]
