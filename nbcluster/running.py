"""What a running partition may ask about itself: ``nb.current()``."""

from __future__ import annotations

from dataclasses import dataclass

from nbcluster.errors import UsageError


@dataclass(frozen=True, slots=True)
class Current:
    """The partition that runs in this process.

    ``index`` is its 0-based position in the job, ``attempt`` counts from 1,
    ``transferable`` says whether it may run again on another node.
    """

    job: str
    index: int
    partition_key: str
    attempt: int
    node: str
    transferable: bool


_current: Current | None = None


def current() -> Current:
    """The partition that runs in this process.  Raises UsageError outside of one."""
    if _current is None:
        raise UsageError("nb.current() answers only inside a function that runs on a node")
    return _current


def set_current(value: Current | None) -> None:
    """Used by the child process before and after it calls the function."""
    global _current
    _current = value
