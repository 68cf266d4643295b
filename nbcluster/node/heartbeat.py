"""A process's own beat, and what it may conclude from having beaten."""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable
from dataclasses import replace

from nbcluster.lifecycle import NodeStatus
from nbcluster.records import NewNode
from nbcluster.store import Store

log = logging.getLogger(__name__)

_LATE = 2.5
"""A gap of this many intervals breaks the contact."""


def new_node_id(prefix: str) -> str:
    """``<prefix>-<random>``: new at each start and never reused."""
    return f"{prefix}-{secrets.token_hex(6)}"


class Heartbeat:
    """Registers a process and keeps its row fresh.

    ``moved`` is called with the current node id when others may have given its work
    away: it was UNREACHABLE, or its row was removed and it registered anew.  ``drain`` is
    called when somebody told the node to drain.
    """

    def __init__(
        self,
        store: Store,
        node: NewNode,
        *,
        interval: float,
        threshold: float,
        busy: Callable[[], int],
        moved: Callable[[str], None],
        drain: Callable[[], None] = lambda: None,
    ) -> None:
        self._store = store
        self._node = node
        self._interval = interval
        self._threshold = threshold
        self._busy = busy
        self._moved = moved
        self._drain = drain
        self.draining = False
        """Whether this process takes no more work; its beats say so."""
        self.leads = False
        """Whether it was master of any job at its last beat."""
        self._last = time.monotonic()
        self._unbroken_since = self._last

    @property
    def node_id(self) -> str:
        """The id under which the process is registered now."""
        return self._node.node_id

    @property
    def node(self) -> NewNode:
        """What the process says of itself."""
        return self._node

    def register(self) -> None:
        """Appear in the registry."""
        before = time.monotonic()
        self._store.presence.hold(self.node_id)
        self._store.nodes.register(self._node, watched=self._store.presence.holding, draining=self.draining)
        self._last = self._unbroken_since = before

    def beat(self) -> None:
        """One beat.  Its age counts from before it was sent, so that delay never flatters it."""
        before = time.monotonic()
        beat = self._store.nodes.beat(
            self.node_id, self._busy(), watched=self._store.presence.holding, draining=self.draining
        )
        gap = before - self._last
        if gap > _LATE * self._interval:
            self._unbroken_since = before
        if not beat.known:
            self._register_anew()
            return
        self._last = before
        self.leads = beat.leads
        if beat.was is NodeStatus.DRAINING and not self.draining:
            self.draining = True
            self._drain()
        if beat.was is NodeStatus.UNREACHABLE or gap > self._threshold:
            log.warning("%s was out of touch for %.1f s", self.node_id, gap)
            self._moved(self.node_id)

    def _register_anew(self) -> None:
        old = self.node_id
        self._node = replace(self._node, node_id=new_node_id(old.rsplit("-", 1)[0]))
        # Told before it is in touch again: nothing may be claimed under the old id.
        self._moved(self.node_id)
        self.register()
        log.warning("%s had been removed from the registry; it goes on as %s", old, self.node_id)

    @property
    def silence(self) -> float:
        """Seconds since the last confirmed beat."""
        return time.monotonic() - self._last

    def in_touch(self) -> bool:
        """Whether the others still count on this process: its last confirmed beat is young enough."""
        return self.silence < self._threshold

    def unbroken_for(self, seconds: float) -> bool:
        """Whether every beat of the last ``seconds`` was on time, up to now.

        Who was itself cut off must not judge others: after an outage that everybody
        shared, all have this long to beat again.
        """
        now = time.monotonic()
        return now - self._unbroken_since >= seconds and now - self._last <= _LATE * self._interval
