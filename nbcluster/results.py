"""What a step gave, in the user's hands: wait for it, then its values, frames and files."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import AsyncIterator, Generator, Iterator, Sequence
from contextlib import aclosing
from functools import partial
from itertools import accumulate
from typing import TYPE_CHECKING, Any, Literal, Self

from nbcluster import failures
from nbcluster.awaiting import AsCompleted, in_thread
from nbcluster.errors import InputError, JobFailed, JobStopped, PartitionError, WaitTimeout
from nbcluster.lifecycle import FINAL, JOB_FINAL, JobStatus, PartitionStatus
from nbcluster.reading import Item, ResultReader, batches
from nbcluster.records import ItemError, JobRow, Progress
from nbcluster.waiting import Signal, Waiting

if TYPE_CHECKING:
    import pandas as pd

    from nbcluster.api import Cluster

log = logging.getLogger(__name__)

_BATCH = 100
_BATCH_BYTES = 1 << 20
"""As many items and bytes as may wait in memory for whoever asks for them one by one: large values come singly."""

_QUIET_SHARE = 4
"""A partial frame is followed by a pause of this many times its own cost."""


class StepResults:
    """The items of one step of a job execution.  Everything is read from the database.

    ``row`` is the job's, with the step's own name, mode and source.
    """

    def __init__(self, cluster: Cluster, row: JobRow) -> None:
        self._cluster = cluster
        self._store = cluster.store
        self._row = row
        self._first_items: list[int] | None = None
        self._said: set[str] = set()
        self._waiting = Waiting(cluster, row, lambda: self._store.steps.progress(row.step_execution_id), whole=False)

    @property
    def name(self) -> str:
        """The step's name."""
        return self._row.step_name

    # --- waiting ----------------------------------------------------------------

    def _progress(self) -> Progress:
        return self._waiting.progress()

    def done(self) -> bool:
        """Whether the state is final."""
        return self._progress().status in JOB_FINAL

    def wait(self, timeout: float | None = None) -> Self:
        """Wait until the state is final; ``timeout`` in seconds.

        Raises WaitTimeout when it is not by then; the job goes on.  An interrupt ends
        the waiting, not the job.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        for progress in self._waiting.changes(deadline):
            if progress.status in JOB_FINAL:
                return self
        assert timeout is not None
        raise self._still_running(timeout)

    def _still_running(self, timeout: float) -> WaitTimeout:
        return WaitTimeout(f"{self.name} is still running after {timeout:g} s; it goes on, wait() again to see its end")

    def __await__(self) -> Generator[Any, None, Self]:
        """``await job``: like ``wait()``, without blocking the event loop; gives this handle.

        Does not raise because the job failed or was stopped: ``results()`` does.  A cancelled await (a timeout of
        asyncio, the stop button) ends the waiting, not the job.
        """
        return self._final().__await__()

    async def _final(self) -> Self:
        look = partial(self._waiting.changes, None)
        async with aclosing(in_thread(f"nbcluster-await-{self.name}", look)) as changes:
            async for progress in changes:
                if progress.status in JOB_FINAL:
                    break
        return self

    # --- results ------------------------------------------------------------------

    def results(self) -> list[Any]:
        """The values in input order.  Waits.  Raises JobFailed or JobStopped; frame() still shows what is good.

        Raises PartitionError for a result that was altered in the database or cannot be rebuilt here.
        """
        self.wait()
        self._raise_unless_completed()
        return [self._value(item) for item in self._items(self._all(), inputs=False)]

    def result(self) -> Any:
        """The value of a step of one item.  Waits.  Raises PartitionError with the remote traceback."""
        self.wait()
        items = list(self._items(self._all(), inputs=False))
        if len(items) != 1:
            raise InputError(f"{self.name} has {len(items)} items; use results() or frame()")
        return self._value(items[0])

    def frame(self, partial: bool = False) -> pd.DataFrame:
        """One row an input, in input order: input, value, error, partition, node, attempt, seconds.

        Waits for the end; with ``partial=True`` gives the rows of the partitions that are
        final now.  ``seconds`` is each item's time on its node.

        Values of one shape have columns of their own in the place of ``value``: one for each key
        of a dict (texts), field of a named tuple, place of a tuple (``value_0``, ...), label of a
        Series, column of a DataFrame.  A DataFrame gives its rows, with the same input before each
        and its index as a column if that has a name or is not of whole numbers; None among
        DataFrames gives none.  What is missing does not change a dtype (Int64, boolean); a failed
        item has a row.  A column that is called like one of those above becomes ``value_...``.
        Whatever is of several kinds stays as it is, in ``value``, which is said once.  A frame
        or another large part that a partition was given is told by the partition's key.
        """
        from nbcluster.frames.items import items_frame

        if not partial:
            self.wait()
        final = self._store.views.indexes(self._row.step_execution_id, FINAL)
        return items_frame(self._items(final, inputs=True, told=True), self._say_once)

    def _growing(self, deadline: float | None) -> Generator[pd.DataFrame, None, None]:
        """``frame(partial=True)`` whenever more is final, each result read once, until the end or ``deadline``.

        After each frame comes a pause of some times what it cost, and what was done with it: of a job of many items
        the later frames are rarer.
        """
        from nbcluster.frames.items import items_frame

        known: dict[int, list[Item]] = {}
        quiet_until = 0.0
        for progress in self._waiting.changes(deadline):
            more = progress.completed + progress.failed > len(known)
            began = time.monotonic()
            if not more or (began < quiet_until and progress.status not in JOB_FINAL):
                continue
            final = self._store.views.indexes(self._row.step_execution_id, FINAL)
            new = [index for index in final if index not in known]
            known |= {index: [] for index in new}
            for item in self._items(new, inputs=True, told=True):
                known[item.partition].append(item)
            yield items_frame([item for index in sorted(known) for item in known[index]], self._say_once)
            quiet_until = time.monotonic() + _QUIET_SHARE * (time.monotonic() - began)

    def _say_once(self, sentence: str) -> None:
        if sentence not in self._said:
            self._said.add(sentence)
            log.warning("%s: %s", self.name, sentence)

    def to_parquet(self, path: str | os.PathLike[str], partial: bool = False) -> None:
        """Write the rows of ``frame()`` to a Parquet file, of which only some are in memory at a time.

        Waits for the end, unless ``partial``.  Columns are those of the frame, with their types; values within values
        are JSON texts, lengths of time are seconds.  The file appears when it is complete, in the place of an older
        one.  Raises InputError when it cannot be written; then nothing of it is left.
        """
        self._export(path, "parquet", partial)

    def to_csv(self, path: str | os.PathLike[str], partial: bool = False) -> None:
        """Write the rows of ``frame()`` to a CSV file with a header, as ``to_parquet`` does.

        ``.gz`` or ``.zst`` at the end of its name packs it.  Times with a zone are in UTC.  Texts stand as they are:
        a spreadsheet takes one that begins with ``=`` for a formula.
        """
        self._export(path, "csv", partial)

    def _export(self, path: str | os.PathLike[str], kind: Literal["parquet", "csv"], partial: bool) -> None:
        from nbcluster.exports import checked_path, export

        checked_path(path, kind)
        if not partial:
            self.wait()
        final = self._store.views.indexes(self._row.step_execution_id, FINAL)
        export(path, kind, lambda: self._items(final, inputs=True, told=True), self._say_once)

    def iter(self) -> Iterator[Any]:
        """The values in input order, as they come.  Raises PartitionError at a failed item."""
        for batch in self._in_order(Signal()):
            for item in batch:
                yield self._value(item)

    async def __aiter__(self) -> AsyncIterator[Any]:
        """``async for value in job``: like ``iter()``, without blocking the event loop."""
        async with aclosing(in_thread(f"nbcluster-iter-{self.name}", self._in_order)) as batches:
            async for batch in batches:
                for item in batch:
                    yield self._value(item)

    def as_completed(self) -> AsCompleted:
        """(input, value) of each good item, as partitions finish; raises JobFailed at the end if any failed.

        For ``for`` and for ``async for``.
        """
        name = f"nbcluster-as-completed-{self.name}"
        return AsCompleted(self._arriving(Signal()), lambda: in_thread(name, self._arriving))

    def _in_order(self, signal: Signal) -> Iterator[list[Item]]:
        begun, number = 0, len(self._offsets())
        for _ in self._growths(signal):
            end = self._store.views.first_open(self._row.step_execution_id)
            ready = range(begun, number if end is None else end)
            begun = ready.stop
            yield from batches(self._items(ready, inputs=False), _BATCH, _BATCH_BYTES)

    def _arriving(self, signal: Signal) -> Iterator[list[Item]]:
        seen = bytearray(len(self._offsets()))
        refused: list[Item] = []
        for _ in self._growths(signal):
            begin = seen.find(0)
            final = self._store.views.indexes(self._row.step_execution_id, FINAL, begin) if begin >= 0 else []
            new = [index for index in final if not seen[index]]
            for index in new:
                seen[index] = 1
            for batch in batches(self._items(new, inputs=True), _BATCH, _BATCH_BYTES):
                yield [item for item in batch if item.error is None]
                refused += [item for item in batch if item.error is not None][-1:]
        self._raise_unless_completed()
        for item in refused[-1:]:  # it was completed on its node, and cannot be read here
            self._value(item)

    def _growths(self, signal: Signal) -> Iterator[Progress]:
        """How far it is, whenever more partitions are final."""
        known = -1
        for progress in self._waiting.changes(signal=signal):
            number = progress.completed + progress.failed
            if number > known:
                known = number
                yield progress

    def errors(self) -> pd.DataFrame:
        """One row a failed input so far: item, partition, node, attempt, error, message, traceback."""
        from nbcluster.frames import errors_frame

        return errors_frame(self._failed_items())

    def _failed_items(self) -> Iterator[Item]:
        failed = self._store.views.indexes(self._row.step_execution_id, (PartitionStatus.FAILED,))
        offsets = self._offsets()
        return ResultReader(self._store, self._row).errors(failed, [offsets[index] for index in failed])

    def _items(self, indexes: Sequence[int], *, inputs: bool, told: bool = False) -> Iterator[Item]:
        offsets = self._offsets()
        reader = ResultReader(self._store, self._row, told=told)
        return reader.items(indexes, [offsets[i] for i in indexes], inputs=inputs)

    def final_items(self, *, values: bool) -> Iterator[Item]:
        """The items of the partitions that are final now, without inputs; without ``values`` nothing is unpickled."""
        final = self._store.views.indexes(self._row.step_execution_id, FINAL)
        offsets = self._offsets()
        reader = ResultReader(self._store, self._row)
        return reader.items(final, [offsets[index] for index in final], inputs=False, values=values)

    def _all(self) -> list[int]:
        return list(range(len(self._offsets())))

    def _offsets(self) -> list[int]:
        """Where each partition's items begin in the input."""
        if self._first_items is None:
            self._first_items = starts(self._store.views.sizes(self._row.step_execution_id))
        return self._first_items

    def _raise_unless_completed(self) -> None:
        status = self._progress().status
        if status is JobStatus.STOPPED:
            raise JobStopped(f"{self.name} was stopped; what is finished is in frame(), resume() goes on")
        if status is JobStatus.FAILED:
            raise JobFailed(self.failure())

    @property
    def _called(self) -> str:
        """How messages speak of this handle."""
        return f"job.step({self.name!r})"

    def failure(self, called: str = "") -> str:
        """Why it failed, in at most three groups of errors; ``called`` is the variable that holds this handle."""
        name = called or self._called
        return failures.summary(
            self.name, self._groups(), self._progress().items, lambda partition: f"{name}.replay({partition})"
        )

    def _groups(self) -> list[failures.Group]:
        return failures.groups_of(self._failed_items())

    def _value(self, item: Item) -> Any:
        if item.error is not None:
            raise self._partition_error(item, item.error)
        return item.value

    def _partition_error(self, item: Item, error: ItemError) -> PartitionError:
        return PartitionError(
            f"{error.error_type}: {error.message} (item {item.index} of {self.name}, partition {item.partition}, "
            f"on {item.node}, attempt {item.attempt})"
            + failures.advice(error.error_type, f"{self._called}.replay({item.partition})"),
            index=item.index,
            partition=item.partition,
            node=item.node,
            attempt=item.attempt,
            error_type=error.error_type,
            remote_traceback=error.traceback,
        )


def starts(sizes: Sequence[int]) -> list[int]:
    """Where each partition begins, from how many items each holds."""
    return [0, *accumulate(sizes)][: len(sizes)]
