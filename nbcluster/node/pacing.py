"""How much to claim: enough that no slot waits, so little that no partition does.  Pure."""

from __future__ import annotations

from collections.abc import Iterable

HELD_PER_SLOT = 0.1
"""Seconds of work that may wait behind each slot."""

LARGEST_CLAIM = 500
LONGEST_GATHERING = 0.02
"""Seconds for which outcomes are collected into one commit, while the slots have more to do.

With a commit for each outcome two nodes on SQLite spent most of their time waiting for
each other's write lock.
"""

HAND_BACK_AFTER = 0.5
"""Seconds after which a claimed partition goes back, if no slot will begin it soon."""

LONGEST_RETRY_PAUSE = 60.0
"""Seconds after which an attempt that raised is repeated at the latest."""

_WEIGHT = 0.3


class Pace:
    """How long a slot is taken by a partition of a step: a running mean in seconds; None before the first."""

    def __init__(self) -> None:
        self.seconds: float | None = None

    def observe(self, durations: Iterable[float]) -> None:
        """Learn from partitions that ended."""
        for duration in durations:
            self.seconds = duration if self.seconds is None else self.seconds + _WEIGHT * (duration - self.seconds)

    def slow_down(self, duration: float) -> None:
        """A partition has run this long already: expect no less of the others."""
        self.seconds = max(self.seconds or 0.0, duration)


def wanted(slots: int, running: int, queued: int, pace: Pace, *, ahead: bool = True) -> int:
    """How many partitions to claim now.

    Before anything is known about a step: one for each free slot.  After that, so many
    that about ``HELD_PER_SLOT`` seconds of work wait behind each slot; long partitions
    are only claimed when a slot can begin them, and so is everything when not ``ahead``.
    """
    free = max(0, slots - running)
    if pace.seconds is None or not ahead:
        return max(0, free - queued)
    behind = int(slots * HELD_PER_SLOT / max(pace.seconds, 1e-6))
    target = min(LARGEST_CLAIM, free + behind)
    # Half a queue is time enough to fetch more: claims come in few large batches.
    if queued > target // 2 and free <= queued:
        return 0
    return max(0, target - queued)


def is_stuck(slots: int, running_for: list[float], waiting: int, pace: Pace) -> bool:
    """Whether partitions that have waited for ``HAND_BACK_AFTER`` will go on waiting.

    They will when no child is up, when every slot is taken by a partition that runs long already, or when
    those before them take longer than that altogether.
    """
    if not slots:
        return True
    if len(running_for) < slots:
        return False
    all_long = min(running_for) > HAND_BACK_AFTER / 2
    return all_long or waiting * (pace.seconds or 0.0) / slots > HAND_BACK_AFTER


def gathering(slots: int, queued: int, pace: Pace) -> float:
    """Seconds to wait for more outcomes before a commit: none when a slot would run dry, or nothing else is due."""
    return min(LONGEST_GATHERING, queued * (pace.seconds or 0.0) / max(1, slots) / 2)


def retry_pause(first: float, errors: int, chance: float) -> float:
    """Seconds until an attempt is repeated after ``errors`` earlier ones that raised.

    Doubles each time; ``chance`` (0.0 to 1.0) makes it up to a quarter shorter, so that
    what failed together does not come back together.
    """
    return min(LONGEST_RETRY_PAUSE, first * 2.0 ** min(errors, 30)) * (1.0 - chance / 4)
