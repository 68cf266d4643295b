"""Telling the others which packages this process has: once, when its start is over."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from nbcluster import environment
from nbcluster.environment import Environment
from nbcluster.store import Store

AFTER = 2.0
"""Seconds that a start gets first: reading what is installed takes some tenths of a second of a core."""

AGAIN = 30.0
"""Seconds between two looks whether this process goes on under another id, which nobody knows anything of."""

_reading = threading.Lock()
_known: list[Environment] = []


def at_start() -> Environment:
    """The packages of this process when it was first asked: those that its imports come from."""
    with _reading:
        if not _known:
            _known.append(environment.installed())
        return _known[0]


class Introduction:
    """One look; see ``Member``."""

    def __init__(self, store: Store, node_id: Callable[[], str], after: float = AFTER) -> None:
        self._store = store
        self._node_id = node_id
        self._due = time.monotonic() + after
        self._told = ""

    def tell(self) -> float | None:
        """Tell it if it is due and untold; gives the seconds until then while it is not due."""
        left = self._due - time.monotonic()
        if left > 0:
            return left
        node_id = self._node_id()
        if node_id != self._told and self._store.environments.tell(node_id, at_start()):
            self._told = node_id
        return None
