"""The live view of a job in one place of the notebook, through all of its executions, with what can be done there."""

from __future__ import annotations

import asyncio
import contextlib
import weakref
from collections.abc import AsyncIterator, Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any

from nbcluster.errors import NBClusterError
from nbcluster.notebook import offers
from nbcluster.notebook.controls import Buttons, Words
from nbcluster.notebook.dashboard import LiveView, of_job
from nbcluster.notebook.drawing import Controls
from nbcluster.notebook.front_end import (
    WIDGET,
    clicks_reach_awaiting_cells,
    request_id,
    shows_while_running,
    way_to_show,
)
from nbcluster.notebook.model import View, attach, clean
from nbcluster.notebook.render import JOB
from nbcluster.notebook.skins import skin_for

if TYPE_CHECKING:
    from nbcluster.handle import JobHandle

_BLOCKING = (
    "The stop button stops the job and keeps what is finished; twice leaves at once. With --noblock there are buttons."
)
_AWAITING = "The stop button ends the waiting; the job goes on."

_views: weakref.WeakSet[JobView] = weakref.WeakSet()
_stands: dict[tuple[str, int], str] = {}
"""In which cell (by the id of its request) an awaited job was shown last."""


def blocking_words(way: str) -> Controls[View] | None:
    """What a cell that blocks says where its buttons would be."""
    return Words(_BLOCKING) if way == WIDGET else None


class JobView:
    """Shows a job from ``open`` on, and does what its buttons say.

    An awaiting cell is not left by leaving its view, so it offers no Detach.
    """

    def __init__(self, handle: JobHandle, way: str, *, awaiting: bool = False) -> None:
        self._handle = handle
        self._skin = skin_for(way, JOB, self._controls(awaiting) if way == WIDGET else None)
        self._live = LiveView(of_job(handle), self._skin)

    def _controls(self, awaiting: bool) -> Controls[View]:
        if not awaiting:
            return Buttons(self._act)
        return Buttons(self._act, detach=False, words=_AWAITING) if clicks_reach_awaiting_cells() else Words(_AWAITING)

    def open(self) -> None:
        """Show it.  One that has ended already is shown as it is, to stay."""
        _views.add(self)
        self._live.start()
        if self._handle.done():
            self._live.finish()

    def finish(self) -> None:
        """Show the last state, to stay."""
        self._live.finish()

    def leave(self) -> None:
        """End the view; the job goes on."""
        name, now = self._handle.name, datetime.now()  # noqa: DTZ005 -- the reader's clock
        seen = f"as it was at {now:%H:%M:%S}"
        self._live.leave(f"{clean(name)} goes on without this view ({seen}). To see it again: {attach(name)}")

    def shows(self, handle: JobHandle) -> bool:
        """Whether it is alive and of this very execution."""
        return not self._live.ended and _key(self._handle) == _key(handle)

    def _act(self, action: offers.Action) -> str:
        deeds: dict[offers.Action, Callable[[], str]] = {
            offers.PAUSE: self._pause,
            offers.RESUME: lambda: self._go_on(self._handle.resume),
            offers.RETRY: lambda: self._go_on(self._handle.retry),
            offers.SURE: lambda: self._stop(now=False),
            offers.NOW: lambda: self._stop(now=True),
            offers.DETACH: self._detach,
        }
        return deeds[action]()

    def _pause(self) -> str:
        self._handle.pause()
        self._live.wake()
        return "Nothing more begins; what runs, runs on."

    def _stop(self, now: bool) -> str:
        self._handle.cancel(now=now, wait=False)
        self._live.wake()
        return "What is finished is kept."

    def _go_on(self, act: Callable[[], object]) -> str:
        # Somebody may have been quicker: then there is nothing to do but to show it.
        if self._handle.done() or not self._live.ended:
            act()
        if self._live.ended:
            self._live = LiveView(of_job(self._handle), self._skin)
            self.open()
        else:
            self._live.wake()
        return ""

    def _detach(self) -> str:
        self.leave()
        return ""


@contextlib.asynccontextmanager
async def awaited(handle: JobHandle, wanted: str, shell: Any) -> AsyncIterator[None]:
    """Show a job while ``await handle`` waits for it, unless it has ended or a live view of it is there already."""
    way = way_to_show(wanted, shell)
    view = await asyncio.to_thread(_opened, handle, way) if shows_while_running(way) else None
    if view is None:
        yield
        return
    _stands[_key(handle)] = request_id(shell)
    try:
        yield
    except BaseException:
        await asyncio.shield(asyncio.to_thread(view.leave))
        raise
    await asyncio.to_thread(view.finish)


def _opened(handle: JobHandle, way: str) -> JobView | None:
    try:
        if handle.done() or any(view.shows(handle) for view in _views):
            return None
        view = JobView(handle, way, awaiting=True)
        view.open()
    except NBClusterError:
        return None  # the waiting itself meets the same trouble, and is patient or says so
    return view


def stands_in_cell(handle: JobHandle, shell: Any) -> bool:
    """Whether the running cell shows this job already, because it awaited it."""
    here = request_id(shell)
    return bool(here) and _stands.get(_key(handle)) == here


def _key(handle: JobHandle) -> tuple[str, int]:
    return handle.uid, handle.id
