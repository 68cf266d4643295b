"""Cells whose results are there already, and large values that cells share."""

from __future__ import annotations

import pytest

from tests.notebook.conftest import Notebook

pytestmark = pytest.mark.timeout(180, method="thread")


def test_a_cell_takes_over_what_another_one_computed_and_says_so(notebook: Notebook) -> None:
    cell = "%%nbcluster map n in range(6) -o {name} {more}\nn * 11"
    assert notebook.good(cell.format(name="one", more="--cache")).out == "one: COMPLETED, 6 of 6 items\n"
    said = notebook.good(cell.format(name="two", more="--cache")).out.splitlines()
    assert said == [
        "two: 6 of 6 partitions have their results from the cache; --fresh runs it again",
        "two: COMPLETED, 6 of 6 items",
    ]
    assert notebook["two"].results() == [0, 11, 22, 33, 44, 55]
    # Another body is something else, and so is a cell that does not ask for it.
    assert "cache" not in notebook.good(cell.format(name="three", more="--cache").replace("11", "12")).out
    assert "cache" not in notebook.good(cell.format(name="four", more="")).out
    assert "cache" not in notebook.good(cell.format(name="five", more="--cache --no-cache")).out
    assert "cache" not in notebook.good(cell.format(name="six", more="--cache --fresh")).out


def test_a_dry_run_tells_what_is_there(notebook: Notebook) -> None:
    cell = "%%nbcluster map n in range(6) {more} --cache\nn * 13"
    notebook.good(cell.format(more=""))
    plan = notebook.good(cell.format(more="--dry-run"))
    assert plan.value.cached == 6


def test_cells_use_what_the_notebook_shared(notebook: Notebook) -> None:
    notebook.good("import nbcluster as nb, numpy as np\nnc = nb.connect()\nbig = nc.share(np.arange(500_000))")
    cell = "%%nbcluster {command} n in range(4) -o used\nint(big.value[n]) + 1"
    for command in ("map", "local"):
        notebook.good(cell.format(command=command))
        assert notebook["used"].results() == [1, 2, 3, 4]
    notebook.good("big.delete()\nnc.close()")
