"""The thread that repeats the worker's pass."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable

from nbcluster.errors import DatabaseError
from nbcluster.node.cadence import poll_pause
from nbcluster.node.worker import Worker

log = logging.getLogger(__name__)

_RETRY_PAUSE = 0.5


class WorkerLoop:
    """The thread that repeats the worker's pass.  ``pushed`` tells whether announcements of work arrive."""

    def __init__(self, worker: Worker, poll_interval: float, pushed: Callable[[], bool]) -> None:
        self._worker = worker
        self._poll = poll_interval
        self._pushed = pushed
        self._wake = threading.Event()
        self._stopping = False
        self._thread = threading.Thread(target=self._loop, name="nbcluster-worker", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def wake(self) -> None:
        """A partition ended."""
        self._wake.set()

    def announced(self) -> None:
        """Work was announced."""
        self._worker.announced()
        self._wake.set()

    def stop(self, timeout: float = 10.0) -> None:
        """End after the running pass."""
        self._stopping = True
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(timeout)

    def _loop(self) -> None:
        next_poll = self._next_poll()
        while not self._stopping:
            time.sleep(self._worker.gathering())
            self._wake.clear()
            try:
                pause = self._worker.work()
            except DatabaseError as error:
                log.warning("worker: %s", error)
                self._worker.interrupted()
                pause = _RETRY_PAUSE
            except Exception:
                log.exception("worker: a pass failed")
                self._worker.interrupted()
                pause = _RETRY_PAUSE
            if not self._pushed():  # also when announcements have just ceased to arrive
                next_poll = min(next_poll, self._next_poll())
            left = max(0.0, next_poll - time.monotonic())
            self._wake.wait(left if pause is None else min(pause, left))
            if time.monotonic() >= next_poll:
                self._worker.announced()  # the poll: a notification may have been lost
                next_poll = self._next_poll()

    def _next_poll(self) -> float:
        return time.monotonic() + poll_pause(self._poll, announced=self._pushed()) * random.uniform(0.5, 1.5)
