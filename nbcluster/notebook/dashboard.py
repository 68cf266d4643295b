"""The live view: a background loop that turns snapshots of a job into what a skin shows.

The loop only reads; it ends with the job, or with the cell that waits for it.  It prints nothing: what a thread
prints lands in whichever cell is running.
"""

from __future__ import annotations

import atexit
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from nbcluster.errors import NBClusterError
from nbcluster.notebook.model import View, view_of
from nbcluster.notebook.skins import Skin
from nbcluster.service import Service

if TYPE_CHECKING:
    from nbcluster.handle import JobHandle

INTERVAL = 0.5
"""Seconds between two looks at most: more often than twice a second nobody reads."""
_UNPROMPTED = 4
"""Looks after which the view is refreshed although no change was announced: ages and times go on."""


class LiveView:
    """Shows one job from ``start`` until ``finish``, which the job's end or the waiting cell brings about."""

    def __init__(self, handle: JobHandle, skin: Skin, interval: float = INTERVAL) -> None:
        self._handle = handle
        self._skin = skin
        self._lock = threading.Lock()
        self._changed = threading.Event()
        self._idle = 0
        self._ended = False
        self._view: View | None = None
        self._unsubscribe: Callable[[], None] | None = None
        self._service = Service(f"view-{handle.id}", self.refresh, interval, jitter=0.0)

    def start(self) -> None:
        """Show the job and keep showing it."""
        self._view = view_of(self._handle.snapshot())
        self._skin.begin(self._view)
        self._unsubscribe = self._handle.subscribe(self._changed.set)
        self._service.start()
        if self._skin.live:
            atexit.register(self.leave)

    def refresh(self) -> None:
        """One look: redraws if something changed; ends the view when the job has ended."""
        self._idle += 1
        if not self._changed.is_set() and self._idle < _UNPROMPTED:
            return
        self._changed.clear()
        self._idle = 0
        view = self._look()
        with self._lock:
            if self._ended or view is None:
                return
            self._view = view
            self._skin.update(view)
        if view.finished:
            self.finish()

    def finish(self) -> None:
        """Show the last state, to stay.  Does nothing before ``start`` and the second time."""
        if self._unsubscribe is None:
            return
        self._service.stop(timeout=1.0)
        last = self._look()
        with self._lock:
            if self._ended:
                return
            self._close(last)

    def leave(self) -> None:
        """The kernel ends before the job: leave behind what was last seen, and how to see more."""
        self._service.stop(timeout=1.0)
        with self._lock:
            if self._ended or self._view is None:
                return
            self._close(replace(self._view, obstacles=(self._view.remnant,)))

    def _close(self, last: View | None) -> None:
        self._ended = True
        atexit.unregister(self.leave)
        if self._unsubscribe is not None:
            self._unsubscribe()
        if last is not None:
            self._skin.end(last)

    def _look(self) -> View | None:
        try:
            return view_of(self._handle.snapshot())
        except NBClusterError as error:
            # The job does not need this view: nodes go on, and the view comes back with the database.
            return self._view and replace(self._view, obstacles=(f"This view cannot be refreshed: {error}",))
