"""A step of a job in the user's hands: its items, its errors, its partitions, what they printed."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, SupportsIndex

from nbcluster import failures
from nbcluster.errors import InputError
from nbcluster.reading import ResultReader
from nbcluster.results import StepResults

if TYPE_CHECKING:
    import pandas as pd

    from nbcluster.replaying import Replay

log = logging.getLogger(__name__)

_TAIL = 50


class StepHandle(StepResults):
    """One step of a job execution.  Everything is read from the database."""

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

    def logs(self, partition: int | None = None, tail: int | None = None) -> str:
        """What the last attempt of a partition printed; with ``tail`` the last lines of it, that many.

        Without a number the last lines, 50 or ``tail``, of the partition that ended last.
        """
        step = self._row.step_execution_id
        if partition is None:
            last = self._store.standings.log_tail(step)
            printed = b"" if last is None else last[1]
            tail = _TAIL if tail is None else tail
        else:
            printed = self._store.views.log(step, self._check_partition(partition))
        text = printed.decode("utf-8", "replace")
        return text if tail is None else last_lines(text, tail)

    def traceback(self, partition: int | None = None, hint: failures.Hint | None = None) -> str:
        """The remote traceback of a partition's first failed item; empty when none failed.

        Without a number every kind of error, most frequent first, each with its first traceback;
        ``hint(partition)`` is then what one types to replay one.
        """
        if partition is None:
            groups = self._groups()
            replay = hint or (lambda number: f"{self._called}.replay({number})")
            return failures.with_tracebacks(self.name, groups, self._progress().items, replay) if groups else ""
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


def last_lines(text: str, number: int) -> str:
    """The last ``number`` lines of a text."""
    return "".join(text.splitlines(keepends=True)[-number:]) if number > 0 else ""
