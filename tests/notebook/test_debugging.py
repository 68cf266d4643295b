"""What went wrong on a node, seen and run again in the notebook: error, logs, replay, and the debugger."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from tests.notebook.conftest import Notebook
from tests.notebook.kernels import Kernel, of_type, printed, shown

pytestmark = pytest.mark.timeout(180, method="thread")

SHARES = """%%nbcluster map n in range(6) -o shares --fresh -c 2 --on-error collect -q
part = n - 3
print("part", part)
print("of", n)
12 / part"""


@pytest.fixture
def shares(notebook: Notebook) -> Notebook:
    """A notebook whose job fails at item 3, in partition 1."""
    notebook.good(SHARES)
    return notebook


def test_errors_in_groups_each_with_its_first_traceback(shares: Notebook) -> None:
    said = shares.good("%nbcluster error shares").out
    assert said.startswith("shares: 1 of 6 items failed\n\n1 x ZeroDivisionError: ")
    assert "first at item 3 (partition 1); replay with %nbcluster replay shares 1\nTraceback" in said
    assert re.search(r'File "<shares cell \w+>", line 5, in shares\n    12 / part\n', said)


def test_the_traceback_of_one_partition(shares: Notebook) -> None:
    said = shares.good("%nbcluster error shares 1").out
    assert said.startswith("Traceback")
    assert "    12 / part\n" in said
    assert said.endswith("To run it here: %nbcluster replay shares 1\n")
    assert shares.good("%nbcluster error shares 0").out == "partition 0: nothing failed\n"


def test_all_lines_of_a_partition_or_the_last(shares: Notebook) -> None:
    assert shares.good("%nbcluster logs shares 0").out == "part -3\nof 0\npart -2\nof 1\n"
    assert shares.good("%nbcluster logs shares 0 --tail 3").out == "of 0\npart -2\nof 1\n"
    assert shares.good("shares.logs(0, tail=1)").value == "of 1\n"
    assert shares.good("%nbcluster logs shares --tail 1").out.startswith("of ")


def test_a_good_partition_passes_here_too(shares: Notebook) -> None:
    ran = shares.good("again = %nbcluster replay shares 2")
    assert ran.out == "part 1\nof 4\npart 2\nof 5\npartition 2 of shares, attempt 1: 2 items passed here\n"
    assert shares["again"] == [12.0, 6.0]


def test_a_mended_environment_makes_it_pass(notebook: Notebook, monkeypatch: pytest.MonkeyPatch) -> None:
    notebook.good("%%nbcluster submit -o one --fresh --on-error collect -q\nimport os\nos.environ['NOT_ON_THE_NODE']")
    assert notebook.good("%nbcluster error one").out.startswith("one: 1 of 1 items failed\n\n1 x KeyError: ")
    monkeypatch.setenv("NOT_ON_THE_NODE", "here")
    ran = notebook.good("%nbcluster replay one 0")
    assert ran.value == "here"
    assert re.search(r"partition 0 of one, attempt 1 passed here; on \S+ it failed: KeyError: ", ran.out)


def test_a_replayed_error_shows_the_cells_own_lines_only(shares: Notebook) -> None:
    ran = shares.run("%nbcluster replay shares 1")
    assert isinstance(ran.error, ZeroDivisionError)
    assert "part -1\nof 2\npart 0\nof 3\n" in ran.out
    assert "----> 5 12 / part" in ran.out
    assert "(item 3, in partition 1 of shares: 3)" in ran.out
    assert "nbcluster/" not in ran.out
    assert "nbcluster/" not in shares.run("shares.replay(1)").out


def test_debug_finds_the_frame_of_the_cell(shares: Notebook) -> None:
    for cell in ("%nbcluster replay shares 1", "shares.replay(1)"):
        shares.run(cell)
        trace: Any = sys.last_traceback
        while trace.tb_next is not None:
            trace = trace.tb_next
        assert trace.tb_frame.f_code.co_name == "shares"
        assert trace.tb_frame.f_locals == {"n": 3, "part": 0}


def test_a_step_of_a_pipeline_has_errors_and_replays_too(notebook: Notebook) -> None:
    notebook.good("import nbcluster as nb\nnc = nb.connect()\ndef bad(values):\n    return values[99]")
    notebook.good("night = nc.pipeline('night').map('load', abs, range(3)).aggregate('report', bad).run().wait()")
    assert "night: 1 of 1" in shares_text(notebook, "%nbcluster error night")
    assert "%nbcluster replay night 0 --step report" in shares_text(notebook, "%nbcluster error night --step report")
    assert notebook.good("%nbcluster replay night 0 --step load").value[0] == 0
    assert isinstance(notebook.run("%nbcluster replay night 0 --step report").error, IndexError)
    assert len(notebook.good("%nbcluster partitions night --step load").value) > 1
    assert "no step 'lod'" in str(notebook.run("%nbcluster replay night 0 --step lod").error)
    notebook.good("nc.close()")


def shares_text(notebook: Notebook, cell: str) -> str:
    return notebook.good(cell).out


@pytest.mark.parametrize(
    ("cell", "sentence"),
    [
        ("%nbcluster replay no_job 1", "there is no job 'no_job'"),
        ("%nbcluster replay shares", "%nbcluster replay needs PARTITION; write %nbcluster replay JOB PARTITION"),
        ("%nbcluster replay shares one", "PARTITION: 'one' is no partition number; they count from 0"),
        ("%nbcluster replay shares 9", "shares has no partition 9; they are numbered 0 to 2"),
        ("%nbcluster replay shares 1 --attempt 99", "no attempt 99 of partition 1 of shares: it had 1 attempt"),
        ("%nbcluster replay shares 1 --pdbb", "there is no option --pdbb; did you mean --pdb?"),
        ("%nbcluster error shares 9", "shares has no partition 9"),
        ("%nbcluster logs shares 0 --tail 0", "--tail: 0 is too few"),
    ],
)
def test_one_line_for_what_makes_no_sense(shares: Notebook, cell: str, sentence: str) -> None:
    ran = shares.run(cell)
    assert sentence in str(ran.error)
    assert "Traceback" not in ran.out + ran.err


# --- with a reader at the keyboard ----------------------------------------------------------------------------------


@pytest.fixture
def kernel(cluster_url: str) -> Iterator[Kernel]:
    kernel = Kernel({**os.environ, "NBCLUSTER_URL": cluster_url})
    kernel.run("%load_ext nbcluster")
    yield kernel
    kernel.stop()


def plain(messages: list[Any]) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", printed(messages))


def test_debug_in_the_next_cell_of_a_new_kernel(kernel: Kernel, shares: Notebook) -> None:
    messages = kernel.run("%nbcluster replay shares 1")
    (error,) = of_type(messages, "error")
    assert error["content"]["ename"] == "ZeroDivisionError"
    assert "12 / part" in "".join(error["content"]["traceback"])
    said = plain(kernel.typing("%debug", "p ('here', n, part)", "up", "p ('still', n)", "q"))
    assert "----> 5 12 / part" in said
    assert "('here', 3, 0)" in said
    assert "nbcluster/" not in said


def test_the_debugger_at_once(kernel: Kernel, shares: Notebook) -> None:
    messages = kernel.typing("%nbcluster replay shares 1 --pdb", "p ('here', n, part)", "q")
    assert "('here', 3, 0)" in plain(messages)
    (error,) = of_type(messages, "error")
    assert len(error["content"]["traceback"]) == 1
    messages = kernel.typing("%nbcluster attach shares -q\nshares.replay(1, pdb=True)", "p ('call', n)", "q")
    assert "('call', 3)" in plain(messages)


def test_nobody_at_the_keyboard_is_said_and_the_error_stays(kernel: Kernel, shares: Notebook) -> None:
    messages = kernel.run("%nbcluster replay shares 1 --pdb", front_end=False)
    assert "This front end sends nothing to the debugger" in printed(messages)
    assert of_type(messages, "error")[0]["content"]["ename"] == "ZeroDivisionError"
    assert shown(kernel.run("6 * 7")) == [{"text/plain": "42"}]


def test_the_debugger_in_a_terminal(shares: Notebook, cluster_url: str) -> None:
    typed = "%load_ext nbcluster\n%nbcluster replay shares 1 --pdb\np ('here', n, part)\nq\n6 * 7\nexit()\n"
    ran = subprocess.run(
        [sys.executable, "-m", "IPython", "--simple-prompt", "--colors=NoColor", "--no-banner", "--quick"],
        input=typed, env={**os.environ, "NBCLUSTER_URL": cluster_url}, capture_output=True, text=True,
        check=False, timeout=60,
    )  # fmt: skip
    assert "----> 5 12 / part" in ran.stdout, ran.stdout + ran.stderr
    assert "('here', 3, 0)" in ran.stdout
    assert "42" in ran.stdout


def test_pdb_in_plain_python(shares: Notebook, cluster_url: str) -> None:
    program = "import sys, nbcluster as nb\nnb.connect(sys.argv[1]).job('shares').replay(1, pdb=True)"
    ran = subprocess.run(
        [sys.executable, "-c", program, cluster_url], input="p ('here', n, part)\nq\n",
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert "(Pdb) ('here', 3, 0)" in ran.stdout, ran.stdout + ran.stderr
    assert ran.returncode == 1
    assert ran.stderr.startswith('Traceback (most recent call last):\n  File "<shares cell ')
    assert "    12 / part\n" in ran.stderr
