"""Two kernels with the same code and the same values agree; any difference that matters is seen."""

from __future__ import annotations

import functools
import subprocess
import sys
from dataclasses import dataclass
from enum import Enum
from typing import Any

import cloudpickle
import numpy as np
import pandas as pd
import pytest

from nbcluster.partitioners.base import Nodes, Partitioner
from nbcluster.partitioners.frames import frame
from nbcluster.partitioners.sequences import items, ranges
from nbcluster.submitting import identity


def function(text: str, name: str = "f", cell: str = "<cell>", **names: Any) -> Any:
    """What a kernel has after running ``text``."""
    space: dict[str, Any] = {"__name__": "__main__", **names}
    exec(compile(text, cell, "exec"), space)
    return space[name]


def code(text: str, **names: Any) -> str:
    return identity.of_function(function(text, **names))


def split(partitioner: Partitioner) -> str:
    """The identity of an input that is split."""
    return identity.of_inputs(partitioner.identity(partitioner.parts(Nodes(2))))


BODY = "def f(n):\n    return [m * 3 for m in range(n)] + [limit]"


# --- code ----------------------------------------------------------------------------------------


def test_lines_comments_and_the_cells_name_do_not_count() -> None:
    moved = "\n\n# a comment\ndef f(n):\n\n    return [m * 3\n            for m in range(n)] + [limit]"
    assert code(BODY, limit=1) == code(moved, limit=1)
    assert code(BODY, limit=1) == identity.of_function(function(BODY, cell="<cell 7>", limit=1))


@pytest.mark.parametrize(
    "other",
    ["def f(n):\n    return [m * 4 for m in range(n)] + [limit]", "def f(n):\n    return [m * 3 for m in range(n)]"],
)
def test_a_constant_and_a_line_count(other: str) -> None:
    assert code(BODY, limit=1) != code(other, limit=1)


def test_one_and_true_and_one_point_zero_are_three_constants() -> None:
    assert len({code(f"def f():\n    return {one}") for one in ("1", "True", "1.0", "'1'", "b'1'")}) == 5


def test_what_a_function_captured_counts_and_other_names_do_not() -> None:
    assert code(BODY, limit=1) != code(BODY, limit=2)
    assert code(BODY, limit=1, other=1) == code(BODY, limit=1, other=2)


def test_an_attribute_of_the_same_name_is_no_captured_name() -> None:
    text = "def f(x):\n    return x.mean"
    assert code(text, mean=1) == code(text, mean=2)


def test_functions_that_it_calls_count_however_deep() -> None:
    text = "def g(n):\n    return h(n)\ndef f(n):\n    return g(n)\n"
    assert code(text + "def h(n):\n    return n + 1") == code(text + "def h(n):\n    return n + 1")
    assert code(text + "def h(n):\n    return n + 1") != code(text + "def h(n):\n    return n + 2")


def test_functions_that_call_each_other_end() -> None:
    text = "def f(n):\n    return g(n) if n else {0}\ndef g(n):\n    return f(n - 1)"
    assert code(text.replace("{0}", "0")) == code(text.replace("{0}", "0"))
    assert code(text.replace("{0}", "0")) != code(text.replace("{0}", "1"))


def test_defaults_and_closures_count() -> None:
    assert code("def f(n, k=1):\n    return n") != code("def f(n, k=2):\n    return n")
    assert code("def f(*, k=1):\n    return k") != code("def f(*, k=2):\n    return k")
    make = "def make(k):\n    def f(n):\n        return n + k\n    return f\nf = make({})"
    assert code(make.format(1)) == code(make.format(1))
    assert code(make.format(1)) != code(make.format(2))


def test_a_class_of_the_notebook_counts_by_its_content() -> None:
    text = "class C:\n    step = {}\n    def go(self):\n        return self.step\ndef f(n):\n    return C().go()"
    assert code(text.format(1)) == code(text.format(1))
    assert code(text.format(1)) != code(text.format(2))
    changed = text.format(1).replace("return self.step", "return -self.step")
    assert code(text.format(1)) != code(changed)


def test_dataclasses_enums_and_partials_are_walked() -> None:
    text = (
        "import dataclasses, enum, functools\n"
        "@dataclasses.dataclass\nclass P:\n    x: int = {}\n"
        "class E(enum.Enum):\n    A = {}\n"
        "def g(a, b):\n    return a\n"
        "k = functools.partial(g, {})\n"
        "def f(n):\n    return P(), E.A, k(n)"
    )
    assert code(text.format(1, 1, 1)) == code(text.format(1, 1, 1))
    assert len({code(text.format(*one)) for one in ((1, 1, 1), (2, 1, 1), (1, 2, 1), (1, 1, 2))}) == 4


def test_what_is_installed_counts_by_its_name() -> None:
    text = "def f(x):\n    return np.sqrt(x)"
    assert code(text, np=np) == code(text, np=np)
    assert code(text, np=np) != code(text, np=pd)
    assert identity.of_function(len) == identity.of_function(len) != identity.of_function(max)
    assert identity.of_function(str.upper) != identity.of_function(str.lower)


def test_a_module_of_the_users_own_counts_by_its_text(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    file = tmp_path / "my_steps_of_today.py"
    file.write_text("def g(n):\n    return n + 1\n")
    import my_steps_of_today as mine  # type: ignore[import-not-found]

    before = code("def f(n):\n    return m.g(n)", m=mine), identity.of_function(mine.g)
    file.write_text("def g(n):\n    return n + 2\n")
    after = code("def f(n):\n    return m.g(n)", m=mine), identity.of_function(mine.g)
    assert before[0] != after[0]
    assert before[1] != after[1]


def test_what_cannot_be_taken_apart_still_has_an_identity() -> None:
    import threading

    lock = threading.Lock()
    assert code("def f(n):\n    return lock", lock=lock)


# --- values --------------------------------------------------------------------------------------


@dataclass
class Point:
    x: int
    y: Any = None


class Colour(Enum):
    RED = 1
    BLUE = 2


SAME = [
    ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
    ({1, 2, 300}, {300, 2, 1}),
    ([("a" * 3), "b"], [str(b"aaa", "ascii"), "b"]),
    (np.arange(5), np.arange(5)),
    (np.asfortranarray(np.ones((3, 2))).T, np.asfortranarray(np.ones((3, 2))).T),
    (pd.DataFrame({"a": [1, 2], "b": ["x", None]}), pd.DataFrame({"a": [1, 2], "b": ["x", None]})),
    (Point(1, [2]), Point(1, [2])),
]
DIFFERENT = [
    (1, True),
    (1, 1.0),
    ("1", b"1"),
    ([1], (1,)),
    ([1, 2], [2, 1]),
    ({"a": 1}, {"a": 2}),
    ({1}, {2}),
    ([[1], [2]], [[1, 2]]),
    (np.arange(5), np.arange(5.0)),
    (np.arange(5), np.arange(6)),
    (pd.DataFrame({"a": [1]}), pd.DataFrame({"b": [1]})),
    (pd.DataFrame({"a": [1]}), pd.DataFrame({"a": [1]}, index=[7])),
    (pd.Series([1, 2]), pd.Series([1, 3])),
    (Point(1), Point(2)),
    (Colour.RED, Colour.BLUE),
    (functools.partial(max, 1), functools.partial(max, 2)),
]


@pytest.mark.parametrize(("one", "other"), SAME, ids=repr)
def test_equal_values_are_one_input(one: Any, other: Any) -> None:
    assert identity.of_inputs([one, "x"]) == identity.of_inputs([other, "x"])


@pytest.mark.parametrize(("one", "other"), DIFFERENT, ids=repr)
def test_different_values_are_two(one: Any, other: Any) -> None:
    assert identity.of_inputs([one]) != identity.of_inputs([other])


def test_sharing_and_interning_do_not_count() -> None:
    word = str(b"abcd", "ascii")
    assert identity.of_inputs([word, word]) == identity.of_inputs(["abcd", str(b"abcd", "ascii")])
    shared = [1, object]
    assert identity.of_inputs([shared, shared]) == identity.of_inputs([[1, object], [1, object]])


def test_a_list_that_holds_itself_ends() -> None:
    loop: list[Any] = [1]
    loop.append(loop)
    assert identity.of_inputs(loop)


def test_a_chain_too_long_to_walk_has_an_identity() -> None:
    chain: Any = {}
    for _ in range(3000):
        chain = {"next": chain}
    assert identity.of_inputs([1, chain])


def test_how_the_input_is_cut_does_not_count() -> None:
    assert split(ranges(0, 10, chunk=2)) == split(ranges(0, 10, chunk=5))
    assert split(ranges(0, 10)) != split(ranges(0, 11))
    assert split(items([1, 2, 3], 1)) == split(items([1, 2, 3]))
    data = pd.DataFrame({"a": [1, 2, 3]})
    assert split(frame(data, rows=1)) == split(frame(data, rows=2))
    assert split(frame(data, by="a")) != split(frame(data))


# --- from kernel to kernel -----------------------------------------------------------------------

ELSEWHERE = """
import sys
import numpy as np, pandas as pd
from nbcluster.submitting import identity
words = {"alpha", "beta", "gamma", "delta"}
class C:
    known = frozenset({"x", "y", "z"})
    def go(self, n):
        return n in self.known and n not in {"p", "q", "r"}
table = pd.DataFrame({"a": [1.5, 2.5], "b": ["u", "v"]})
settings = {"k": words, "t": (1, None, "s"), "c": C}
def f(n, kind=C):
    return settings, table, [w for w in words if C().go(w)], np.float64(3), lambda: settings
print(identity.of_function(f), identity.of_inputs([words, table, np.arange(3), C(), settings]))
"""


def test_kernels_with_different_hash_seeds_agree() -> None:
    said = {
        subprocess.run(
            [sys.executable, "-c", ELSEWHERE],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path), "PATH": ""},
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(said) == 1
    assert len(next(iter(said)).split()) == 2


def test_a_module_that_travels_by_value_counts_by_its_code() -> None:
    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    try:
        assert identity.of_function(code) != identity.of_function(function)
    finally:
        cloudpickle.unregister_pickle_by_value(sys.modules[__name__])


def test_a_cached_function_counts_by_its_code() -> None:
    def made(text: str) -> Any:
        space: dict[str, Any] = {"__name__": "__main__"}
        exec(f"import functools\n{text}\ndef use(n):\n    return f(n)", space)
        return identity.of_function(space["use"])

    one = "@functools.lru_cache\ndef f(n):\n    return n + 1"
    assert made(one) == made(one)
    assert made(one) != made(one.replace("+ 1", "+ 2"))
    assert made(one) != made(one.replace("lru_cache", "lru_cache(maxsize=3)"))
    assert made(one) != made(one.replace("@functools.lru_cache\n", ""))
    assert identity.of_function(functools.lru_cache(len)) == identity.of_function(functools.lru_cache(len))
