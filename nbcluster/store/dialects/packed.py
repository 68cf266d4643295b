"""Columns out of PostgreSQL: the server makes an array of each, and sends it in its binary form.

A million rows one by one cost the server, the driver and Python more than their values: as arrays they are a few
messages.  How an array looks there: five whole numbers of 4 bytes (dimensions, whether there are NULLs, the type of
the elements, how many, the first index), then for each element its length (4 bytes) and its bytes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Double,
    Select,
    SmallInteger,
    Text,
    case,
    cast,
    func,
    literal_column,
    select,
)
from sqlalchemy.exc import DBAPIError

from nbcluster.store.bulk import MISSING, Field, Kind, Source, as_array

if TYPE_CHECKING:
    from sqlalchemy import Connection

_ROWS, _WIDE_ROWS = 2_000_000, 10_000
"""Keys of one portion: what the server puts together must stay far below a gigabyte."""

_ORDERED = 100_000
"""Up to so many keys the rows come in their order: nobody wants a short list shuffled."""

_HEAD, _LENGTH = 20, 4
_EPOCH = 946_684_800_000_000
"""PostgreSQL counts microseconds from 2000."""


def columns(connection: Connection, source: Source, fields: Sequence[Field]) -> Iterator[list[Any]]:
    """The rows of a source, in portions by its key."""
    bounds = select(func.min(source.key), func.max(source.key)).select_from(source.rows).where(*source.where)
    found: Any = connection.execute(bounds).one()
    first, last = found
    if first is None:
        return
    portion = _WIDE_ROWS if any(one.wide for one in fields) else _ROWS
    for start in range(first, last + 1, portion):
        packed = _fetched(connection, _statement(source, fields, start, portion, ordered=last - first < _ORDERED))
        if packed[0] is not None:
            yield [_unpacked(one, about) for one, about in zip(packed, fields, strict=True)]


def _statement(source: Source, fields: Sequence[Field], start: int, portion: int, *, ordered: bool) -> Select[Any]:
    named = [one.expression.label(f"c{place}") for place, one in enumerate(fields)]
    rows = select(*named).select_from(source.rows).where(*source.where, source.key.between(start, start + portion - 1))
    inner = (rows.order_by(source.key) if ordered else rows).subquery()
    return select(*(_packed(inner.c[f"c{place}"], one) for place, one in enumerate(fields)))


def _packed(column: ColumnElement[Any], one: Field) -> ColumnElement[Any]:
    plain: ColumnElement[Any]
    match one.kind:
        case Kind.TEXT if not one.words:
            return cast(func.json_agg(column), Text)
        case Kind.TEXT:
            codes = {word: place for place, word in enumerate(one.words)}
            plain = cast(case(codes, value=column, else_=-1), SmallInteger)
        case Kind.WHOLE:
            plain = cast(func.coalesce(column, MISSING), BigInteger)
        case Kind.NUMBER:
            plain = func.coalesce(cast(column, Double), literal_column("'NaN'::float8"))
        case Kind.TIME:
            plain = func.coalesce(column, literal_column("'-infinity'::timestamptz"))
        case Kind.BYTES:
            plain = column
    return func.array_send(func.array_agg(plain, type_=BigInteger))


def _fetched(connection: Connection, statement: Select[Any]) -> Any:
    """The one row of a statement, in binary."""
    driver: Any = connection.connection.driver_connection
    compiled = statement.compile(dialect=connection.dialect, compile_kwargs={"render_postcompile": True})
    errors: Any = connection.dialect.loaded_dbapi
    try:
        with driver.cursor(binary=True) as cursor:
            return cursor.execute(str(compiled), compiled.params).fetchone()
    except errors.Error as error:  # past SQLAlchemy, so nobody has wrapped it yet
        lost = bool(driver.closed)
        raise DBAPIError.instance(str(compiled), None, error, errors.Error, connection_invalidated=lost) from error


def _unpacked(packed: Any, one: Field) -> Any:
    import numpy as np

    match one.kind:
        case Kind.TEXT if not one.words:
            return as_array(json.loads(packed), Kind.TEXT)
        case Kind.TEXT:
            words = np.array([*one.words, None], dtype=object)  # the last one, at -1, is none of them
            return words[_elements(packed, ">i2")]
        case Kind.WHOLE:
            return _elements(packed, ">i8").astype(np.int64)
        case Kind.NUMBER:
            return _elements(packed, ">f8").astype(np.float64)
        case Kind.TIME:
            since = _elements(packed, ">i8").astype(np.int64)
            return np.where(since == np.iinfo(np.int64).min, MISSING, since + _EPOCH)
        case Kind.BYTES:
            return as_array(list(_one_by_one(packed)), Kind.BYTES)


def _elements(packed: bytes, kind: str) -> Any:
    """The elements of an array without NULLs, all of one length."""
    import numpy as np

    return np.frombuffer(packed, dtype=[("length", ">i4"), ("value", kind)], offset=_HEAD)["value"]


def _one_by_one(packed: bytes) -> Iterator[bytes | None]:
    """The elements of an array, of any length."""
    place = _HEAD
    while place < len(packed):
        length = int.from_bytes(packed[place : place + _LENGTH], "big", signed=True)
        place += _LENGTH
        yield None if length < 0 else packed[place : place + length]
        place += max(length, 0)
