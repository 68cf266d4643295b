"""What functions return as plain columns, and as bytes: every type of value, whole and with gaps."""

from __future__ import annotations

import math
import sqlite3
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import nbcluster as nb
from nbcluster.rows import kinds
from nbcluster.rows.encoding import AS_JSON, COPY, encode, json_blocks
from nbcluster.rows.plain import plain
from nbcluster.rows.shaping import NoRows, shape
from nbcluster.rows.target import TableName, split_name

LARGE = 10**9
MORNING = datetime(2024, 2, 29, 8, 30, 1, 5)  # noqa: DTZ001 -- a time without a zone is what it is about


@pytest.mark.parametrize(
    ("values", "kind", "told"),
    [
        ([1, 2], kinds.INT, [1, 2]),
        ([1, None], kinds.INT, [1, None]),
        ([2**63], kinds.DECIMAL, [str(2**63)]),
        ([True, None, False], kinds.BOOL, [1, None, 0]),
        ([1.0, None, 3.0], kinds.WHOLE, [1, None, 3]),
        ([1, 2.0], kinds.WHOLE, [1, 2]),
        ([1, 2.5], kinds.FLOAT, [1, 2.5]),
        ([math.nan, 2.5], kinds.FLOAT, [None, 2.5]),
        ([math.inf], kinds.FLOAT, [math.inf]),
        ([1e300], kinds.FLOAT, [1e300]),
        ([None, None], kinds.NULL, [None, None]),
        ([], kinds.NULL, []),
        (["a", None], kinds.TEXT, ["a", None]),
        ([Decimal("1.10"), 2], kinds.DECIMAL, ["1.10", 2]),
        ([b"\0\xff"], kinds.BYTES, [b"\0\xff"]),
        ([date(2024, 2, 29)], kinds.DATE, ["2024-02-29"]),
        ([datetime(2024, 2, 29)], kinds.DAY, ["2024-02-29 00:00:00.000000"]),  # noqa: DTZ001
        ([MORNING], kinds.MOMENT, ["2024-02-29 08:30:01.000005"]),
        ([MORNING.replace(tzinfo=UTC)], kinds.ZONED, ["2024-02-29 08:30:01.000005+00:00"]),
        ([time(8, 30)], kinds.TIME, ["08:30:00"]),
        ([timedelta(minutes=1.5)], kinds.SPAN, [90.0]),
        ([UUID(int=1)], kinds.UUID, ["00000000-0000-0000-0000-000000000001"]),
        ([{"a": [1, "ü"]}], kinds.JSON, ['{"a": [1, "ü"]}']),
        ([np.int64(3), np.float32(0.5)], kinds.FLOAT, [3, 0.5]),
        ([np.array([1, 2])], kinds.JSON, ["[1, 2]"]),
        ([pd.NA, pd.NaT, 1], kinds.INT, [None, None, 1]),
        ([pd.Timestamp(MORNING)], kinds.MOMENT, ["2024-02-29 08:30:01.000005"]),
        ([pd.Period("2024-02", "M")], kinds.TEXT, ["2024-02"]),
    ],
)
def test_objects(values: list[Any], kind: str, told: list[Any]) -> None:
    assert plain("x", values) == (kind, told)


@pytest.mark.parametrize(
    ("series", "kind", "told"),
    [
        (pd.Series([1, 2], dtype="int8"), kinds.INT, [1, 2]),
        (pd.Series([2**64 - 1], dtype="uint64"), kinds.DECIMAL, [str(2**64 - 1)]),
        (pd.Series([1.5, None], dtype="float32"), kinds.FLOAT, [1.5, None]),
        (pd.Series([1.0, None]), kinds.WHOLE, [1, None]),
        (pd.Series([None, None], dtype="float64"), kinds.NAN, [None, None]),
        (pd.Series([True, False]), kinds.BOOL, [1, 0]),
        (pd.Series([1, None], dtype="Int64"), kinds.INT, [1, None]),
        (pd.Series([True, None], dtype="boolean"), kinds.BOOL, [1, None]),
        (pd.Series(["a", None], dtype="string"), kinds.TEXT, ["a", None]),
        (pd.Series(["b", "a", None, "b"], dtype="category"), kinds.TEXT, ["b", "a", None, "b"]),
        (pd.Series([2, 1], dtype="category"), kinds.INT, [2, 1]),
        (pd.Series([None, None], dtype="datetime64[ns]"), kinds.NAT, [None, None]),
        (pd.Series([MORNING, None]), kinds.MOMENT, ["2024-02-29 08:30:01.000005", None]),
        (pd.Series(pd.to_datetime(["2024-02-29"])), kinds.DAY, ["2024-02-29 00:00:00.000000"]),
        (
            pd.Series([MORNING, None]).dt.tz_localize("Europe/Berlin"),
            kinds.ZONED,
            ["2024-02-29 07:30:01.000005+00:00", None],
        ),
        (
            pd.Series(np.array(["12024-01-01", "2024-01-01"], "M8[s]")),
            kinds.DAY,
            ["12024-01-01 00:00:00.000000", "2024-01-01 00:00:00.000000"],
        ),
        (pd.Series([timedelta(seconds=1.5), None]), kinds.SPAN, [1.5, None]),
    ],
)
def test_series(series: Any, kind: str, told: list[Any]) -> None:
    assert plain("x", series) == (kind, told)


def columns_and_rows(*values: Any, form: str = AS_JSON) -> tuple[Any, list[tuple[Any, ...]]]:
    encoded = encode(shape(values), form, LARGE)
    assert encoded.count == sum(shape(values).counts)
    return encoded.columns, [row for block in json_blocks(encoded.body, encoded.columns) for row in block]


@dataclass
class Point:
    x: int
    y: int


def test_rows_of_many_shapes_are_one_below_the_other() -> None:
    frame = pd.DataFrame({"x": [1, 2], "y": [3, 4]}, index=[7, 9])
    named = pd.DataFrame({"y": [6]}, index=pd.Index([5], name="x"))
    values = (frame, {"y": 0, "x": 0}, Point(8, 9), None, [], named, [{"x": 1, "y": 1}, frame])
    columns, rows = columns_and_rows(*values)
    assert columns == (("x", kinds.INT), ("y", kinds.INT))
    assert rows == [(1, 3), (2, 4), (0, 0), (8, 9), (5, 6), (1, 1), (1, 3), (2, 4)]
    assert shape(values).counts == (2, 1, 1, 0, 0, 1, 3)


def test_what_a_row_has_not_is_missing() -> None:
    columns, rows = columns_and_rows({"a": 1}, {"b": "x"}, pd.DataFrame({"a": [2.0]}))
    assert columns == (("a", kinds.WHOLE), ("b", kinds.TEXT))
    assert rows == [(1, None), (None, "x"), (2, None)]


def test_an_empty_frame_has_columns_and_no_rows() -> None:
    empty = pd.DataFrame({"a": pd.Series([], dtype="int64"), "b": pd.Series([], dtype="datetime64[ns]")})
    for form in (AS_JSON, COPY):
        encoded = encode(shape([empty]), form, LARGE)
        assert (encoded.columns, encoded.count) == ((("a", kinds.INT), ("b", kinds.DAY)), 0)
        assert not [row for block in json_blocks(encoded.body, encoded.columns) for row in block]
    assert encode(shape([None]), COPY, LARGE).columns == ()


def test_more_rows_than_fit_in_a_block_keep_their_order() -> None:
    _, rows = columns_and_rows(pd.DataFrame({"n": range(50_000)}))
    assert rows == [(n,) for n in range(50_000)]


def test_rows_above_the_limit_are_refused() -> None:
    with pytest.raises(nb.TooLarge, match="the rows are larger than max_result"):
        encode(shape([pd.DataFrame({"n": range(50_000)})]), AS_JSON, 100_000)


@pytest.mark.parametrize(
    ("frame", "sentence"),
    [
        (pd.DataFrame({"n": [1]}, index=pd.Index([2], name="n")), "'n' as a column and in its index"),
        (pd.DataFrame([[1]]), "column 0 has no name"),
        (pd.DataFrame([[1]], columns=pd.MultiIndex.from_tuples([("a", "b")])), r"column \('a', 'b'\) has no name"),
        (pd.DataFrame({"": [1]}), "column '' has no name"),
        (1 + 2j, "a value of type complex has no rows"),
    ],
)
def test_a_value_without_rows_is_named_by_its_item(frame: Any, sentence: str) -> None:
    with pytest.raises(NoRows, match=sentence) as refused:
        shape([{"n": 1}, frame])
    assert refused.value.item == 1


@pytest.mark.parametrize("value", [1 + 2j, {1, 2}, object(), [object()], {"a": math.nan}])
def test_a_value_that_no_column_takes_is_named_by_its_column(value: Any) -> None:
    with pytest.raises(nb.InputError, match="column 'x' holds"):
        encode(shape([{"x": value}]), AS_JSON, LARGE)


# --- bytes --------------------------------------------------------------------------------------

_ESCAPES = {"\\\\": "\\", "\\t": "\t", "\\n": "\n", "\\r": "\r"}


def copied(body: bytes) -> list[tuple[str | None, ...]]:
    """What PostgreSQL reads from the text of a COPY."""

    def field(text: str) -> str | None:
        if text == "\\N":
            return None
        found, place = "", 0
        while place < len(text):
            piece = text[place : place + 2] if text[place] == "\\" else text[place]
            found += _ESCAPES[piece] if len(piece) == 2 else piece
            place += len(piece)
        return found

    return [tuple(map(field, line.split("\t"))) for line in body.decode().split("\n")[:-1]]


texts = st.one_of(
    st.none(), st.text(st.characters(exclude_categories=["Cs"])), st.sampled_from(["\\N", "\\.", "\t\n\r\\"])
)


@given(st.lists(st.tuples(texts, st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1))), min_size=1))
def test_any_text_comes_through_both_forms(rows: list[tuple[str | None, int | None]]) -> None:
    values = [{"text": text, "number": number} for text, number in rows]
    assert columns_and_rows(*values)[1] == rows
    numbered = [(text, None if number is None else str(number)) for text, number in rows]
    assert copied(encode(shape(values), COPY, LARGE).body) == numbered


@given(st.lists(st.one_of(st.none(), st.floats(allow_nan=False)), min_size=1))
def test_any_float_comes_through_both_forms(numbers: list[float | None]) -> None:
    frame = pd.DataFrame({"x": numbers}, dtype="float64")
    assert [row[0] for row in columns_and_rows(frame)[1]] == numbers
    read = copied(encode(shape([frame]), COPY, LARGE).body)
    assert [None if text is None else float(text) for (text,) in read] == numbers


@given(st.lists(st.binary(), min_size=1))
def test_any_bytes_come_through_both_forms(pieces: list[bytes]) -> None:
    values = [{"x": piece} for piece in pieces]
    assert [row[0] for row in columns_and_rows(*values)[1]] == pieces
    read = copied(encode(shape(values), COPY, LARGE).body)
    assert [bytes.fromhex(str(text)[2:]) for (text,) in read] == pieces


def test_what_sqlite_is_given_needs_no_adapter() -> None:
    values = {"a": 1, "b": 1.5, "c": "x", "d": b"x", "e": MORNING, "f": Decimal("1.5"), "g": True, "h": None}
    _, rows = columns_and_rows(values)
    with sqlite3.connect(":memory:") as connection:
        assert connection.execute(f"SELECT {', '.join('?' * len(values))}", rows[0]).fetchone() == rows[0]


# --- what goes together, and into which columns ---------------------------------------------------


@pytest.mark.parametrize(
    ("mixed", "result"),
    [
        ([kinds.NULL, kinds.INT], kinds.INT),
        ([kinds.INT, kinds.NAN], kinds.INT),
        ([kinds.NAN, kinds.NULL], kinds.NAN),
        ([kinds.NULL, kinds.NAN], kinds.NAN),
        ([kinds.INT, kinds.WHOLE, kinds.FLOAT], kinds.FLOAT),
        ([kinds.FLOAT, kinds.INT], kinds.FLOAT),
        ([kinds.DATE, kinds.MOMENT], kinds.MOMENT),
        ([], kinds.NULL),
    ],
)
def test_the_kind_that_holds_several(mixed: list[str], result: str) -> None:
    assert kinds.together("x", mixed) == result


@pytest.mark.parametrize("mixed", [(kinds.INT, kinds.TEXT), (kinds.MOMENT, kinds.ZONED), (kinds.BOOL, kinds.INT)])
def test_kinds_that_nothing_holds_together(mixed: tuple[str, str]) -> None:
    with pytest.raises(nb.InputError, match=r"column 'x' holds .* and .*; give all its values one type"):
        kinds.together("x", mixed)


@pytest.mark.parametrize(
    ("kind", "column", "strictly", "loosely"),
    [
        (kinds.INT, kinds.INT, True, True),
        (kinds.WHOLE, kinds.INT, True, True),
        (kinds.FLOAT, kinds.INT, False, False),
        (kinds.INT, kinds.TEXT, False, False),
        (kinds.TEXT, kinds.INT, False, False),
        (kinds.BOOL, kinds.INT, True, True),
        (kinds.INT, kinds.BOOL, False, False),
        (kinds.MOMENT, kinds.ZONED, False, True),
        (kinds.ZONED, kinds.MOMENT, False, True),
        (kinds.MOMENT, kinds.DATE, False, False),
        (kinds.DAY, kinds.DATE, True, True),
        (kinds.NAN, kinds.TEXT, True, True),
        (kinds.JSON, kinds.OTHER, True, True),
    ],
)
def test_which_columns_take_a_kind(kind: str, column: str, strictly: bool, loosely: bool) -> None:
    assert kinds.fits(kind, column, loosely=False) is strictly
    assert kinds.fits(kind, column, loosely=True) is loosely


# --- names ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "schema", "name"),
    [
        ("t", None, "t"),
        ("lab.t", "lab", "t"),
        ('"a.b"."c ""d"""', "a.b", 'c "d"'),
        ('lab."batch"', "lab", "batch"),
        ("Größe 1", None, "Größe 1"),
    ],
)
def test_the_name_of_a_table(text: str, schema: str | None, name: str) -> None:
    assert split_name(text) == TableName(schema, name)


@pytest.mark.parametrize(
    "text", ["", " ", ".", "a.", ".a", "a.b.c", '"', '""', 'a"b', "a\0b", "batch_x", "pg_catalog.x"]
)
def test_what_names_no_table(text: str) -> None:
    with pytest.raises(nb.InputError):
        split_name(text)


def test_a_table_elsewhere_needs_the_word_and_hides_its_password() -> None:
    with pytest.raises(nb.InputError, match=r"say at_least_once=True") as refused:
        nb.table("t", url="postgresql://u:secret@h/d")
    elsewhere = nb.table("t", url="postgresql://u:secret@h/d", at_least_once=True)
    assert "secret" not in f"{refused.value}{elsewhere!r}"
    with pytest.raises(nb.InputError, match="can only be appended to"):
        nb.table("t", url="sqlite:///x.db", at_least_once=True, if_exists="replace")
