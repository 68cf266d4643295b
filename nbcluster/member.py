"""A process that takes part: registered, beating, watching the others, adopting what they leave.

Nodes and kernels are members alike; a kernel has 0 slots.
"""

from __future__ import annotations

import math
import os
import platform
import socket
import sys
import time
from collections.abc import Callable

from nbcluster import __version__
from nbcluster.config import Settings
from nbcluster.master.coordinator import Coordinator
from nbcluster.master.takeover import adopt_orphans
from nbcluster.node.cadence import Due, poll_pause, scan_pause, sweep_pause
from nbcluster.node.heartbeat import Heartbeat, new_node_id
from nbcluster.node.introduction import AGAIN, Introduction
from nbcluster.node.liveness import Liveness
from nbcluster.records import NewNode
from nbcluster.service import Service
from nbcluster.store import Store
from nbcluster.store.wakeup import MASTERS

_SECOND_LOOK = 0.15
"""Seconds until a process whose sign of life is missing is looked at again."""

PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
"""The minor version that a job's nodes must share: pickled code does not travel between two."""


def host_identifier(kind: str) -> str:
    """This machine's name or address, as the setting asks."""
    name = socket.gethostname() or platform.node()
    if kind == "host-name":
        return name[:200]
    try:
        return socket.gethostbyname(name)
    except OSError:
        return "127.0.0.1"


class Member:
    """Membership of this process: background services around one registration."""

    def __init__(
        self,
        store: Store,
        settings: Settings,
        *,
        slots: int,
        prefix: str,
        busy: Callable[[], int] = lambda: 0,
        moved: Callable[[str], None] = lambda _node_id: None,
        drain: Callable[[], None] = lambda: None,
    ) -> None:
        self._store = store
        self._settings = settings
        self.heartbeat = Heartbeat(
            store,
            NewNode(
                new_node_id(prefix),
                host_identifier(settings.host_identifier),
                os.getpid(),
                slots,
                PYTHON,
                __version__,
                settings.labels if slots else (),
            ),
            interval=settings.heartbeat_interval,
            threshold=settings.unreachable_node_threshold,
            busy=busy,
            moved=moved,
            drain=drain,
        )
        self._liveness = Liveness(
            store, self.heartbeat, settings.unreachable_node_threshold, settings.node_cleanup_threshold
        )
        self.coordinator = Coordinator(store, settings.orphaned_tasks_polling_interval, settings.interrupt_grace)
        self._beats = Service("heartbeat", self.heartbeat.beat, settings.heartbeat_interval)
        store.presence.on_change = self._beats.wake
        self._master_left = False
        self._may_lead_until = 0.0
        self._members, self._working = 1, True
        self._sweep_due, self._scan_due = Due(), Due()
        self._maintenance = Service("maintenance", self._maintain, settings.orphaned_tasks_polling_interval, jitter=0)
        self._introduction = Service("introduction", Introduction(store, lambda: self.node_id).tell, AGAIN)

    @property
    def node_id(self) -> str:
        """The id under which this process is registered now."""
        return self.heartbeat.node_id

    @property
    def without_database(self) -> float:
        """Seconds since the database last took a beat; 0 while it takes them, however long this process slept."""
        return self.heartbeat.silence if self._beats.failures else 0.0

    def poll_pause(self) -> float:
        """Seconds between two looks for work that nobody announced."""
        return poll_pause(self._settings.task_polling_interval, self._members, announced=self._store.wakeup.alive)

    def start(self) -> None:
        """Register, then beat and watch."""
        self.heartbeat.register()
        self._store.wakeup.subscribe(MASTERS, self._a_master_may_have_left)
        self._beats.start()
        self._maintenance.start()
        self._introduction.start()

    def beat_now(self) -> None:
        """Something was changed in this process's row: look without waiting."""
        self._beats.wake()

    def expect_jobs(self) -> None:
        """This process is about to be master of a job: look after it from the beginning."""
        self._may_lead_until = time.monotonic() + 2 * self._settings.heartbeat_interval
        self._working = True
        self._sweep_due.sooner(self._sweep_pause())
        self._maintenance.wake()

    def stir(self) -> None:
        """There is work: from now on somebody has something to lose, and looks come more often."""
        if not self._working:
            self._working = True
            self._sweep_due.sooner(self._sweep_pause())
            self._maintenance.wake()

    def _sweep_pause(self) -> float:
        return sweep_pause(self._settings.orphaned_tasks_polling_interval, self._members, working=self._working)

    def _a_master_may_have_left(self) -> None:
        self._master_left = True
        self._maintenance.wake()

    def _maintain(self) -> float:
        losses = False
        if not self._sweep_due.left:
            losses = self._sweep()
        if losses or self._master_left or not self._scan_due.left:
            self._adopt()
        pause = min(self._sweep_due.left, self._scan_due.left)
        if self.heartbeat.leads or time.monotonic() < self._may_lead_until:
            self.coordinator.advance_all(self.node_id)
            pause = min(pause, self._advance_pause())
        return pause

    def _advance_pause(self) -> float:
        """Seconds between two looks at this master's jobs that nobody announced."""
        return poll_pause(self._settings.master_check_interval, announced=self._store.wakeup.alive)

    def _sweep(self) -> bool:
        """Look after the others; whether anybody was lost."""
        self._sweep_due.again(self._sweep_pause())  # also when this look fails
        swept = self._liveness.sweep()
        self._members, self._working = swept.members, swept.working
        self._sweep_due.again(_SECOND_LOOK if self._store.presence.in_doubt else self._sweep_pause())
        return swept.losses

    def _adopt(self) -> None:
        self._master_left = False
        self._scan_due.again(scan_pause(self._settings.orphaned_master_scan_interval, self._members))
        # After an outage that everybody shared every lease has lapsed, and means nothing yet.
        threshold = self._settings.unreachable_node_threshold
        patience = threshold if self.heartbeat.unbroken_for(threshold) else math.inf
        for job_id, term in adopt_orphans(self._store, self.node_id, patience):
            self.coordinator.watch(job_id, term)
            self.expect_jobs()

    def stop_watching(self) -> None:
        """End the maintenance; the heart goes on beating."""
        self._maintenance.stop()
        self._introduction.stop()

    def leave(self) -> None:
        """Stop and remove the row: the others need not wait for a threshold."""
        self.stop_watching()
        self.coordinator.stop()
        self._beats.stop()
        self._store.deregister(self.node_id)
