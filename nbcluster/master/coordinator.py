"""Moving the jobs of one master on."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from nbcluster.master.local_steps import LocalSteps
from nbcluster.service import Service
from nbcluster.store import Store
from nbcluster.store.wakeup import job_topic

log = logging.getLogger(__name__)

_QUIET_SHARE = 4
"""A look at the watched jobs is followed by a pause of this many times its own cost."""


class Coordinator:
    """Starts and ends what is due in the jobs of one master.

    ``advance_all`` is the pass that misses nothing.  Jobs of several steps are watched
    besides: whenever something of them is announced they are looked at, so that the next
    step starts at once.  The thread for that begins with the first of them.
    """

    def __init__(self, store: Store, interval: float, interrupt_grace: float) -> None:
        self._store = store
        self._watched: dict[int, int] = {}
        self._unsubscribe: dict[int, Callable[[], None]] = {}
        self._changed: set[int] = set()
        self._lock = threading.Lock()
        self._rest_until = 0.0
        self._service: Service | None = None
        self._interval = interval
        self.local = LocalSteps(store, interrupt_grace)

    def advance_all(self, node_id: str) -> int:
        """Start and end what is due in every job of this master; gives how many are left running."""
        known = set(self._watched)
        left = {}
        for lease in self._store.coordination.mastered_by(node_id):
            if not self._advance(lease.job_id, lease.term):
                left[lease.job_id] = lease
        for job_id in known - set(left):
            self._forget(job_id)  # it ended, or has another master now
        for lease in left.values():
            if lease.open_steps > 1 or lease.job_id in known:
                self.watch(lease.job_id, lease.term)
            if self.local.serves(lease.job_id):
                self._announced(lease.job_id)  # an announcement may have been lost
        return len(left)

    def watch(self, job_id: int, term: int) -> None:
        """Look at a job of this master whenever something of it is announced."""
        with self._lock:
            new = job_id not in self._watched
            self._watched[job_id] = term
            if self._service is None:
                self._service = Service("master", self._look, self._interval)
                self._service.start()
        if new:
            unsubscribe = self._store.wakeup.subscribe(job_topic(job_id), lambda: self._announced(job_id))
            self._unsubscribe[job_id] = unsubscribe
            self._announced(job_id)  # what happened before anybody listened

    def stop(self) -> None:
        """End the watching."""
        for job_id in list(self._watched):
            self._forget(job_id)
        if self._service is not None:
            self._service.stop()

    def _announced(self, job_id: int) -> None:
        self._changed.add(job_id)
        if self._service is not None:
            self._service.wake()

    def _forget(self, job_id: int) -> None:
        with self._lock:
            self._watched.pop(job_id, None)
        unsubscribe = self._unsubscribe.pop(job_id, None)
        if unsubscribe is not None:
            unsubscribe()
        self.local.forget(job_id)

    def _look(self) -> None:
        """Look at every job of which something was announced."""
        time.sleep(max(0.0, self._rest_until - time.monotonic()))
        began = time.monotonic()
        while self._changed:
            job_id = self._changed.pop()
            term = self._watched.get(job_id)
            if term is None:
                continue
            try:
                ended = self._advance(job_id, term)
            except BaseException:
                self._changed.add(job_id)
                raise
            if ended:
                self._forget(job_id)
            else:
                self.local.run_due(job_id)
        now = time.monotonic()
        self._rest_until = now + _QUIET_SHARE * (now - began)

    def _advance(self, job_id: int, term: int) -> bool:
        """Whether it ended now."""
        if not self._store.advancing.due(job_id):
            return False
        status = self._store.advancing.advance(job_id, term)
        if status is not None:
            log.info("job %d ended %s", job_id, status)
        return status is not None
