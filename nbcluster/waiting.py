"""Waiting for a job or one of its steps: told of changes, looking now and then, patient while the database is away."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from nbcluster.errors import DatabaseUnreachable, LoginRefused
from nbcluster.lifecycle import JOB_FINAL
from nbcluster.records import JobRow, Progress
from nbcluster.store.wakeup import job_topic

if TYPE_CHECKING:
    from nbcluster.api import Cluster

log = logging.getLogger(__name__)

_MANY = 50
_QUIET_SHARE = 4
"""With many open partitions, a look is followed by a pause of this many times its own cost."""


class Signal:
    """Wakes one waiting thread: something changed, or nobody waits any more."""

    def __init__(self) -> None:
        self.changed = threading.Event()
        self._left = threading.Event()

    @property
    def left(self) -> bool:
        """Whether nobody waits any more."""
        return self._left.is_set()

    def leave(self) -> None:
        """Nobody waits any more."""
        self._left.set()
        self.changed.set()

    def pause(self, seconds: float) -> None:
        """Sleep, unless nobody waits any more."""
        self._left.wait(seconds)


class Waiting:
    """Follows one job execution, or one step of it, until its state is final.

    ``look`` reads how far it is; ``whole`` says that it is the job that is looked at;
    ``fresh`` that it was submitted just now, so that a first look would tell nothing.
    """

    def __init__(
        self, cluster: Cluster, row: JobRow, look: Callable[[], Progress], *, whole: bool = True, fresh: bool = False
    ) -> None:
        self._cluster = cluster
        self._row = row
        self._read = look
        self._whole = whole
        self._fresh = fresh
        self._final: Progress | None = None

    def progress(self) -> Progress:
        """How far it is; read no more once its state is final."""
        if self._final is not None:
            return self._final
        progress = self._read()
        if progress.status in JOB_FINAL:
            self._final = progress
        return progress

    def changes(self, deadline: float | None = None, signal: Signal | None = None) -> Iterator[Progress]:
        """How far it is, now and whenever that may have changed, until it is final or ``deadline``.

        Ends early when ``signal`` says that nobody waits any more.
        """
        signal = signal or Signal()
        if self._final is not None or not self._fresh:
            progress = self._look_patiently(deadline, signal)
            yield progress
            if progress.status in JOB_FINAL:
                return
        self._cluster.join()
        unsubscribe = self._cluster.store.wakeup.subscribe(job_topic(self._row.job_execution_id), signal.changed.set)
        self._fresh = False
        try:
            while deadline is None or time.monotonic() < deadline:
                signal.changed.clear()
                if signal.left:
                    return
                began = time.monotonic()
                progress = self._look_patiently(deadline, signal)
                yield progress
                if progress.status in JOB_FINAL:
                    return
                spent = time.monotonic() - began
                if progress.open > _MANY:
                    signal.pause(min(0.1, spent * _QUIET_SHARE))
                left = None if deadline is None else max(0.0, deadline - time.monotonic())
                poll = self._cluster.settings.master_check_interval
                signal.changed.wait(poll if left is None else min(poll, left))
        finally:
            unsubscribe()

    def _look_patiently(self, deadline: float | None, signal: Signal) -> Progress:
        """Look.  While the database is away the nodes keep what they have: say so once, and try until it is back."""
        settings = self._cluster.settings
        end = time.monotonic() + settings.database_patience
        end = end if deadline is None else min(end, deadline)
        told = False
        while True:
            try:
                return self._look()
            except DatabaseUnreachable as error:
                if isinstance(error, LoginRefused) or time.monotonic() > end or signal.left:
                    raise
                if not told:
                    log.warning("%s; waiting for it to come back", error)
                told = True
                signal.pause(settings.master_check_interval)

    def _look(self) -> Progress:
        progress = self.progress()
        if progress.open or progress.status in JOB_FINAL:
            return progress
        status = self._cluster.finish_if_master(self._row)
        if status is None or not self._whole:  # another process is its master, or was quicker
            return self.progress()
        self._final = replace(progress, status=status)
        return self._final
