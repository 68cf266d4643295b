"""What a job gave becomes the frame that one would have made oneself, with the dtypes that the values have."""

from __future__ import annotations

from collections import Counter, namedtuple
from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import Any

import numpy as np
import pandas as pd
import pytest

from nbcluster.frames.items import items_frame
from nbcluster.reading import Item
from nbcluster.records import ItemError

AFTER = ["error", "partition", "node", "attempt", "seconds"]
FAILED = object()
"""In the place of a value: this item failed."""

Fit = namedtuple("Fit", "slope points")


def items(values: Sequence[Any]) -> list[Item]:
    """An item for each value, two to a partition."""
    bad = ItemError(0, "ValueError", "bad date", "")
    return [
        Item(place, f"in{place}", None, bad, place // 2, "beta", 1, float("nan"))
        if value is FAILED
        else Item(place, f"in{place}", value, None, place // 2, "alpha", 1, 0.5)
        for place, value in enumerate(values)
    ]


def frame_of(values: Sequence[Any]) -> pd.DataFrame:
    said: list[str] = []
    frame = items_frame(items(values), said.append)
    assert not said
    return frame


def theirs(frame: pd.DataFrame) -> list[Any]:
    """The columns between ``input`` and ``error``."""
    columns = list(frame.columns)
    assert columns[0] == "input"
    assert columns[-len(AFTER) :] == AFTER
    assert isinstance(frame.index, pd.RangeIndex)
    return columns[1 : -len(AFTER)]


def kinds(frame: pd.DataFrame) -> list[str]:
    return [str(frame.dtypes.iloc[place]) for place in range(1, 1 + len(theirs(frame)))]


# --- one value a row -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        ([1, 2], "int64"),
        ([1, FAILED], "Int64"),
        ([True, FAILED], "boolean"),
        ([1.5, FAILED], "float64"),
        ([np.int64(1), np.int64(2)], "int64"),
        ([np.int64(1), FAILED], "Int64"),
        ([np.bool_(True), FAILED], "boolean"),
        ([np.float64(1), np.float64(2)], "float64"),
        ([1, 2.5], "float64"),
        (["a", "b"], "object"),
        ([None, None], "object"),
        ([1, None], "object"),
        ([2**70, FAILED], "object"),
        ([[1], [2, 3]], "object"),
        ([np.arange(3), np.arange(3)], "object"),
        ([{1, 2}, {3}], "object"),
        ([{}, {}], "object"),
        ([(), ()], "object"),
        ([pd.Timestamp("2026-01-01"), pd.Timestamp("2026-01-02")], "datetime64[us]"),
        ([FAILED, FAILED], "object"),
        ([], "object"),
    ],
)
def test_a_value_that_is_one_thing_stands_in_the_column_value(values: list[Any], dtype: str) -> None:
    frame = frame_of(values)
    assert list(frame.columns) == ["input", "value", *AFTER]
    assert str(frame["value"].dtype).replace("[ns]", "[us]") == dtype
    assert len(frame) == len(values)
    for value, told in zip(values, frame["value"], strict=True):
        if value is FAILED or value is None:
            assert pd.isna(told)
        else:
            assert np.array_equal(told, value) if isinstance(value, np.ndarray) else told == value
    assert frame["error"].tolist() == ["ValueError: bad date" if value is FAILED else None for value in values]


def test_a_none_that_was_given_stays_none() -> None:
    assert frame_of([1, None, "x"][:2])["value"].tolist() == [1, None]


def test_arrays_of_one_length_stay_arrays() -> None:
    found = frame_of([np.zeros(2), np.ones(2)])["value"]
    assert [one.tolist() for one in found] == [[0.0, 0.0], [1.0, 1.0]]


@pytest.mark.parametrize(
    ("values", "names"),
    [
        ([1, "a"], "int, str"),
        ([{"a": 1}, 2], "dict, int"),
        ([pd.DataFrame({"a": [1]}), {"a": 1}], "DataFrame, dict"),
        ([pd.Series([1]), pd.DataFrame({"a": [1]}), None], "Series, DataFrame"),
        ([1, "a", 2.5, b"b", []], "int, str, float, ..."),
    ],
)
def test_values_of_several_kinds_stay_as_they_are_and_that_is_said(values: list[Any], names: str) -> None:
    said: list[str] = []
    frame = items_frame(items(values), said.append)
    assert said == [f"its values stay as they are, in the column value: they are of several kinds ({names})"]
    assert all(told is value for told, value in zip(frame["value"], values, strict=True))


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ([(1, 2), (1, 2, 3)], "these tuples have different lengths"),
        ([{1: "a"}, {"b": 1}], "not all keys of these dicts are texts (1 is not)"),
        ([Fit(1, 2), namedtuple("Other", "a b")(1, 2)], "these named tuples have different fields"),
        (
            [pd.Series([1, 2], index=["a", "a"]), pd.Series([1], index=["b"])],
            "the labels of these Series repeat, and differ from one to the next",
        ),
        (
            [pd.DataFrame([[1, 2]], columns=["a", "a"]), pd.DataFrame({"b": [1]})],
            "the columns of these frames repeat, and differ from one to the next",
        ),
        ([pd.Series(range(20_000))], "they have 20,000 labels, too many for columns"),
        ([{f"w{place}.{n}": n for n in range(100)} for place in range(20)], "too many for columns"),
    ],
)
def test_what_makes_no_columns_stays_as_it_is_and_the_reason_is_said(values: list[Any], why: str) -> None:
    said: list[str] = []
    frame = items_frame(items(values), said.append)
    assert len(said) == 1
    assert why in said[0]
    assert all(told is value for told, value in zip(frame["value"], values, strict=True))


# --- several values a row --------------------------------------------------------------------------


def test_dicts_have_a_column_for_each_key() -> None:
    when = datetime(2026, 1, 1, tzinfo=UTC)
    frame = frame_of([{"n": 1, "x": 0.5, "who": "a", "at": when}, {"n": 2, "x": 1, "who": "b", "at": when}])
    assert theirs(frame) == ["n", "x", "who", "at"]
    assert kinds(frame)[:2] == ["int64", "float64"]
    assert isinstance(frame["at"].dtype, pd.DatetimeTZDtype)
    assert frame["who"].dtype == pd.Series(["a"]).dtype
    assert frame["n"].tolist() == [1, 2]
    assert frame["input"].tolist() == ["in0", "in1"]


@pytest.mark.parametrize("missing", [{}, {"n": None}, None, FAILED])
def test_what_is_missing_in_a_dict_changes_no_dtype(missing: Any) -> None:
    full = {"n": 2**53 + 1, "yes": True, "x": 0.5, "who": "a", "at": pd.Timestamp("2026-01-01"), "list": [1]}
    frame = frame_of([full, missing, full])
    assert theirs(frame) == list(full)
    assert [kind.partition("[")[0] for kind in kinds(frame)[:3]] == ["Int64", "boolean", "float64"]
    assert kinds(frame)[4].startswith("datetime64[")
    assert frame["n"].tolist() == [2**53 + 1, pd.NA, 2**53 + 1]
    assert frame.loc[1, list(full)].isna().all()
    assert frame["list"][0] == [1]
    assert (frame["error"][1] is None) == (missing is not FAILED)


def test_keys_that_only_some_have_come_in_the_order_in_which_they_are_seen() -> None:
    frame = frame_of([Counter("ab"), Counter("bc")])
    assert theirs(frame) == ["a", "b", "c"]
    assert kinds(frame) == ["Int64", "int64", "Int64"]


def test_a_value_within_a_dict_stays_whole() -> None:
    inner, day = {"a": 1}, date(2026, 1, 1)
    frame = frame_of([{"inner": inner, "mixed": 1, "day": day}, {"inner": inner, "mixed": "a", "day": day}])
    assert frame["inner"].tolist() == [inner, inner]
    assert frame["mixed"].tolist() == [1, "a"]
    assert frame["day"].tolist() == [day, day]
    assert frame_of([{"n": 2**70}, {"n": 1}])["n"].tolist() == [2**70, 1]
    assert frame_of([{"n": 2**70}, {"n": 0.5}])["n"].tolist() == [2**70, 0.5]


def test_tuples_have_a_column_for_each_place_and_named_ones_their_fields() -> None:
    frame = frame_of([(1, "a"), FAILED, None, (2, "b")])
    assert theirs(frame) == ["value_0", "value_1"]
    assert frame["value_0"].tolist() == [1, pd.NA, pd.NA, 2]
    named = frame_of([Fit(0.5, 3), Fit(1.5, 4)])
    assert theirs(named) == ["slope", "points"]
    assert kinds(named) == ["float64", "int64"]


def test_a_series_is_a_row_with_its_labels_as_columns() -> None:
    frame = frame_of([pd.Series({"low": 1.0, "high": 2.0}), pd.Series({"low": 3.0, "high": 4.0})])
    assert theirs(frame) == ["low", "high"]
    assert frame["high"].tolist() == [2.0, 4.0]
    hours = frame_of([pd.Series([1, 2], index=[5, 6], dtype="int32"), pd.Series([3], index=[6], dtype="int32")])
    assert theirs(hours) == [5, 6]
    assert kinds(hours) == ["Int32", "int32"]
    assert hours[5].tolist() == [1, pd.NA]


def test_the_row_of_a_frame_keeps_what_its_cells_are() -> None:
    data = pd.DataFrame({"n": [1, 2], "who": ["a", "b"], "x": [0.5, 1.5]})
    frame = frame_of([data.iloc[0], data.iloc[1]])
    pd.testing.assert_frame_equal(frame[["n", "who", "x"]], data)


def test_series_keep_categories_zones_and_repeated_labels() -> None:
    zoned = pd.Series(pd.date_range("2026-01-01", periods=2, tz="Europe/Berlin"), index=["a", "b"])
    assert frame_of([zoned, FAILED])["a"].dtype == zoned.dtype
    colours = pd.Series(pd.Categorical(["red", "blue"]), index=["a", "b"])
    assert frame_of([colours, colours])["b"].dtype == colours.dtype
    twice = frame_of([pd.Series([1, 2], index=["a", "a"]), pd.Series([3, 4], index=["a", "a"])])
    assert theirs(twice) == ["a", "a"]
    assert twice.iloc[:, 2].tolist() == [2, 4]
    two = pd.Series([1.0, 2.0], index=pd.MultiIndex.from_tuples([("delay", "mean"), ("delay", "max")]))
    assert theirs(frame_of([two, two])) == ["delay_mean", "delay_max"]


@pytest.mark.parametrize("name", ["input", *AFTER])
def test_a_column_that_is_called_like_one_of_ours_gets_another_name(name: str) -> None:
    frame = frame_of([{name: 7, "value": 8}, {name: 9, "value": 10}])
    assert theirs(frame) == [f"value_{name}", "value"]
    assert frame[f"value_{name}"].tolist() == [7, 9]
    assert frame["input"].tolist() == ["in0", "in1"]
    both = frame_of([{name: 7, f"value_{name}": 8}])
    assert theirs(both) == [f"value_value_{name}", f"value_{name}"]
    rows = frame_of([pd.DataFrame({name: [1, 2]})])
    assert theirs(rows) == [f"value_{name}"]


# --- frames ----------------------------------------------------------------------------------------


def test_frames_stand_one_below_the_other_beside_their_inputs() -> None:
    parts = [pd.DataFrame({"n": [1, 2], "who": ["a", "b"]}), pd.DataFrame({"n": [3], "who": ["c"]})]
    frame = frame_of(parts)
    assert theirs(frame) == ["n", "who"]
    pd.testing.assert_frame_equal(frame[["n", "who"]], pd.concat(parts, ignore_index=True))
    assert frame["input"].tolist() == ["in0", "in0", "in1"]
    assert frame["partition"].tolist() == [0, 0, 0]
    assert frame["error"].tolist() == [None] * 3


def test_a_failed_item_has_a_row_among_frames_and_changes_no_dtype() -> None:
    part = pd.DataFrame(
        {
            "n": pd.Series([2**53 + 1, 2]),
            "small": pd.Series([1, 2], dtype="uint8"),
            "yes": [True, False],
            "x": [0.5, 1.5],
            "at": pd.date_range("2026-01-01", periods=2, tz="UTC"),
            "colour": pd.Categorical(["red", "blue"]),
            "maybe": pd.Series([1, None], dtype="Int64"),
        }
    )
    frame = frame_of([part, FAILED, part])
    kept = {name: str(dtype) for name, dtype in part.dtypes.items()}
    wanted = kept | {"n": "Int64", "small": "UInt8", "yes": "boolean"}
    assert dict(zip(theirs(frame), kinds(frame), strict=True)) == wanted
    assert frame["n"].tolist() == [2**53 + 1, 2, pd.NA, 2**53 + 1, 2]
    assert frame.loc[2, list(part)].isna().all()
    assert frame["error"].tolist() == [None, None, "ValueError: bad date", None, None]
    assert frame["input"].tolist() == ["in0", "in0", "in1", "in2", "in2"]
    assert kinds(frame_of([part, part])) == list(kept.values())


def test_a_column_that_only_some_frames_have_keeps_its_dtype() -> None:
    frame = frame_of([pd.DataFrame({"a": [1], "b": [2]}), pd.DataFrame({"a": [3], "c": [True]})])
    assert theirs(frame) == ["a", "b", "c"]
    assert kinds(frame) == ["int64", "Int64", "boolean"]


def test_categories_are_united() -> None:
    frame = frame_of([pd.DataFrame({"c": pd.Categorical(["a"])}), pd.DataFrame({"c": pd.Categorical(["b"])})])
    assert frame["c"].dtype == pd.CategoricalDtype(["a", "b"])
    ordered = [pd.DataFrame({"c": pd.Categorical([one], [one], ordered=True)}) for one in "ab"]
    assert frame_of(ordered)["c"].tolist() == ["a", "b"]


def test_none_and_empty_frames_give_no_row() -> None:
    part = pd.DataFrame({"n": [1]})
    frame = frame_of([None, part, part.iloc[:0], pd.DataFrame(), part])
    assert frame["n"].tolist() == [1, 1]
    assert kinds(frame) == ["int64"]
    assert frame["input"].tolist() == ["in1", "in4"]
    empty = frame_of([part.iloc[:0], None])
    assert theirs(empty) == ["n"]
    assert kinds(empty) == ["int64"]
    assert len(empty) == 0
    assert len(frame_of([part.iloc[:0], FAILED])) == 1


def test_an_index_that_tells_something_becomes_a_column() -> None:
    part = pd.DataFrame({"n": [1, 2, 3]})
    assert theirs(frame_of([part, part.iloc[1:]])) == ["n"]
    named = part.assign(day=pd.date_range("2026-01-01", periods=3)).set_index("day")
    assert theirs(frame_of([named, named])) == ["day", "n"]
    assert theirs(frame_of([part[part["n"] != 2], part.iloc[[2, 0, 1]]])) == ["n"]
    texts = frame_of([part.set_axis(["x", "y", "z"]), part.iloc[:0].set_axis([])])
    assert theirs(texts) == ["index", "n"]
    assert texts["index"].tolist() == ["x", "y", "z"]
    levels = part.set_index(pd.MultiIndex.from_product([["x"], [1, 2, 3]], names=["carrier", "month"]))
    assert theirs(frame_of([levels])) == ["carrier", "month", "n"]


def test_columns_that_repeat_are_kept_and_levels_are_joined() -> None:
    twice = pd.DataFrame([[1, 2], [3, 4]], columns=["a", "a"])
    frame = frame_of([twice, twice, FAILED])
    assert theirs(frame) == ["a", "a"]
    assert frame.iloc[:, 2].tolist() == [2, 4, 2, 4, pd.NA]
    same_rows = pd.DataFrame({"n": [1, 2]}, index=["x", "x"])
    assert frame_of([same_rows])["index"].tolist() == ["x", "x"]
    grouped = pd.DataFrame({"k": ["x", "x"], "n": [1, 2]}).groupby("k").agg({"n": ["mean", "max"]})
    assert theirs(frame_of([grouped])) == ["k", "n_mean", "n_max"]


def test_the_frames_that_were_given_stay_as_they_were() -> None:
    part = pd.DataFrame({("n", "max"): [1]}, index=pd.Index(["x"], name="k"))
    before = part.copy()
    frame = frame_of([part, FAILED])
    frame["n_max"] = 0
    pd.testing.assert_frame_equal(part, before)
