"""``%%nbcluster local``: the same cell in this very process, for trying it and for breakpoints.

The result answers like a job's handle, so that the cells below need not change.
"""

from __future__ import annotations

import logging
import os
import time
import traceback
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Iterable, Iterator
from typing import Any, Literal

from nbcluster.awaiting import AsCompleted
from nbcluster.errors import JobFailed
from nbcluster.notebook.body import Step
from nbcluster.reading import Item
from nbcluster.records import ItemError

log = logging.getLogger(__name__)


class LocalJob:
    """A finished run of a cell in this process: one partition, one attempt, node ``local``."""

    def __init__(self, name: str, step: Step, items: Iterable[Any], *, collect: bool) -> None:
        self.name = name
        self._said: set[str] = set()
        self._items = [_run(step, index, item, collect) for index, item in enumerate(items)]
        self._failed = [item for item in self._items if item.error is not None]
        self.state = "FAILED" if self._failed else "COMPLETED"

    def frame(self, partial: bool = False) -> Any:
        """One row an input, with the columns of a job's frame."""
        from nbcluster.frames.items import items_frame

        return items_frame(self._items, self._say_once)

    def to_parquet(self, path: str | os.PathLike[str], partial: bool = False) -> None:
        """Write the rows of ``frame()`` to a Parquet file, as a job does."""
        self._export(path, "parquet")

    def to_csv(self, path: str | os.PathLike[str], partial: bool = False) -> None:
        """Write the rows of ``frame()`` to a CSV file, as a job does."""
        self._export(path, "csv")

    def _export(self, path: str | os.PathLike[str], kind: Literal["parquet", "csv"]) -> None:
        from nbcluster.exports import export

        export(path, kind, lambda: self._items, self._say_once)

    def _say_once(self, sentence: str) -> None:
        if sentence not in self._said:
            self._said.add(sentence)
            log.warning("%s: %s", self.name, sentence)

    def errors(self) -> Any:
        """One row a failed input."""
        from nbcluster.frames import errors_frame

        return errors_frame(self._items)

    def results(self) -> list[Any]:
        """The values in input order.  Raises JobFailed if an item failed."""
        if self._failed:
            first = self._failed[0]
            assert first.error is not None
            raise JobFailed(
                f"{self.name}: {len(self._failed)} of {len(self._items)} items failed, "
                f"the first at item {first.index}: {first.error.error_type}: {first.error.message}"
            )
        return [item.value for item in self._items]

    def iter(self) -> Iterator[Any]:
        """The values in input order."""
        yield from self.results()

    def as_completed(self) -> AsCompleted:
        """(input, value) of each good item.  Raises JobFailed at the end if any failed."""
        return AsCompleted(self._good(), self._good_later)

    def _good(self) -> Iterator[list[Item]]:
        yield [item for item in self._items if item.error is None]
        self.results()

    async def _good_later(self) -> AsyncGenerator[list[Item], None]:
        for batch in self._good():
            yield batch

    async def __aiter__(self) -> AsyncIterator[Any]:
        for value in self.results():
            yield value

    def __await__(self) -> Generator[Any, None, LocalJob]:
        """Gives this at once: a local job has ended when it exists."""
        return self._at_once().__await__()

    async def _at_once(self) -> LocalJob:
        return self

    def wait(self, timeout: float | None = None) -> LocalJob:
        """Returns at once: a local job has ended when it exists."""
        return self

    def stop_when(
        self, predicate: Callable[[Any], object], timeout: float | None = None, now: bool = False
    ) -> LocalJob:
        """Asks once, of all rows: a local job has ended when it exists."""
        predicate(self.frame())
        return self

    def done(self) -> bool:
        """Always true."""
        return True

    def __repr__(self) -> str:
        good = len(self._items) - len(self._failed)
        return f"<Job {self.name}: {self.state}, {good} of {len(self._items)} items>"


def _run(step: Step, index: int, item: Any, collect: bool) -> Item:
    started = time.perf_counter()
    value, error = None, None
    try:
        value = step.function(*item) if step.spread else step.function(item)
    except Exception as failure:
        if not collect:
            raise
        error = ItemError(index, type(failure).__name__, str(failure), traceback.format_exc())
    return Item(index, item, value, error, 0, "local", 1, time.perf_counter() - started)
