"""Rows of a DataFrame, by number or by the values of columns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from nbcluster.errors import InputError
from nbcluster.partitioners.base import Nodes, Part, Partitioner, bounds, positive, several

if TYPE_CHECKING:
    import pandas

_LONGEST_LABEL = 80


@dataclass(frozen=True)
class Frame(Partitioner):
    """A pandas DataFrame; the function gets a DataFrame of some of its rows, index and columns as they are."""

    data: pandas.DataFrame
    rows: int | None = None
    by: Any = None

    def split(self, nodes: Nodes) -> Iterator[pandas.DataFrame]:
        return (part.value for part in self.parts(nodes))

    def parts(self, nodes: Nodes) -> list[Part]:
        if self.by is not None:
            # Rows whose key is missing are a part too: nothing is dropped silently.
            groups = self.data.groupby(self.by, sort=True, dropna=False, observed=True)
            named = [(str(key)[:_LONGEST_LABEL], group) for key, group in groups]
            return [Part(f"{place}:{key}", len(group), group) for place, (key, group) in enumerate(named)]
        return [
            Part(f"{start}..{stop - 1}", stop - start, self.data.iloc[start:stop])
            for start, stop in bounds(len(self.data), Nodes.of(nodes).partitions, self.rows)
        ]

    def in_chunks(self, chunk: int) -> Partitioner:
        return super().in_chunks(chunk) if self.by is not None else replace(self, rows=chunk)

    def in_partitions(self, partitions: int) -> Partitioner:
        if self.by is not None:
            raise InputError(f"partitions= does not fit {self!r}, which makes a part for each value")
        return self

    def identity(self, _parts: Sequence[Part]) -> Any:
        return "frame", self.data, self.by

    def nothing(self) -> str:
        return "the frame has no rows: there is nothing to map"

    def __repr__(self) -> str:
        how = f" by {self.by}" if self.by is not None else ""
        return f"frame: {several(len(self.data), 'row')} x {several(len(self.data.columns), 'column')}{how}"


def frame(data: pandas.DataFrame, rows: int | None = None, by: Any = None) -> Frame:
    """Split a DataFrame by ``rows`` per part, or into one part for each value of the column(s) ``by``.

    ``map_partitions`` gives the function a DataFrame of the part's rows in their order, ``map``
    each row as a Series.  Rows whose ``by`` is missing are a part of their own.  Raises InputError.
    """
    if not hasattr(data, "iloc") or not hasattr(data, "columns"):
        raise InputError(f"nb.frame needs a pandas DataFrame, not {type(data).__name__}")
    if rows is not None and by is not None:
        raise InputError("nb.frame takes rows= or by=, not both")
    if by is not None:
        by = _checked(data, by)
    return Frame(data, positive(rows, "rows"), by)


def _checked(data: pandas.DataFrame, by: Any) -> Any:
    """One column's label or a list of several, each of them there, and there once."""
    several_of_them = isinstance(by, list) or (isinstance(by, tuple) and by not in data.columns)
    labels = list(by) if several_of_them else [by]
    if not labels:
        raise InputError("nb.frame: by= names no column; leave it out to split by rows")
    for label in labels:
        try:
            times = int((data.columns == label).sum()) if label in data.columns else 0
        except TypeError:
            times = 0
        if not times:
            raise InputError(f"nb.frame: there is no column {label!r}; there are {', '.join(map(str, data.columns))}")
        if times > 1:
            raise InputError(
                f"nb.frame: there are {times} columns {label!r}; rename them, for example with df.set_axis(..., axis=1)"
            )
        _check_values(data, label)
    return labels if several_of_them else by


def _check_values(data: pandas.DataFrame, label: Any) -> None:
    """A column of lists or dicts has no values that rows could be told apart by."""
    if data[label].dtype == object:
        for value in data[label]:
            try:
                hash(value)
            except TypeError:
                kind = type(value).__name__
                raise InputError(
                    f"nb.frame: column {label!r} holds a {kind}, which cannot tell rows apart; split by another"
                ) from None
