"""The values of a partition's items as rows: frames, series, dicts, named tuples, and lists of those."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nbcluster.errors import InputError
from nbcluster.rows.plain import Plain, missing, plain

_AT_ONCE = 20_000
"""Rows that are objects of Python at the same time."""


class NoRows(InputError):
    """The value of an item is nothing that has rows; ``item`` is its place in the partition."""

    def __init__(self, message: str, item: int) -> None:
        super().__init__(message)
        self.item = item


@dataclass(frozen=True, slots=True)
class Shape:
    """The rows of a partition, not yet taken apart: ``counts`` has the number of rows of each item."""

    names: tuple[str, ...]
    counts: tuple[int, ...]
    _pieces: tuple[Any, ...]

    def blocks(self) -> Iterator[list[Plain]]:
        """The rows in blocks of some thousands, each a list of columns in the order of ``names``."""
        for piece in self._pieces:
            columns = _columns_of(piece)
            size = len(piece)
            for start in range(0, size or 1, _AT_ONCE):  # an empty frame still has columns of a type
                end = min(size, start + _AT_ONCE)
                yield [
                    plain(name, columns[name][start:end]) if name in columns else missing(end - start)
                    for name in self.names
                ]


def shape(values: Sequence[Any]) -> Shape:
    """The rows that these values are.  Raises NoRows, or InputError naming the column."""
    pieces: list[Any] = []
    counts: list[int] = []
    for item, value in enumerate(values):
        try:
            found = _pieces_of(value)
        except InputError as error:
            raise NoRows(str(error), item) from error
        counts.append(sum(map(len, found)))
        for piece in found:
            # Rows one by one are put together: many short blocks would cost more than one long one.
            if isinstance(piece, list) and pieces and isinstance(pieces[-1], list):
                pieces[-1].extend(piece)
            elif len(piece) or not isinstance(piece, list):
                pieces.append(list(piece) if isinstance(piece, list) else piece)
    names: dict[str, None] = {}
    for piece in pieces:
        names.update(_names_of(piece))
    return Shape(tuple(names), tuple(counts), tuple(pieces))


def _pieces_of(value: Any) -> list[Any]:
    """Frames, and lists of dicts."""
    if value is None:
        return []
    if _is_frame(value):
        return [_with_index(value)]
    if isinstance(value, list):
        return [piece for one in value for piece in _pieces_of(_no_list(one))]
    return [[_row(value)]]


def _no_list(value: Any) -> Any:
    if isinstance(value, list):
        raise InputError("a list of lists has no names for its columns; return dicts or a DataFrame")
    return value


def _row(value: Any) -> dict[str, Any]:
    if isinstance(value, Mapping):
        return _named(dict(value))
    if hasattr(value, "iloc") and hasattr(value, "index"):
        if not value.index.is_unique:
            raise InputError("a Series is one row, and this one has two values of the same label")
        return _named(dict(zip(value.index.tolist(), value.tolist(), strict=True)))
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return dict(zip(value._fields, value, strict=True))
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, tuple):
        raise InputError("a tuple has no names for its columns; return a dict, a named tuple or a DataFrame")
    raise InputError(
        f"a value of type {type(value).__name__} has no rows; with into= return a DataFrame, a dict, a Series, a named "
        "tuple, a list of those, or None for no rows"
    )


def _named(row: dict[Any, Any]) -> dict[str, Any]:
    _check_names(list(row))
    return row


def _with_index(frame: Any) -> Any:
    """A frame with those levels of its index as columns that have a name."""
    named = [name for name in frame.index.names if name is not None]
    if named:
        if duplicates := [name for name in named if name in frame.columns]:
            raise InputError(f"the frame has {duplicates[0]!r} as a column and in its index; rename one of them")
        frame = frame.reset_index(level=named)
    _check_names(frame.columns.tolist())
    return frame


def _check_names(names: list[Any]) -> None:
    for name in names:
        if not isinstance(name, str) or not name:
            raise InputError(
                f"column {name!r} has no name that a table could use; give the columns names, for example with "
                "frame.columns = [...]"
            )
    if len(set(names)) < len(names):
        twice = next(name for place, name in enumerate(names) if name in names[:place])
        raise InputError(f"the frame has two columns {twice!r}; rename one of them")


def _is_frame(value: Any) -> bool:
    return hasattr(value, "iloc") and hasattr(value, "columns")


def _names_of(piece: Any) -> dict[str, None]:
    if _is_frame(piece):
        return dict.fromkeys(piece.columns.tolist())
    names: dict[str, None] = {}
    for row in piece:
        names.update(dict.fromkeys(row))
    return names


def _columns_of(piece: Any) -> dict[str, Any]:
    if _is_frame(piece):
        return {name: piece.iloc[:, place] for place, name in enumerate(piece.columns)}
    return {name: [row.get(name) for row in piece] for name in _names_of(piece)}
