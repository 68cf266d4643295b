"""A file of what a job gave has the rows of its frame, however few of them are in memory at a time."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import duckdb
import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from nbcluster import exports
from nbcluster.errors import DatabaseUnreachable, InputError
from nbcluster.frames.items import items_frame
from nbcluster.reading import Item
from tests.unit.test_frames_of_results import FAILED, Fit, items

AFTER = ["error", "partition", "node", "attempt", "seconds"]
FRAME = pd.DataFrame({"n": [1, 2], "who": ["a", "b"]})


@pytest.fixture
def two_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exports, "_BATCH_ROWS", 2)


def written(path: Path, values: Sequence[Any], kind: exports.Format = "parquet") -> list[str]:
    """Writes the file; gives what was said meanwhile."""
    said: list[str] = []
    exports.export(path, kind, lambda: items(values), said.append)
    return said


def read(path: Path) -> pd.DataFrame:
    with duckdb.connect(":memory:") as connection:
        return connection.execute("SELECT * FROM read_parquet(?)", [str(path)]).df()


def types(path: Path) -> dict[str, str]:
    with duckdb.connect(":memory:") as connection:
        return {
            row[0]: row[1]
            for row in connection.execute("DESCRIBE SELECT * FROM read_parquet(?)", [str(path)]).fetchall()
        }


def rows(frame: pd.DataFrame) -> list[tuple[Any, ...]]:
    """Cells as Python's own, None for what is missing."""
    plain = frame.astype("object").where(frame.notna(), None)
    return [tuple(row) for row in plain.itertuples(index=False, name=None)]


# --- the rows of the frame -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "values",
    [
        [1, 2, 3],
        [1, FAILED, 3, None],
        [0.5, FAILED, None, 1],
        [True, FAILED, False],
        ["a", "ü\"'\n,", ""],
        [None, None, None, None, 5],
        [FAILED, FAILED, FAILED],
        [],
        [{"n": 1, "who": "a"}, {"n": 2}, None, FAILED, {"x": 0.5}],
        [None, FAILED, None, {"n": 1}],
        [{"value": 1}, None, None, None, {"value": 2}],
        [(1, "a"), FAILED, (2, "b")],
        [Fit(0.5, 1), None, Fit(1.5, 2)],
        [pd.Series({"low": 1.0, "high": 2.0}), pd.Series({"low": 3.0}), FAILED],
        [FRAME, None, FAILED, FRAME.iloc[:0], FRAME],
        [None, None, FAILED, None, FRAME],
        [FAILED, FAILED, FRAME.assign(x=1), FRAME.assign(y="z", n=0.5)],
        [{"error": "mine", "node": 1}, {"error": "yours", "node": 2}, {"node": 3}],
        [datetime(2026, 1, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC), None],
    ],
)
@pytest.mark.usefixtures("two_at_a_time")
def test_a_file_has_the_columns_and_rows_of_the_frame(tmp_path: Path, values: list[Any]) -> None:
    assert written(tmp_path / "all.parquet", values) == []
    frame, found = items_frame(items(values)), read(tmp_path / "all.parquet")
    assert list(found.columns) == list(frame.columns)
    assert rows(found) == rows(frame)
    assert os.listdir(tmp_path) == ["all.parquet"]


@pytest.mark.usefixtures("two_at_a_time")
def test_types_are_those_of_the_values_also_where_they_come_late(tmp_path: Path) -> None:
    path = tmp_path / "all.parquet"
    zoned = pd.Timestamp("2026-01-01 01:00", tz="Europe/Berlin")
    full = {
        "whole": 2**53 + 1, "yes": True, "real": 0.5, "text": "a", "at": pd.Timestamp("2026-01-01"), "zoned": zoned,
        "day": date(2026, 1, 1), "hour": time(1, 2), "price": Decimal("1.25"), "raw": b"\0\xff",
        "took": pd.Timedelta("90s"), "small": np.float32(0.5),
    }  # fmt: skip
    written(path, [None, FAILED, {}, None, full, full, FAILED, {"price": Decimal("1.125"), "whole": 1}])
    assert {name: kind for name, kind in types(path).items() if name in full} == {
        "whole": "BIGINT", "yes": "BOOLEAN", "real": "DOUBLE", "text": "VARCHAR", "at": "TIMESTAMP",
        "zoned": "TIMESTAMP WITH TIME ZONE", "day": "DATE", "hour": "TIME", "price": "DOUBLE", "raw": "BLOB",
        "took": "DOUBLE", "small": "DOUBLE",
    }  # fmt: skip
    last = read(path).iloc[4]
    assert (last["whole"], last["took"], bytes(last["raw"])) == (2**53 + 1, 90.0, b"\0\xff")
    assert last["zoned"] == zoned
    assert types(path)["partition"] == "BIGINT"
    assert read(path)["price"].tolist()[-1] == 1.125


def test_dtypes_of_frames_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "all.parquet"
    part = pd.DataFrame(
        {
            "colour": pd.Categorical(["red", None]),
            "rank": pd.Categorical([1, 2]),
            "maybe": pd.Series([1, None], dtype="Int32"),
            "month": pd.period_range("2026-01", periods=2, freq="M"),
            "half": np.array([0.5, 1.5], dtype="float16"),
            "unsigned": np.array([1, 2], dtype="uint64"),
            "sparse": pd.arrays.SparseArray([0.0, 1.0]),
            "complex": np.array([1j, 2j]),
        }
    )
    written(path, [part, FAILED])
    kinds = types(path)
    assert [kinds[name] for name in part] == [
        "VARCHAR", "BIGINT", "INTEGER", "VARCHAR", "DOUBLE", "UBIGINT", "DOUBLE", "VARCHAR",
    ]  # fmt: skip
    assert read(path)["month"].tolist()[:2] == ["2026-01", "2026-02"]


@pytest.mark.usefixtures("two_at_a_time")
def test_values_within_values_are_json(tmp_path: Path) -> None:
    path = tmp_path / "all.parquet"
    nested = [
        {"a": [1, None, float("nan")]}, np.arange(3), [np.float64("inf"), "ü"], {1: date(2026, 1, 1)},
        UUID(int=7), Path("/data"), {(1, 2): 3}, {1, 2}, range(3),
    ]  # fmt: skip
    written(path, [[value] for value in nested])
    found = read(path)["value"].tolist()
    assert [json.loads(text) for text in found[:6]] == [
        [{"a": [1, None, None]}], [[0, 1, 2]], [[None, "ü"]], [{"1": "2026-01-01"}],
        ["00000000-0000-0000-0000-000000000007"], ["/data"],
    ]  # fmt: skip
    assert found[6] == "[{(1, 2): 3}]"
    assert json.loads(found[7]) == ["{1, 2}"]


@pytest.mark.parametrize(
    ("values", "texts"),
    [
        ([{"a": 1}, {"a": 2}, 3, "x"], ['{"a": 1}', '{"a": 2}', "3", "x"]),
        ([(1, 2), (3, 4), (5,), None], ["[1, 2]", "[3, 4]", "[5]", None]),
        ([1, 2, "x", None], ["1", "2", "x", None]),
        ([FRAME, FAILED, {"n": 1}], ['{"n": {"0": 1, "1": 2}, "who": {"0": "a", "1": "b"}}', None, '{"n": 1}']),
    ],
)
@pytest.mark.usefixtures("two_at_a_time")
def test_values_of_several_kinds_stand_as_texts_in_one_column(
    tmp_path: Path, values: list[Any], texts: list[Any]
) -> None:
    said = written(tmp_path / "all.parquet", values)
    found = read(tmp_path / "all.parquet")
    assert list(found.columns) == ["input", "value", *AFTER]
    assert rows(found[["value"]]) == [(text,) for text in texts]
    assert len(said) <= 1
    assert all("of several kinds" in sentence for sentence in said)
    assert os.listdir(tmp_path) == ["all.parquet"]


def test_a_name_that_repeats_or_that_sql_would_stumble_over_is_kept_apart(tmp_path: Path) -> None:
    twice = pd.DataFrame([[1, 2, 3, 4, 5]], columns=["a", "a", 'x"; DROP TABLE y; --', "", 7])
    written(tmp_path / "it's [all]*.parquet", [twice, FAILED])
    found = read_only_file(tmp_path)
    assert list(found.columns) == ["input", "a", "a_1", 'x"; DROP TABLE y; --', "column", "7", *AFTER]
    assert found.iloc[0, 1:6].tolist() == [1, 2, 3, 4, 5]


def read_only_file(folder: Path) -> pd.DataFrame:
    (name,) = os.listdir(folder)
    (folder / name).rename(folder / "plain.parquet")
    return read(folder / "plain.parquet")


SCALARS = st.one_of(st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.floats(allow_nan=False), st.text())
DICTS = st.dictionaries(st.sampled_from(["a", "B", "b", "input", "value", "seconds"]), SCALARS, max_size=4)


@given(values=st.lists(st.one_of(st.just(FAILED), st.none(), DICTS), max_size=9), each=st.integers(1, 4))
@settings(max_examples=60, deadline=None)
def test_however_the_rows_are_batched_none_is_lost_and_none_moves(
    tmp_path_factory: pytest.TempPathFactory, values: list[Any], each: int
) -> None:
    assume({} not in values or any(isinstance(value, dict) and value for value in values))
    path = tmp_path_factory.mktemp("files") / "all.parquet"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exports, "_BATCH_ROWS", each)
        written(path, values)
    found = read(path)
    assert found["input"].tolist() == [f"in{place}" for place in range(len(values))]
    frame = items_frame(items(values))
    for name in ("error", "partition", "node", "attempt"):
        assert rows(found[[name]]) == rows(frame[[name]])
    assert len(found.columns) == len(frame.columns)
    for theirs, ours in zip(found.columns, frame.columns, strict=True):
        assert found[theirs].isna().tolist() == frame[ours].isna().tolist()


# --- CSV -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["all.csv", "all.csv.gz"])
@pytest.mark.usefixtures("two_at_a_time")
def test_a_csv_file_is_what_pandas_reads_again(tmp_path: Path, name: str) -> None:
    values = [{"n": 1, "text": 'a "b",\nc'}, FAILED, {"n": 3, "text": "", "list": [1]}, {"n": 4, "yes": True}]
    written(tmp_path / name, values, "csv")
    found = pd.read_csv(tmp_path / name)
    assert list(found.columns) == ["input", "n", "text", "list", "yes", *AFTER]
    assert found["n"].tolist()[::3] == [1, 4]
    assert found["text"][0] == 'a "b",\nc'
    assert found["list"][2] == "[1]"
    assert found["error"][1] == "ValueError: bad date"
    assert os.listdir(tmp_path) == [name]


# --- what cannot be --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("place", "sentence"),
    [
        (lambda folder: folder, "to_csv: {folder} is a folder; name a file in it, such as {folder}/result.csv"),
        (
            lambda folder: folder / "no" / "all.csv",
            "to_csv: there is no folder {folder}/no; make it first, or choose another",
        ),
        (lambda folder: 7, "to_csv needs the path of a file, not int"),
        (lambda folder: b"all.csv", "to_csv needs the path of a file, not bytes"),
    ],
)
def test_a_place_where_no_file_can_be_is_refused_in_one_sentence(
    tmp_path: Path, place: Callable[[Path], Any], sentence: str
) -> None:
    with pytest.raises(InputError) as refused:
        exports.export(place(tmp_path), "csv", lambda: pytest.fail("nothing is read"), print)
    assert str(refused.value) == sentence.format(folder=tmp_path)
    assert os.listdir(tmp_path) == []


def test_a_file_that_is_there_is_replaced_when_the_new_one_is_complete(tmp_path: Path) -> None:
    path, link = tmp_path / "all.parquet", tmp_path / "link.parquet"
    path.write_text("before")
    link.symlink_to(path)

    def breaking() -> Iterator[Item]:
        yield from items([1, 2])
        raise DatabaseUnreachable("it went away")

    with pytest.raises(DatabaseUnreachable, match="it went away"):
        exports.export(link, "parquet", breaking, print)
    assert path.read_text() == "before"
    assert sorted(os.listdir(tmp_path)) == ["all.parquet", "link.parquet"]
    written(link, [1, 2])
    assert read(path)["value"].tolist() == [1, 2]
    assert link.is_symlink()


def test_a_full_disk_leaves_the_old_file_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "all.csv"
    path.write_text("before")

    def full(_file: Path) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(exports, "_sync", full)
    with pytest.raises(InputError) as refused:
        written(path, [1, 2], "csv")
    assert str(refused.value) == f"to_csv: {path} cannot be written: No space left on device; nothing was left there"
    assert path.read_text() == "before"
    assert os.listdir(tmp_path) == ["all.csv"]


def test_a_full_disk_under_duckdb_is_told_in_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import resource

    wanted = [{"n": n, "text": os.urandom(500).hex()} for n in range(200)]
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    import signal

    handled = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))
    try:
        with pytest.raises(
            InputError, match=r"^to_parquet: .*all.parquet cannot be written: .*; nothing was left there$"
        ):
            written(tmp_path / "all.parquet", wanted)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handled)
    assert os.listdir(tmp_path) == []
