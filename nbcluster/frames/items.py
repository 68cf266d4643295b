"""What a job gave, as a frame: one row an input, or as many as there are in the frames that it gave."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from nbcluster.frames.columns import value_column
from nbcluster.frames.shapes import Kept, Spread, several_kinds, spread
from nbcluster.records import ItemError

AFTER = ("error", "partition", "node", "attempt", "seconds")
OURS = ("input", *AFTER)
"""The columns that every frame of a job has, around ``value`` or the columns of the values."""


@dataclass(frozen=True, slots=True)
class Framed:
    """Some items as a frame."""

    frame: pd.DataFrame
    shape: str | None
    """What their values are: of one shape that makes columns, or ``VALUE``.

    None when there is none: nothing but failures, None and empty dicts.
    """


VALUE = "value"
"""The column of values that stay as they are."""


def items_frame(items: Iterable[Any], tell: Callable[[str], None] | None = None) -> pd.DataFrame:
    """Items as a frame, in input order: input, value, error, partition, node, attempt, seconds.

    ``error`` is None for a value and a text for a failure, so that a None value and a failure look different.
    ``value`` keeps the dtype of its values: whole numbers stay whole beside errors (Int64).

    Where all values are dicts with texts as keys, named tuples, tuples of one length, or Series, each is one row and
    there is a column for each key, field, place (``value_0``, ...) or label in the place of ``value``.  DataFrames
    stand one below the other.  What is not there is missing; a failed item keeps a row.  A column of theirs that is
    called like one of ours gets the name ``value_...``.  ``tell`` is told in a sentence why values of several kinds
    stay objects.
    """
    return framed(list(items), tell).frame


def framed(items: Sequence[Any], tell: Callable[[str], None] | None = None, *, apart: bool = True) -> Framed:
    """The same, with the shape of the values.  Without ``apart`` all stay as they are, in the column ``value``."""
    values = [item.value for item in items]
    failed = [item.error is not None for item in items]
    ours = _ours(items)
    made = spread(values, failed) if apart else Kept()
    if not isinstance(made, Spread):
        column = value_column(values, failed)
        mixed = several_kinds(values, failed) if apart and column.dtype == object else ""
        if tell is not None and (why := made.why or (mixed and f"they are of several kinds ({mixed})")):
            tell(f"its values stay as they are, in the column value: {why}")
        ours.insert(1, VALUE, column)
        return Framed(ours, VALUE if any(map(_is_something, values)) else None)
    if made.items is not None:
        ours = ours.take(made.items).reset_index(drop=True)
    theirs = made.columns
    theirs.columns = pd.Index(_beside_ours(list(theirs.columns)), tupleize_cols=False)
    return Framed(pd.concat([ours[["input"]], theirs, ours[list(AFTER)]], axis=1), made.shape)


def _is_something(value: Any) -> bool:
    return value is not None and not (isinstance(value, dict) and not value)


def _ours(items: Sequence[Any]) -> pd.DataFrame:
    frame = pd.DataFrame({"input": value_column([item.input for item in items])})
    frame["error"] = pd.Series([error_text(item.error) for item in items], dtype="object")
    frame["partition"] = pd.Series([item.partition for item in items], dtype="int64")
    frame["node"] = pd.Series([item.node for item in items], dtype="object")
    frame["attempt"] = pd.Series([item.attempt for item in items], dtype="int64")
    frame["seconds"] = pd.Series([item.seconds for item in items], dtype="float64")
    return frame


def _beside_ours(labels: list[Hashable]) -> list[Hashable]:
    """The labels of the values' own columns, none of them like one of ours."""
    taken = {*OURS, *labels}
    found: list[Hashable] = []
    for label in labels:
        if label in OURS:
            new = f"value_{label}"
            while new in taken:
                new = f"value_{new}"
            found.append(new)
        else:
            found.append(label)
    return found


def error_text(error: ItemError | None) -> str | None:
    """An error as a frame shows it; None for no error."""
    if error is None:
        return None
    return f"{error.error_type}: {error.message}" if error.message else error.error_type
