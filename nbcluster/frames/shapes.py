"""What values of one kind look like as columns: dicts, tuples and Series become a row each, DataFrames several."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from nbcluster.frames import stacking
from nbcluster.frames.columns import field_column

FRAMES = "frames"
"""The shape of which one value may be many rows, or none."""

MOST_COLUMNS = 10_000
_SPARSE_FROM = 1_000
"""From this many columns on, at least a tenth of the cells must be filled."""

_NAMED_KINDS = 3


@dataclass(frozen=True, slots=True)
class Spread:
    """Values as columns of their own; ``items`` says to which item each row belongs."""

    columns: pd.DataFrame
    shape: str
    """The same for all values that can stand in one frame."""
    items: list[int] | None = None
    """None: one row for each item, in order."""


@dataclass(frozen=True, slots=True)
class Kept:
    """Values that stay what they are, in one column; ``why`` in words, if that is worth a word."""

    why: str = ""


def spread(values: Sequence[Any], failed: Sequence[bool]) -> Spread | Kept:
    """The columns that these values make, when all of them (but None, and what failed) are of one shape."""
    there = [value for value, bad in zip(values, failed, strict=True) if not bad and value is not None]
    kinds = {_shape_of(kind) for kind in set(map(type, there))}
    if len(kinds) == 1 and (make := kinds.pop()) is not None:
        return make(values, failed, there)
    if kinds - {None}:
        return Kept(f"they are of several kinds ({_names(there)})")
    return Kept()


Make = Callable[[Sequence[Any], Sequence[bool], list[Any]], Spread | Kept]


def _shape_of(kind: type) -> Make | None:
    if issubclass(kind, pd.DataFrame):
        return _frames
    if issubclass(kind, pd.Series):
        return _series
    if issubclass(kind, dict):
        return _dicts
    if issubclass(kind, tuple):
        return _named_tuples if hasattr(kind, "_fields") else _tuples if kind is tuple else None
    return None


def several_kinds(values: Sequence[Any], failed: Sequence[bool]) -> str:
    """The names of the types, when the values of a column of objects have more than one; None does not count."""
    there = [value for value, bad in zip(values, failed, strict=True) if not bad and value is not None]
    return _names(there) if len({type(value) for value in there}) > 1 else ""


def _names(values: Sequence[Any]) -> str:
    names = list(dict.fromkeys(type(value).__name__ for value in values))
    return ", ".join([*names[:_NAMED_KINDS], *(["..."] if len(names) > _NAMED_KINDS else [])])


# --- a row each ------------------------------------------------------------------------------------


def _dicts(values: Sequence[Any], failed: Sequence[bool], there: list[Any]) -> Spread | Kept:
    labels = list(dict.fromkeys(key for one in there for key in one))
    if not labels:
        return Kept()
    odd = next((label for label in labels if not isinstance(label, str)), None)
    if odd is not None:
        return Kept(f"not all keys of these dicts are texts ({odd!r} is not)")
    return _of_rows("dicts", values, failed, labels)


def _named_tuples(values: Sequence[Any], failed: Sequence[bool], there: list[Any]) -> Spread | Kept:
    fields = there[0]._fields
    if not fields or any(one._fields != fields for one in there):
        return Kept("these named tuples have different fields" if fields else "")
    return _of_places(f"named tuples of {fields}", values, failed, fields)


def _tuples(values: Sequence[Any], failed: Sequence[bool], there: list[Any]) -> Spread | Kept:
    length = len(there[0])
    if not length or any(len(one) != length for one in there):
        return Kept("these tuples have different lengths" if any(there) else "")
    return _of_places(f"tuples of {length}", values, failed, [f"value_{place}" for place in range(length)])


def _series(values: Sequence[Any], failed: Sequence[bool], there: list[Any]) -> Spread | Kept:
    labels = there[0].index
    dtypes = {one.dtype for one in there}
    dtype = dtypes.pop() if len(dtypes) == 1 else None
    dtype = None if isinstance(dtype, np.dtype) and dtype.kind == "O" else dtype
    if all(one.index.equals(labels) for one in there):
        lists = [one if bad or one is None else one.to_list() for one, bad in zip(values, failed, strict=True)]
        return _of_places("Series", lists, failed, stacking.flat(labels), dtype)
    if not all(one.index.is_unique for one in there):
        return Kept("the labels of these Series repeat, and differ from one to the next")
    dicts = [
        one if bad or one is None else dict(zip(stacking.flat(one.index), one.to_list(), strict=True))
        for one, bad in zip(values, failed, strict=True)
    ]
    known = list(dict.fromkeys(label for one in there for label in stacking.flat(one.index)))
    return _of_rows("Series", dicts, failed, known, dtype)


def _of_rows(
    shape: str, values: Sequence[Any], failed: Sequence[bool], labels: Sequence[Hashable], dtype: Any = None
) -> Spread | Kept:
    """A column for each label of these dicts."""
    rows = [{} if bad or value is None else value for value, bad in zip(values, failed, strict=True)]
    filled = sum(map(len, rows))
    if _too_many(len(labels), len(rows), filled):
        return Kept(f"they have {len(labels):,} different labels, too many for columns")
    columns = [
        field_column([row.get(label) for row in rows], [label not in row for row in rows], dtype) for label in labels
    ]
    return Spread(_beside(columns, labels, len(rows)), shape)


def _of_places(
    shape: str, values: Sequence[Any], failed: Sequence[bool], labels: Sequence[Hashable], dtype: Any = None
) -> Spread | Kept:
    """A column for each place of these sequences of one length."""
    if len(labels) > MOST_COLUMNS:
        return Kept(f"they have {len(labels):,} labels, too many for columns")
    gone = [bad or value is None for value, bad in zip(values, failed, strict=True)]
    nothing = (None,) * len(labels)
    rows = [nothing if absent else value for value, absent in zip(values, gone, strict=True)]
    columns = [field_column(list(column), gone, dtype) for column in zip(*rows, strict=True)]
    return Spread(_beside(columns, labels, len(rows)), shape)


def _too_many(columns: int, rows: int, filled: int) -> bool:
    return columns > MOST_COLUMNS or (columns > _SPARSE_FROM and filled * 10 < columns * rows)


def _beside(columns: Sequence[pd.Series[Any]], labels: Sequence[Hashable], rows: int) -> pd.DataFrame:
    if not columns:
        return pd.DataFrame(index=pd.RangeIndex(rows))
    whole = pd.concat(list(columns), axis=1)
    whole.columns = pd.Index(list(labels), tupleize_cols=False)
    return whole


# --- several rows each -----------------------------------------------------------------------------


def _frames(values: Sequence[Any], failed: Sequence[bool], there: list[Any]) -> Spread | Kept:
    made = stacking.stacked(values, failed)
    if made is None:
        return Kept("the columns of these frames repeat, and differ from one to the next")
    whole, items = made
    return Spread(whole, FRAMES, items)
