"""Folds that can be named."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from nbcluster.errors import InputError
from nbcluster.submitting.aggregators import aggregator


@pytest.mark.parametrize(
    ("name", "values", "folded"),
    [
        ("list", [3, 1], [3, 1]),
        ("sum", [3, 1], 4),
        ("sum", [], 0),
        ("sum", ["a", "b"], "ab"),
        ("sum", [(1,), (2,)], (1, 2)),
        ("mean", [3, 1], 2.0),
        ("min", [3, 1, 2], 1),
        ("max", [3, 1, 2], 3),
        ("count", [3, None], 2),
        ("concat", [[1], [2, 3]], [1, 2, 3]),
        ("concat", [(1,), (2,)], [1, 2]),
        ("concat", ["ab", "c"], "abc"),
        ("concat", [b"ab", b"c"], b"abc"),
        ("concat", [], []),
    ],
)
def test_a_fold_of_plain_values(name: str, values: list[Any], folded: Any) -> None:
    assert aggregator(name)(values) == folded


def test_arrays_are_joined_and_added() -> None:
    arrays = [np.array([1, 2]), np.array([3, 4])]
    assert aggregator("concat")(arrays).tolist() == [1, 2, 3, 4]
    assert aggregator("sum")(arrays).tolist() == [4, 6]
    assert aggregator("mean")(arrays).tolist() == [2.0, 3.0]


def test_frames_are_put_one_below_the_other() -> None:
    frames = [pd.DataFrame({"a": [1]}, index=[7]), pd.DataFrame({"a": [2]}, index=[7])]
    for name in ("concat", "frame"):
        joined = aggregator(name)(frames)
        assert joined["a"].tolist() == [1, 2]
        assert joined.index.tolist() == [0, 1]


@pytest.mark.parametrize(
    ("values", "columns"),
    [
        ([{"a": 1, "b": 2}, {"a": 3, "b": 4}], {"a": [1, 3], "b": [2, 4]}),
        ([(1, 2), (3, 4)], {0: [1, 3], 1: [2, 4]}),
        ([1, 2], {"value": [1, 2]}),
        ([pd.Series({"a": 1}, name="x"), pd.Series({"a": 2}, name="y")], {"a": [1, 2]}),
        ([], {"value": []}),
    ],
)
def test_a_frame_is_made_of_rows(values: list[Any], columns: dict[Any, list[Any]]) -> None:
    assert aggregator("frame")(values).to_dict("list") == columns


@pytest.mark.parametrize("name", ["mean", "min", "max"])
def test_nothing_has_no_mean(name: str) -> None:
    with pytest.raises(ValueError, match=f"there is no value to take the {name} of"):
        aggregator(name)([])


def test_any_function_is_its_own_fold_and_nothing_else_is_one() -> None:
    assert aggregator(sorted)([2, 1]) == [1, 2]
    with pytest.raises(InputError, match=r"^aggregate is 'median'; write a function of the list of all values, or one"):
        aggregator("median")
