from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbcluster import payload
from nbcluster.errors import CannotPickle, PayloadError, TooLarge
from nbcluster.payload import (
    captured,
    dump,
    format_size,
    load,
    pack_arguments,
    pack_function,
    pack_values,
    unpack,
)

MB = 10**6

plain = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary()


class NoArguments(Exception):
    """An exception that pickles, but does not come back: its constructor needs more than it tells."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(f"{code}: {text}")


class Reluctant:
    """A value that refuses to be pickled."""

    def __reduce__(self) -> Any:
        raise RuntimeError("not me")


class Exits:
    """A value that ends the process of whoever opens it."""

    def __reduce__(self) -> Any:
        return sys.exit, (3,)


class Quits:
    """A value whose pickling asks the process to end."""

    def __reduce__(self) -> Any:
        raise SystemExit(3)


def cell(source: str, **names: Any) -> Callable[..., Any]:
    """The function ``f`` of a notebook cell: it lives in no module that a node could import."""
    space: dict[str, Any] = {"__name__": "__main__", **names}
    exec(compile(source, "<cell 7>", "exec"), space)
    return space["f"]  # type: ignore[no-any-return]


# --- there and back ------------------------------------------------------------------------------


@given(plain | st.lists(plain) | st.dictionaries(st.text(), plain))
def test_values_come_back_as_they_went(value: Any) -> None:
    assert load(dump(value)) == value


@pytest.mark.parametrize("value", [range(3), (1, "a"), {1, 2}, complex(1, 2), slice(1, 2)])
def test_other_builtin_values_come_back(value: Any) -> None:
    again = load(dump(value))
    assert (again, type(again)) == (value, type(value))


def test_arrays_and_frames_come_back() -> None:
    np.testing.assert_array_equal(load(dump(np.arange(5))), np.arange(5))
    data = pd.DataFrame({"a": [1, 2], "b": ["x", None]})
    pd.testing.assert_frame_equal(load(dump(data)), data)


def test_a_function_of_a_cell_travels_with_what_it_uses() -> None:
    f = cell("def g(n):\n    return n + offset\ndef f(n):\n    return g(n) * 2\n", offset=10)
    assert load(pack_function(f, MB)).function(1) == 22


def test_a_function_reaches_another_process_that_has_none_of_its_modules(tmp_path: Path) -> None:
    factor = 3
    f = cell("import math\ndef f(n):\n    return math.floor(n * factor)\n", factor=factor)
    packed = tmp_path / "function"
    packed.write_bytes(pack_function(f, MB))
    script = "import sys; from nbcluster.payload import load; print(load(open(sys.argv[1], 'rb').read()).function(2))"
    shown = subprocess.run(
        [sys.executable, "-c", script, str(packed)], capture_output=True, text=True, timeout=60, check=True
    )
    assert shown.stdout == "6\n"


def test_a_class_of_a_cell_travels_with_its_values() -> None:
    point = cell("class f:\n    def __init__(self, x):\n        self.x = x\n")
    assert load(dump(point(3))).x == 3


# --- naming what cannot travel -------------------------------------------------------------------


def uses_a_closure() -> Callable[..., Any]:
    lock = threading.Lock()

    def f(n: int) -> int:
        with lock:
            return n

    return f


def with_a_default() -> Callable[..., Any]:
    return cell("def f(n, lock=lock):\n    return n\n", lock=threading.Lock())


@pytest.mark.parametrize(
    ("function", "name"),
    [
        (uses_a_closure(), "'lock'"),
        (cell("def f(n):\n    with lock:\n        return n\n", lock=threading.Lock()), "'lock'"),
        (cell("def f(n):\n    return [lock for _ in range(n)]\n", lock=threading.Lock()), "'lock'"),
        (with_a_default(), "'default of lock'"),
        (cell("def f(n, *, lock=lock):\n    return n\n", lock=threading.Lock()), "'default of lock'"),
        (partial(print, threading.Lock()), "'argument 0'"),
        (partial(print, end=threading.Lock()), "'argument end'"),
    ],
    ids=["closure", "global", "comprehension", "default", "keyword default", "partial", "partial by keyword"],
)
def test_what_a_function_captured_and_cannot_travel_is_named(function: Any, name: str) -> None:
    with pytest.raises(CannotPickle) as refused:
        pack_function(function, MB)
    assert str(refused.value).startswith(f"captured {name} (_thread.lock) cannot be sent to a node: TypeError")
    assert str(refused.value).endswith("make it inside the function instead")
    assert refused.value.__cause__ is not None


def test_a_helper_that_cannot_travel_is_named() -> None:
    f = cell("def g(n):\n    return lock\ndef f(n):\n    return g(n)\n", lock=threading.Lock())
    with pytest.raises(CannotPickle, match=r"^captured 'g' \(function\) cannot be sent to a node: .*lock"):
        pack_function(f, MB)


def test_a_callable_object_that_cannot_travel_is_named() -> None:
    class Model:
        def __init__(self) -> None:
            self.connection = threading.Lock()

        def __call__(self, n: int) -> int:
            return n

    with pytest.raises(CannotPickle, match=r"^captured 'connection' \(_thread.lock\)"):
        pack_function(Model(), MB)


def test_a_name_that_was_never_assigned_is_no_capture() -> None:
    def outer() -> Callable[[], int]:
        def f() -> int:
            return later

        if f.__name__ == "something else":
            later = 1
        return f

    assert captured(outer()) == {}


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        ([1, threading.Lock(), 3], r"^item 11 \(_thread.lock\) cannot be pickled: TypeError"),
        ((1, 2, Reluctant()), r"^item 12 \(.*Reluctant\) cannot be pickled: RuntimeError: not me$"),
        (Reluctant(), r"^the items 10 to 12 \(.*Reluctant\) cannot be pickled: RuntimeError: not me$"),
        (((1, Reluctant()), {}), r"^item 11 \(.*Reluctant\) cannot be pickled: RuntimeError: not me$"),
        (((1,), {"b": Reluctant()}), r"^item 11 \(.*Reluctant\) cannot be pickled: RuntimeError: not me$"),
        ((1, {"b": Reluctant()}), r"^item 11 \(dict\) cannot be pickled: RuntimeError: not me$"),
    ],
    ids=["list", "tuple", "one value", "a call", "a call by keyword", "two items that look like a call"],
)
def test_an_argument_that_cannot_travel_is_named(value: Any, sentence: str) -> None:
    with pytest.raises(CannotPickle, match=sentence):
        pack_arguments(value, [f"item {place}" for place in range(10, 13)], "the items 10 to 12")


# --- limits --------------------------------------------------------------------------------------


def test_a_captured_frame_above_the_limit_is_named_with_its_size() -> None:
    f = cell("def f(n):\n    return len(df)\n", df=pd.DataFrame({"n": np.zeros(250_000)}))
    with pytest.raises(TooLarge) as refused:
        pack_function(f, MB)
    sentence = str(refused.value)
    assert sentence.startswith("captured 'df' (pandas.")
    assert "DataFrame, 2 MB) exceeds max_capture (1 MB)" in sentence
    assert "max_capture (--max-capture 2GB)" in sentence


HOLDER = """
class Holder:
    table = table
    def __init__(self, data):
        self.data = data
    def f(self, n):
        return n, big
    __call__ = f
"""
SLOTTED = """
class f:
    __slots__ = ("data",)
    def __call__(self, n):
        return n
f = f()
f.data = big
"""


def holder(table: Any = None, big: Any = None, data: Any = None) -> Any:
    space: dict[str, Any] = {"__name__": "__main__", "table": table, "big": big}
    exec(HOLDER, space)
    return space["Holder"](data)


@pytest.mark.parametrize(
    ("function", "name"),
    [
        (holder(data=bytes(2 * MB)).f, "self.data"),
        (partial(holder(data=bytes(2 * MB)).f), "self.data"),
        (holder(data=bytes(2 * MB)), "data"),
        (holder(table=bytes(2 * MB)), "table (in Holder)"),
        (holder(big=bytes(2 * MB)).f, "big"),
        (cell(SLOTTED, big=bytes(2 * MB)), "data"),
        (cell("def f(n, big=big):\n    return n\n", big=bytes(2 * MB)), "default of big"),
        (cell("def inner():\n    return big\ndef f(n):\n    return inner()\n", big=bytes(2 * MB)), "big (in inner)"),
        (partial(max, bytes(2 * MB)), "argument 0"),
    ],
    ids=["self", "partial", "object", "class", "global", "slots", "default", "within", "argument"],
)
def test_what_is_too_large_is_named_wherever_it_hangs(function: Any, name: str) -> None:
    with pytest.raises(TooLarge) as refused:
        pack_function(function, MB)
    assert str(refused.value).startswith(f"captured {name!r} (bytes, 2 MB) exceeds max_capture (1 MB)")


def test_a_class_is_one_capture_with_what_its_methods_use() -> None:
    captures = payload.captures_of(holder(table=[1] * 1000, big=bytes(500), data="x"), MB)
    assert [one.name for one in captures] == ["table (in Holder)", "big (in Holder)", "Holder", "data"]


@pytest.mark.parametrize("size", [999_000, 1_001_000])
def test_the_limit_is_for_all_that_is_captured_together(size: int) -> None:
    f = cell("def f(n):\n    return a, b\n", a=bytes(size // 2), b=bytes(size // 2))
    if size < MB:
        assert len(pack_function(f, MB)) > size
        return
    with pytest.raises(TooLarge, match=r"^what the function captured exceeds max_capture \(1 MB\), the largest being"):
        pack_function(f, MB)


def test_an_object_above_the_limit_is_not_pickled_to_its_end() -> None:
    pickled: list[int] = []

    class Block:
        def __init__(self, number: int) -> None:
            self.number = number

        def __reduce__(self) -> Any:
            pickled.append(self.number)
            return bytes, (100_000,), b"x" * 100_000

    f = cell("def f(n):\n    return blocks\n", blocks=[Block(number) for number in range(1000)])
    with pytest.raises(TooLarge, match=r"captured 'blocks' \(list, 4 MB\) exceeds"):
        pack_function(f, MB)
    # Once up to the limit, once more up to four times the limit to say how large it is.
    assert len(pickled) < 100


def test_measuring_a_frame_does_not_pickle_it() -> None:
    class Frame(pd.DataFrame):
        pickled = 0

        def __reduce_ex__(self, protocol: Any) -> Any:
            type(self).pickled += 1
            raise payload.OverLimit

    f = cell("def f(n):\n    return df\n", df=Frame({"n": np.zeros(1_000_000)}))
    with pytest.raises(TooLarge, match=r"Frame, 8 MB\) exceeds max_capture \(1 MB\)"):
        pack_function(f, MB)
    assert Frame.pickled == 1


@pytest.mark.parametrize(
    ("size", "shown"), [(999, "999 bytes"), (1500, "1.5 kB"), (64 * MB, "64 MB"), (2_345_678_901, "2.35 GB")]
)
def test_sizes_are_shown_as_people_write_them(size: int, shown: str) -> None:
    assert format_size(size) == shown


# --- results -------------------------------------------------------------------------------------


@pytest.mark.parametrize("values", [[1, 2, 3], ["a", None], [{"a": [1]}], [np.arange(3)], []])
def test_results_come_back(values: list[Any]) -> None:
    body, bad = pack_values(values, MB)
    assert bad == {}
    assert body is not None
    assert repr(load(body.body())) == repr(values)


@pytest.mark.parametrize(
    "value",
    [threading.Lock(), Reluctant(), NoArguments(1, "x"), Exits(), Quits()],
    ids=["cannot be pickled", "refuses", "does not come back", "exits when opened", "exits when pickled"],
)
def test_a_result_that_cannot_travel_is_replaced_and_named_the_others_stay(value: Any) -> None:
    body, bad = pack_values([1, value, "three"], MB)
    assert body is not None
    assert load(body.body()) == [1, None, "three"]
    assert list(bad) == [1]
    assert bad[1].startswith("the result (")
    assert f"{type(value).__name__}) cannot be pickled: " in bad[1]


def test_values_that_each_travel_alone_but_not_together_are_all_named() -> None:
    class Odd:
        pickled = 0

        def __reduce__(self) -> Any:
            Odd.pickled += 1
            if Odd.pickled in (1, 4):  # the first of all of them, before and after each alone
                raise RuntimeError("only alone")
            return int, (1,)

    body, bad = pack_values([Odd(), Odd()], MB)
    assert body is not None
    assert load(body.body()) == [None, None]
    assert bad == {0: "RuntimeError: only alone", 1: "RuntimeError: only alone"}


@pytest.mark.parametrize(
    "values",
    [[b"x" * 2 * MB], ["x" * 2 * MB], [np.zeros(MB)], [{"a": b"x" * 2 * MB}], list(range(MB))],
    ids=["bytes", "text", "array", "dict", "many small"],
)
def test_results_above_the_limit_are_told_apart(values: list[Any]) -> None:
    assert pack_values(values, MB) == (None, {})


def test_results_above_the_limit_beside_one_that_cannot_travel() -> None:
    body, bad = pack_values([threading.Lock(), b"x" * 2 * MB], MB)
    assert body is None
    assert list(bad) == [0]


# --- reading -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [dump(NoArguments(1, "x")), dump(Exits()), b"", b"nonsense", dump([1, 2])[:-2]],
    ids=["constructor", "exits", "empty", "nonsense", "cut"],
)
def test_bytes_that_cannot_be_rebuilt_are_an_error_of_ours(body: bytes) -> None:
    with pytest.raises(PayloadError, match=r"^the result of partition 3 cannot be rebuilt here: \w+"):
        unpack(body, "the result of partition 3")


def test_a_type_that_is_missing_here_is_named() -> None:
    body = dump([1]).replace(b"builtins", b"buildins") if b"builtins" in dump([1]) else b"cno_such_module\nThing\n."
    with pytest.raises(PayloadError, match=r"no_such_module.*; is the same package installed on both sides\?$"):
        unpack(body, "the function")
