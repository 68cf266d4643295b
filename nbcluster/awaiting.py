"""``await`` and ``async for``: what blocks runs in a thread of its own, and the event loop gets what comes of it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import aclosing
from enum import Enum
from queue import SimpleQueue
from typing import Any, Generic, Protocol, TypeVar

from nbcluster.waiting import Signal

T = TypeVar("T")


class _Over(Enum):
    OVER = "nothing more comes"


async def in_thread(name: str, iterate: Callable[[Signal], Iterator[T]]) -> AsyncGenerator[T, None]:
    """What ``iterate(signal)`` yields, without ever blocking the event loop.

    Its steps run in a daemon thread called ``name``, the next one only when it is asked for.  Whatever ends the
    iteration (also a cancelled task) tells the signal, so that a waiting step returns and the thread ends.
    """
    signal = Signal()
    steps = _Steps(name, iterate(signal))
    try:
        while (value := await asyncio.wrap_future(steps.next())) is not _Over.OVER:
            yield value
    finally:
        signal.leave()
        steps.end()


class Pair(Protocol):
    """An input with its value."""

    @property
    def input(self) -> Any:
        """What went in."""

    @property
    def value(self) -> Any:
        """What came out."""


class AsCompleted(Iterator[tuple[Any, Any]]):
    """(input, value) of good items as partitions finish: ``for input, value in ...``, or ``async for`` it."""

    def __init__(
        self,
        batches: Iterator[Sequence[Pair]],
        in_thread: Callable[[], AsyncGenerator[Sequence[Pair], None]],
    ) -> None:
        self._pairs = ((item.input, item.value) for batch in batches for item in batch)
        self._in_thread = in_thread

    def __next__(self) -> tuple[Any, Any]:
        return next(self._pairs)

    async def __aiter__(self) -> AsyncIterator[tuple[Any, Any]]:
        async with aclosing(self._in_thread()) as batches:
            async for batch in batches:
                for item in batch:
                    yield item.input, item.value


class _Steps(Generic[T]):
    """An iterator whose steps are taken in a thread."""

    def __init__(self, name: str, iterator: Iterator[T]) -> None:
        self._iterator = iterator
        self._asked: SimpleQueue[Future[T | _Over] | None] = SimpleQueue()
        threading.Thread(target=self._run, name=name, daemon=True).start()

    def next(self) -> Future[T | _Over]:
        """Ask for the next value."""
        future: Future[T | _Over] = Future()
        self._asked.put(future)
        return future

    def end(self) -> None:
        """Ask for no more; the thread ends after the step it is at."""
        self._asked.put(None)

    def _run(self) -> None:
        while (future := self._asked.get()) is not None:
            if not future.set_running_or_notify_cancel():
                continue
            try:
                future.set_result(next(self._iterator, _Over.OVER))
            except Exception as error:  # noqa: BLE001 -- it is raised where the value is awaited
                future.set_exception(error)
        del self._iterator  # a generator lets go of what it holds
