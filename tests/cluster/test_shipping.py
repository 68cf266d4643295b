"""Modules that neither lie beside the notebook nor on the nodes: what is named travels."""

from __future__ import annotations

import importlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from nbcluster.errors import CannotPickle, InputError, TooLarge
from tests.cluster.conftest import Lab

HELPER = """
import enum
import functools
import logging
import threading
from dataclasses import dataclass

log = logging.getLogger(__name__)
lock = threading.Lock()
RATE = {rate}

class Kind(enum.Enum):
    SMALL = 1
    LARGE = 2

@dataclass
class Money:
    amount: int

    def doubled(self):
        return Money(self.amount * 2)

def convert(n):
    return Money(scaled(n)).doubled()

@functools.lru_cache(maxsize=10)
def scaled(n):
    return n * RATE if n < 100 else scaled(n - 100)

def fails(n):
    share = n - 1
    return 1 / share

def locked(n):
    with lock:
        return n
"""


@pytest.fixture
def beside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder whose modules this process can import and the nodes cannot, away from its own folder."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    monkeypatch.setattr(sys, "path", [*sys.path, str(folder)])
    before = set(sys.modules)
    yield folder
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(folder)):
            del sys.modules[name]


def module(folder: Path, name: str, text: str) -> ModuleType:
    (folder / f"{name}.py").write_text(text)
    # Python takes a text of the same length and second for the one that it compiled before.
    shutil.rmtree(folder / "__pycache__", ignore_errors=True)
    importlib.invalidate_caches()
    sys.modules.pop(name, None)
    return importlib.import_module(name)


@pytest.fixture
def helper(beside: Path) -> ModuleType:
    return module(beside, "helper", HELPER.format(rate=3))


def through(module: ModuleType, name: str) -> Callable[[int], Any]:
    """A function that captured the module itself, as ``helper.convert(n)`` in a notebook does."""
    return lambda n: getattr(module, name)(int(n))


def test_without_it_the_attempt_says_what_to_do(cluster: Any, helper: ModuleType) -> None:
    wanted = "No module named 'helper'; ship it with --ship helper, or install it on the nodes"
    for function in (through(helper, "convert"), helper.convert, import_inside):
        job = cluster.map(function, [1]).wait()
        assert wanted in job.failure()
        assert wanted in job.partitions()["message"][0]
    given = cluster.map(lambda money: money.amount, [helper.Money(1)]).wait()
    assert wanted in given.failure()


def import_inside(n: int) -> Any:
    from helper import convert  # type: ignore[import-not-found]

    return convert(n).amount


def test_what_a_node_has_is_not_to_be_shipped(cluster: Any) -> None:
    def look(_n: int) -> None:
        import json.nothing  # type: ignore[import-not-found]  # noqa: F401

    assert "ship" not in cluster.map(look, [1]).wait().failure()


def test_functions_of_the_module_travel_with_what_they_use(cluster: Any, helper: ModuleType) -> None:
    expected = [helper.convert(n) for n in (1, 101)]
    assert cluster.map(through(helper, "convert"), [1, 101], ship=["helper"]).results() == expected
    assert cluster.map(helper.convert, [1, 101], ship=helper).results() == expected
    assert cluster.map(import_inside, [1, 101], ship="helper").results() == [6, 6]
    assert type(cluster.map(helper.convert, [1], ship="helper").results()[0]) is helper.Money


def test_objects_of_the_module_are_arguments_and_values(cluster: Any, helper: ModuleType) -> None:
    def swap(money: Any) -> Any:
        kind = helper.Kind.SMALL if money.amount < 5 else helper.Kind.LARGE
        assert type(money) is helper.Money
        return kind, money.doubled()

    job = cluster.map(swap, [helper.Money(3), helper.Money(7)], ship="helper")
    assert job.results() == [(helper.Kind.SMALL, helper.Money(6)), (helper.Kind.LARGE, helper.Money(14))]
    chained = (
        cluster.pipeline()
        .map("make", helper.Money, [1, 2], ship="helper")
        .map("double", lambda money: money.doubled(), ship="helper")
        .run()
    )
    assert chained.results() == [helper.Money(2), helper.Money(4)]


def test_names_travel_as_they_are_now(cluster: Any, helper: ModuleType) -> None:
    helper.RATE = 10
    assert cluster.map(lambda n: helper.RATE * n, [1], ship="helper").results() == [10]
    helper.scaled.cache_clear()
    assert cluster.map(helper.scaled, [1], ship="helper").results() == [10]


def test_what_the_module_is_now_belongs_to_the_code(cluster: Any, helper: ModuleType) -> None:
    def ids(**options: Any) -> tuple[int, int]:
        through_module = cluster.map(through(helper, "scaled"), [1], name="through", **options)
        of_module = cluster.map(helper.scaled, [1], name="of", **options)
        return through_module.wait().id, of_module.wait().id

    first = ids(ship="helper")
    assert ids(ship="helper") == first
    helper.RATE = 10
    second = ids(ship="helper")
    assert not set(first) & set(second)
    assert cluster.plan(helper.scaled, [1], ship="helper").measured.partitions == 1
    assert cluster.job("of").results() == [10]


IDENTITY = """
import sys
sys.path.insert(0, sys.argv[1])
import helper
from nbcluster import payload
from nbcluster.submitting import identity
with payload.by_value(payload.modules_of(["helper"])):
    print(identity.of_function(lambda n: helper.convert(n)), identity.of_function(helper.convert))
"""


def test_every_kernel_takes_the_module_for_the_same(helper: ModuleType, beside: Path) -> None:
    said = {
        subprocess.run(
            [sys.executable, "-c", IDENTITY, str(beside)], env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True, text=True, check=True, timeout=60,
        ).stdout
        for seed in ("1", "2", "3")
    }  # fmt: skip
    assert len(said) == 1
    before, _, after = said.pop().partition(" ")
    assert before != after.strip()


def test_another_version_is_another_module_in_the_same_process(lab: Lab, beside: Path) -> None:
    lab.nodes(1, slots=1)
    cluster = lab.connect()
    seen = []
    for rate in (1, 2, 1):
        made = module(beside, "helper", HELPER.format(rate=rate))
        seen += cluster.map(import_inside, [1, 2], ship="helper").results()
        seen += cluster.map(lambda n, made=made: made.RATE, [1], ship="helper").results()
    assert seen == [2, 4, 1, 4, 8, 2, 2, 4, 1]
    assert "No module named 'helper'" in cluster.map(import_inside, [1]).wait().failure()


def test_a_package_travels_with_its_modules(cluster: Any, beside: Path) -> None:
    package = beside / "tools"
    (package / "deep").mkdir(parents=True)
    (package / "__init__.py").write_text("from tools.sums import add\n")
    (package / "sums.py").write_text("from .deep import base\n\ndef add(n):\n    return base.START + n\n")
    (package / "deep" / "__init__.py").write_text("")
    (package / "deep" / "base.py").write_text("START = 100\n")
    (package / "late.py").write_text("WORD = 'late'\n")
    importlib.invalidate_caches()
    importlib.import_module("tools")

    def use(n: int) -> int:
        import tools.deep.base  # type: ignore[import-not-found]
        from tools import add

        return int(add(n) + tools.deep.base.START)

    def use_late(_n: int) -> str:
        from tools.late import WORD  # type: ignore[import-not-found]

        return str(WORD)

    assert cluster.map(use, [1], ship="tools").results() == [201]
    assert cluster.map(use, [1], ship="tools.sums").results() == [201]
    failed = cluster.map(use_late, [1], ship="tools").wait().failure()
    assert "No module named 'tools.late'; ship it with --ship tools.late" in failed
    assert cluster.map(use_late, [1], ship="tools.late").results() == ["late"]


def test_tracebacks_show_the_modules_lines_there_and_in_a_replay(cluster: Any, helper: ModuleType) -> None:
    job = cluster.map(through(helper, "fails"), [1], ship="helper").wait()
    assert "    return 1 / share\n" in job.traceback(0)
    with pytest.raises(ZeroDivisionError) as caught:
        job.replay(0)
    assert caught.traceback[-1].frame.f_locals == {"n": 1, "share": 0}


def test_a_replay_has_the_module_as_it_was(cluster: Any, helper: ModuleType, beside: Path) -> None:
    job = cluster.map(import_inside, [5], ship="helper").wait()
    newer = module(beside, "helper", "def convert(n):\n    raise NotImplementedError\n")
    assert job.replay(0) == [30]
    assert sys.modules["helper"] is newer
    del sys.modules["helper"]
    (beside / "helper.py").unlink()
    assert job.replay(0) == [30]
    assert "helper" not in sys.modules


def test_what_cannot_travel_is_named(cluster: Any, helper: ModuleType) -> None:
    with pytest.raises(CannotPickle, match=r"cannot pickle '_thread.lock' object"):
        cluster.map(helper.locked, [1], ship="helper")
    job = cluster.map(through(helper, "locked"), [1], ship="helper").wait()
    assert "helper.locked did not travel with the module: TypeError: cannot pickle '_thread.lock'" in job.failure()
    assert cluster.map(through(helper, "scaled"), [1], ship="helper").results() == [3]
    helper.TABLE = bytes(200_000)
    with pytest.raises(TooLarge, match=r"captured 'helper' \(module, 205 kB\) exceeds max_capture \(100 kB\)"):
        cluster.map(lambda n: helper.RATE, [1], ship="helper", max_capture="100kB")
    plan = cluster.plan(lambda n: helper.RATE, [1], ship="helper")
    assert (plan.captures[0].name, plan.packages) == ("helper", ())
    assert cluster.plan(lambda n: helper.RATE, [1]).packages == ("helper",)


@pytest.mark.parametrize(
    ("ship", "sentence"),
    [
        ("nowhere", "ship: there is no module 'nowhere' here; name it as an import does"),
        (["helper", "helper.nothing"], "ship: there is no module 'helper.nothing' here"),
        ("helper.py", "ship: there is no module 'helper.py' here"),
        ("../helper", "ship: '../helper' is no module; name it as an import does"),
        (3, "ship: '3' is no module"),
        ("math", "ship: math has no Python source to send; install it on the nodes"),
        ("broken", "ship: importing broken failed: ZeroDivisionError: division by zero"),
        ("needs_more", "ship: importing needs_more failed: ModuleNotFoundError: No module named 'more'"),
    ],
)
def test_what_is_no_module_is_one_sentence(
    cluster: Any, helper: ModuleType, beside: Path, ship: Any, sentence: str
) -> None:
    (beside / "broken.py").write_text("1 / 0\n")
    (beside / "needs_more.py").write_text("import more\n")
    importlib.invalidate_caches()
    with pytest.raises(InputError) as caught:
        cluster.map(abs, [1], ship=ship)
    assert str(caught.value).startswith(sentence)


def test_cached_functions_of_a_notebook_travel_too(cluster: Any) -> None:
    names: dict[str, Any] = {"__name__": "__main__", "lru_cache": lru_cache}
    text = "@lru_cache(maxsize=None)\ndef fib(n):\n    return n if n < 2 else fib(n - 1) + fib(n - 2)\n"
    exec(text + "def use(n):\n    return fib(n), fib.cache_parameters()['maxsize']\n", names)
    assert cluster.map(names["use"], [30]).results() == [(832040, None)]
    assert cluster.map(names["fib"], [30]).results() == [832040]


def test_nothing_stays_registered(cluster: Any, helper: ModuleType) -> None:
    from nbcluster import payload

    cluster.map(helper.convert, [1], ship="helper").wait()
    assert payload.by_reference(helper.convert)
    assert helper.convert(1) == helper.Money(6)
