"""A module that lies elsewhere, and nodes that do not have it."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.notebook.conftest import Notebook

pytestmark = pytest.mark.timeout(180, method="thread")


@pytest.fixture
def beside(notebook: Notebook, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Notebook]:
    """A notebook that can import ``money``, on a cluster whose node cannot."""
    (tmp_path / "money.py").write_text("RATE = 3\n\ndef convert(n):\n    return RATE * n\n")
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    importlib.invalidate_caches()
    yield notebook
    sys.modules.pop("money", None)


CELL = "%%nbcluster map n in range(3) -o euros {}\nfrom money import convert\nconvert(n)"


def test_the_failing_attempt_says_what_to_type_and_that_helps(beside: Notebook) -> None:
    ran = beside.run(CELL.format(""))
    assert "No module named 'money'; ship it with --ship money, or install it on the nodes" in str(ran.error)
    beside.good(CELL.format("--ship money --fresh"))
    assert beside["euros"].results() == [0, 3, 6]


def test_a_module_that_a_cell_imported_travels_too(beside: Notebook) -> None:
    beside.good("import money\nmoney.RATE = 10")
    beside.good("%%nbcluster map n in range(3) -o tens --ship money\nmoney.convert(n) + money.RATE")
    assert beside["tens"].results() == [10, 20, 30]


def test_the_equal_call_ships_too(beside: Notebook) -> None:
    said = beside.good(CELL.format("--ship money --ship json --show")).out
    assert 'nc.map(euros_of, range(3), name="euros", ship=["money", "json"])' in said


def test_a_module_that_is_not_there_is_one_red_line(beside: Notebook) -> None:
    ran = beside.run(CELL.format("--ship mony"))
    assert "ship: there is no module 'mony' here" in str(ran.error)
    assert "Traceback" not in ran.out + ran.err


@pytest.fixture
def next_to_it(notebook: Notebook, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Notebook]:
    """A notebook in whose folder ``money`` lies; its node works elsewhere."""
    (tmp_path / "money.py").write_text("from rates import RATE\n\ndef convert(n):\n    return RATE * n\n")
    (tmp_path / "rates.py").write_text("RATE = 3\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.invalidate_caches()
    yield notebook
    for name in ("money", "rates"):
        sys.modules.pop(name, None)


def test_a_module_beside_the_notebook_travels_by_itself(next_to_it: Notebook) -> None:
    next_to_it.good(CELL.format(""))
    assert next_to_it["euros"].results() == [0, 3, 6]
    next_to_it.good("import money")
    plan = next_to_it.good("%%nbcluster map n in range(3) --dry-run\nmoney.convert(n)").value
    assert [one.name for one in plan.modules] == ["money", "rates"]
    ran = next_to_it.run("%%nbcluster map n in range(3) -o dollars --no-ship\nmoney.convert(n)")
    assert "No module named 'money'" in str(ran.error)
    said = next_to_it.good("%%nbcluster map n in range(3) --no-ship --show\nn").out
    assert "nc.map(each, range(3), ship=False)" in said
    refused = next_to_it.run("%%nbcluster map n in range(3) --no-ship --ship json\nn")
    assert "--ship sends modules and --no-ship sends none; give one" in str(refused.error)
