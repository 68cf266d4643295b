from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbcluster.errors import InputError
from nbcluster.strategies import Assignment, Candidate, Planned, choose_strategy, strategy_names
from tests.builders import a_candidate, some_planned

TWO = [a_candidate("a-1", slots=1), a_candidate("b-1", slots=1)]


def owners(strategy: Any, partitions: int, nodes: Sequence[Candidate], count: int | None = None) -> list[str | None]:
    return list(choose_strategy(strategy, count).assign(some_planned(partitions), nodes).owners)


# --- round_robin ---------------------------------------------------------------------------------


def test_round_robin_gives_to_the_nodes_in_turn() -> None:
    assert owners("round_robin", 5, TWO) == ["a-1", "b-1", "a-1", "b-1", "a-1"]


def test_round_robin_begins_with_the_least_loaded() -> None:
    nodes = [a_candidate("a-1", slots=2, busy=2), a_candidate("b-1", slots=2, busy=0)]
    assert owners("round_robin", 2, nodes) == ["b-1", "a-1"]


def test_round_robin_gives_more_to_nodes_with_more_slots() -> None:
    nodes = [a_candidate("a-1", slots=1), a_candidate("b-1", slots=3)]
    assert Counter(owners("round_robin", 40, nodes)) == {"a-1": 10, "b-1": 30}


def test_round_robin_spreads_a_large_nodes_turns_over_the_round() -> None:
    nodes = [a_candidate("a-1", slots=3), a_candidate("b-1", slots=2)]
    assert owners("round_robin", 5, nodes) == ["a-1", "b-1", "a-1", "b-1", "a-1"]


# --- fixed_node_count ----------------------------------------------------------------------------

THREE = [a_candidate("a-1", 2, busy=2), a_candidate("b-1", 2, busy=0), a_candidate("c-1", 2, busy=1)]


@pytest.mark.parametrize(
    ("count", "chosen"),
    [(0, ("b-1",)), (1, ("b-1",)), (2, ("b-1", "c-1")), (3, ("b-1", "c-1", "a-1")), (9, ("b-1", "c-1", "a-1"))],
    ids=["0 means 1", "1", "2", "all", "more than live"],
)
def test_a_fixed_count_takes_the_least_loaded_nodes(count: int, chosen: tuple[str, ...]) -> None:
    assignment = choose_strategy("fixed_node_count", count).assign(some_planned(12), THREE)
    assert assignment.only == chosen
    assert assignment.count == len(chosen)
    assert set(assignment.owners) == set(chosen)


def test_a_fixed_count_with_nobody_alive_keeps_the_places_free() -> None:
    assert choose_strategy("fixed_node_count", 2).assign(some_planned(2), []) == Assignment((None, None), (), 2)


def test_fixed_is_short_for_fixed_node_count() -> None:
    assert choose_strategy("fixed", 1).name == "fixed_node_count"


@pytest.mark.parametrize("name", ["round_robin", "scale_up", "least_loaded"])
def test_a_node_count_goes_with_fixed_node_count_only(name: str) -> None:
    with pytest.raises(InputError, match="nodes= goes with strategy='fixed_node_count' only"):
        choose_strategy(name, 2)


@pytest.mark.parametrize("count", [-1, 1.5, "2"])
def test_a_node_count_is_a_whole_number(count: Any) -> None:
    with pytest.raises(InputError, match="it must be a whole number"):
        choose_strategy("fixed_node_count", count)


# --- scale_up and least_loaded -------------------------------------------------------------------


def test_scale_up_names_no_owner_and_keeps_nobody_out() -> None:
    assert choose_strategy("scale_up").assign(some_planned(3), TWO) == Assignment((None, None, None), None, None)


def test_least_loaded_gives_to_whoever_has_least_to_do_ties_in_order() -> None:
    nodes = [a_candidate("a-1", slots=2, busy=1), a_candidate("b-1", slots=2), a_candidate("c-1", slots=2)]
    assert owners("least_loaded", 5, nodes) == ["b-1", "c-1", "a-1", "b-1", "c-1"]


def test_least_loaded_counts_what_it_gave() -> None:
    nodes = [a_candidate("a-1", slots=1), a_candidate("b-1", slots=4)]
    assert Counter(owners("least_loaded", 50, nodes)) == {"a-1": 10, "b-1": 40}


# --- all of them ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["round_robin", "fixed_node_count", "scale_up", "least_loaded"])
def test_with_nobody_alive_nobody_owns(name: str) -> None:
    assert owners(name, 3, []) == [None, None, None]


@given(
    name=st.sampled_from(["round_robin", "fixed_node_count", "scale_up", "least_loaded"]),
    partitions=st.integers(0, 60),
    nodes=st.lists(st.tuples(st.integers(1, 8), st.integers(0, 8)), max_size=6),
)
def test_each_partition_has_one_owner_among_the_live_nodes_or_none(
    name: str, partitions: int, nodes: list[tuple[int, int]]
) -> None:
    alive = [a_candidate(f"node-{n}", slots, busy) for n, (slots, busy) in enumerate(nodes)]
    chosen = owners(name, partitions, alive)
    assert len(chosen) == partitions
    assert set(chosen) <= {None, *(one.node_id for one in alive)}


@given(st.lists(st.integers(1, 8), min_size=1, max_size=6), st.integers(1, 60))
def test_a_choice_is_the_same_each_time(slots: list[int], partitions: int) -> None:
    alive = [a_candidate(f"node-{n}", count) for n, count in enumerate(slots)]
    for name in ("round_robin", "least_loaded"):
        assert owners(name, partitions, alive) == owners(name, partitions, alive)


def test_a_node_is_known_by_the_stable_part_of_its_id() -> None:
    assert a_candidate("gpu-box-0123456789ab").name == "gpu-box"
    assert a_candidate("a-1", slots=4, busy=1).load == 0.25


# --- custom --------------------------------------------------------------------------------------


def everything_to_the_first(partitions: Sequence[Planned], nodes: Sequence[Candidate]) -> list[str]:
    return [nodes[0].node_id for _ in partitions]


class ByIndex:
    """A strategy as a class, with a name of its own."""

    name = "by-index"

    def assign(self, partitions: Sequence[Planned], nodes: Sequence[Candidate]) -> list[Candidate | None]:
        return [nodes[one.index % len(nodes)] if one.index else None for one in partitions]


def test_a_function_is_a_strategy_named_after_itself() -> None:
    assert owners(everything_to_the_first, 2, TWO) == ["a-1", "a-1"]
    assert choose_strategy(everything_to_the_first).name == "everything_to_the_first"


@pytest.mark.parametrize("strategy", [ByIndex, ByIndex()], ids=["class", "object"])
def test_a_class_or_an_object_is_a_strategy(strategy: Any) -> None:
    assert owners(strategy, 3, TWO) == [None, "b-1", "a-1"]
    assert choose_strategy(strategy).name == "by-index"


@pytest.mark.parametrize(
    "answer", [["b-1", None], ["b", None], [TWO[1], None], (one for one in ("b-1", None)), Assignment(("b-1", None))]
)
def test_an_owner_is_an_id_a_name_a_node_or_nobody(answer: Any) -> None:
    assert owners(lambda _partitions, _nodes: answer, 2, TWO) == ["b-1", None]


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (["a-1"], "gave 1 owners for 2 partitions; give one each"),
        ([], "gave 0 owners for 2 partitions"),
        (["a-1"] * 3, "gave 3 owners for 2 partitions"),
        ({"a-1": 1}, "gave 1 owners for 2 partitions"),
        ({"x": 1, "y": 2}, "named 'x', which is no live node; use None for anyone"),
        (["a-1", "gone-9"], "named 'gone-9', which is no live node"),
        ([a_candidate("gone-9"), None], "named 'gone-9', which is no live node"),
        ([0, 1], "named 0, which is no live node"),
        ([["a-1"], ["b-1"]], r"named \['a-1'\], which is no live node"),
        (None, "gave NoneType, not a list of owners"),
        (7, "gave int, not a list of owners"),
        ("ab", "gave str, not a list of owners"),
        (Assignment(("a-1",)), "gave 1 owners for 2 partitions"),
    ],
)
def test_a_bad_answer_is_refused_with_the_strategys_name(answer: Any, sentence: str) -> None:
    def mine(_partitions: Sequence[Planned], _nodes: Sequence[Candidate]) -> Any:
        return answer

    with pytest.raises(InputError, match=f"^the strategy mine {sentence}"):
        owners(mine, 2, TWO)


def test_a_strategy_cannot_change_what_it_is_shown() -> None:
    def greedy(partitions: Any, nodes: Any) -> list[None]:
        answer = [None for _ in partitions]
        partitions.clear()
        nodes.clear()
        return answer

    planned, alive = some_planned(2), list(TWO)
    choose_strategy(greedy).assign(planned, alive)
    assert (len(planned), len(alive)) == (2, 2)


def test_an_unknown_name_is_refused_with_the_known_ones() -> None:
    with pytest.raises(InputError, match=r"there is no strategy 'rond'; known are round_robin, fixed_node_count"):
        choose_strategy("rond")


def test_what_is_no_strategy_is_refused() -> None:
    with pytest.raises(InputError, match=r"^42 is no assignment strategy; known are round_robin"):
        choose_strategy(42)


def test_an_installed_package_adds_a_strategy_by_entry_point(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "their_package.py").write_text(
        "class LastNode:\n"
        "    name = 'last-node'\n"
        "    def assign(self, partitions, nodes):\n"
        "        return [nodes[-1] for _ in partitions]\n"
    )
    info = tmp_path / "their_package-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: their-package\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[nbcluster.strategies]\nlast_node = their_package:LastNode\n")
    monkeypatch.syspath_prepend(tmp_path)

    assert "last_node" in strategy_names()
    assert owners("last_node", 2, TWO) == ["b-1", "b-1"]
    assert choose_strategy("last_node").name == "last-node"
