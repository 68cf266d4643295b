"""Folds over all values of a job: those that can be named, and any function of the list of values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nbcluster.errors import InputError

Aggregator = Callable[[list[Any]], Any]


def aggregator(wanted: Any) -> Aggregator:
    """The fold of that name, or the function itself.  Raises InputError for anything else."""
    if isinstance(wanted, str) and wanted in _BY_NAME:
        return _BY_NAME[wanted]
    if not callable(wanted):
        raise InputError(
            f"aggregate is {str(wanted)[:60]!r}; write a function of the list of all values, or one of "
            f"{', '.join(map(repr, _BY_NAME))}"
        )
    return wanted  # type: ignore[no-any-return]  # any function of the user's


def as_list(values: list[Any]) -> list[Any]:
    """The values in input order."""
    return values


def total(values: list[Any]) -> Any:
    """Their sum; 0 when there are none."""
    return _folded(values, lambda one, other: one + other) if values else 0


def mean(values: list[Any]) -> Any:
    """Their sum divided by their number."""
    _some(values, "mean")
    return total(values) / len(values)


def least(values: list[Any]) -> Any:
    """The smallest."""
    _some(values, "min")
    return min(values)


def largest(values: list[Any]) -> Any:
    """The largest."""
    _some(values, "max")
    return max(values)


def count(values: list[Any]) -> int:
    """How many there are."""
    return len(values)


def concatenated(values: list[Any]) -> Any:
    """Lists, tuples, strings, arrays or frames as one; frames get a new index."""
    if not values:
        return []
    first = values[0]
    if hasattr(first, "iloc"):
        return _frames_together(values)
    if hasattr(first, "dtype") and hasattr(first, "shape"):
        import numpy as np

        return np.concatenate(values)
    if isinstance(first, (str, bytes)):
        return type(first)().join(values)
    return [entry for value in values for entry in value]


def as_frame(values: list[Any]) -> Any:
    """One DataFrame: frames one below the other; dicts and tuples as rows; anything else as the column ``value``."""
    import pandas as pd

    if values and all(hasattr(value, "iloc") and hasattr(value, "columns") for value in values):
        return _frames_together(values)
    if values and all(isinstance(value, (dict, tuple, list)) or hasattr(value, "iloc") for value in values):
        return pd.DataFrame(values).reset_index(drop=True)
    return pd.DataFrame({"value": values})


def _frames_together(values: list[Any]) -> Any:
    import pandas as pd

    return pd.concat(values, ignore_index=True)


def _folded(values: list[Any], add: Callable[[Any, Any], Any]) -> Any:
    result = values[0]
    for value in values[1:]:
        result = add(result, value)
    return result


def _some(values: list[Any], name: str) -> None:
    if not values:
        raise ValueError(f"there is no value to take the {name} of")


_BY_NAME: dict[str, Aggregator] = {
    "list": as_list,
    "sum": total,
    "mean": mean,
    "min": least,
    "max": largest,
    "count": count,
    "concat": concatenated,
    "frame": as_frame,
}
