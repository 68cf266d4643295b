"""A step of a job in the user's hands: its items, its errors, its partitions, what they printed."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, Any, Self, SupportsIndex

from nbcluster.errors import InputError, JobFailed, JobStopped, PartitionError, WaitTimeout
from nbcluster.lifecycle import FINAL, JOB_FINAL, JobStatus, PartitionStatus
from nbcluster.reading import Item, ResultReader
from nbcluster.records import ItemError, JobRow, Progress
from nbcluster.waiting import Waiting

if TYPE_CHECKING:
    import pandas as pd

    from nbcluster.api import Cluster
    from nbcluster.replaying import Replay

log = logging.getLogger(__name__)

_SHOWN_GROUPS = 3


class StepHandle:
    """One step of a job execution.  Everything is read from the database.

    ``row`` is the job's, with the step's own name, mode and source.
    """

    def __init__(self, cluster: Cluster, row: JobRow) -> None:
        self._cluster = cluster
        self._store = cluster.store
        self._row = row
        self._first_items: list[int] | None = None
        self._waiting = Waiting(cluster, row, lambda: self._store.steps.progress(row.step_execution_id), whole=False)

    @property
    def name(self) -> str:
        """The step's name."""
        return self._row.step_name

    @property
    def code(self) -> str | None:
        """The source text it was submitted with."""
        return self._row.source or None

    @property
    def state(self) -> str:
        """CREATED (it waits for an earlier step), STARTED, COMPLETED, FAILED or STOPPED."""
        return self._progress().status.value

    def __repr__(self) -> str:
        progress = self._progress()
        done = progress.items_done - progress.items_failed
        return f"<Step {self._row.step_name} of {self._row.name}: {progress.status}, {done} of {progress.items} items>"

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
        raise WaitTimeout(f"{self.name} is still running after {timeout:g} s; it goes on, wait() again to see its end")

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
        """
        from nbcluster.frames import items_frame

        if not partial:
            self.wait()
        final = self._store.views.indexes(self._row.step_execution_id, FINAL)
        return items_frame(self._items(final, inputs=True))

    def iter(self) -> Iterator[Any]:
        """The values in input order, as they come.  Raises PartitionError at a failed item."""
        waiting = list(range(len(self._offsets())))
        for final in self._finals():
            ready = []
            while waiting and waiting[0] in final:
                ready.append(waiting.pop(0))
            for item in self._items(ready, inputs=False):
                yield self._value(item)

    def as_completed(self) -> Iterator[tuple[Any, Any]]:
        """(input, value) of each good item, as partitions finish; raises JobFailed at the end if any failed."""
        seen: set[int] = set()
        refused: list[Item] = []
        for final in self._finals():
            new = sorted(final - seen)
            seen |= final
            for item in self._items(new, inputs=True):
                if item.error is None:
                    yield item.input, item.value
                else:
                    refused[:] = [item]
        self._raise_unless_completed()
        for item in refused:  # it was completed on its node, and cannot be read here
            self._value(item)

    def _finals(self) -> Iterator[set[int]]:
        """The indexes of the partitions that are final, whenever there are more."""
        known = -1
        for progress in self._waiting.changes():
            number = progress.completed + progress.failed
            if number > known:
                known = number
                yield set(self._store.views.indexes(self._row.step_execution_id, FINAL))

    def errors(self) -> pd.DataFrame:
        """One row a failed input so far: item, partition, node, attempt, error, message, traceback."""
        from nbcluster.frames import errors_frame

        return errors_frame(self._failed_items())

    def _failed_items(self) -> Iterator[Item]:
        failed = self._store.views.indexes(self._row.step_execution_id, (PartitionStatus.FAILED,))
        offsets = self._offsets()
        return ResultReader(self._store, self._row).errors(failed, [offsets[index] for index in failed])

    def _items(self, indexes: list[int], *, inputs: bool) -> Iterator[Item]:
        offsets = self._offsets()
        return ResultReader(self._store, self._row).items(indexes, [offsets[i] for i in indexes], inputs=inputs)

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

    def failure(self) -> str:
        """Why it failed, in at most three groups of errors."""
        groups: dict[tuple[str, str], list[Item]] = {}
        for item in self._failed_items():
            assert item.error is not None
            groups.setdefault((item.error.error_type, item.error.message), []).append(item)
        ranked = sorted(groups.items(), key=lambda group: (-len(group[1]), group[1][0].index))
        lines = [
            f"{len(items)} x {kind}: {message[:300]}, first at item {items[0].index} (partition {items[0].partition})"
            for (kind, message), items in ranked[:_SHOWN_GROUPS]
        ]
        if len(ranked) > _SHOWN_GROUPS:
            lines.append(f"and {len(ranked) - _SHOWN_GROUPS} more kinds of error")
        failed = sum(map(len, groups.values()))
        total = self._progress().items
        return f"{self.name}: {failed} of {total} items failed\n  " + "\n  ".join(lines)

    def _value(self, item: Item) -> Any:
        if item.error is not None:
            raise self._partition_error(item, item.error)
        return item.value

    def _partition_error(self, item: Item, error: ItemError) -> PartitionError:
        return PartitionError(
            f"{error.error_type}: {error.message} (item {item.index} of {self.name}, partition {item.partition}, "
            f"on {item.node}, attempt {item.attempt})",
            index=item.index,
            partition=item.partition,
            node=item.node,
            attempt=item.attempt,
            error_type=error.error_type,
            remote_traceback=error.traceback,
        )

    # --- inspection -----------------------------------------------------------------

    def partitions(self) -> pd.DataFrame:
        """One row a partition: state, node, attempt, how it ended, seconds."""
        from nbcluster.frames import partitions_frame

        return partitions_frame(self._store.views.partitions(self._row.step_execution_id))

    def attempts(self) -> pd.DataFrame:
        """One row an attempt: node, how it ended, its message, seconds, the peak memory of a process that died."""
        from nbcluster.frames import attempts_frame

        return attempts_frame(self._store.history.attempts(self._row.step_execution_id))

    def nodes(self) -> pd.DataFrame:
        """The nodes that completed partitions: node, done."""
        from nbcluster.frames import done_frame

        return done_frame(self._store.views.done_by_node(self._row.step_execution_id))

    def logs(self, partition: int, tail: int | None = None) -> str:
        """What the last attempt of a partition printed; of it the last ``tail`` lines."""
        partition = self._check_partition(partition)
        printed = self._store.views.log(self._row.step_execution_id, partition).decode("utf-8", "replace")
        return printed if tail is None else last_lines(printed, tail)

    def traceback(self, partition: int) -> str:
        """The remote traceback of a partition's first failed item; empty when none failed."""
        partition = self._check_partition(partition)
        offsets = self._offsets()
        reader = ResultReader(self._store, self._row)
        first = next(iter(reader.errors([partition], [offsets[partition]])), None)
        return "" if first is None or first.error is None else first.error.traceback or first.error.message

    # --- debugging --------------------------------------------------------------------

    def replay(self, partition: int, pdb: bool = False, attempt: int | None = None) -> Any:
        """Run a partition here, in this process, with the code and the inputs that are stored for it.

        Gives its values: a list with one for each item, or the value of a function that is called
        once.  An exception of the function leaves as it is, and ``%debug`` finds its frames; with
        ``pdb`` the debugger looks at it first.  ``nb.current()`` answers as it did for ``attempt``,
        by default the last; ``checkpoint`` is what that attempt found, if it is still stored.  All items
        are computed, no timeout applies, and nothing is written to the database.

        Raises InputError for a partition or attempt that there is not, PayloadError when this Python
        cannot rebuild it, SignatureError when it was altered.
        """
        __tracebackhide__ = True
        prepared = self.prepare_replay(partition, attempt)
        if prepared.warning:
            log.warning("%s", prepared.warning)
        return prepared.run(pdb=pdb)

    def prepare_replay(self, partition: int, attempt: int | None = None) -> Replay:
        """What ``replay`` runs, checked and rebuilt."""
        from nbcluster.replaying import prepare_replay

        index = self._check_partition(partition)
        return prepare_replay(self._store, self._row.step_execution_id, index, attempt, self._offsets()[index])

    def inputs(self, partition: int) -> Any:
        """What a partition is given: the list, range or frame of its items; of ``submit`` the pair (args, kwargs).

        Raises as ``replay`` does.
        """
        return self.prepare_replay(partition).inputs()

    def _check_partition(self, partition: int) -> int:
        """The number as an int: what comes out of a frame is one of numpy's."""
        number = len(self._offsets())
        if not number:
            raise InputError(f"{self.name} has no partitions yet")
        if not isinstance(partition, SupportsIndex) or not 0 <= partition < number:
            raise InputError(f"{self.name} has no partition {partition!r}; they are numbered 0 to {number - 1}")
        return int(partition)


def starts(sizes: Sequence[int]) -> list[int]:
    """Where each partition begins, from how many items each holds."""
    return [0, *accumulate(sizes)][: len(sizes)]


def last_lines(text: str, number: int) -> str:
    """The last ``number`` lines of a text."""
    return "".join(text.splitlines(keepends=True)[-number:]) if number > 0 else ""
