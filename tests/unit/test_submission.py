"""What is checked before anything is written."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from nbcluster import payload
from nbcluster.config import Settings
from nbcluster.errors import CannotPickle, ConfigError, InputError, TooLarge
from nbcluster.partitioners.base import Nodes
from nbcluster.partitioners.sequences import ranges
from nbcluster.submitting.options import Options
from nbcluster.submitting.storing import candidates
from nbcluster.submitting.submission import Prepared, PreparedStep, prepare
from tests.builders import a_node


def double(n: int) -> int:
    return n * 2


def prepared(function: Any = double, source: Any = range(10), mode: str = payload.ITEMS, **options: Any) -> Prepared:
    return prepare(function, source, mode, Options(**options), Nodes(1, 2), Settings())


def main(*given: Any, **options: Any) -> PreparedStep:
    return prepared(*given, **options).main


def sizes(step: PreparedStep) -> list[int]:
    return [part.items for part in step.parts]


# --- the split -----------------------------------------------------------------------------------


def test_four_partitions_a_slot_unless_asked_otherwise() -> None:
    assert len(main(source=range(100)).parts) == 8
    assert len(main(source=range(100), partitions=3).parts) == 3
    assert sizes(main(source=range(10), chunk=4)) == [4, 4, 2]


def test_a_chunk_and_a_number_of_partitions_exclude_each_other() -> None:
    with pytest.raises(InputError, match=r"^give chunk= or partitions=, not both$"):
        prepared(chunk=2, partitions=2)


@pytest.mark.parametrize("number", [0, -1, 1.5, "3"])
def test_the_number_of_partitions_is_whole_and_at_least_one(number: Any) -> None:
    with pytest.raises(InputError, match=f"^partitions is {number!r}; it must be a whole number of at least 1$"):
        prepared(partitions=number)


def test_each_partition_carries_its_own_arguments_and_nothing_else() -> None:
    step = main(source=[1, 2, 3], chunk=2)
    assert [packed.load() for packed in step.arguments or ()] == [[1, 2], [3]]
    assert payload.load(step.function).function(4) == 8


def test_a_call_is_one_partition_of_one_item() -> None:
    step = main(source=((1,), {"b": 2}), mode=payload.CALL)
    assert [(part.key, part.items) for part in step.parts] == [("call", 1)]


def test_to_map_partitions_a_part_is_one_item_however_long() -> None:
    assert sizes(main(sum, ranges(0, 100, chunk=25), payload.PARTITION)) == [1, 1, 1, 1]


def test_starmap_needs_a_tuple_for_each_call() -> None:
    assert sizes(main(pow, [(2, 3), [3, 2]], payload.STAR, chunk=1)) == [1, 1]
    with pytest.raises(InputError, match="starmap needs a tuple of arguments for each call"):
        prepared(pow, [(2, 3), 4], payload.STAR)


# --- the function and its arguments --------------------------------------------------------------


def test_what_is_no_function_is_refused() -> None:
    with pytest.raises(InputError, match=r"^the first argument must be a function, not list$"):
        prepared([1, 2])


def test_an_argument_that_cannot_travel_is_named_by_its_place_in_the_input() -> None:
    with pytest.raises(CannotPickle, match=r"^item 5 \(_thread.lock\) cannot be pickled: "):
        prepared(source=[0, 1, 2, 3, 4, threading.Lock(), 6], chunk=2)


@pytest.mark.parametrize(
    ("call", "name"), [(((1, threading.Lock()), {}), "argument 2"), (((1,), {"b": threading.Lock()}), "argument 'b'")]
)
def test_an_argument_of_a_call_that_cannot_travel_is_named(call: Any, name: str) -> None:
    with pytest.raises(CannotPickle, match=rf"^{name} \(_thread.lock\) cannot be pickled: "):
        prepared(source=call, mode=payload.CALL)


def test_the_limit_for_what_is_captured_can_be_chosen_for_one_job() -> None:
    large = b"x" * 2_000_000

    def f(_: int) -> int:
        return len(large)

    prepared(f)
    with pytest.raises(TooLarge, match="captured 'large'"):
        prepared(f, max_capture="1MB")
    with pytest.raises(ConfigError, match=r"^max_capture: 'much' is no size"):
        prepared(f, max_capture="much")


def test_the_text_of_the_function_is_kept_unless_the_cell_gives_its_own() -> None:
    assert main().source == "def double(n: int) -> int:\n    return n * 2\n"
    assert main(len, ["ab"]).source == ""
    assert (
        prepare(double, range(2), payload.ITEMS, Options(source="n * 2"), Nodes(1), Settings()).main.source == "n * 2"
    )


# --- its name ------------------------------------------------------------------------------------


def test_a_job_without_a_name_is_called_after_its_function() -> None:
    assert prepared().name.startswith("double-")
    assert prepared(lambda n: n).name.startswith("map-")
    assert prepared().name != prepared().name


@pytest.mark.parametrize("name", ["collatz", "flights 2013", "höhe", "x" * 100, "7a"])
def test_a_name_is_any_short_printable_text(name: str) -> None:
    assert prepared(name=name).name == name


@pytest.mark.parametrize("name", ["", "x" * 101, "a\nb", "a\0b", " a", "a ", "7", "12345", 7])
def test_a_name_that_is_empty_long_unprintable_or_a_number_is_refused(name: Any) -> None:
    with pytest.raises(InputError, match="cannot name a job; use 1 to 100 printable characters"):
        prepared(name=name)


def test_a_strategy_is_checked_before_anything_is_packed() -> None:
    with pytest.raises(InputError, match="there is no strategy 'rond'"):
        prepared(threading.Lock().acquire, strategy="rond")


# --- who may run it ------------------------------------------------------------------------------


def test_only_nodes_of_the_same_python_are_candidates() -> None:
    nodes = [a_node("a-1", python="3.11", slots=2, busy=1), a_node("b-1", python="3.12")]
    found = candidates(nodes, "3.11")
    assert [(one.node_id, one.slots, one.busy) for one in found] == [("a-1", 2, 1)]
