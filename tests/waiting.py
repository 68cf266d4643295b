"""Waiting in tests: a bounded poll on a condition, never a bare sleep."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def wait_until(
    condition: Callable[[], T],
    timeout: float = 30.0,
    message: str | Callable[[], object] = "the condition",
    interval: float = 0.02,
) -> T:
    """The first true value of ``condition()``; AssertionError when ``timeout`` seconds bring none.

    ``message`` names what is waited for; a callable is asked only after the time
    is over, so it can show how things stood then.
    """
    end = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() >= end:
            raise AssertionError(f"not within {timeout:g}s: {message() if callable(message) else message}")
        time.sleep(interval)
