"""A machine's monotonic clock, in the test's hand."""

from __future__ import annotations


class Clock:
    """Put in the place of a module's ``time``."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now
