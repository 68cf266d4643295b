"""Whole numbers and items: what can be cut anywhere."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence, Sized
from dataclasses import dataclass, replace
from typing import Any

from nbcluster.errors import InputError
from nbcluster.partitioners.base import Nodes, Part, Partitioner, bounds, positive

UNSIZED_LIMIT = 1_000_000
_ENDLESS = (itertools.count, itertools.cycle)


@dataclass(frozen=True)
class Ranges(Partitioner):
    """Whole numbers; the function gets a ``range``."""

    numbers: range
    chunk: int | None = None

    def split(self, nodes: Nodes) -> Iterator[range]:
        for start, stop in bounds(len(self.numbers), Nodes.of(nodes).partitions, self.chunk):
            yield self.numbers[start:stop]

    def parts(self, nodes: Nodes) -> list[Part]:
        return [Part(f"{r.start}..{r[-1]}", len(r), r) for r in self.split(nodes)]

    def in_chunks(self, chunk: int) -> Ranges:
        return replace(self, chunk=chunk)

    def identity(self, _parts: Sequence[Part]) -> Any:
        return "ranges", self.numbers.start, self.numbers.stop, self.numbers.step

    def nothing(self) -> str:
        return "the range is empty: there is nothing to map"

    def __repr__(self) -> str:
        r = self.numbers
        return f"ranges({r.start}, {r.stop}{f', {r.step}' if r.step != 1 else ''}): {len(r)} numbers"


@dataclass(frozen=True)
class Items(Partitioner):
    """A sequence; the function gets a slice of it."""

    sequence: Sequence[Any]
    chunk: int | None = None

    def split(self, nodes: Nodes) -> Iterator[Sequence[Any]]:
        for start, stop in bounds(len(self.sequence), Nodes.of(nodes).partitions, self.chunk):
            yield self.sequence[start:stop]

    def parts(self, nodes: Nodes) -> list[Part]:
        return [
            Part(f"{start}..{stop - 1}", stop - start, self.sequence[start:stop])
            for start, stop in bounds(len(self.sequence), Nodes.of(nodes).partitions, self.chunk)
        ]

    def in_chunks(self, chunk: int) -> Items:
        return replace(self, chunk=chunk)

    def identity(self, _parts: Sequence[Part]) -> Any:
        return "items", self.sequence

    def nothing(self) -> str:
        return "the sequence is empty: there is nothing to map"

    def __repr__(self) -> str:
        return f"items: {len(self.sequence)}"


def ranges(start: int, stop: int | None = None, step: int = 1, *, chunk: int | None = None) -> Ranges:
    """Split whole numbers; ``map_partitions`` gives the function a ``range``, ``map`` each number.

    ``chunk`` is the length of each part; by default four parts per live slot are made.
    """
    first, end = (0, start) if stop is None else (start, stop)
    if step == 0:
        raise InputError("ranges: the step is 0; write a step of 1 or more, or a negative one to count down")
    return Ranges(range(first, end, step), positive(chunk, "chunk"))


def items(sequence: Iterable[Any], chunk: int | None = None) -> Items:
    """Split a sequence into slices of ``chunk`` items (by default four per live slot)."""
    return Items(materialize(sequence), positive(chunk, "chunk"))


def materialize(source: Iterable[Any]) -> Sequence[Any]:
    """The items of any iterable as a sequence that can be sliced.

    Raises InputError for what is no iterable or has no end.
    """
    if isinstance(source, (range, list, tuple)):
        return source
    if isinstance(source, _ENDLESS) or (isinstance(source, itertools.repeat) and _endless_repeat(source)):
        raise InputError(f"{source!r} never ends; cut it with itertools.islice(..., n)")
    if isinstance(source, (str, bytes)):
        raise InputError("a string is one value, not a list of items; write list(text) if you mean its characters")
    tolist = getattr(source, "tolist", None)
    if callable(tolist) and hasattr(source, "dtype"):
        return list(source)
    try:
        iterator = iter(source)
    except TypeError:
        raise InputError(f"{type(source).__name__} is not iterable; pass a list, a range or a partitioner") from None
    if isinstance(source, Sized):
        return list(iterator)
    found = list(itertools.islice(iterator, UNSIZED_LIMIT + 1))
    if len(found) > UNSIZED_LIMIT:
        raise InputError(
            f"the iterator gave more than {UNSIZED_LIMIT:,} items and tells no length: is it endless? "
            "Pass a list, or cut it with itertools.islice(..., n)"
        )
    return found


def _endless_repeat(source: itertools.repeat[Any]) -> bool:
    try:
        source.__length_hint__()
    except TypeError:
        return True
    return False
