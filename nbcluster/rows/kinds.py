"""What a column of values is, and which columns of a table take it.  Pure."""

from __future__ import annotations

from collections.abc import Iterable

from nbcluster.errors import InputError

NULL, BOOL, INT, WHOLE, FLOAT, DECIMAL = "null", "bool", "int", "whole", "float", "decimal"
"""Nothing but missing values; truth; whole numbers of 64 bits; floats without fractions; floats; exact numbers."""

NAN, NAT = "nan", "nat"
"""Nothing but missing numbers; nothing but missing times."""

NOTHING = (NULL, NAN, NAT)

TEXT, BYTES, UUID, JSON = "text", "bytes", "uuid", "json"
DATE, DAY, MOMENT, ZONED, TIME, SPAN = "date", "day", "moment", "zoned", "time", "span"
"""Dates; times that are all midnight; times without a zone; times with one; times of day; lengths of time."""

OTHER = "other"
"""A type of a table's column that only its database understands: it decides what fits."""

SPOKEN = {
    NULL: "nothing",
    NAN: "nothing",
    NAT: "nothing",
    BOOL: "true and false",
    INT: "whole numbers",
    WHOLE: "numbers",
    FLOAT: "numbers with fractions",
    DECIMAL: "exact decimal numbers",
    TEXT: "text",
    BYTES: "bytes",
    UUID: "UUIDs",
    JSON: "lists or dicts",
    DATE: "dates",
    DAY: "times without a time zone",
    MOMENT: "times without a time zone",
    ZONED: "times with a time zone",
    TIME: "times of day",
    SPAN: "lengths of time",
    OTHER: "values of its own type",
}
"""How a sentence calls a kind."""

_TOGETHER = {
    frozenset({INT, WHOLE}): WHOLE,
    frozenset({INT, FLOAT}): FLOAT,
    frozenset({WHOLE, FLOAT}): FLOAT,
    frozenset({INT, DECIMAL}): DECIMAL,
    frozenset({WHOLE, DECIMAL}): DECIMAL,
    frozenset({FLOAT, DECIMAL}): DECIMAL,
    frozenset({DAY, MOMENT}): MOMENT,
    frozenset({DATE, DAY}): DAY,
    frozenset({DATE, MOMENT}): MOMENT,
}

_ALSO: dict[str, frozenset[str]] = {
    BOOL: frozenset({INT}),
    INT: frozenset({FLOAT, DECIMAL}),
    WHOLE: frozenset({INT, FLOAT, DECIMAL}),
    FLOAT: frozenset({DECIMAL}),
    DECIMAL: frozenset({FLOAT}),
    TEXT: frozenset({UUID, JSON, DATE, MOMENT, ZONED, TIME, SPAN}),
    UUID: frozenset({TEXT}),
    JSON: frozenset({TEXT}),
    DATE: frozenset({MOMENT}),
    DAY: frozenset({DATE, MOMENT}),
}
"""Columns that take a kind besides those of its own."""

_ALSO_LOOSELY: dict[str, frozenset[str]] = {
    DECIMAL: frozenset({TEXT}),
    DATE: frozenset({TEXT, ZONED}),
    DAY: frozenset({TEXT, ZONED}),
    MOMENT: frozenset({TEXT, ZONED}),
    ZONED: frozenset({TEXT, MOMENT}),
    TIME: frozenset({TEXT}),
    SPAN: frozenset({FLOAT}),
}
"""The same where a database has no types of its own for them, and keeps text or numbers."""


def together(column: str, kinds: Iterable[str]) -> str:
    """The kind that holds all of these.  Raises InputError when nothing does."""
    result = NULL
    for kind in kinds:
        if kind == result or (kind in NOTHING and result != NULL):
            continue
        wider = kind if result in NOTHING else _TOGETHER.get(frozenset({kind, result}))
        if wider is None:
            raise InputError(
                f"column {column!r} holds {SPOKEN[result]} and {SPOKEN[kind]}; give all its values one type"
            )
        result = wider
    return result


def fits(kind: str, column: str, *, loosely: bool) -> bool:
    """Whether values of ``kind`` go into a column of the kind ``column`` without a change of meaning."""
    if kind == column or kind in NOTHING or column == OTHER or column in _ALSO.get(kind, ()):
        return True
    return loosely and column in _ALSO_LOOSELY.get(kind, ())
