"""The thread that repeats the worker's pass."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable

from nbcluster.errors import DatabaseError
from nbcluster.node.worker import Worker

log = logging.getLogger(__name__)

_RETRY_PAUSE = 0.5


class WorkerLoop:
    """The thread that repeats the worker's pass.

    ``poll`` tells how long to wait for an announcement; ``missed`` is called when there was
    work that none had told of.
    """

    def __init__(self, worker: Worker, poll: Callable[[], float], missed: Callable[[], None] = lambda: None) -> None:
        self._worker = worker
        self._poll = poll
        self._missed = missed
        self._jitter = random.uniform(0.5, 1.5)
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
        next_poll, polling = self._next_poll(), False
        while not self._stopping:
            time.sleep(self._worker.gathering())
            self._wake.clear()
            held = self._worker.held
            try:
                pause = self._worker.work()
                if polling and self._worker.held > held:
                    self._missed()
            except DatabaseError as error:
                log.warning("worker: %s", error)
                self._worker.interrupted()
                pause = _RETRY_PAUSE
            except Exception:
                log.exception("worker: a pass failed")
                self._worker.interrupted()
                pause = _RETRY_PAUSE
            next_poll = min(next_poll, self._next_poll())  # sooner, when announcements have just ceased to arrive
            left = max(0.0, next_poll - time.monotonic())
            self._wake.wait(left if pause is None else min(pause, left))
            polling = time.monotonic() >= next_poll
            if polling:
                self._worker.announced()  # the poll: a notification may have been lost
                self._jitter = random.uniform(0.5, 1.5)
                next_poll = self._next_poll()

    def _next_poll(self) -> float:
        return time.monotonic() + self._poll() * self._jitter
