"""SIGINT in a child: it stops user code, and only that."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator


class Interrupt:
    """Between partitions SIGINT is ignored; while one runs it raises KeyboardInterrupt, once."""

    def __init__(self) -> None:
        self.armed = self.received = False
        self._deferring = self._deferred = False
        signal.signal(signal.SIGINT, self._handle)

    def arm(self) -> None:
        """User code begins."""
        self.armed, self.received = True, False

    def _handle(self, _signal: int, _frame: object) -> None:
        if not self.armed:
            return
        self.armed, self.received = False, True
        if self._deferring:
            self._deferred = True
        else:
            raise KeyboardInterrupt

    @contextlib.contextmanager
    def deferred(self) -> Iterator[None]:
        """What is inside is not torn apart: KeyboardInterrupt comes at its end, in the thread that it is meant for."""
        if threading.current_thread() is not threading.main_thread():
            yield  # no handler runs here
            return
        self._deferring = True
        try:
            yield
        finally:
            self._deferring = False
            if self._deferred:
                self._deferred = False
                raise KeyboardInterrupt

    def restore(self) -> None:
        """Undo what user code did to the handler."""
        if signal.getsignal(signal.SIGINT) != self._handle:
            signal.signal(signal.SIGINT, self._handle)
