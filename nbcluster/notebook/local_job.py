"""``%%nbcluster local``: the same cell in this very process, for trying it and for breakpoints.

The result answers like a job's handle, so that the cells below need not change.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import Any

from nbcluster import frames
from nbcluster.errors import JobFailed
from nbcluster.notebook.body import Step

_COLUMNS = ("input", "value", "error", "partition", "node", "attempt", "seconds")


class LocalJob:
    """A finished run of a cell in this process: one partition, one attempt, node ``local``."""

    def __init__(self, name: str, step: Step, items: Iterable[Any], *, collect: bool) -> None:
        self.name = name
        self._rows = [_run(step, item, collect) for item in items]
        self._failed = sum(error is not None for _, _, error, _ in self._rows)
        self.state = "FAILED" if self._failed else "COMPLETED"

    def frame(self, partial: bool = False) -> Any:
        """One row per item, as a job's frame."""
        rows = [(item, value, error, 0, "local", 1, seconds) for item, value, error, seconds in self._rows]
        return frames.from_rows(_COLUMNS, rows)

    def iter(self) -> Iterator[Any]:
        """The values in input order."""
        yield from self.results()

    def results(self) -> list[Any]:
        """The values in input order.  Raises JobFailed if an item failed."""
        if self._failed:
            first = next(error for _, _, error, _ in self._rows if error is not None)
            raise JobFailed(f"{self.name}: {self._failed} of {len(self._rows)} items failed, first with {first}")
        return [value for _, value, _, _ in self._rows]

    def wait(self, timeout: float | None = None) -> LocalJob:
        """Returns at once: a local job has ended when it exists."""
        return self

    def done(self) -> bool:
        """Always true."""
        return True

    def __repr__(self) -> str:
        done = f"{len(self._rows)} of {len(self._rows)} items"
        return f"<Job {self.name}: {self.state}, {done}>"


def _run(step: Step, item: Any, collect: bool) -> tuple[Any, Any, str | None, float]:
    started = time.perf_counter()
    value, error = None, None
    try:
        value = step.function(*item) if step.spread else step.function(item)
    except Exception as failure:
        if not collect:
            raise
        error = f"{type(failure).__name__}: {failure}"
    return item, value, error, time.perf_counter() - started
