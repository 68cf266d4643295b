"""What all partitioners are: a split into named parts, made once from the number of live nodes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence, Sized
from dataclasses import dataclass
from typing import Any, Self, SupportsIndex

from nbcluster.errors import InputError
from nbcluster.partitioners.handle import Handle

PER_SLOT = 4
"""Partitions for each live slot, unless something else is asked for: enough to even out unequal ones."""

_LONGEST_KEY = 90
"""Characters; the number before it fits beside them."""


class Nodes(int):
    """How many live nodes may run the step (at least 1), as a number that knows more.

    ``slots`` are their slots together, ``partitions`` how many parts are wanted: four for
    each slot, or what ``partitions=`` said.
    """

    slots: int
    partitions: int

    def __new__(cls, number: int = 1, slots: int | None = None, partitions: int | None = None) -> Self:
        nodes = super().__new__(cls, max(1, number))
        nodes.slots = max(1, int(nodes) if slots is None else slots)
        nodes.partitions = nodes.slots * PER_SLOT if partitions is None else max(1, int(partitions))
        return nodes

    @classmethod
    def of(cls, number: int) -> Nodes:
        """A bare number as that many nodes of one slot each."""
        return number if isinstance(number, Nodes) else cls(number)

    def wanting(self, partitions: int | None) -> Nodes:
        """The same nodes with another number of parts wanted; as it is for None."""
        return self if partitions is None else Nodes(self, self.slots, partitions)


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a split: its key, how many items it holds, and what the function gets.

    A ``single`` part is one thing, not a sequence of items: ``map`` calls the function with it.
    """

    key: str
    items: int
    value: Any
    single: bool = False


class Partitioner(ABC):
    """Turns an input into parts.  Subclass it and write ``split``."""

    @abstractmethod
    def split(self, nodes: Nodes) -> Iterable[Any]:
        """The parts, in order.

        ``nodes`` is the number of live nodes that may run the step, with ``nodes.slots`` and
        ``nodes.partitions``, which is how many parts to make where there is a choice.  A part is
        any picklable value.  A dict is passed to the function as it is.
        """

    def parts(self, nodes: Nodes) -> list[Part]:
        """The split with keys and sizes."""
        split = self.split(nodes)
        if not isinstance(split, Iterable):
            raise InputError(f"the partitioner gave a {type(split).__name__}; let it return or yield the parts")
        values = list(split)
        keys = distinct([one.key if isinstance(one, Handle) else f"part-{place}" for place, one in enumerate(values)])
        return [_of(key, value) for key, value in zip(keys, values, strict=True)]

    def in_chunks(self, chunk: int) -> Partitioner:
        """The same split in parts of ``chunk`` items.  Raises InputError where the parts are given."""
        raise InputError(f"chunk= does not fit {self!r}, which makes its own parts")

    def in_partitions(self, _partitions: int) -> Partitioner:
        """The same split for when ``partitions=`` was said; most look at ``nodes.partitions`` anyhow."""
        return self

    def identity(self, _parts: Sequence[Part]) -> Any:
        """What it is, however it was cut: two runs over equal ones are runs over the same input."""
        return self

    def nothing(self) -> str:
        """The sentence for a split without any part."""
        return f"{self!r} has no parts: there is nothing to map"


def _of(key: str, value: Any) -> Part:
    many = countable(value)
    return Part(key, len(value) if many else 1, value, single=isinstance(value, Handle) and not many)


def countable(value: Any) -> bool:
    """Whether a part consists of items, so that ``map`` can call the function with each."""
    return isinstance(value, Sized) and not isinstance(value, (str, bytes, dict))


class Singles(Partitioner):
    """A partitioner of things that go to the function one by one, unless several are asked for together.

    ``chunk`` things are a part, or ``partitions`` parts are made; with neither each is a part of its own.
    """

    chunk: int | None
    partitions: int | None

    @abstractmethod
    def things(self) -> Sequence[Any]:
        """All of them, in order."""

    @abstractmethod
    def key_of(self, thing: Any) -> str:
        """How a part of this thing alone is called."""

    def split(self, nodes: Nodes) -> Iterator[Any]:
        return (part.value for part in self.parts(nodes))

    def parts(self, _nodes: Nodes) -> list[Part]:
        things = self.things()
        if self.chunk is None and self.partitions is None:
            keys = distinct([self.key_of(thing) for thing in things])
            return [Part(key, 1, thing, single=True) for key, thing in zip(keys, things, strict=True)]
        slices = [things[start:stop] for start, stop in bounds(len(things), self.partitions or 1, self.chunk)]
        keys = distinct([span(self.key_of(some[0]), self.key_of(some[-1])) for some in slices])
        return [Part(key, len(some), list(some)) for key, some in zip(keys, slices, strict=True)]


def span(first: str, last: str) -> str:
    """The key of a part from ``first`` to ``last``."""
    return first if first == last else f"{first}..{last}"


def distinct(keys: Sequence[str]) -> list[str]:
    """Keys that fit and differ: numbered, all of them, if any two would be the same."""
    short = [key if len(key) <= _LONGEST_KEY else f"{key[: _LONGEST_KEY - 3]}..." for key in keys]
    if len(set(short)) == len(short):
        return short
    return [f"{place}:{key}" for place, key in enumerate(short)]


def bounds(total: int, partitions: int, chunk: int | None = None) -> Iterator[tuple[int, int]]:
    """Start and end of each slice: of ``chunk`` items, or ``partitions`` slices that differ by one at most."""
    if chunk is not None:
        for start in range(0, total, chunk):
            yield start, min(start + chunk, total)
        return
    count = min(max(1, partitions), total)
    for place in range(count):
        yield place * total // count, (place + 1) * total // count


def positive(number: int | None, name: str) -> int | None:
    """``number`` as a whole number of at least 1, or None.  Raises InputError for anything else."""
    if number is None:
        return None
    if not isinstance(number, SupportsIndex) or isinstance(number, bool) or number < 1:
        raise InputError(f"{name} is {number!r}; it must be a whole number of at least 1")
    return int(number)


def several(count: int, noun: str) -> str:
    """``1 file``, ``2,000 files``."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
