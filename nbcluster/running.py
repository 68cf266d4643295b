"""What a running partition may ask about itself, and tell: ``nb.current()``."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Protocol

from nbcluster.errors import InputError, UsageError
from nbcluster.statements import Recorder


class Line(Protocol):
    """What a partition says to whoever runs it, and hears from there."""

    @property
    def cancelled(self) -> bool:
        """Whether the partition was told to stop."""

    @property
    def checkpoint(self) -> Any:
        """What an earlier attempt saved; None when there is nothing."""

    @property
    def connection(self) -> Recorder:
        """What takes down the statements of the partition."""

    def progress(self, fraction: float, message: str) -> None:
        """Take note of how far it is; must not block."""

    def save(self, value: Any) -> None:
        """Keep ``value`` for the next attempt; returns when it is stored."""

    def shared(self, shared_id: str) -> str | None:
        """The file with a shared value, brought here if need be; None where no node brings it."""


@dataclass(frozen=True, slots=True)
class Current:
    """The partition that runs in this process.

    ``index`` is its 0-based position in the job, ``attempt`` counts from 1,
    ``transferable`` says whether it may run again on another node.  ``idempotency_key`` is
    the same text for every attempt and every execution of the partition, and for no other
    one: give it to services that must not do the same thing twice.
    """

    job: str
    index: int
    partition_key: str
    attempt: int
    node: str
    transferable: bool
    idempotency_key: str = ""

    def progress(self, fraction: float, message: str = "") -> None:
        """Show that ``fraction`` (0.0 to 1.0) is done; ``message`` is cut at 200 characters.

        Costs microseconds and never waits, so it may be called in an inner loop; about once
        a second the last call is what everybody sees.  Raises InputError for what is no number.
        """
        try:
            number = float(fraction)
        except (TypeError, ValueError):
            number = math.nan
        if math.isnan(number):
            raise InputError(f"progress() takes a fraction from 0.0 to 1.0, not {fraction!r:.60}")
        if _line is not None:
            _line.progress(min(1.0, max(0.0, number)), str(message))

    def save(self, value: Any) -> None:
        """Keep ``value`` as the ``checkpoint`` of the next attempt, in place of what was saved before.

        When it returns, the value is committed in the database: neither the loss of this
        process nor that of the node loses it.  Until then it waits, also for a database that
        is away; what was saved before stays.  It is kept until the partition is COMPLETED,
        also over ``resume()``.

        Raises CannotPickle, TooLarge (above ``max_result``), JobError when the partition
        belongs to another node by now, and UsageError where no node runs this or after
        statements were given to ``connection``.
        """
        if _line is None:
            raise UsageError("save() keeps something only inside a function that runs on a node")
        if len(_line.connection):
            raise UsageError(
                "save() comes before connection.execute(): what was executed counts only if this attempt completes, so "
                "an attempt that goes on from here would miss it; execute at the end"
            )
        _line.save(value)

    @property
    def checkpoint(self) -> Any:
        """What an earlier attempt of this partition saved last; None when none did.

        Raises PayloadError when it cannot be rebuilt here.
        """
        return None if _line is None else _line.checkpoint

    @property
    def connection(self) -> Recorder:
        """Takes statements that are executed in the transaction which makes this partition COMPLETED.

        ``connection.execute("INSERT INTO seen VALUES (:n)", {"n": 1})`` returns at once and gives
        nothing back: the node executes it when the function has returned, exactly once.  A
        replay, a sample or a local run checks it and executes nothing.  Raises UsageError outside of all these.
        """
        if _line is None:
            raise UsageError("connection takes statements only inside a function that runs on a node")
        return _line.connection

    @property
    def cancelled(self) -> bool:
        """Whether the job was stopped, or the node is: KeyboardInterrupt was raised in the main thread for it."""
        return _line is not None and _line.cancelled


def shared(shared_id: str) -> str | None:
    """The file with a shared value; None outside of a function that a node runs."""
    return None if _line is None else _line.shared(shared_id)


_current: Current | None = None
_line: Line | None = None


def current() -> Current:
    """The partition that runs in this process.  Raises UsageError outside of one."""
    if _current is None:
        raise UsageError("nb.current() answers only inside a function that runs on a node")
    return _current


def set_current(value: Current | None, line: Line | None = None) -> None:
    """Used by whoever calls the function, before and after; ``line`` connects it with what runs it."""
    global _current, _line
    _current, _line = value, line
