"""How inputs are split: partitioners, and the chunks of plain iterables.

A partitioner is told how many live slots there are and gives named parts.  The
split is stored when it is first made and never computed again.
"""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence, Sized
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, SupportsIndex

from nbcluster.errors import InputError

if TYPE_CHECKING:
    import pandas

PER_SLOT = 4
"""Partitions for each live slot, unless something else is asked for: enough to even out unequal ones."""

UNSIZED_LIMIT = 1_000_000
_ENDLESS = (itertools.count, itertools.cycle)


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a split: its key, how many items it holds, and what the function gets."""

    key: str
    items: int
    value: Any


class Partitioner(ABC):
    """Turns an input into parts.  Subclass it and write ``split``."""

    @abstractmethod
    def split(self, partitions: int) -> Iterable[Any]:
        """The parts, in order; about ``partitions`` of them (four per live slot) if it is free to choose.

        A part is any picklable value.  A dict is passed to the function as it is.
        """

    def parts(self, partitions: int) -> list[Part]:
        """The split with keys and sizes."""
        split = self.split(partitions)
        if not isinstance(split, Iterable):
            raise InputError(f"the partitioner gave a {type(split).__name__}; let it return or yield the parts")
        return [
            Part(f"part-{index}", len(value) if countable(value) else 1, value) for index, value in enumerate(split)
        ]


def countable(value: Any) -> bool:
    """Whether a part consists of items, so that ``map`` can call the function with each."""
    return isinstance(value, Sized) and not isinstance(value, (str, bytes, dict))


@dataclass(frozen=True)
class Ranges(Partitioner):
    """Whole numbers; the function gets a ``range``."""

    numbers: range
    chunk: int | None = None

    def split(self, partitions: int) -> Iterator[range]:
        for start, stop in bounds(len(self.numbers), partitions, self.chunk):
            yield self.numbers[start:stop]

    def parts(self, partitions: int) -> list[Part]:
        return [Part(f"{r.start}..{r[-1]}", len(r), r) for r in self.split(partitions)]

    def __repr__(self) -> str:
        r = self.numbers
        return f"ranges({r.start}, {r.stop}{f', {r.step}' if r.step != 1 else ''}): {len(r)} numbers"


@dataclass(frozen=True)
class Items(Partitioner):
    """A sequence; the function gets a slice of it."""

    sequence: Sequence[Any]
    chunk: int | None = None

    def split(self, partitions: int) -> Iterator[Sequence[Any]]:
        for start, stop in bounds(len(self.sequence), partitions, self.chunk):
            yield self.sequence[start:stop]

    def parts(self, partitions: int) -> list[Part]:
        return [
            Part(f"{start}..{stop - 1}", stop - start, self.sequence[start:stop])
            for start, stop in bounds(len(self.sequence), partitions, self.chunk)
        ]

    def __repr__(self) -> str:
        return f"items: {len(self.sequence)}"


@dataclass(frozen=True)
class Frame(Partitioner):
    """A pandas DataFrame; the function gets a DataFrame of some of its rows."""

    data: pandas.DataFrame
    rows: int | None = None
    by: Any = None

    def split(self, partitions: int) -> Iterator[pandas.DataFrame]:
        return (part.value for part in self.parts(partitions))

    def parts(self, partitions: int) -> list[Part]:
        if self.by is not None:
            # Rows whose key is missing are a part too: nothing is dropped silently.
            groups = self.data.groupby(self.by, sort=True, dropna=False, observed=True)
            named = [(str(key)[:80], group) for key, group in groups]
            return [Part(f"{place}:{key}", len(group), group) for place, (key, group) in enumerate(named)]
        return [
            Part(f"{start}..{stop - 1}", stop - start, self.data.iloc[start:stop])
            for start, stop in bounds(len(self.data), partitions, self.rows)
        ]

    def __repr__(self) -> str:
        how = f" by {self.by}" if self.by is not None else ""
        return f"frame: {len(self.data)} rows x {len(self.data.columns)} columns{how}"


@dataclass(frozen=True)
class FromFunction(Partitioner):
    """A plain function of the number of partitions."""

    function: Callable[[int], Iterable[Any]]

    def split(self, partitions: int) -> Iterable[Any]:
        return self.function(partitions)


def ranges(start: int, stop: int | None = None, step: int = 1, *, chunk: int | None = None) -> Ranges:
    """Split whole numbers; ``map_partitions`` gives the function a ``range``, ``map`` each number.

    ``chunk`` is the length of each part; by default four parts per live slot are made.
    """
    first, end = (0, start) if stop is None else (start, stop)
    if step == 0:
        raise InputError("ranges: the step is 0; write a step of 1 or more, or a negative one to count down")
    return Ranges(range(first, end, step), _positive(chunk, "chunk"))


def items(sequence: Iterable[Any], chunk: int | None = None) -> Items:
    """Split a sequence into slices of ``chunk`` items (by default four per live slot)."""
    return Items(materialize(sequence), _positive(chunk, "chunk"))


def frame(data: pandas.DataFrame, rows: int | None = None, by: Any = None) -> Frame:
    """Split a DataFrame by ``rows`` per part, or into one part for each value of the column(s) ``by``."""
    if not hasattr(data, "iloc") or not hasattr(data, "columns"):
        raise InputError(f"nb.frame needs a pandas DataFrame, not {type(data).__name__}")
    if rows is not None and by is not None:
        raise InputError("nb.frame takes rows= or by=, not both")
    missing = [name for name in ([by] if isinstance(by, str) else by or []) if name not in data.columns]
    if missing:
        raise InputError(f"nb.frame: there is no column {missing[0]!r}; there are {', '.join(map(str, data.columns))}")
    return Frame(data, _positive(rows, "rows"), by)


def bounds(total: int, partitions: int, chunk: int | None = None) -> Iterator[tuple[int, int]]:
    """Start and end of each slice: of ``chunk`` items, or ``partitions`` slices that differ by one at most."""
    if chunk is not None:
        for start in range(0, total, chunk):
            yield start, min(start + chunk, total)
        return
    count = min(max(1, partitions), total)
    for place in range(count):
        yield place * total // count, (place + 1) * total // count


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


def choose_partitions(slots: int, asked: int | None) -> int:
    """How many partitions to make: what was asked for, else four per slot."""
    return int(asked) if asked is not None else max(1, slots) * PER_SLOT


def as_partitioner(source: Any) -> Partitioner:
    """The partitioner for whatever the user handed over."""
    if isinstance(source, Partitioner):
        return source
    if hasattr(source, "iloc") and hasattr(source, "columns"):
        return frame(source)
    if callable(source) and not isinstance(source, Iterable):
        return FromFunction(source)
    sequence = materialize(source)
    if not len(sequence):
        raise InputError("the iterable is empty: there is nothing to map")
    return Ranges(sequence) if isinstance(sequence, range) else Items(sequence)


def with_chunk(partitioner: Partitioner, chunk: int | None) -> Partitioner:
    """The same split in parts of ``chunk`` items, where the partitioner can do that."""
    if chunk is None:
        return partitioner
    size = _positive(chunk, "chunk")
    if isinstance(partitioner, Ranges):
        return Ranges(partitioner.numbers, size)
    if isinstance(partitioner, Items):
        return Items(partitioner.sequence, size)
    if isinstance(partitioner, Frame) and partitioner.by is None:
        return Frame(partitioner.data, size)
    raise InputError(f"chunk= does not fit {partitioner!r}, which makes its own parts")


def _positive(number: int | None, name: str) -> int | None:
    if number is None:
        return None
    if not isinstance(number, SupportsIndex) or isinstance(number, bool) or number < 1:
        raise InputError(f"{name} is {number!r}; it must be a whole number of at least 1")
    return int(number)
