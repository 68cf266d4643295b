"""From whatever the user hands over to parts: partitioners of one's own, functions, other packages."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from importlib.metadata import EntryPoint
from typing import Any

import pandas as pd
import pytest

from nbcluster.errors import InputError
from nbcluster.partitioners import choosing
from nbcluster.partitioners.base import Nodes, Partitioner
from nbcluster.partitioners.choosing import as_partitioner, cut
from nbcluster.partitioners.frames import frame
from nbcluster.partitioners.sequences import items, ranges

FLIGHTS = pd.DataFrame({"carrier": ["UA", "AA", None, "UA", "DL"], "delay": [1.0, 2.0, 3.0, float("nan"), 5.0]})

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
    assert [part.value for part in cut(made, Nodes(2))] == [[5], [6], [7]]


@pytest.mark.usefixtures("_installed")
def test_a_name_that_no_package_brings_is_told_with_those_that_one_does() -> None:
    with pytest.raises(InputError, match=r"^there is no partitioner 'hexagons'; installed are broken, tiles$"):
        choosing.partitioner("hexagons")
    with pytest.raises(InputError, match=r"^the partitioner 'broken' of .*:broken made a str, no Partitioner$"):
        choosing.partitioner("broken")


def test_without_such_packages_that_is_told() -> None:
    with pytest.raises(InputError, match=r"^there is no partitioner 'tiles'; no installed package brings any$"):
        choosing.partitioner("tiles")
