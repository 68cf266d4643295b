"""Values as columns: each with the dtype that its values have, also where some are missing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

_NULLABLE = {"i": "Int", "u": "UInt"}


def value_column(values: list[Any], missing: list[bool] | None = None) -> pd.Series[Any]:
    """Values as one column: numbers, booleans and texts with their dtype, everything else as objects.

    ``missing`` says which are not there.  A None that is there stays None.
    """
    kept = [value for value, gone in zip(values, missing, strict=True) if not gone] if missing else values
    kinds = set(map(type, kept))
    if missing and any(missing) and kinds and (whole := _whole(kinds, kept)):
        return _series(_blanked(values, missing), whole)
    if kinds and kinds <= {int, float, bool, str, type(None)} and len(kinds - {type(None)}) <= 1:
        # None among numbers must stay None: pandas would make it NaN and the column float.
        plain = type(None) not in kinds or kinds <= {float}
        return pd.Series(values) if plain and kinds != {str} else pd.Series(values, dtype="object")
    return _inferred(as_objects(values), kinds)


def field_column(values: list[Any], missing: Sequence[bool], dtype: Any = None) -> pd.Series[Any]:
    """The values of one field of many: what is missing, or None, is missing in the column.

    ``dtype`` is the one that all of them have, if it is known.
    """
    gone = [absent or value is None or value is pd.NA for value, absent in zip(values, missing, strict=True)]
    kept = [value for value, absent in zip(values, gone, strict=True) if not absent]
    given = _blanked(values, gone)
    if dtype is not None:
        return _series(given, nullable(dtype) if any(gone) else dtype)
    kinds = set(map(type, kept))
    if not kinds:
        return pd.Series(given, dtype="object")
    if whole := _whole(kinds, kept):
        return _series(given, whole if any(gone) else {"Int64": "int64", "boolean": "bool"}[whole])
    if all(issubclass(kind, (int, float, np.integer, np.floating)) and kind is not bool for kind in kinds):
        return pd.Series(given).astype("float64") if all(map(_fits, kept)) else as_objects(given)
    if kinds == {str}:
        return pd.Series(given)
    return _inferred(as_objects(given), kinds)


def nullable(dtype: Any) -> Any:
    """The dtype that holds the same values and may miss some."""
    kind = getattr(dtype, "kind", "O")
    if not isinstance(dtype, np.dtype):
        return dtype
    if kind == "b":
        return pd.BooleanDtype()
    return pd.api.types.pandas_dtype(f"{_NULLABLE[kind]}{dtype.itemsize * 8}") if kind in _NULLABLE else dtype


def as_objects(values: Sequence[Any]) -> pd.Series[Any]:
    """Values as they are, also those that pandas would take apart."""
    column = np.empty(len(values), dtype="object")
    for place, value in enumerate(values):
        column[place] = value
    return pd.Series(column, dtype="object")


def _series(values: list[Any], dtype: Any) -> pd.Series[Any]:
    made: pd.Series[Any] = pd.Series(values, dtype=dtype)
    return made


def _blanked(values: list[Any], missing: Sequence[bool]) -> list[Any]:
    return [None if gone else value for value, gone in zip(values, missing, strict=True)]


def _whole(kinds: set[type], kept: list[Any]) -> str | None:
    """The nullable dtype of whole numbers or truths, when all are one or the other and fit."""
    if all(kind in (bool, np.bool_) for kind in kinds):
        return "boolean"
    if all(issubclass(kind, (int, np.integer)) and kind is not bool for kind in kinds) and all(map(_fits, kept)):
        return "Int64"
    return None


def _fits(number: Any) -> bool:
    return isinstance(number, (float, np.floating)) or -(2**63) <= int(number) < 2**63


def _inferred(column: pd.Series[Any], kinds: set[type]) -> pd.Series[Any]:
    """Numbers of numpy, timestamps and the like get their dtype; frames, lists and dicts stay objects."""
    if any(hasattr(kind, "__len__") for kind in kinds):
        return column
    return column.infer_objects()
