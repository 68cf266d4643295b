"""The live view: a background loop that turns looks at something into what a skin shows.

The loop only reads; it ends with what it shows (a job has an end), or with the cell that waits for it.  It prints
nothing: what a thread prints lands in whichever cell is running.
"""

from __future__ import annotations

import atexit
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Generic

from nbcluster.errors import NBClusterError
from nbcluster.notebook.drawing import V
from nbcluster.notebook.model import View, view_of
from nbcluster.notebook.skins import Skin
from nbcluster.service import Service

if TYPE_CHECKING:
    from nbcluster.handle import JobHandle

INTERVAL = 0.5
"""Seconds between two looks at most: more often than twice a second nobody reads."""
_UNPROMPTED = 4
"""Looks after which the view is refreshed although no change was announced: ages and times go on."""
_SHARE = 0.05
"""Of its time a kernel spends no more than this on one view: where a look takes longer, there are fewer of them."""
_LONGEST_PAUSE = 5.0


@dataclass(frozen=True)
class Subject(Generic[V]):
    """What a live view is of."""

    name: str
    look: Callable[[], V]
    """Its content now.  Raises NBClusterError while it cannot be read."""
    finished: Callable[[V], bool]
    """Whether nothing will change any more."""
    noted: Callable[[V, str], V]
    """The same content with a sentence above it that a reader must know."""
    left_behind: Callable[[V], str]
    """The sentence for a notebook whose kernel ends before the view."""
    subscribe: Callable[[Callable[[], None]], Callable[[], None]]
    """Have a function called when something changed; gives the function that ends it."""
    last: Callable[[V], V] = lambda view: view
    """What stays of the content when the view has ended."""


def of_job(handle: JobHandle) -> Subject[View]:
    """A job as the subject of a view."""
    return Subject(
        name=f"view-{handle.id}",
        look=lambda: view_of(handle.snapshot()),
        finished=lambda view: view.finished,
        noted=lambda view, sentence: replace(view, obstacles=(sentence,)),
        left_behind=lambda view: view.remnant,
        subscribe=handle.subscribe,
    )


class LiveView(Generic[V]):
    """Shows one subject from ``start`` until ``finish``, which its end or the waiting cell brings about."""

    def __init__(
        self, subject: Subject[V], skin: Skin[V], interval: float = INTERVAL, unprompted: int = _UNPROMPTED
    ) -> None:
        self._subject = subject
        self._unprompted = unprompted
        self._skin = skin
        self._lock = threading.Lock()
        self._changed = threading.Event()
        self._idle = 0
        self._ended = False
        self._view: V | None = None
        self._unsubscribe: Callable[[], None] | None = None
        self._interval = interval
        self._service = Service(subject.name, self.refresh, interval, jitter=0.0)

    def start(self) -> None:
        """Show it and keep showing it."""
        self._view = self._subject.look()
        self._skin.begin(self._view)
        self._unsubscribe = self._subject.subscribe(self._changed.set)
        self._service.start()
        if self._skin.live:
            atexit.register(self.leave)

    @property
    def ended(self) -> bool:
        """Whether it shows nothing new any more."""
        return self._ended

    def wake(self) -> None:
        """Look now: something was changed from here."""
        self._changed.set()
        self._service.wake()

    def refresh(self) -> float:
        """One look: redraws if something changed; ends the view with its subject.  Gives the pause before the next."""
        self._idle += 1
        if not self._changed.is_set() and self._idle < self._unprompted:
            return self._interval
        self._changed.clear()
        self._idle = 0
        began = time.monotonic()
        view = self._look()
        with self._lock:
            if self._ended or view is None:
                return self._interval
            self._view = view
            self._skin.update(view)
        if self._subject.finished(view):
            self.finish()
        return pause_after(time.monotonic() - began, self._interval)

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

    def leave(self, sentence: str | None = None) -> None:
        """End before its subject does: leave behind what was last seen, and ``sentence``.

        Without one the kernel ends, and it is said how to see more.
        """
        self._service.stop(timeout=1.0)
        with self._lock:
            if self._ended or self._view is None:
                return
            self._close(self._subject.noted(self._view, sentence or self._subject.left_behind(self._view)))

    def _close(self, last: V | None) -> None:
        self._ended = True
        atexit.unregister(self.leave)
        if self._unsubscribe is not None:
            self._unsubscribe()
        if last is not None:
            self._skin.end(self._subject.last(last))

    def _look(self) -> V | None:
        try:
            return self._subject.look()
        except NBClusterError as error:
            # A job does not need this view: nodes go on, and the view comes back with the database.
            sentence = f"This view cannot be refreshed: {error}"
            return None if self._view is None else self._subject.noted(self._view, sentence)


def pause_after(cost: float, interval: float) -> float:
    """Seconds until the next look, after one that took ``cost`` seconds."""
    return max(interval, min(cost / _SHARE, _LONGEST_PAUSE))
