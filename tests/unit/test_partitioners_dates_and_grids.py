from __future__ import annotations

import datetime
import itertools
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbcluster.errors import InputError
from nbcluster.partitioners.base import Nodes, Part
from nbcluster.partitioners.choosing import cut
from nbcluster.partitioners.dates import dates
from nbcluster.partitioners.grid import grid

NODES = Nodes(2)
pieces = st.none() | st.integers(1, 40)


def things(parts: list[Part]) -> list[Any]:
    """Everything in the parts, in order."""
    return [thing for part in parts for thing in ([part.value] if part.single else part.value)]


# --- dates -----------------------------------------------------------------------------------------


@given(st.dates(datetime.date(1900, 1, 1)), st.integers(0, 40), st.sampled_from(["D", "W", "M", "Q", "Y"]), pieces)
def test_the_periods_of_a_split_are_all_from_start_to_end_in_order(
    start: datetime.date, days: int, freq: str, partitions: int | None
) -> None:
    end = start + datetime.timedelta(days=min(days, (datetime.date.max - start).days))
    parts = cut(dates(start, end, freq), NODES, partitions=partitions)
    assert things(parts) == list(pd.period_range(start, end, freq=freq))
    assert len({part.key for part in parts}) == len(parts)


def test_each_period_is_a_part_named_by_itself() -> None:
    parts = cut(dates("2013-01", "2013-03", "M"), NODES)
    assert [(part.key, part.value) for part in parts] == [
        ("2013-01", pd.Period("2013-01")), ("2013-02", pd.Period("2013-02")), ("2013-03", pd.Period("2013-03")),
    ]  # fmt: skip


def test_several_periods_make_a_list_named_by_its_ends() -> None:
    parts = cut(dates("2013-01", "2013-05", "M"), NODES, chunk=2)
    assert [part.key for part in parts] == ["2013-01..2013-02", "2013-03..2013-04", "2013-05"]
    assert parts[2].value == [pd.Period("2013-05")]


@pytest.mark.parametrize(
    ("start", "end", "freq", "first", "last", "count"),
    [
        ("2013-11", "2013-12", "D", "2013-11-01", "2013-12-31", 61),
        ("2013", "2013", "M", "2013-01", "2013-12", 12),
        (pd.Timestamp("2013-01-01 10:30"), datetime.date(2013, 1, 1), "h", "2013-01-01 10:00", "2013-01-01 23:00", 14),
        (pd.Timestamp("2013-01-01 10:30"), pd.Timestamp("2013-01-01 12:00"), "h", "2013-01-01 10:00",
         "2013-01-01 12:00", 3),
        (pd.Period("2013Q1"), "2013-12", "M", "2013-01", "2013-12", 12),
    ],
    ids=["a month in days", "a year in months", "a day in hours", "a moment", "a quarter"],
)  # fmt: skip
def test_an_end_means_all_that_it_names(start: Any, end: Any, freq: str, first: str, last: str, count: int) -> None:
    found = things(cut(dates(start, end, freq), NODES))
    assert (str(found[0]), str(found[-1]), len(found)) == (first, last, count)


def test_dates_show_what_they_split() -> None:
    assert repr(dates("2013", "2013", "M")) == "dates('2013-01', '2013-12', 'M'): 12 periods"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("2013", "2012"), "it would end .2012-12-31. before it begins .2013-01-01.; exchange the two$"),
        (("soon", "2012"), "start is 'soon', which is no date"),
        (("2012", None), "end is None, which is no date"),
        ((pd.NaT, "2012"), "start is NaT, which is no date"),
        ((2012, "2013"), "start is 2012, which is a number; write the date as text, '2012'$"),
        (("2013", "2014", "ME"), "'ME' is no frequency of periods; write 'D'"),
        (("2013", "2014", "B"), "'B' is no frequency of periods"),
        (("2013", "2014", 3), "3 is no frequency of periods"),
        (("2013", "2014", "-1D"), "'-1D' is no frequency of periods"),
        (("2013", "2014", "ns"), "periods of 'ns' are more than 1,000,000; take longer ones$"),
        ((pd.Timestamp("2013", tz="UTC"), "2014"), "periods know no time zone"),
        (("2013-01-01T00:00Z", "2014"), "periods know no time zone"),
    ],
)
def test_dates_that_make_no_sense_are_refused(arguments: tuple[Any, ...], sentence: str) -> None:
    with pytest.raises(InputError, match=f"^nb.dates: .*{sentence}"):
        dates(*arguments)


# --- grids -----------------------------------------------------------------------------------------


@given(st.lists(st.lists(st.integers(), min_size=1, max_size=4), min_size=1, max_size=4), pieces)
def test_the_combinations_of_a_grid_are_all_of_them_in_order(sides: list[list[int]], partitions: int | None) -> None:
    names = "abcd"[: len(sides)]
    parts = cut(grid(**dict(zip(names, sides, strict=True))), NODES, partitions=partitions)
    assert things(parts) == [dict(zip(names, one, strict=True)) for one in itertools.product(*sides)]
    assert len({part.key for part in parts}) == len(parts)


def test_each_combination_is_a_part_named_by_its_values() -> None:
    parts = cut(grid(lr=[0.1, 0.01], depth=[3, 5]), NODES)
    assert [part.key for part in parts] == [
        "lr=0.1, depth=3",
        "lr=0.1, depth=5",
        "lr=0.01, depth=3",
        "lr=0.01, depth=5",
    ]
    assert parts[1].value == {"lr": 0.1, "depth": 5}


def test_a_grid_shows_what_it_splits() -> None:
    assert repr(grid(lr=[0.1, 0.01], depth=[3, 5, 7])) == "grid: 2 lr x 3 depth = 6 combinations"


@pytest.mark.parametrize(
    ("lists", "sentence"),
    [
        ({}, r"^nb.grid needs at least one list, for example nb.grid\(depth=\[3, 5\]\)$"),
        ({"a": 3}, r"^nb.grid: a is 3, which is one value; write a=\[3\]$"),
        ({"a": "xyz"}, r"^nb.grid: a is 'xyz', which is one value; write a=\['xyz'\]$"),
        ({"a": [1], "b": []}, "^nb.grid: b is empty, so there is no combination"),
        ({"a": range(2000), "b": range(2000)}, "4,000,000 combinations is more than 1,000,000"),
    ],
)
def test_a_grid_that_makes_no_sense_is_refused(lists: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        grid(**lists)
