"""A node at work, from its registration to its orderly end."""

from __future__ import annotations

import logging
import math
import signal
import threading
import time
from collections.abc import Callable
from types import FrameType

from nbcluster.config import Settings
from nbcluster.member import PYTHON, Member
from nbcluster.node.executor import Executor
from nbcluster.node.loop import WorkerLoop
from nbcluster.node.porter import THREADS
from nbcluster.node.worker import Worker
from nbcluster.store import Store, open_store
from nbcluster.store.wakeup import WORK, control_topic, node_topic

log = logging.getLogger("nbcluster.node")

_GAVE_UP = 75


def serve(settings: Settings, executor: Executor, when_ended: Callable[[Callable[[], None]], None]) -> int:
    """Run a node with these children until it is told to stop; gives the exit code.

    ``when_ended`` takes what is to be called whenever a child is up or has ended a partition.
    """
    store = open_store(
        settings.url, initialize=settings.initialize_schema, key_file=settings.key_file,
        pool_size=2 + THREADS, spool=settings.spool, large_value=settings.large_value,
    )  # fmt: skip
    try:
        return NodeProcess(store, settings, executor, when_ended).run()
    finally:
        store.close()


class NodeProcess:
    """A node from its registration to its orderly end."""

    def __init__(
        self,
        store: Store,
        settings: Settings,
        executor: Executor,
        when_ended: Callable[[Callable[[], None]], None],
    ) -> None:
        self._store = store
        self._settings = settings
        self._signals = 0
        self._draining = False
        self._told = threading.Event()
        self._executor = executor
        self._member = Member(
            store,
            settings,
            slots=settings.slots,
            prefix=settings.node_id_prefix,
            busy=self._busy,
            moved=self._moved,
            drain=self._drain,
        )
        self._worker = Worker(store, self._executor, self._member.heartbeat.node, self._member.heartbeat.in_touch)
        self._loop = WorkerLoop(self._worker, self._member.poll_pause, store.wakeup.doubt)
        when_ended(self._loop.wake)
        self._worker.carried(self._loop.wake)

    def _busy(self) -> int:
        return self._worker.busy

    def _moved(self, node_id: str) -> None:
        self._worker.moved(node_id)
        self._loop.wake()
        self._listen()

    def _drain(self) -> None:
        self._draining = True
        self._told.set()

    def _announced(self) -> None:
        self._loop.announced()
        self._member.stir()

    def _listen(self) -> None:
        self._store.wakeup.subscribe(node_topic(self._member.node_id), self._announced)
        self._store.wakeup.subscribe(control_topic(self._member.node_id), self._member.beat_now)

    def run(self) -> int:
        """Serve until a signal, or until the database has been away for too long."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._on_signal)
        self._store.wakeup.subscribe(WORK, self._announced)
        self._listen()
        self._member.start()
        self._loop.start()
        log.info(
            "%s is ready: %d slot%s, Python %s, %s; a lost node's work moves within %.0f s",
            self._member.node_id, self._settings.slots, "s" * (self._settings.slots != 1), PYTHON, self._store.url,
            self._settings.failover_time,
        )  # fmt: skip
        while not self._told.wait(1.0):
            if self._member.without_database > self._settings.database_patience:
                log.error("no database for %.0f s: giving up", self._settings.database_patience)
                self._executor.stop()
                return _GAVE_UP
        return self._leave()

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        self._signals += 1
        self._told.set()

    def _leave(self) -> int:
        """Claim nothing, hand back what has not begun, finish or hand back what runs, then go."""
        log.info("%s is told to stop: handing back its work", self._member.node_id)
        self._worker.draining = self._member.heartbeat.draining = True
        self._member.stop_watching()
        try:
            self._store.nodes.drain(self._member.node_id)
            self._worker.hand_back_queued()
            if self._draining:
                # Nobody waits for a node that was told to drain: what runs may take its time, unless a signal comes.
                self._wait_until_idle(math.inf, signals=1)
            self._wait_until_idle(self._settings.shutdown_grace)
            if self._worker.held:
                self._worker.hand_back_all()
                self._wait_until_idle(self._settings.interrupt_grace + 5.0, patient=True)
        finally:
            self._loop.stop()
            self._executor.stop()
            self._worker.close()
            self._member.leave()
        log.info("%s has left", self._member.node_id)
        return 0

    def _wait_until_idle(self, seconds: float, *, signals: int = 2, patient: bool = False) -> None:
        """Until nothing is held; ends early when so many ``signals`` have come, unless ``patient``."""
        deadline = time.monotonic() + seconds
        given_up = self._settings.database_patience
        while self._worker.held and time.monotonic() < deadline and (patient or self._signals < signals):
            if self._member.without_database > given_up:
                return
            time.sleep(0.02)
