"""The magics through a real shell, against a real node."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pandas as pd
import pytest

from nbcluster.store import SCHEMA_VERSION
from tests.notebook.conftest import Notebook

# By signal, a test that takes too long would get its exception inside a cell, and the shell would catch it.
pytestmark = pytest.mark.timeout(180, method="thread")

COLLATZ = """%%nbcluster map n in range(1, 101) -o collatz --fresh
steps = 0
while n != 1:
    n = n // 2 if n % 2 == 0 else 3 * n + 1
    steps += 1
steps
"""


def collatz(n: int) -> int:
    steps = 0
    while n != 1:
        n = n // 2 if n % 2 == 0 else 3 * n + 1
        steps += 1
    return steps


# --- loading ---------------------------------------------------------------------------------------------------------


def test_loading_is_silent_quick_and_connects_to_nothing() -> None:
    program = """
        import sys, time
        from IPython.core.interactiveshell import InteractiveShell
        shell = InteractiveShell.instance()
        began = time.perf_counter()
        shell.run_cell("%load_ext nbcluster")
        seconds = time.perf_counter() - began
        heavy = {"pandas", "sqlalchemy", "ipywidgets", "psycopg", "cloudpickle", "matplotlib"} & set(sys.modules)
        print(seconds < 0.5, sorted(heavy))
    """
    ran = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, check=True, timeout=60
    )
    assert (ran.stdout, ran.stderr) == ("True []\n", "")


def test_loading_twice_is_harmless(notebook: Notebook) -> None:
    assert "already loaded" in notebook.good("%load_ext nbcluster").out
    notebook.good("%reload_ext nbcluster")
    names = [type(one).__name__ for one in notebook.shell.configurables]
    assert names.count("NBCluster") == 1
    assert "node alive" in notebook.good("%nbcluster").out


def test_unloading_forgets_the_magics(notebook: Notebook) -> None:
    notebook.good("%unload_ext nbcluster")
    assert "not found" in notebook.run("%nbcluster").err
    names = [type(one).__name__ for one in notebook.shell.configurables]
    assert "NBCluster" not in names
    notebook.good("%load_ext nbcluster")
    assert "node alive" in notebook.good("%nbcluster").out


# --- lines -----------------------------------------------------------------------------------------------------------


def test_the_status_is_one_line(notebook: Notebook, cluster_url: str) -> None:
    assert notebook.good("%nbcluster").out == f"{cluster_url}: 1 node alive with 2 slots; 0 jobs running\n"


def test_listings_are_frames(notebook: Notebook) -> None:
    notebook.good(COLLATZ)
    nodes = notebook.good("%nbcluster nodes").value
    assert isinstance(nodes, pd.DataFrame)
    assert list(nodes["slots"]) == [2]
    notebook.good("jobs = %nbcluster jobs")
    assert notebook["jobs"]["name"][0] == "collatz"
    assert len(notebook.good("%nbcluster nodes --all").value) > 1
    assert set(notebook.good("%nbcluster partitions collatz").value["state"]) == {"COMPLETED"}


def test_connect_and_config_choose_the_database(notebook: Notebook, cluster_url: str, tmp_path: Path) -> None:
    other = f"sqlite:///{tmp_path / 'other.db'}"
    said = f"connected to {other} (schema version {SCHEMA_VERSION}): no node alive\n"
    assert notebook.good(f"%nbcluster connect {other}").out == said
    assert notebook.good("%nbcluster").out.startswith(other)
    third = f"sqlite:///{tmp_path / 'third.db'}"
    notebook.good(f"%config NBCluster.url = '{third}'")
    assert notebook.good("%nbcluster").out.startswith(third)
    notebook.good("%config NBCluster.url = ''")
    assert notebook.good("%nbcluster").out.startswith(cluster_url)


def test_a_database_that_is_not_there_leaves_the_old_connection(notebook: Notebook, cluster_url: str) -> None:
    notebook.good("%nbcluster")
    ran = notebook.run("%nbcluster connect postgresql://ada:canary@127.0.0.1:9/none")
    assert type(ran.error).__name__ == "DatabaseUnreachable"
    assert "canary" not in ran.out + ran.err
    assert "Traceback" not in ran.out + ran.err
    assert notebook.good("%nbcluster").out.startswith(cluster_url)


def test_help(notebook: Notebook) -> None:
    assert "%%nbcluster map TARGET in EXPR" in notebook.good("%nbcluster help").out
    assert "--strategy NAME" in notebook.good("%nbcluster help map").out
    assert notebook.good("%%nbcluster map --help\n1").out == notebook.good("%nbcluster help map").out
    assert "%nbcluster attach JOB" in (notebook.shell.find_line_magic("nbcluster").__doc__ or "")


def test_tab(notebook: Notebook) -> None:
    def complete(line: str) -> list[str]:
        word = line.rsplit(" ", maxsplit=1)[-1]
        return list(notebook.shell.complete(word, line, len(line))[1])

    assert "attach" in complete("%nbcluster at")
    assert "--strategy" in complete("%%nbcluster map n in xs --str")
    notebook.good(COLLATZ)
    assert "collatz" in complete("%nbcluster attach coll")


# --- cells -----------------------------------------------------------------------------------------------------------


def test_map_of_an_ordinary_body(notebook: Notebook) -> None:
    ran = notebook.good(COLLATZ)
    assert ran.out == "collatz: COMPLETED, 100 of 100 items\n"
    frame = notebook["collatz"].frame()
    assert list(frame["input"]) == list(range(1, 101))
    assert list(frame["value"]) == [collatz(n) for n in range(1, 101)]
    assert notebook["_job"] is notebook["collatz"]
    assert notebook.good("collatz").value is notebook["collatz"]
    assert notebook["collatz"].code == COLLATZ.replace("%%nbcluster map", "%%nbcluster map")


def test_map_of_definitions(notebook: Notebook) -> None:
    notebook.good("%%nbcluster map n in range(5) -o squares\nimport math\ndef square(x):\n    return math.pow(x, 2)\n")
    assert notebook["squares"].results() == [0, 1, 4, 9, 16]
    assert notebook["square"](3) == 9


def test_names_of_the_notebook_travel(notebook: Notebook) -> None:
    notebook.good("import math\nfactor = 10\ndef scaled(x):\n    return math.floor(x * factor)")
    notebook.good("%%nbcluster map n in [factor / 4, factor / 8] -o scales\nscaled(n)")
    assert notebook["scales"].results() == [25, 12]


@pytest.mark.parametrize(
    "body", ["a * b", "def times(a, b):\n    return a * b"], ids=["an ordinary body", "definitions"]
)
def test_targets_are_taken_apart(notebook: Notebook, body: str) -> None:
    notebook.good(f"%%nbcluster map a, b in zip([1, 2], [3, 4]) -o products\n{body}")
    assert notebook["products"].results() == [3, 8]


def test_map_partitions_sees_the_piece(notebook: Notebook) -> None:
    notebook.good("import nbcluster as nb")
    notebook.good("%%nbcluster map_partitions part in nb.ranges(0, 100) -p 4 -o sums\nsum(part)")
    assert notebook["sums"].results() == [300, 925, 1550, 2175]


def test_submit_runs_once(notebook: Notebook) -> None:
    notebook.good("word = 'hello'")
    notebook.good("%%nbcluster submit -o greeting --name 'good day'\nword.upper()")
    assert notebook["greeting"].result() == "HELLO"
    assert notebook["greeting"].name == "good day"


def test_options_reach_the_job(notebook: Notebook) -> None:
    notebook.good("%%nbcluster map n in range(9) -c 2 -s fixed --nodes 1 --no-transferable -q -o few\nn")
    snapshot = notebook["few"].snapshot()
    assert sum(snapshot.partitions.values()) == 5
    assert (snapshot.strategy, snapshot.transferable) == ("fixed_node_count", False)
    ran = notebook.run("%%nbcluster map n in [big] --max-capture 1kB\nlen(big)")
    assert isinstance(ran.error, NameError)
    notebook.good("big = list(range(10_000))")
    ran = notebook.run("%%nbcluster map n in [1] --max-capture 1kB\nlen(big)")
    assert type(ran.error).__name__ == "TooLarge"
    assert "big" in str(ran.error)


def test_a_strategy_of_the_notebook(notebook: Notebook) -> None:
    notebook.good("def mine(partitions, nodes):\n    return [None] * len(partitions)")
    notebook.good("%%nbcluster map n in range(4) -s mine -o placed -q\nn")
    assert notebook["placed"].results() == [0, 1, 2, 3]


def test_the_handle_is_bound_before_the_job_ends(notebook: Notebook) -> None:
    ran = notebook.good("%%nbcluster map n in range(2) -o later -a\nimport time\ntime.sleep(0.2)\nn")
    assert ran.out == "later: STARTED, 0 of 2 items\n"
    assert notebook["later"].results() == [0, 1]


def test_a_failed_item_is_one_short_error(notebook: Notebook) -> None:
    ran = notebook.run("%%nbcluster map n in range(10) -o shares\n\nrest = 5 - n\n1 / rest")
    assert type(ran.error).__name__ == "JobFailed"
    assert ran.out.splitlines() == [
        "shares: FAILED, 9 of 10 items",
        "JobFailed: shares: 1 of 10 items failed",
        "  1 x ZeroDivisionError: division by zero, first at item 5 (partition 4); replay with shares.replay(4)",
        "See shares.errors(); everything else is in shares.frame()",
    ]
    traceback = notebook["shares"].errors()["traceback"][0]
    assert "line 4, in shares\n    1 / rest\n" in traceback
    assert notebook["shares"].frame()["value"].count() == 9


def test_collected_errors_let_the_notebook_go_on(notebook: Notebook) -> None:
    notebook.good("%%nbcluster map n in [0, 1] -o shares --on-error collect\n1 / n")
    assert list(notebook["shares"].frame()["error"]) == ["ZeroDivisionError: division by zero", None]


def test_attach_by_name(notebook: Notebook) -> None:
    notebook.good(COLLATZ)
    notebook.shell.reset()
    assert notebook.good("%nbcluster attach collatz").out == "collatz: COMPLETED, 100 of 100 items\n"
    assert notebook.good("collatz.frame()['value'].sum()").value == sum(map(collatz, range(1, 101)))
    notebook.good("collatz = 'mine'")
    notebook.good("%nbcluster attach collatz")
    assert notebook["collatz"] == "mine"
    notebook.good("%nbcluster attach collatz -o mine")
    assert notebook["mine"].name == notebook["_job"].name == "collatz"


def test_cancel_and_resume(notebook: Notebook) -> None:
    notebook.good("%%nbcluster map n in range(8) -p 8 -o slow -a -q\nimport time\ntime.sleep(0.4)\nn")
    said = notebook.good("%nbcluster cancel slow").out
    assert said.startswith("slow: stopped; ")
    assert said.endswith("To go on: %nbcluster resume slow\n")
    assert notebook.good("%nbcluster resume slow").out == "slow: COMPLETED, 8 of 8 items\n"
    assert notebook["slow"].results() == list(range(8))
    assert "ended before it could be stopped" in notebook.good("%nbcluster cancel slow").out
    assert "complete" in str(notebook.run("%nbcluster resume slow").error)


def test_logs(notebook: Notebook) -> None:
    notebook.good("%%nbcluster map n in range(2) -p 2 -o talk\nprint('number', n, end='\\x1b[31m\\n')")
    assert notebook.good("%nbcluster logs talk 1").out == "number 1\n"
    assert "number" in notebook.good("%nbcluster logs talk").out
    notebook.good("%%nbcluster map n in range(2) -o silent\nn")
    assert notebook.good("%nbcluster logs silent").out == "nothing was printed\n"


# --- local -----------------------------------------------------------------------------------------------------------


def test_local_runs_here(notebook: Notebook) -> None:
    frame = notebook.good("%%nbcluster local n in range(3)\nimport os\nos.getpid()").value
    import os

    assert list(frame.columns) == ["input", "value", "error", "partition", "node", "attempt", "seconds"]
    assert set(frame["value"]) == {os.getpid()}


def test_local_answers_like_a_job(notebook: Notebook) -> None:
    here = COLLATZ.replace("map", "local")
    assert notebook.good(here).value is None
    local = notebook["collatz"]
    assert local.results() == list(local.iter()) == [collatz(n) for n in range(1, 101)]
    assert repr(local) == "<Job collatz: COMPLETED, 100 of 100 items>"
    notebook.good(COLLATZ)
    job = notebook["collatz"].frame()
    pd.testing.assert_frame_equal(local.frame()[["input", "value", "error"]], job[["input", "value", "error"]])


def test_local_has_the_frames_and_files_of_a_job(notebook: Notebook, tmp_path: Path) -> None:
    cell = "%%nbcluster {} n in range(5) -o found --on-error collect\n{{'n': n, 'inverse': 1 / n}}"
    notebook.good(cell.format("local"))
    local = notebook["found"]
    assert local.stop_when(lambda frame: True) is local
    local.to_csv(tmp_path / "local.csv")
    notebook.good(cell.format("map"))
    job = notebook["found"]
    job.to_csv(tmp_path / "job.csv")
    shown = ["input", "n", "inverse", "error"]
    assert list(local.frame().columns) == list(job.frame().columns)
    pd.testing.assert_frame_equal(local.frame()[shown], job.frame()[shown])
    here, there = (pd.read_csv(tmp_path / name)[shown] for name in ("local.csv", "job.csv"))
    pd.testing.assert_frame_equal(here, there)


def test_local_shows_the_cells_own_traceback(notebook: Notebook) -> None:
    ran = notebook.run("%%nbcluster local n in [0]\nx = 1\nx / n")
    assert isinstance(ran.error, ZeroDivisionError)
    assert "----> 3 x / n" in ran.out
    assert "local_job" not in ran.out
    ran = notebook.good("%%nbcluster local a, b in [(1, 0), (1, 1)] -o both --on-error collect\na / b")
    assert list(notebook["both"].errors()["error"]) == ["ZeroDivisionError"]
    assert type(notebook.run("both.results()").error).__name__ == "JobFailed"


# --- what makes no sense ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cell", "sentence"),
    [
        ("%nbcluster nods", "%nbcluster nods: there is no such command; did you mean nodes?"),
        ("%nbcluster mpa", "%nbcluster mpa: there is no such command; did you mean %%nbcluster map?"),
        ("%nbcluster up 0", "N: 0 is too few; write 1 or more"),
        ("%nbcluster up 1 --slots -1", "--slots: -1 is too few; write 1 or more"),
        ("%%nbcluster map n in range(3) --chunks 2\nn", "there is no option --chunks; did you mean --chunk?"),
        ("%%nbcluster map range(3)\nn", "`range(3)` is no TARGET in EXPR"),
        ("%%nbcluster map n in range(3)\n# nothing", "the cell has no body"),
        ("%%nbcluster map n in range(3)\nx = 1\nx +* n", "line 3: invalid syntax"),
        ("%%nbcluster map n in range(3)\nreturn n", "line 2: no `return` in a body"),
        ("%%nbcluster map n in range(3)\n!ls", "line 2: `!ls` is IPython's own syntax"),
        ("%%nbcluster map n in range(3)\ntotal += n", "line 2: `total` is changed but never set"),
        ("%nbcluster help mapp", "did you mean map"),
    ],
)
def test_one_red_line_for_what_was_typed(notebook: Notebook, cell: str, sentence: str) -> None:
    ran = notebook.run(cell)
    assert type(ran.error).__name__ == "UsageError"
    assert ran.err.startswith("UsageError: ")
    assert sentence in ran.err
    assert "Traceback" not in ran.out + ran.err
    assert "_job" not in notebook


@pytest.mark.parametrize(
    ("cell", "kind", "sentence"),
    [
        ("%%nbcluster map n in []\nn", "InputError", "empty"),
        ("%%nbcluster map n in itertools.count()\nn", "InputError", "never ends"),
        ("%%nbcluster map n in 5\nn", "InputError", ""),
        ("%%nbcluster map n in range(3)\nlock.locked()", "CannotPickle", "lock"),
        ("%%nbcluster map n in range(3) -s nonsense\nn", "", "nonsense"),
        ("%nbcluster attach nothing", "UnknownJob", "nothing"),
        ("%nbcluster partitions nothing", "UnknownJob", "nothing"),
        ("%nbcluster connect nonsense://x", "ConfigError", "nonsense"),
    ],
)
def test_one_red_line_for_what_cannot_be_done(notebook: Notebook, cell: str, kind: str, sentence: str) -> None:
    notebook.good("import itertools, threading\nlock = threading.Lock()")
    ran = notebook.run(cell)
    assert kind in type(ran.error).__name__
    assert sentence in str(ran.error)
    assert ran.out.startswith(f"{type(ran.error).__name__}: ")
    assert "Traceback" not in ran.out + ran.err
    assert "_job" not in notebook


def test_an_error_of_the_header_shows_the_header(notebook: Notebook) -> None:
    ran = notebook.run("%%nbcluster map n in rnage(3)\nn")
    assert isinstance(ran.error, NameError)
    assert "----> 1 %%nbcluster map n in rnage(3)" in ran.out
    assert "cell_commands" not in ran.out


def test_an_error_of_a_definition_shows_the_cell(notebook: Notebook) -> None:
    ran = notebook.run("%%nbcluster map n in range(3)\nimport no_such_module\ndef f(n):\n    return n")
    assert isinstance(ran.error, ModuleNotFoundError)
    assert "----> 2 import no_such_module" in ran.out
