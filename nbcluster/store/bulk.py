"""Many rows as columns: what a question in SQL reads of a table that may have millions of them.

A column is an array of numpy, which this module loads only when it is used: whole numbers and times (microseconds
since 1970) as int64 with MISSING for NULL, other numbers as float64 with NaN, texts and bytes as objects with None.
How the rows travel is the dialect's affair.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum
from itertools import chain, islice
from typing import TYPE_CHECKING, Any

from sqlalchemy import BigInteger, ColumnElement, FromClause, Select, func, select, type_coerce
from sqlalchemy.exc import DBAPIError

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from nbcluster.store.engine import Database

MISSING = -(2**62)
"""What stands for NULL among whole numbers and times: nothing that is counted or measured here comes near."""

_ROWS = 1_000
"""Rows that become arrays at once: few enough to stay in the processor's cache."""


class Kind(Enum):
    """What a column holds."""

    WHOLE = "whole"
    NUMBER = "number"
    TIME = "time"
    TEXT = "text"
    BYTES = "bytes"


@dataclass(frozen=True, slots=True)
class Field:
    """A column of an answer.

    ``words`` are all that a text can be, where that is known; ``wide`` is for texts and bytes of any length.
    """

    expression: ColumnElement[Any]
    kind: Kind
    words: tuple[str, ...] = ()
    wide: bool = False


@dataclass(frozen=True, slots=True)
class Source:
    """Where columns come from: ``key`` is a whole number that tells the rows apart, or nearly."""

    rows: FromClause
    key: ColumnElement[int]
    where: Sequence[ColumnElement[bool]] = ()


@dataclass(slots=True)
class Columns:
    """Arrays of equal length; there may be rows without columns."""

    rows: int
    arrays: dict[str, Any] = field(default_factory=dict)

    def kept(self, chosen: Any) -> Columns:
        """Those rows: an array of their places, or one that says of each whether it stays."""
        import numpy as np

        places = np.arange(self.rows)[chosen]
        return Columns(len(places), {name: array[places] for name, array in self.arrays.items()})

    def and_then(self, other: Columns) -> Columns:
        """These rows, and behind them the rows of another with the same columns."""
        import numpy as np

        joined = {name: np.concatenate([array, other.arrays[name]]) for name, array in self.arrays.items()}
        return Columns(self.rows + other.rows, joined)


def read(database: Database, source: Source, fields: dict[str, Field], patience: float) -> Columns:
    """The rows of a source, as these columns."""
    if not fields:
        counted = select(func.count()).select_from(source.rows).where(*source.where)
        return Columns(database.read(lambda connection: connection.execute(counted).scalar_one(), patience=patience))

    def work(connection: Connection) -> list[list[Any]]:
        return list(database.dialect.columns(connection, source, list(fields.values())))

    return _joined(fields, database.read(work, patience=patience))


def _joined(fields: dict[str, Field], portions: list[list[Any]]) -> Columns:
    import numpy as np

    arrays = {}
    for place, (name, one) in enumerate(fields.items()):
        parts = [portion[place] for portion in portions]
        arrays[name] = np.concatenate(parts) if parts else as_array((), one.kind)
    return Columns(len(next(iter(arrays.values()))), arrays)


def as_array(values: Sequence[Any], kind: Kind) -> Any:
    """Values as a driver gives them as a column."""
    import numpy as np

    if kind is Kind.NUMBER:
        return np.array(values, dtype=np.float64)
    if kind in (Kind.WHOLE, Kind.TIME):
        return np.array(values, dtype=np.int64)
    return np.array(values, dtype=object)


def row_by_row(connection: Connection, source: Source, fields: Sequence[Field]) -> Iterator[list[Any]]:
    """Columns from rows that the driver gives one by one, where times are whole numbers already."""
    whole = (Kind.WHOLE, Kind.TIME)
    statement = select(
        *(func.coalesce(type_coerce(one.expression, BigInteger), MISSING) if one.kind in whole else one.expression
          for one in fields)
    ).select_from(source.rows).where(*source.where)  # fmt: skip
    for flat in flat_values(connection, statement, len(fields)):
        yield [as_array(flat[place :: len(fields)], one.kind) for place, one in enumerate(fields)]


def flat_values(connection: Connection, statement: Select[Any], width: int) -> Iterator[list[Any]]:
    """The values of rows of so many columns, one row behind the other, in portions, as the driver gives them."""
    # Past SQLAlchemy's rows, which cost more than all the rest.  A row is gone again before the next one comes, so that
    # the garbage collector has nothing to look through.
    cursor: Any = connection.execute(statement).cursor
    values: Iterator[Any] = chain.from_iterable(cursor)
    driver: Any = connection.dialect.loaded_dbapi
    try:
        while flat := list(islice(values, _ROWS * width)):
            yield flat
    except driver.Error as error:  # nobody has wrapped it yet
        raise DBAPIError.instance(str(statement), None, error, driver.Error) from error
