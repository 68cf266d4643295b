"""``--dry-run`` and ``--sample``: what a cell would do, before it does it."""

from __future__ import annotations

import pytest

from tests.notebook.conftest import Notebook

pytestmark = pytest.mark.timeout(180, method="thread")


@pytest.mark.parametrize(
    ("cell", "sizes"),
    [
        ("%%nbcluster map n in range(10) -c 4 {}\nn + 4711", (4, 4, 2)),
        ("%%nbcluster map a, b in [(1, 2)] * 3 -c 2 {}\ndef f(a, b):\n    return a + 4711", (2, 1)),
        ("%%nbcluster map_partitions part in [1, 2, 3, 4] -p 2 {}\nsum(part) + 4711", (1, 1)),
        ("%%nbcluster submit {}\n4711", (1,)),
    ],
)
def test_a_cell_shows_its_plan_and_runs_nothing(notebook: Notebook, cell: str, sizes: tuple[int, ...]) -> None:
    before = len(notebook.good("%nbcluster jobs --all").value)
    for option in ("--dry-run", "--sample 1", "--dry-run --sample 2"):
        plan = notebook.good(cell.format(option)).value
        assert plan.sizes == sizes
        assert (plan.measured is not None) == ("--sample" in option)
    assert len(notebook.good("%nbcluster jobs --all").value) == before
    assert "_job" not in notebook


def test_a_sample_that_fails_shows_the_cells_own_lines(notebook: Notebook) -> None:
    ran = notebook.run("%%nbcluster map n in range(4) -p 2 --sample 2\nprint('sampling', n)\n1 / (n - 3)")
    assert isinstance(ran.error, ZeroDivisionError)
    assert "sampling 3" in ran.out
    assert "----> 3 1 / (n - 3)" in ran.out
    assert "nbcluster/" not in ran.out


def test_the_equal_call_plans_too(notebook: Notebook) -> None:
    said = notebook.good("%%nbcluster map a, b in [(1, 2)] -o two --sample 1 --show\ndef f(a, b):\n    return a").out
    assert said.splitlines()[-1] == 'print(nc.plan(f, [(1, 2)], name="two", how="starmap", sample=1))'
    said = notebook.good("%%nbcluster submit --dry-run --show\n1").out
    assert said.splitlines()[-1] == 'print(nc.plan(task, how="submit"))'


def test_what_is_too_large_is_named(notebook: Notebook) -> None:
    ran = notebook.run("big = bytes(100_000)")
    ran = notebook.run("%%nbcluster map n in range(4) --dry-run --max-capture 50kB\nbig[n]")
    assert "captured 'big' (bytes, 100 kB) exceeds max_capture (50 kB)" in str(ran.error)
    assert notebook.good("%%nbcluster map n in range(4) --dry-run\nbig[n]").value.captures[0].name == "big"


def test_a_local_cell_has_no_plan(notebook: Notebook) -> None:
    assert "there is no option --dry-run" in str(notebook.run("%%nbcluster local n in [1] --dry-run\nn").error)
