"""Frames as files know them: each column of one plain type, everything else as text."""

from __future__ import annotations

import json
import math
from collections.abc import Hashable, Mapping
from datetime import date, time
from decimal import Decimal
from pathlib import PurePath
from typing import Any, cast
from uuid import UUID

import numpy as np
import pandas as pd

from nbcluster.frames.columns import field_column, nullable

_AS_THEY_ARE = ({str}, {bytes}, {date}, {time}, {Decimal})
"""Kinds of objects that a file has a type for, when a column holds one of them only."""

_NUMBERS = {int, float, bool, np.int64, np.float64, np.bool_}
_NUMPY_KINDS = "biufM"
_WAYS_TO_PLAIN = ("item", "tolist", "isoformat", "to_dict")


def plain_columns(frame: pd.DataFrame) -> dict[tuple[Hashable, int], pd.Series[Any]]:
    """The columns by label and number of times that it was there before; those without any value are left out."""
    found: dict[tuple[Hashable, int], pd.Series[Any]] = {}
    seen: dict[Hashable, int] = {}
    for place, label in enumerate(frame.columns):
        key = label, seen.get(label, 0)
        seen[label] = key[1] + 1
        column = frame.iloc[:, place]
        if not column.isna().all():
            found[key] = plain_column(column)
    return found


def plain_column(column: pd.Series[Any]) -> pd.Series[Any]:
    """A column with a type that a file knows; lengths of time in seconds, values within values as JSON."""
    dtype = column.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        return plain_column(column.astype(nullable(dtype.categories.dtype)))
    if isinstance(dtype, np.dtype):
        if dtype.kind == "m":
            return cast("pd.Series[Any]", column.dt.total_seconds())
        if dtype.kind == "f" and dtype.itemsize not in (4, 8):
            return column.astype("float64")
        if dtype.kind in _NUMPY_KINDS:
            return column
    elif isinstance(dtype, pd.DatetimeTZDtype | pd.StringDtype) or getattr(dtype, "kind", "O") in "biuf":
        return column.astype(dtype.subtype) if isinstance(dtype, pd.SparseDtype) else column
    values = [None if absent else value for value, absent in zip(column, column.isna(), strict=True)]
    kinds = {type(value) for value in values if value is not None}
    if kinds and kinds <= _NUMBERS:
        typed = field_column(values, [False] * len(values))
        if typed.dtype != column.dtype:
            return plain_column(typed)
    keep = kinds in _AS_THEY_ARE and all(value.is_finite() for value in values if isinstance(value, Decimal))
    return pd.Series(
        values if keep else [None if value is None else as_text(value) for value in values], dtype="object"
    )


def as_text(value: Any) -> str:
    """A text as it is, what JSON knows as JSON, everything else as Python shows it."""
    if isinstance(value, str):
        return value
    if isinstance(value, (UUID, PurePath, pd.Period, pd.Interval)):
        return str(value)
    if isinstance(value, (bytes, complex)):
        return repr(value)
    try:
        return json.dumps(value, default=_plain, allow_nan=False, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError):
        pass  # keys that are no texts, or numbers that JSON does not know
    try:
        return json.dumps(_without_nan(value), default=_plain, allow_nan=False, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError):
        return repr(value)


def _plain(value: Any) -> Any:
    """Numbers and arrays of numpy, times and frames as what JSON knows; else how Python shows it."""
    for way in _WAYS_TO_PLAIN:
        make = getattr(value, way, None)
        if callable(make):
            try:
                return make()
            except (TypeError, ValueError):
                continue  # an array of several has no one item
    return str(value) if isinstance(value, (UUID, PurePath)) else repr(value)


def _without_nan(value: Any) -> Any:
    """The same with null for what is no number: JSON has none."""
    if isinstance(value, (float, np.floating)):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _without_nan(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_nan(one) for one in value]
    if isinstance(value, np.ndarray):
        return _without_nan(value.tolist())
    if isinstance(value, (pd.Series, pd.DataFrame)):
        return _without_nan(value.to_dict())
    return value
