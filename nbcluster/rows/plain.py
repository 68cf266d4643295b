"""Columns of any values as plain scalars: numbers, text and None, each column of one kind."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from itertools import repeat
from typing import Any
from uuid import UUID

from nbcluster.errors import InputError
from nbcluster.rows import kinds

Plain = tuple[str, list[Any]]
"""The kind of a column, and its values as they travel; None for what is missing."""

_LARGEST = 2**63
_WRITTEN, _PLACE_OF_T = 26, 10
"""Letters of 2024-01-31T12:00:00.000000, and where its T is."""
_EXACT = 2.0**53
"""From here on a float is always whole, which says nothing."""


def plain(name: str, values: Any) -> Plain:
    """A column's values: a list of any objects, an array or a Series.  Raises InputError, naming the column."""
    dtype = getattr(values, "dtype", None)
    if dtype is None:
        return _objects(name, values)
    if str(dtype) == "category":
        return _category(name, values)
    kind = getattr(dtype, "kind", "O")
    if type(dtype).__module__.partition(".")[0] == "numpy" and kind in _ARRAYS:
        import numpy as np

        return _ARRAYS[kind](np.asarray(values))
    if kind == "M" and getattr(dtype, "tz", None) is not None:
        _, told = _moments(values.dt.tz_convert("UTC").dt.tz_localize(None).to_numpy())
        return kinds.ZONED, [None if one is None else f"{one}+00:00" for one in told]
    return _objects(name, values.tolist())


# --- arrays ----------------------------------------------------------------------------


def _bools(values: Any) -> Plain:
    return kinds.BOOL, values.astype("int64").tolist()


def _ints(values: Any) -> Plain:
    return kinds.INT, values.tolist()


def _unsigned(values: Any) -> Plain:
    listed = values.tolist()
    if values.dtype.itemsize == 8 and max(listed, default=0) >= _LARGEST:
        return kinds.DECIMAL, [str(one) for one in listed]
    return kinds.INT, listed


def _floats(values: Any) -> Plain:
    import numpy as np

    values = values.astype("float64", copy=False)
    missing = np.isnan(values)
    known = values[~missing]
    whole = bool(np.all(np.abs(known) < _EXACT)) and bool(np.all(known == np.floor(known)))
    if not missing.any():
        return (kinds.WHOLE, values.astype("int64").tolist()) if whole else (kinds.FLOAT, values.tolist())
    if not len(known):
        return kinds.NAN, [None] * len(values)
    listed = (np.where(missing, 0.0, values).astype("int64") if whole else values).tolist()
    for place in np.flatnonzero(missing).tolist():
        listed[place] = None
    return (kinds.WHOLE if whole else kinds.FLOAT), listed


def _moments(values: Any) -> Plain:
    import numpy as np

    missing = np.isnat(values)
    texts = _with_spaces(np.datetime_as_string(values, unit="us"))
    for place in np.flatnonzero(missing).tolist():
        texts[place] = None
    if missing.all() and len(values):
        return kinds.NAT, texts
    midnight = bool(np.all((values == values.astype("datetime64[D]"))[~missing]))
    return (kinds.DAY if midnight else kinds.MOMENT), texts


def _with_spaces(written: Any) -> list[Any]:
    """Texts of times with a space in place of the T."""
    if not len(written) or written.dtype.itemsize != _WRITTEN * 4:  # years of other than four digits
        return [one.replace("T", " ") for one in written.tolist()]
    written.view("U1").reshape(len(written), _WRITTEN)[:, _PLACE_OF_T] = " "
    return written.tolist()  # type: ignore[no-any-return]  # of numpy's


def _spans(values: Any) -> Plain:
    import numpy as np

    missing = np.isnat(values)
    listed = (np.where(missing, 0, values.astype("timedelta64[us]").astype("int64")) / 1e6).tolist()
    for place in np.flatnonzero(missing).tolist():
        listed[place] = None
    return kinds.SPAN, listed


_ARRAYS: dict[str, Callable[[Any], Plain]] = {
    "b": _bools,
    "i": _ints,
    "u": _unsigned,
    "f": _floats,
    "M": _moments,
    "m": _spans,
}
"""By the letter of numpy's dtypes."""


def _category(name: str, values: Any) -> Plain:
    kind, known = plain(name, values.cat.categories.to_series())
    known = [*known, None]
    codes = values.cat.codes.tolist()  # -1 is missing, and so is the last of the list
    return (kind if any(code >= 0 for code in codes) else kinds.NULL), [known[code] for code in codes]


# --- objects ---------------------------------------------------------------------------


def _objects(name: str, values: Sequence[Any]) -> Plain:
    found: dict[str, None] = {}
    told: list[Any] = []
    types = set(map(type, values))
    if types == {str}:
        return kinds.TEXT, list(values)
    for value in values:
        kind, one = _one(name, value)
        found[kind] = None
        told.append(one)
    kind = kinds.together(name, found)
    if kind == kinds.FLOAT and kinds.BOOL not in found:
        whole = all(one is None or (abs(one) < _EXACT and one == int(one)) for one in told)
        if whole:
            return kinds.WHOLE, [None if one is None else int(one) for one in told]
    return kind, told


def _one(name: str, value: Any) -> tuple[str, Any]:
    """The kind and the plain form of one value."""
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return kinds.NULL, None
    for types, describe in _BY_TYPE:
        if isinstance(value, types):
            return describe(name, value)
    if hasattr(value, "dtype") and hasattr(value, "tolist"):  # a scalar or an array of numpy's
        inner = value.tolist()
        return _json(name, inner) if isinstance(inner, list) else _one(name, inner)
    if type(value).__module__.partition(".")[0] == "pandas" and type(value).__name__ in ("Period", "Interval"):
        return kinds.TEXT, str(value)
    raise InputError(
        f"column {name!r} holds a value of type {type(value).__name__}, which no column of a table takes; make it "
        "numbers, text or times"
    )


def _float(_name: str, value: float) -> tuple[str, Any]:
    return (kinds.NULL, None) if value != value else (kinds.FLOAT, float(value))


def _int(_name: str, value: int) -> tuple[str, Any]:
    return (kinds.INT, int(value)) if -_LARGEST <= value < _LARGEST else (kinds.DECIMAL, str(int(value)))


def _decimal(_name: str, value: Decimal) -> tuple[str, Any]:
    return (kinds.NULL, None) if value.is_nan() else (kinds.DECIMAL, str(value))


def _datetime(_name: str, value: datetime) -> tuple[str, Any]:
    if value.tzinfo is not None:
        from datetime import UTC

        moved = value.astimezone(UTC).replace(tzinfo=None)
        return kinds.ZONED, f"{moved.isoformat(' ', 'microseconds')}+00:00"
    midnight = value.time() == time.min
    return (kinds.DAY if midnight else kinds.MOMENT), value.isoformat(" ", "microseconds")


def _json(name: str, value: Any) -> tuple[str, Any]:
    try:
        return kinds.JSON, json.dumps(value, default=_jsonable, allow_nan=False, ensure_ascii=False)
    except (TypeError, ValueError) as error:
        raise InputError(f"column {name!r} holds a {type(value).__name__} that is no JSON: {error}") from error


def _jsonable(value: Any) -> Any:
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, (date, time)):
        return value.isoformat()
    raise TypeError(f"it holds a {type(value).__name__}")


_BY_TYPE: tuple[tuple[Any, Callable[[str, Any], tuple[str, Any]]], ...] = (
    (bool, lambda _name, value: (kinds.BOOL, int(value))),
    (int, _int),
    (float, _float),
    (str, lambda _name, value: (kinds.TEXT, str(value))),
    (datetime, _datetime),
    (date, lambda _name, value: (kinds.DATE, value.isoformat())),
    (Decimal, _decimal),
    ((bytes, bytearray, memoryview), lambda _name, value: (kinds.BYTES, bytes(value))),
    (time, lambda _name, value: (kinds.TIME, value.isoformat())),
    (timedelta, lambda _name, value: (kinds.SPAN, value.total_seconds())),
    (UUID, lambda _name, value: (kinds.UUID, str(value))),
    ((dict, list, tuple), _json),
)


def missing(count: int) -> Plain:
    """A column of which nothing is known."""
    return kinds.NULL, list(repeat(None, count))
