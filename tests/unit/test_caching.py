"""What tells that two partitions compute the same."""

from __future__ import annotations

import enum
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import cloudpickle
import numpy as np
import pandas as pd
import pytest

import nbcluster as nb
from nbcluster import payload
from nbcluster.partitioners.base import Part
from nbcluster.partitioners.handle import Handle
from nbcluster.submitting import caching
from nbcluster.submitting.options import Options, caches


@pytest.fixture(autouse=True, scope="module")
def _as_in_a_notebook() -> Any:
    module = sys.modules[__name__]
    cloudpickle.register_pickle_by_value(module)
    yield
    cloudpickle.unregister_pickle_by_value(module)


def key(function: Callable[..., Any], value: Any = (1, 2), mode: str = payload.ITEMS) -> str | None:
    (one,) = caching.keys_of(function, mode, [Part("part", 1, value)])
    return one


def double(n: int) -> int:
    return 2 * n


FACTOR = 2


def test_equal_code_and_input_have_one_key_wherever_they_are_defined() -> None:
    def made() -> Callable[[int], int]:
        return lambda n: n * FACTOR

    one, other = made(), made()
    assert key(one) == key(other) is not None


@pytest.mark.parametrize(
    ("function", "value", "mode"),
    [
        (lambda n: 3 * n, (1, 2), payload.ITEMS),
        (double, (1, 3), payload.ITEMS),
        (double, (1, 2.0), payload.ITEMS),
        (double, [1, 2], payload.ITEMS),
        (double, (1, 2), payload.PARTITION),
        (double, np.array([1, 2]), payload.ITEMS),
        (double, pd.DataFrame({"n": [1, 2]}), payload.ITEMS),
    ],
)
def test_other_code_or_input_or_way_of_calling_has_another_key(
    function: Callable[..., Any], value: Any, mode: str
) -> None:
    assert key(function, value, mode) not in (None, key(double))


def test_a_changed_global_is_changed_code(monkeypatch: pytest.MonkeyPatch) -> None:
    def scaled(n: int) -> int:
        return n * FACTOR

    before = key(scaled)
    monkeypatch.setitem(globals(), "FACTOR", 3)
    assert key(scaled) != before


def test_a_frame_counts_by_its_values_types_and_index() -> None:
    frame = pd.DataFrame({"a": [1, 2], "b": ["x", "y"]})
    same = key(len, frame)
    assert key(len, frame.copy()) == same
    assert key(len, frame[["b", "a"]][["a", "b"]]) == same
    assert key(len, frame.astype({"a": "int32"})) != same
    assert key(len, frame.set_index(pd.Index([5, 6]))) != same
    assert key(len, frame.rename(columns={"a": "c"})) != same


def test_another_version_of_a_package_is_other_code(monkeypatch: pytest.MonkeyPatch) -> None:
    def total(n: int) -> Any:
        return np.sum(n)

    before = key(total)
    monkeypatch.setattr(caching.metadata, "version", lambda _name: "0.0.1")
    assert key(total) != before


def test_another_python_is_other_code(monkeypatch: pytest.MonkeyPatch) -> None:
    before = key(double)
    monkeypatch.setattr(caching, "PYTHON", "3.99")
    assert key(double) != before


class Colour(enum.Enum):
    RED = 1


class Pair(NamedTuple):
    a: int
    b: int


@dataclass(frozen=True, slots=True)
class Setting:
    rate: float

    @property
    def half(self) -> float:
        return self.rate / 2


def test_what_a_notebook_defines_can_be_told() -> None:
    def using(n: int) -> Any:
        return Colour.RED, Pair(n, n), Setting(n).half

    assert key(using, [Colour.RED, Pair(1, 2), Setting(0.5), {"a": {1, 2}}, range(3), b"x", None]) is not None


def test_code_that_cannot_be_told_is_not_cached_and_that_is_said(caplog: pytest.LogCaptureFixture) -> None:
    lock = threading.Lock()
    with caplog.at_level(logging.WARNING, "nbcluster"):
        assert key(lambda n: (n, lock)) is None
    assert "nothing is cached: the function holds a lock, which cannot be told from others" in caplog.text


def test_input_that_cannot_be_told_is_not_cached_and_the_rest_is(caplog: pytest.LogCaptureFixture) -> None:
    parts = [Part("a", 1, [1]), Part("b", 1, [threading.Lock()])]
    with caplog.at_level(logging.WARNING, "nbcluster"):
        first, second = caching.keys_of(double, payload.ITEMS, parts)
    assert first is not None
    assert second is None
    assert "1 of 2 partitions are not cached: they hold a lock" in caplog.text


class Rows(Handle):
    """Data behind a name."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return f"<rows of {self.name}>"

    @property
    def key(self) -> str:
        return self.name

    def identity(self) -> Any:
        return "rows", self.name


class LiveRows(Rows):
    settled = False


def test_data_that_may_change_unseen_is_not_cached(caplog: pytest.LogCaptureFixture) -> None:
    assert key(double, Rows("a")) == key(double, Rows("a")) != key(double, Rows("b"))
    with caplog.at_level(logging.WARNING, "nbcluster"):
        assert key(double, LiveRows("t")) is None
        assert key(double, [LiveRows("t")]) is None
    assert "1 of 1 partitions are not cached: they hold <rows of t>, whose rows may change unseen" in caplog.text


def test_a_chain_of_objects_too_long_to_walk_is_not_cached() -> None:
    chain: list[Any] = [object]
    for _ in range(100_000):
        chain = [chain, object]
    assert key(double, chain) is None


_SCRIPT = """
import nbcluster as nb
from nbcluster import payload
from nbcluster.partitioners.base import Part
from nbcluster.partitioners.handle import Handle
from nbcluster.submitting import caching

{names}
def f(n):
    return {{word: len(word) for word in WORDS}}, helper(n)

def helper(n):
    return n + 1

print(caching.keys_of(f, payload.ITEMS, [Part("a", 1, [{{"a": 1, "b": {{"x", "y"}}}}, 2.5])])[0])
"""


def test_another_kernel_makes_the_same_key_whatever_its_hash_seed_and_its_order(tmp_path: Path) -> None:
    told = set()
    for seed, names in (
        ("1", 'WORDS = {"one", "two", "three"}'),
        ("2", '\n\n# moved\nWORDS = {"three", "one", "two"}'),
    ):
        file = tmp_path / f"script{seed}.py"
        file.write_text(_SCRIPT.format(names=names))
        environ = os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)}
        told.add(subprocess.run([sys.executable, str(file)], env=environ, capture_output=True, check=True).stdout)
    assert len(told) == 1
    assert len(told.pop().strip()) == 64


def test_the_option_is_yes_or_no() -> None:
    assert caches(Options(cache=True))
    with pytest.raises(nb.InputError, match="cache is 3; it must be True or False"):
        caches(Options(cache=3))  # type: ignore[arg-type]
