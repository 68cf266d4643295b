"""How often a member looks at the others.  The looks are shared: the more members, the rarer each one's.

Beats are everybody's own.  A look serves all, so that together they look a few times
in a second whether there are two of them or two hundred.
"""

from __future__ import annotations

import random
import time

SWEEPS = 4.0
"""Looks for lost nodes in a second, by all members together."""

IDLE_SWEEPS = 2.0
"""The same while no job is running: nobody has anything to lose, and who ended should still be seen soon."""

SCANS = 0.4
"""Looks for jobs without a master in a second, by all members together."""

POLLS = 10.0
"""Looks for work in a second that announcements should have told of, by all members together."""

RARELY = 10.0
"""So many times as long a pause is made between two looks at what is announced, while announcements arrive."""


def sweep_pause(interval: float, members: int, *, working: bool) -> float:
    """Seconds, at most, between two looks for lost nodes by one of so many members."""
    return max(interval, members / (SWEEPS if working else IDLE_SWEEPS))


def scan_pause(interval: float, members: int) -> float:
    """Seconds, at most, between two looks for jobs without a master by one of so many members."""
    return max(interval, members / SCANS)


def poll_pause(interval: float, members: int = 1, *, announced: bool) -> float:
    """Seconds between two looks for work by one of so many members: rarely, where announcements arrive."""
    return max(interval * RARELY, members / POLLS) if announced else interval


class Due:
    """A moment that comes again and again, never quite regularly: jitter keeps members apart."""

    def __init__(self) -> None:
        self._at = time.monotonic()

    @property
    def left(self) -> float:
        """Seconds until it comes; 0 when it is here."""
        return max(0.0, self._at - time.monotonic())

    def again(self, pause: float) -> None:
        """It comes next after about ``pause`` seconds, and never later than that."""
        self._at = time.monotonic() + pause * random.uniform(0.5, 1.0)

    def sooner(self, pause: float) -> None:
        """It comes within ``pause`` seconds from now."""
        self._at = min(self._at, time.monotonic() + pause)
