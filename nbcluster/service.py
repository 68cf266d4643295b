"""One background loop: repeats a single pass, wakeable, with jitter, never dying of an exception.

Tests call the pass; only the loop is here.
"""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable

from nbcluster.errors import DatabaseError

log = logging.getLogger(__name__)
log.addHandler(logging.NullHandler())  # see nbcluster.node: nothing of this belongs into a cell

_FIRST_RETRY = 0.1


class Service:
    """Runs ``work()`` every ``interval`` seconds (plus or minus ``jitter`` of it) until stopped.

    ``work`` may return another pause in seconds for its next turn.  A pass that
    fails is logged and tried again soon, then less and less soon, up to the interval.
    """

    def __init__(self, name: str, work: Callable[[], float | None], interval: float, jitter: float = 0.1) -> None:
        self.name = name
        self._work = work
        self._interval = interval
        self._jitter = jitter
        self._wake = threading.Event()
        self._stopping = False
        self._failures = 0
        self._thread = threading.Thread(target=self._loop, name=f"nbcluster-{name}", daemon=True)

    def start(self) -> None:
        """Begin; the first pass runs at once."""
        self._thread.start()

    def wake(self) -> None:
        """Run the next pass now."""
        self._wake.set()

    def stop(self, timeout: float = 5.0) -> None:
        """End after the running pass; waits ``timeout`` seconds at most."""
        self._stopping = True
        self._wake.set()
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join(timeout)

    @property
    def failures(self) -> int:
        """Passes that failed since the last that did not."""
        return self._failures

    def _loop(self) -> None:
        while not self._stopping:
            self._wake.clear()
            pause = self._one_pass()
            self._wake.wait(pause)

    def _one_pass(self) -> float:
        try:
            pause = self._work()
        except Exception as error:
            self._failures += 1
            # A database that is away is expected and said once; anything else is a bug and shown in full.
            if not isinstance(error, DatabaseError):
                log.exception("%s: a pass failed", self.name)
            elif self._failures == 1:
                log.warning("%s: %s", self.name, error)
            return min(self._interval, _FIRST_RETRY * 2.0 ** min(self._failures, 10)) * random.uniform(0.5, 1.0)
        if self._failures:
            log.info("%s: working again after %d failed passes", self.name, self._failures)
            self._failures = 0
        wait = self._interval if pause is None else pause
        return wait * random.uniform(1 - self._jitter, 1 + self._jitter)
