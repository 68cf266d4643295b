from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator
from importlib.metadata import EntryPoint
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbcluster.errors import InputError
from nbcluster.partitioners import choosing
from nbcluster.partitioners.base import PER_SLOT, Nodes, Part, Partitioner, bounds
from nbcluster.partitioners.choosing import as_partitioner, cut
from nbcluster.partitioners.frames import frame
from nbcluster.partitioners.sequences import UNSIZED_LIMIT, items, materialize, ranges

counts = st.integers(min_value=1, max_value=50)


def parts_of(source: Partitioner, partitions: int = 4) -> list[Part]:
    return source.parts(Nodes(1, partitions=partitions))


def joined(source: Partitioner, partitions: int = 4) -> list[Any]:
    return [item for part in parts_of(source, partitions) for item in part.value]


# --- what holds for every split ------------------------------------------------------------------


@given(total=st.integers(0, 500), partitions=counts, chunk=st.none() | counts)
def test_slices_cover_everything_once_and_in_order(total: int, partitions: int, chunk: int | None) -> None:
    covered = [place for start, stop in bounds(total, partitions, chunk) for place in range(start, stop)]
    assert covered == list(range(total))


@given(total=st.integers(1, 500), partitions=counts)
def test_slices_differ_by_one_at_most_and_none_is_empty(total: int, partitions: int) -> None:
    sizes = [stop - start for start, stop in bounds(total, partitions)]
    assert len(sizes) == min(partitions, total)
    assert max(sizes) - min(sizes) <= 1
    assert min(sizes) >= 1


@given(total=st.integers(1, 500), chunk=counts)
def test_chunks_are_full_but_for_the_last(total: int, chunk: int) -> None:
    sizes = [stop - start for start, stop in bounds(total, 1, chunk)]
    assert all(size == chunk for size in sizes[:-1])
    assert 1 <= sizes[-1] <= chunk


@pytest.mark.parametrize(
    ("total", "sizes"),
    [(0, []), (1, [1]), (3, [1, 1, 1]), (4, [1, 1, 1, 1]), (5, [1, 1, 1, 2]), (8, [2, 2, 2, 2])],
    ids=["nothing", "one", "one below", "as many as parts", "one above", "twice as many"],
)
def test_four_parts_of_so_many_items(total: int, sizes: list[int]) -> None:
    parts = parts_of(items(list(range(total))), 4)
    assert [part.items for part in parts] == sizes
    assert [len(part.value) for part in parts] == sizes


@given(st.lists(st.integers()), counts, st.none() | counts)
def test_the_parts_of_a_list_are_the_list(source: list[int], partitions: int, chunk: int | None) -> None:
    assert joined(items(source, chunk), partitions) == source


@given(st.integers(-100, 100), st.integers(-100, 100), st.integers(-7, 7).filter(bool), counts)
def test_the_parts_of_a_range_are_the_range(start: int, stop: int, step: int, partitions: int) -> None:
    assert joined(ranges(start, stop, step), partitions) == list(range(start, stop, step))


@given(st.lists(st.integers(), min_size=1, max_size=60), counts)
def test_the_parts_of_a_frame_are_its_rows(column: list[int], partitions: int) -> None:
    data = pd.DataFrame({"n": pd.Series(column, dtype="object")})
    parts = parts_of(frame(data), partitions)
    pd.testing.assert_frame_equal(pd.concat([part.value for part in parts]), data)


@given(st.lists(st.integers(), min_size=1, max_size=60), counts)
def test_the_keys_of_a_split_are_unique(source: list[int], partitions: int) -> None:
    keys = [part.key for part in parts_of(items(source), partitions)]
    assert len(set(keys)) == len(keys)


def test_four_parts_a_live_slot_unless_asked_otherwise() -> None:
    assert Nodes(2, slots=3).partitions == 3 * PER_SLOT
    assert Nodes(0, slots=0).partitions == PER_SLOT
    assert Nodes(2, slots=3).wanting(7).partitions == 7
    assert Nodes(2, slots=3).wanting(None).partitions == 3 * PER_SLOT


def test_nodes_are_a_number_that_knows_their_slots() -> None:
    nodes = Nodes(2, slots=8)
    assert (nodes, nodes + 1, nodes.slots) == (2, 3, 8)
    assert list(range(nodes)) == [0, 1]
    assert Nodes.of(3).partitions == 3 * PER_SLOT
    assert Nodes.of(nodes) is nodes


# --- ranges --------------------------------------------------------------------------------------


def test_a_part_of_a_range_is_a_range_named_by_its_ends() -> None:
    first, second = parts_of(ranges(1, 11, chunk=5), 99)
    assert (first.key, first.value) == ("1..5", range(1, 6))
    assert (second.key, second.value) == ("6..10", range(6, 11))


def test_one_argument_counts_from_zero() -> None:
    assert joined(ranges(5)) == [0, 1, 2, 3, 4]


def test_a_step_of_zero_is_refused() -> None:
    with pytest.raises(InputError, match="the step is 0"):
        ranges(1, 5, 0)


def test_a_huge_range_is_split_without_being_made() -> None:
    parts = parts_of(ranges(0, 10**15), 8)
    assert [part.items for part in parts] == [10**15 // 8] * 8


def test_a_split_shows_what_it_splits() -> None:
    assert repr(ranges(1, 11)) == "ranges(1, 11): 10 numbers"
    assert repr(ranges(10, 0, -2)) == "ranges(10, 0, -2): 5 numbers"
    assert repr(items(["ab"])) == "items: 1"
    assert repr(frame(pd.DataFrame({"a": [1, 2]}), by="a")) == "frame: 2 rows x 1 column by a"


# --- plain iterables -----------------------------------------------------------------------------


def count_to(number: int) -> Iterator[int]:
    yield from range(number)


@pytest.mark.parametrize(
    "source",
    [[0, 1, 2], (0, 1, 2), range(3), {0: "a", 1: "b", 2: "c"}, count_to(3), iter([0, 1, 2]), map(int, "012")],
    ids=["list", "tuple", "range", "dict", "generator", "iterator", "map"],
)
def test_whatever_can_be_iterated_can_be_split(source: Iterable[int]) -> None:
    assert joined(as_partitioner(source)) == [0, 1, 2]


def test_arrays_and_series_give_their_values() -> None:
    assert joined(as_partitioner(np.arange(3))) == [0, 1, 2]
    assert joined(as_partitioner(pd.Series([0, 1, 2], index=[7, 8, 9]))) == [0, 1, 2]


@pytest.mark.parametrize("source", ["text", b"bytes"])
def test_a_string_is_one_value(source: Any) -> None:
    with pytest.raises(InputError, match=r"a string is one value, not a list of items; write list\(text\)"):
        materialize(source)


@pytest.mark.parametrize("source", [5, None, object()])
def test_what_cannot_be_iterated_is_refused_by_its_type(source: Any) -> None:
    with pytest.raises(InputError, match=f"^{type(source).__name__} is not iterable; pass a list"):
        as_partitioner(source)


@pytest.mark.parametrize("source", [[], (), range(0), {}, iter(()), np.array([])])
def test_an_empty_iterable_is_refused(source: Any) -> None:
    with pytest.raises(InputError, match=r"^the iterable is empty: there is nothing to map$"):
        as_partitioner(source)


@pytest.mark.parametrize(
    "source",
    [itertools.count(), itertools.cycle([1]), itertools.repeat(1)],
    ids=["count", "cycle", "repeat"],
)
def test_an_iterator_without_end_is_refused_at_once(source: Iterable[Any]) -> None:
    with pytest.raises(InputError, match=r"never ends; cut it with itertools.islice"):
        as_partitioner(source)


def test_an_iterator_without_end_is_refused_when_it_is_wrapped() -> None:
    asked = []

    def endless() -> Iterator[int]:
        for number in itertools.count():
            asked.append(number)
            yield number

    with pytest.raises(InputError, match="more than 1,000,000 items and tells no length: is it endless"):
        materialize(endless())
    assert len(asked) == UNSIZED_LIMIT + 1


def test_a_repeat_with_an_end_is_fine() -> None:
    assert materialize(itertools.repeat("a", 3)) == ["a", "a", "a"]


def test_what_tells_its_length_may_be_long() -> None:
    long = dict.fromkeys(range(UNSIZED_LIMIT + 1))
    assert len(materialize(long)) == UNSIZED_LIMIT + 1


@pytest.mark.parametrize("chunk", [0, -1, 2.5, "2", True])
def test_a_chunk_is_a_whole_number_of_at_least_one(chunk: Any) -> None:
    sentence = f"^chunk is {chunk!r}; it must be a whole number of at least 1$"
    with pytest.raises(InputError, match=sentence):
        items([1], chunk)
    with pytest.raises(InputError, match=sentence):
        ranges(1, 5, chunk=chunk)


# --- frames --------------------------------------------------------------------------------------

FLIGHTS = pd.DataFrame({"carrier": ["UA", "AA", None, "UA", "DL"], "delay": [1.0, 2.0, 3.0, float("nan"), 5.0]})


def test_a_frame_is_split_by_rows() -> None:
    parts = parts_of(frame(FLIGHTS, rows=2), 99)
    assert [(part.key, part.items) for part in parts] == [("0..1", 2), ("2..3", 2), ("4..4", 1)]
    pd.testing.assert_frame_equal(parts[1].value, FLIGHTS.iloc[2:4])


def test_a_frame_is_split_by_the_values_of_a_column_missing_ones_too() -> None:
    parts = parts_of(frame(FLIGHTS, by="carrier"), 99)
    assert [(part.key, part.items) for part in parts] == [("0:AA", 1), ("1:DL", 1), ("2:UA", 2), ("3:nan", 1)]
    assert sorted(place for part in parts for place in part.value.index) == [0, 1, 2, 3, 4]


def test_a_frame_is_split_by_several_columns() -> None:
    parts = parts_of(frame(FLIGHTS, by=["carrier", "delay"]), 99)
    assert len(parts) == 5
    assert sorted(place for part in parts for place in part.value.index) == [0, 1, 2, 3, 4]


def test_values_with_the_same_text_are_parts_of_their_own() -> None:
    data = pd.DataFrame({"key": ["x" * 100 + "a", "x" * 100 + "b"]})
    keys = [part.key for part in parts_of(frame(data, by="key"), 99)]
    assert len(set(keys)) == 2


def test_categories_that_do_not_occur_make_no_part() -> None:
    data = pd.DataFrame({"key": pd.Categorical(["a", "a"], categories=["a", "b"])})
    assert [part.key for part in parts_of(frame(data, by="key"), 99)] == ["0:a"]


def test_a_bare_frame_is_split_like_any_input() -> None:
    assert [part.items for part in parts_of(as_partitioner(FLIGHTS), 2)] == [2, 3]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"rows": 2, "by": "carrier"}, "takes rows= or by=, not both"),
        ({"by": "company"}, "there is no column 'company'; there are carrier, delay"),
        ({"by": ["carrier", "company"]}, "there is no column 'company'; there are carrier, delay"),
        ({"rows": 0}, "rows is 0; it must be a whole number of at least 1"),
    ],
)
def test_bad_options_for_a_frame_are_refused(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        frame(FLIGHTS, **options)


def test_only_a_frame_is_a_frame() -> None:
    with pytest.raises(InputError, match="needs a pandas DataFrame, not list"):
        frame([1, 2])  # type: ignore[arg-type]


def test_columns_and_an_index_with_the_same_labels_stay_as_they_are() -> None:
    data = pd.DataFrame([[1, 2, "a"], [3, 4, "b"], [5, 6, "a"]], columns=["x", "x", "key"], index=["i", "i", "j"])
    pd.testing.assert_frame_equal(pd.concat([part.value for part in parts_of(frame(data), 2)]), data)
    by_key = parts_of(frame(data, by="key"), 2)
    pd.testing.assert_frame_equal(by_key[0].value, data.iloc[[0, 2]])
    pd.testing.assert_frame_equal(by_key[1].value, data.iloc[[1]])


def test_rows_are_told_apart_by_one_column_only() -> None:
    data = pd.DataFrame([[1, 2]], columns=["x", "x"])
    with pytest.raises(InputError, match=r"^nb.frame: there are 2 columns 'x'; rename them"):
        frame(data, by="x")


def test_rows_are_told_apart_by_values_that_can_be_compared() -> None:
    with pytest.raises(InputError, match=r"^nb.frame: column 'x' holds a list, which cannot tell rows apart"):
        frame(pd.DataFrame({"x": [[1], [2]]}), by="x")


def test_columns_may_have_any_labels() -> None:
    data = pd.DataFrame({("a", "b"): [1, 2], 3: [4, 4]})
    assert [part.items for part in parts_of(frame(data, by=[("a", "b")]), 9)] == [1, 1]
    assert [part.items for part in parts_of(frame(data, by=3), 9)] == [2]
    with pytest.raises(InputError, match="there is no column 4; there are"):
        frame(data, by=4)


@given(st.lists(st.sampled_from(["a", "b", None, "c"]), max_size=30), counts)
def test_by_a_column_each_row_is_in_the_part_of_its_value_in_order(keys: list[str | None], partitions: int) -> None:
    data = pd.DataFrame({"key": pd.Series(keys, dtype="object"), "place": range(len(keys))})
    parts = parts_of(frame(data, by="key"), partitions)
    assert sorted(place for part in parts for place in part.value["place"]) == list(range(len(keys)))
    for part in parts:
        assert part.value["key"].nunique(dropna=False) == 1
        assert list(part.value["place"]) == sorted(part.value["place"])


# --- the user's own partitioners -----------------------------------------------------------------


class Files(Partitioner):
    """Two named files for each node."""

    def split(self, nodes: Nodes) -> Iterator[Any]:
        for number in range(nodes * 2):
            yield {"file": f"{number}.csv", "of": nodes.slots}


def test_a_partitioner_of_the_users_own_is_told_the_nodes_and_gives_parts() -> None:
    parts = cut(as_partitioner(Files()), Nodes(2, slots=8))
    assert [(part.key, part.items) for part in parts] == [(f"part-{number}", 1) for number in range(4)]
    assert parts[2].value == {"file": "2.csv", "of": 8}


def test_a_partitioner_of_the_users_own_is_told_how_many_parts_are_wanted() -> None:
    wanted = []
    cut(as_partitioner(lambda nodes: wanted.append(nodes.partitions) or [[1]]), Nodes(2, slots=8), partitions=5)
    cut(as_partitioner(lambda nodes: wanted.append(nodes.partitions) or [[1]]), Nodes(2, slots=8))
    assert wanted == [5, 32]


def test_a_plain_function_is_a_partitioner() -> None:
    parts = cut(as_partitioner(lambda nodes: [[1, 2], [3], "abc"][:nodes]), Nodes(3))
    assert [(part.items, part.value) for part in parts] == [(2, [1, 2]), (1, [3]), (1, "abc")]


@pytest.mark.parametrize("source", [ranges(0), items([]), frame(pd.DataFrame({"a": []}))])
def test_a_split_without_parts_says_so(source: Partitioner) -> None:
    assert cut(source, Nodes(2)) == []
    assert re.fullmatch(r"the (range|sequence|frame) .*: there is nothing to map", source.nothing())


def test_a_split_that_gives_nothing_to_iterate_over_is_refused() -> None:
    with pytest.raises(InputError, match=r"^the partitioner gave a int; let it return or yield the parts$"):
        cut(as_partitioner(lambda nodes: 5), Nodes(3))


def test_the_class_of_a_partitioner_is_not_one() -> None:
    with pytest.raises(InputError, match=r"^Files is a class of partitioners; make one of it: Files\(...\)$"):
        as_partitioner(Files)


@pytest.mark.parametrize("source", [ranges(0, 10), items(range(10)), frame(pd.DataFrame({"n": range(10)}))])
def test_a_chunk_can_be_asked_for_later(source: Partitioner) -> None:
    assert [part.items for part in cut(source, Nodes(9), chunk=4)] == [4, 4, 2]
    assert [part.items for part in cut(source, Nodes(9), partitions=2)] == [5, 5]


@pytest.mark.parametrize("source", [Files(), frame(FLIGHTS, by="carrier")])
def test_a_partitioner_that_makes_its_own_parts_takes_no_chunk(source: Partitioner) -> None:
    with pytest.raises(InputError, match=r"^chunk= does not fit .*which makes its own parts$"):
        cut(source, Nodes(9), chunk=4)


def test_a_part_for_each_value_leaves_no_choice_of_how_many() -> None:
    with pytest.raises(InputError, match=r"^partitions= does not fit .*which makes a part for each value$"):
        cut(frame(FLIGHTS, by="carrier"), Nodes(9), partitions=2)


# --- partitioners of other packages ----------------------------------------------------------------


class Tiles(Partitioner):
    """As many numbers as asked."""

    def __init__(self, count: int, first: int = 0) -> None:
        self.numbers = range(first, first + count)

    def split(self, _nodes: Nodes) -> Iterable[Any]:
        return [[number] for number in self.numbers]


def broken(*_arguments: Any) -> str:
    """An entry point that leads to something else."""
    return "no partitioner"


@pytest.fixture
def _installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two packages that bring a partitioner."""
    points = [
        EntryPoint("tiles", f"{__name__}:Tiles", "nbcluster.partitioners"),
        EntryPoint("broken", f"{__name__}:broken", "nbcluster.partitioners"),
    ]
    monkeypatch.setattr(choosing, "entry_points", lambda group: [point for point in points if point.group == group])


@pytest.mark.usefixtures("_installed")
def test_a_partitioner_of_another_package_is_made_by_its_name() -> None:
    made = choosing.partitioner("tiles", 3, first=5)
    assert joined(made) == [5, 6, 7]


@pytest.mark.usefixtures("_installed")
def test_a_name_that_no_package_brings_is_told_with_those_that_one_does() -> None:
    with pytest.raises(InputError, match=r"^there is no partitioner 'hexagons'; installed are broken, tiles$"):
        choosing.partitioner("hexagons")
    with pytest.raises(InputError, match=r"^the partitioner 'broken' of .*:broken made a str, no Partitioner$"):
        choosing.partitioner("broken")


def test_without_such_packages_that_is_told() -> None:
    with pytest.raises(InputError, match=r"^there is no partitioner 'tiles'; no installed package brings any$"):
        choosing.partitioner("tiles")
