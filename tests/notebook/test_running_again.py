"""The same cell once more, and what one may do to a job: pause it, retry it, go on with it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.notebook.conftest import Notebook

pytestmark = pytest.mark.timeout(180, method="thread")


def test_the_same_cell_again_reattaches_and_says_so(notebook: Notebook) -> None:
    cell = "%%nbcluster map n in range(6) -o again\nn * 7"
    assert notebook.good(cell).out == "again: COMPLETED, 6 of 6 items\n"
    first = notebook["again"].id
    said = notebook.good(cell).out.splitlines()
    assert re.fullmatch(
        r"again: re-attached to the run of [-\d: ]+, same code and inputs; --fresh runs it again", said[0]
    )
    assert said[1:] == ["again: COMPLETED, 6 of 6 items"]
    assert notebook["again"].id == first
    assert notebook.good(cell.replace("-o again", "-o again --fresh")).out == "again: COMPLETED, 6 of 6 items\n"
    assert notebook["again"].id != first


def test_another_constant_is_another_run(notebook: Notebook) -> None:
    cell = "%%nbcluster map n in range(6) -o constant\nn * 7"
    notebook.good(cell)
    first = notebook["constant"].id
    assert notebook.good(cell.replace("7", "8")).out == "constant: COMPLETED, 6 of 6 items\n"
    assert notebook["constant"].id != first
    assert notebook["constant"].results() == [0, 8, 16, 24, 32, 40]


def test_a_captured_value_belongs_to_the_inputs(notebook: Notebook) -> None:
    cell = "%%nbcluster map n in range(6) -o captured\nn * factor"
    notebook.good("factor = 2")
    notebook.good(cell)
    first = notebook["captured"].id
    notebook.good("factor = 3")
    assert "re-attached" not in notebook.good(cell).out
    assert notebook["captured"].id != first
    assert notebook["captured"].results() == [0, 3, 6, 9, 12, 15]


def test_a_failed_run_goes_on_where_it_failed(notebook: Notebook, tmp_path: Path) -> None:
    path = str(tmp_path / "mended")
    cell = f"""%%nbcluster map n in range(4) -p 4 -o mended
import os
if n == 2 and not os.path.exists({path!r}):
    raise OSError("not yet")
n"""
    assert type(notebook.run(cell).error).__name__ == "JobFailed"
    Path(path).touch()
    said = notebook.good(cell).out.splitlines()
    assert "that failed, with 3 of 4 partitions done" in said[0]
    assert said[1:] == ["mended: COMPLETED, 4 of 4 items"]
    assert sorted(notebook["mended"].partitions()["attempt"]) == [1, 1, 1, 2]


def test_retries_and_folds_are_options_of_the_cell(notebook: Notebook) -> None:
    notebook.good(
        "%%nbcluster map n in range(3) -p 3 -o tried --fresh --retries 2 --retry-wait 10ms --aggregate sum\n"
        "import nbcluster\n"
        "if nbcluster.current().attempt == 1:\n"
        "    raise OSError('once')\n"
        "n"
    )
    assert notebook["tried"].results() == [0, 1, 2]
    assert notebook["tried"].result() == 3
    assert set(notebook["tried"].partitions()["attempt"]) == {2}


def test_a_paused_job_goes_on_when_it_is_resumed(notebook: Notebook) -> None:
    notebook.good("%%nbcluster map n in range(40) -p 40 -o held --fresh -a\nimport time\ntime.sleep(0.05)\nn")
    assert notebook.good("%nbcluster pause held").out.endswith("To go on: %nbcluster resume held\n")
    assert notebook["held"].state == "STARTED"
    notebook.good("%nbcluster resume held")
    assert notebook["held"].results() == list(range(40))


def test_one_partition_again(notebook: Notebook) -> None:
    notebook.good("%%nbcluster map n in range(4) -p 4 -o once_more --fresh\nn")
    notebook.good("%nbcluster retry once_more --partition 2")
    assert list(notebook["once_more"].partitions()["attempt"]) == [1, 1, 2, 1]
