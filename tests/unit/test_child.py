"""One partition in a child, without the process around it."""

from __future__ import annotations

import array
import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pandas as pd
import pytest

import nbcluster as nb
from nbcluster import payload
from nbcluster.node import child
from nbcluster.node.interrupt import Interrupt
from nbcluster.outcome import JobOutcome, PartitionOutcome, write_outcome

MB = 10**6


@pytest.fixture
def interrupt() -> Iterator[Interrupt]:
    """The child's way with SIGINT, for the length of a test."""
    before = signal.getsignal(signal.SIGINT)
    yield Interrupt()
    signal.signal(signal.SIGINT, before)


class Answer:
    """What a child would send back."""

    def __init__(self, head: dict[str, Any], blobs: list[bytes]) -> None:
        self.head = head
        self.values = payload.load(blobs[0]) if blobs else None
        self.errors = json.loads(blobs[1]) if blobs else None
        self.seconds = array.array("d", blobs[2]).tolist() if blobs else None


Run = Callable[..., Answer]


@pytest.fixture
def run(interrupt: Interrupt) -> Run:
    def run(function: Any, given: Any, mode: str = payload.ITEMS, items: int | None = None, **head: Any) -> Answer:
        body = given if isinstance(given, bytes) else payload.dump(given)
        shipped = payload.Shipped(function, {}) if callable(function) else function
        current = {
            "job": "j", "index": 3, "partition_key": "k", "attempt": 2, "node": "a-1", "transferable": True,
        }  # fmt: skip
        call = {"mode": mode, "items": len(given) if items is None else items, "inputs": 1, "max_result": MB, "call": 7}
        return Answer(*child._run(call | {"current": current} | head, [body], shipped, interrupt))

    return run


def inverse(n: int) -> float:
    return 1 / n


# --- values --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "function", "given", "values"),
    [
        (payload.ITEMS, lambda n: n * 2, [1, 2, 3], [2, 4, 6]),
        (payload.ITEMS, lambda n: n * 2, range(3), [0, 2, 4]),
        (payload.STAR, lambda a, b: a - b, [(3, 1), (5, 2)], [2, 3]),
        (payload.PARTITION, sum, [1, 2, 3], [6]),
        (payload.PARTITION, len, {"a": 1}, [1]),
        (payload.CALL, lambda a, b=0: a + b, ((1,), {"b": 2}), [3]),
        (payload.ITEMS, lambda row: row["n"] + 1, pd.DataFrame({"n": [1, 2]}), [2, 3]),
        (payload.ITEMS, lambda row: row, [], []),
    ],
    ids=["items", "range", "star", "partition", "dict", "call", "rows of a frame", "nothing"],
)
def test_the_function_is_called_as_the_mode_says(
    run: Run, mode: str, function: Any, given: Any, values: list[Any]
) -> None:
    answer = run(function, given, mode)
    assert answer.values == values
    assert (answer.head["exit_code"], answer.head["failed"], answer.errors) == ("COMPLETED", 0, [])


def test_each_item_has_its_time(run: Run) -> None:
    answer = run(inverse, [1, 0, 2])
    assert answer.seconds is not None
    assert len(answer.seconds) == 3
    assert all(0 <= seconds <= answer.head["seconds"] for seconds in answer.seconds)


def test_the_answer_names_the_call_and_tells_its_peak_of_memory(run: Run) -> None:
    answer = run(inverse, [1])
    assert (answer.head["type"], answer.head["call"]) == ("outcome", 7)
    assert answer.head["peak"] > MB


def test_the_function_may_ask_where_it_runs(run: Run) -> None:
    here = run(lambda _: nb.current(), [1]).values
    assert here == [nb.Current(job="j", index=3, partition_key="k", attempt=2, node="a-1", transferable=True)]
    with pytest.raises(nb.UsageError):
        nb.current()


# --- errors --------------------------------------------------------------------------------------


def test_one_failed_item_leaves_the_others_their_values(run: Run) -> None:
    answer = run(inverse, [1, 0, 2])
    assert answer.values == [1.0, None, 0.5]
    assert (answer.head["exit_code"], answer.head["failed"]) == ("FAILED", 1)
    assert answer.head["message"] == "ZeroDivisionError: division by zero"
    assert answer.errors is not None
    assert [(e["item"], e["type"], e["message"]) for e in answer.errors] == [
        (1, "ZeroDivisionError", "division by zero")
    ]


def test_a_traceback_begins_with_the_users_own_frame(run: Run) -> None:
    errors = run(inverse, [0]).errors
    assert errors is not None
    lines = errors[0]["traceback"].splitlines()
    assert lines[0] == "Traceback (most recent call last):"
    assert "in inverse" in lines[1]
    assert lines[2].strip() == "return 1 / n"


def test_a_cause_is_told(run: Run) -> None:
    def fails(n: int) -> None:
        try:
            inverse(n)
        except ZeroDivisionError as error:
            raise ValueError("no inverse") from error

    errors = run(fails, [0]).errors
    assert errors is not None
    assert "ZeroDivisionError: division by zero" in errors[0]["traceback"]
    assert "ValueError: no inverse" in errors[0]["traceback"]


class Demanding(Exception):
    """Its constructor needs arguments, and its text cannot be had."""

    def __init__(self, code: int, *, text: str) -> None:
        super().__init__()

    def __str__(self) -> str:
        raise RuntimeError("no text")


def raising(error: BaseException) -> Callable[[Any], Any]:
    def raises(_: Any) -> None:
        raise error

    return raises


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (SystemExit(3), "SystemExit", "3"),
        (KeyboardInterrupt(), "KeyboardInterrupt", ""),
        (GeneratorExit(), "GeneratorExit", ""),
        (Demanding(1, text="x"), "tests.unit.test_child.Demanding", "<its text cannot be shown: RuntimeError>"),
        (ValueError("a\0b\ud800"), "ValueError", "a\\0b\\ud800"),
    ],
)
def test_whatever_is_raised_becomes_text(run: Run, error: BaseException, kind: str, message: str) -> None:
    answer = run(raising(error), [1, 2])
    assert answer.errors is not None
    assert [(e["item"], e["type"], e["message"]) for e in answer.errors] == [(0, kind, message), (1, kind, message)]
    assert (answer.head["exit_code"], answer.values) == ("FAILED", [None, None])


def test_a_huge_message_is_cut_in_its_middle(run: Run) -> None:
    errors = run(raising(ValueError("x" * MB + "end")), [1]).errors
    assert errors is not None
    assert len(errors[0]["message"]) < 70_000
    assert "characters left out" in errors[0]["message"]
    assert errors[0]["message"].endswith("end")


def test_of_a_thousand_equal_errors_only_the_first_keep_their_tracebacks(run: Run) -> None:
    errors = run(inverse, [0] * 1000).errors
    assert errors is not None
    assert len(errors) == 1000
    assert 0 < sum(bool(error["traceback"]) for error in errors) <= 20


@pytest.mark.parametrize(
    ("function", "given", "message"),
    [
        ("the function cannot be rebuilt on this node: ModuleNotFoundError", [1, 2], "the function cannot be rebuilt"),
        (inverse, b"nonsense", "the arguments cannot be rebuilt on this node: UnpicklingError"),
    ],
)
def test_what_cannot_be_rebuilt_here_fails_every_item(run: Run, function: Any, given: Any, message: str) -> None:
    answer = run(function, given, items=2)
    assert answer.errors is not None
    assert [error["item"] for error in answer.errors] == [0, 1]
    assert all(error["message"].startswith(message) for error in answer.errors)
    assert (answer.head["exit_code"], answer.values) == ("FAILED", [None, None])


# --- results that cannot travel ------------------------------------------------------------------


def test_a_value_that_cannot_be_pickled_is_named_in_its_place(run: Run) -> None:
    answer = run(lambda n: sys._getframe() if n == 2 else n, [1, 2, 3])
    assert answer.head["exit_code"] == "UNSERIALIZABLE"
    assert answer.values == [1, None, 3]
    assert answer.errors is not None
    assert (answer.errors[0]["item"], answer.errors[0]["type"]) == (1, "UNSERIALIZABLE")
    assert "frame" in answer.errors[0]["message"]


def test_errors_and_values_that_cannot_travel_are_told_in_order(run: Run) -> None:
    answer = run(lambda n: inverse(n) and sys._getframe(), [1, 0, 1])
    assert answer.errors is not None
    assert [error["item"] for error in answer.errors] == [0, 1, 2]


@pytest.mark.parametrize("value", [b"x" * 2000, "x" * 2000, ["x" * 2000]])
def test_a_result_above_its_limit_is_told_with_the_limit(run: Run, value: Any) -> None:
    answer = run(lambda _: value, [1], max_result=1000)
    assert (answer.head["exit_code"], answer.values) == ("RESULT_TOO_LARGE", None)
    assert "the result is larger than max_result (1 kB)" in answer.head["message"]


def test_the_other_items_survive_one_that_is_too_large(run: Run) -> None:
    answer = run(lambda n: b"x" * 2000 if n == 2 else n, [1, 2, 3, 0], max_result=1000)
    assert (answer.head["exit_code"], answer.head["failed"]) == ("RESULT_TOO_LARGE", 1)
    assert answer.values == [1, None, 3, 0]
    assert answer.errors is not None
    assert [(e["item"], e["type"]) for e in answer.errors] == [(1, "RESULT_TOO_LARGE")]


def test_values_that_are_too_large_only_together_fail_together(run: Run) -> None:
    answer = run(lambda n: bytes([n]) * 600, [1, 2], max_result=1000)
    assert (answer.head["exit_code"], answer.head["failed"], answer.values) == ("RESULT_TOO_LARGE", 2, None)


def test_errors_and_values_that_are_refused_are_told_in_order(run: Run) -> None:
    def mixed(n: int) -> Any:
        return {0: lambda: inverse(0), 1: sys._getframe, 2: lambda: b"x" * 2000}.get(n, lambda: n)()

    answer = run(mixed, [2, 1, 0, 7], max_result=1000)
    assert answer.values == [None, None, None, 7]
    assert answer.errors is not None
    assert [e["type"] for e in answer.errors] == ["RESULT_TOO_LARGE", "UNSERIALIZABLE", "ZeroDivisionError"]


# --- tried again ---------------------------------------------------------------------------------


class Refused(ConnectionError):
    """One of the user's own."""


def test_the_types_of_what_was_raised_are_told_once_with_what_they_derive_from(run: Run) -> None:
    def fails(n: int) -> None:
        raise [Refused("no"), ZeroDivisionError()][n % 2]

    assert run(fails, range(10)).head["raised"] == [
        ["tests.unit.test_child.Refused", "ConnectionError", "OSError", "Exception", "BaseException"],
        ["ZeroDivisionError", "ArithmeticError", "Exception", "BaseException"],
    ]
    assert run(inverse, [1]).head["raised"] == []


def test_only_the_items_that_failed_are_computed_again(interrupt: Interrupt) -> None:
    called: list[int] = []

    def work(n: int) -> int:
        called.append(n)
        return n * 10

    current = {"job": "j", "index": 0, "partition_key": "k", "attempt": 2, "node": "a-1", "transferable": True}
    head = {"mode": payload.ITEMS, "items": 4, "inputs": 1, "max_result": MB, "call": 7, "current": current}
    errors = json.dumps([{"item": 1, "type": "ValueError", "message": "", "traceback": ""}]).encode()
    kept = [payload.dump([0, None, 20, None]), errors, array.array("d", [5.0, 6.0, 7.0, 8.0]).tobytes()]
    blobs = [payload.dump([0, 1, 2, 3]), *kept]
    answer = Answer(*child._run(head, blobs, payload.Shipped(work, {}), interrupt))
    assert called == [1]
    assert answer.values == [0, 10, 20, None]  # a good value may be None
    assert (answer.head["exit_code"], answer.errors) == ("COMPLETED", [])
    assert answer.seconds is not None
    assert [answer.seconds[place] for place in (0, 2, 3)] == [5.0, 7.0, 8.0]


def test_good_items_that_cannot_be_rebuilt_are_computed_again(interrupt: Interrupt) -> None:
    current = {"job": "j", "index": 0, "partition_key": "k", "attempt": 2, "node": "a-1", "transferable": True}
    head = {"mode": payload.ITEMS, "items": 2, "inputs": 1, "max_result": MB, "call": 7, "current": current}
    blobs = [payload.dump([1, 2]), b"nonsense", b"[]", b""]
    assert Answer(*child._run(head, blobs, payload.Shipped(inverse, {}), interrupt)).values == [1.0, 0.5]


# --- interrupted ---------------------------------------------------------------------------------


def interrupt_me(_: Any) -> None:
    os.kill(os.getpid(), signal.SIGINT)
    signal.pause()


def test_an_interrupt_from_outside_ends_the_partition(run: Run) -> None:
    answer = run(interrupt_me, [1, 2])
    assert (answer.head["exit_code"], answer.values) == ("CANCELLED", None)


def test_between_partitions_an_interrupt_does_nothing(run: Run, interrupt: Interrupt) -> None:
    run(inverse, [1])
    os.kill(os.getpid(), signal.SIGINT)
    assert run(inverse, [1]).values == [1.0]


def test_after_an_interrupted_partition_the_next_one_runs(run: Run) -> None:
    run(interrupt_me, [1])
    assert run(raising(KeyboardInterrupt()), [1]).head["exit_code"] == "FAILED"
    assert run(inverse, [1]).values == [1.0]


def test_what_a_function_did_to_its_surroundings_is_undone(run: Run, interrupt: Interrupt) -> None:
    home = os.getcwd()

    def moves(_: Any) -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        os.chdir("/")

    run(moves, [1])
    child._clean_up(home, interrupt)
    assert os.getcwd() == home
    assert run(interrupt_me, [1]).head["exit_code"] == "CANCELLED"


# --- what earlier steps gave ---------------------------------------------------------------------


def test_an_aggregator_gets_every_value_of_every_partition_in_one_list(interrupt: Interrupt) -> None:
    head = {"mode": payload.VALUES, "items": 1, "inputs": 3, "max_result": MB, "call": 7}
    current = {"job": "j", "index": 0, "partition_key": "k", "attempt": 1, "node": "a-1", "transferable": True}
    blobs = [payload.dump(values) for values in ([1, 2], [], [3])]
    answer = Answer(*child._run(head | {"current": current}, blobs, payload.Shipped(list, {}), interrupt))
    assert answer.values == [[1, 2, 3]]


def test_a_callback_is_told_how_the_job_ended(run: Run) -> None:
    part = PartitionOutcome("map", 0, "0..1", "a-1", "FAILED", 2, "FAILED", "ValueError: bad")
    told = JobOutcome("j", 7, "FAILED", datetime(2024, 1, 1, tzinfo=UTC), None, (part,))
    answer = run(lambda outcome: outcome, write_outcome(told), payload.OUTCOME, items=1)
    assert answer.values == [told]
    assert answer.values[0].failed == (part,)


def test_the_traceback_of_a_call_begins_in_the_users_function(run: Run) -> None:
    answer = run(inverse, ((0,), {}), payload.CALL)
    assert answer.errors[0]["traceback"].count("File ") == 1
