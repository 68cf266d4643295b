"""Every combination of some lists, as dicts."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from nbcluster.errors import InputError
from nbcluster.partitioners.base import Part, Singles, several
from nbcluster.partitioners.sequences import materialize

_MOST = 1_000_000
_LONGEST_VALUE = 30


@dataclass(frozen=True)
class Grid(Singles):
    """Combinations; the function gets a dict, or a list of them where several are a part."""

    values: Mapping[str, Sequence[Any]]
    chunk: int | None = None
    partitions: int | None = None

    def things(self) -> Sequence[dict[str, Any]]:
        return [dict(zip(self.values, found, strict=True)) for found in itertools.product(*self.values.values())]

    def key_of(self, thing: dict[str, Any]) -> str:
        return ", ".join(f"{name}={_short(value)}" for name, value in thing.items())

    def in_chunks(self, chunk: int) -> Grid:
        return replace(self, chunk=chunk, partitions=None)

    def in_partitions(self, partitions: int) -> Grid:
        return replace(self, chunk=None, partitions=partitions)

    def identity(self, _parts: Sequence[Part]) -> Any:
        return "grid", [(name, list(values)) for name, values in self.values.items()]

    def __len__(self) -> int:
        return math.prod(map(len, self.values.values()))

    def __repr__(self) -> str:
        sides = " x ".join(f"{len(values)} {name}" for name, values in self.values.items())
        return f"grid: {sides} = {several(len(self), 'combination')}"


def grid(**values: Iterable[Any]) -> Grid:
    """Split into every combination of ``values``: ``nb.grid(lr=[0.1, 0.01], depth=[3, 5])`` makes four.

    The function gets a dict each, the last name running fastest; with ``chunk=`` or ``partitions=``
    ``map_partitions`` gives it a list of them.  Raises InputError.
    """
    if not values:
        raise InputError("nb.grid needs at least one list, for example nb.grid(depth=[3, 5])")
    sides = {name: _side(name, side) for name, side in values.items()}
    found = Grid(sides)
    if len(found) > _MOST:
        raise InputError(f"{found!r} is more than {_MOST:,}; leave some values out, or map over fewer at a time")
    return found


def _side(name: str, side: Any) -> Sequence[Any]:
    if isinstance(side, (str, bytes)) or not isinstance(side, Iterable):
        raise InputError(f"nb.grid: {name} is {side!r:.60}, which is one value; write {name}=[{side!r:.60}]")
    found = materialize(side)
    if not len(found):
        raise InputError(f"nb.grid: {name} is empty, so there is no combination; give it a value, or leave it out")
    return found


def _short(value: Any) -> str:
    text = str(value) if isinstance(value, (str, int, float)) else repr(value)
    return text if len(text) <= _LONGEST_VALUE else f"{text[: _LONGEST_VALUE - 3]}..."
