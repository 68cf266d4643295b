"""Large inputs that are stored once and brought to each node once: ``nc.share(value)``.

A ``Shared`` is small wherever it travels.  On a node its value lies in a file that all children
of the node map, so that ten of them need the memory of one.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from nbcluster import payload, running
from nbcluster.depot.spool import mapped
from nbcluster.errors import UsageError, ValueLost

Fetch = Callable[[str], payload.Body | None]
"""Gives the checked bytes of a shared value by its id; None when there are none."""

_KEPT = 8
"""Values that a process keeps open besides those whose ``Shared`` it made."""

_opened: OrderedDict[str, Any] = OrderedDict()
_made: weakref.WeakValueDictionary[str, Shared] = weakref.WeakValueDictionary()
_sources: list[weakref.WeakMethod[Fetch]] = []
_opening = threading.Lock()


class Shared:
    """A value that is stored in the cluster once: ``value`` is the value, wherever this has come to.

    ``id`` is the SHA-256 of its bytes (64 hexadecimal digits), ``kind`` the name of its type, ``size``
    its length in bytes.  Where it was shared ``value`` is the object itself.  Elsewhere it is a copy whose
    large arrays may be read and not be written to: on a node they lie in memory that all its
    processes share.  Equal ones have equal ids, and count as the same input.

    As a context manager it is deleted at the end, unless it was there before.
    """

    def __init__(self, id: str, kind: str, size: int) -> None:  # noqa: A002 -- what it is called everywhere
        self.id = id
        self.kind = kind
        self.size = size
        self._value: tuple[Any, ...] = ()
        self._remove: Callable[[str], bool] | None = None
        self._new = False

    @classmethod
    def made(cls, packed: payload.Packed, value: Any, remove: Callable[[str], bool], *, new: bool) -> Self:
        """The one that stands for ``value`` in the process that shared it; ``new`` if it was not stored before."""
        shared = cls(packed.digest.hex(), type(value).__name__, packed.size)
        shared._value, shared._remove, shared._new = (value,), remove, new
        _made[shared.id] = shared
        return shared

    def __reduce__(self) -> tuple[type[Shared], tuple[str, str, int]]:
        return Shared, (self.id, self.kind, self.size)

    def __repr__(self) -> str:
        return f"<Shared {self.kind}, {payload.format_size(self.size)}, {self.id[:8]}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Shared) and other.id == self.id

    def __hash__(self) -> int:
        return hash(self.id)

    @property
    def value(self) -> Any:
        """The value.  The first use in a process may wait until it has arrived.

        Raises ValueLost when it was deleted, SignatureError when it was altered, and UsageError where
        neither a node runs this nor the process is connected to the cluster.
        """
        if self._value:
            return self._value[0]
        here = _made.get(self.id)
        if here is not None and here._value:
            return here._value[0]
        with _opening:
            if self.id not in _opened:
                _opened[self.id] = self._opened()
                while len(_opened) > _KEPT:
                    _opened.popitem(last=False)
            _opened.move_to_end(self.id)
            return _opened[self.id]

    def __call__(self) -> Any:
        """The same as ``value``."""
        return self.value

    def _opened(self) -> Any:
        path = running.shared(self.id)
        body = mapped(path, writable=False) if path is not None else self._fetched()
        with payload.rebuilding(f"the shared {self.kind} {self.id[:8]}"):
            return payload.load(memoryview(body).toreadonly(), own=False)

    def _fetched(self) -> payload.Body:
        """Its bytes, from a cluster that this process is connected to."""
        sources = [source for reference in _sources if (source := reference()) is not None]
        if not sources:
            raise UsageError(
                f"{self!r} can be read on a node, and in a process that is connected to its cluster: nb.connect() first"
            )
        for source in sources:
            body = source(self.id)
            if body is not None:
                return body
        raise ValueLost(deleted(f"the shared {self.kind} {self.id[:8]}"))

    def delete(self) -> bool:
        """Remove it from the cluster; gives whether it was there.  Functions that ask for it from now on fail.

        Nodes that have it drop it.  Raises UsageError where it was not shared: share an equal value to get hold of it.
        """
        if self._remove is None:
            raise UsageError(f"{self!r} is deleted where it was shared, or by what nc.share() gives for an equal value")
        return self._remove(self.id)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._new and self._remove is not None:
            self._remove(self.id)


def deleted(what: str) -> str:
    """That a shared value is not there any more, in one sentence."""
    return f"{what} was deleted; share it again with nc.share()"


def add_source(fetch: Fetch) -> None:
    """From now on values that were not shared here are read with this method, for as long as its object lives."""
    _sources[:] = [one for one in _sources if one() is not None]
    _sources.append(weakref.WeakMethod(fetch))


def _after_fork() -> None:
    global _opening
    _opening = threading.Lock()


os.register_at_fork(after_in_child=_after_fork)
