"""The live view in a real kernel: what a front end receives, and what programs that run notebooks receive."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_notebook

import nbcluster as nb
from tests.notebook.kernels import Kernel, of_type, printed, shown
from tests.waiting import wait_until

pytestmark = pytest.mark.timeout(180, method="thread")

WIDGET = "application/vnd.jupyter.widget-view+json"
QUICK = "%%nbcluster map n in range(40) -o quick --fresh\nn * n"
SLOW = "%%nbcluster map n in range(100) -p 20 -o slow --fresh {options}\nimport time\ntime.sleep(0.05)\nn"


@pytest.fixture
def kernel(cluster_url: str) -> Iterator[Kernel]:
    kernel = Kernel({**os.environ, "NBCLUSTER_URL": cluster_url})
    kernel.run("%load_ext nbcluster")
    yield kernel
    kernel.stop()


def test_a_front_end_gets_widgets_and_keeps_html(kernel: Kernel) -> None:
    messages = kernel.run(QUICK)
    first, second = of_type(messages, "display_data")
    assert set(first["content"]["data"]) == {"text/html", "text/plain"}
    assert set(second["content"]["data"]) == {WIDGET, "text/html", "text/plain"}
    page, emptied = shown(messages)
    assert page["text/plain"] == "quick: COMPLETED, 40 of 40 items"
    assert "completed" in page["text/html"]
    assert 'aria-label="Nodes"' in page["text/html"]
    assert emptied == {"text/html": ""}
    assert len(of_type(messages, "comm_open")) == len(of_type(messages, "comm_close")) > 0
    assert printed(messages) == ""


def test_a_program_gets_one_line(kernel: Kernel) -> None:
    messages = kernel.run(QUICK, front_end=False)
    assert printed(messages) == "quick: COMPLETED, 40 of 40 items\n"
    assert of_type(messages, "display_data", "update_display_data", "comm_open", "clear_output", "error") == []
    messages = kernel.run("quick", front_end=False)
    assert shown(messages) == [{"text/plain": "<Job quick: COMPLETED, 40 of 40 items>"}]


def test_the_handle_shows_itself(kernel: Kernel) -> None:
    kernel.run(QUICK)
    (bundle,) = shown(kernel.run("quick"))
    assert bundle["text/plain"] == "<Job quick: COMPLETED, 40 of 40 items>"
    assert 'aria-label="Job quick"' in bundle["text/html"]


@pytest.mark.parametrize(("word", "displays"), [("html", 1), ("text", 0), ("none", 0)])
def test_other_ways_to_show(kernel: Kernel, word: str, displays: int) -> None:
    messages = kernel.run(QUICK.replace("-o quick", f"-o quick --progress {word}"))
    assert len(shown(messages)) == displays
    assert all(set(output) == {"text/html", "text/plain"} for output in shown(messages))
    assert printed(messages) == ("quick: COMPLETED, 40 of 40 items\n" if word == "text" else "")
    assert of_type(messages, "comm_open") == []


def test_the_environment_says_how_to_show(kernel: Kernel) -> None:
    kernel.run("import os\nos.environ['NBCLUSTER_DISPLAY'] = 'none'")
    messages = kernel.run(QUICK)
    assert (shown(messages), printed(messages)) == ([], "")


def test_a_view_goes_on_after_its_cell(kernel: Kernel) -> None:
    messages = kernel.run(SLOW.format(options="-a"))
    assert WIDGET in shown(messages)[1]
    messages += kernel.until(lambda m: m["msg_type"] == "update_display_data" and "COMPLETED" in str(m["content"]))
    messages += kernel.run("'another cell'")
    page, emptied, *_ = shown(messages)
    assert page["text/plain"] == "slow: COMPLETED, 100 of 100 items"
    assert emptied == {"text/html": ""}
    assert printed(messages) == ""


def test_a_cell_that_is_run_again_ends_the_view_of_its_run_before(kernel: Kernel) -> None:
    first = kernel.run(SLOW.format(options="-a"))
    opened = {message["content"]["comm_id"] for message in of_type(first, "comm_open")}
    second = kernel.run(SLOW.format(options="-a"))
    assert opened <= {message["content"]["comm_id"] for message in of_type(second, "comm_close")}
    alive = {message["content"]["comm_id"] for message in of_type(second, "comm_open")}
    assert not alive & {message["content"]["comm_id"] for message in of_type(second, "comm_close")}
    kernel.run("slow.cancel(now=True)")


def test_a_failed_job_is_one_short_error(kernel: Kernel) -> None:
    messages = kernel.run("%%nbcluster map n in range(3) -o shares\n1 / (n - 1)")
    (error,) = of_type(messages, "error")
    assert error["content"]["ename"] == "JobFailed"
    assert len(error["content"]["traceback"]) == 1
    assert shown(messages)[0]["text/plain"] == "shares: FAILED, 2 of 3 items"


def test_the_stop_button_stops_and_resume_goes_on(kernel: Kernel) -> None:
    sent = kernel.send(SLOW.format(options=""), front_end=True)
    kernel.until(lambda m: m["msg_type"] == "display_data" and WIDGET in m["content"]["data"])
    kernel.manager.interrupt_kernel()
    (message,) = of_type(kernel.until_idle(sent), "error")
    error = message["content"]
    assert error["ename"] == "KeyboardInterrupt"
    assert len(error["traceback"]) == 1
    assert error["evalue"].startswith("slow: stopped; ")
    assert error["evalue"].endswith("To go on: slow.resume() or %nbcluster resume slow")
    messages = kernel.run("print(slow.resume().wait().state, sum(slow.results()))")
    assert printed(messages) == f"COMPLETED {sum(range(100))}\n"


def test_the_second_press_of_the_stop_button_leaves_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NBCLUSTER_URL", f"sqlite:///{tmp_path / 'cluster.db'}")
    monkeypatch.setenv("NBCLUSTER_INTERRUPT_GRACE", "60")
    held = "%%nbcluster map n in range(2) -p 2 -o held\nimport signal, time\n"
    held += "signal.signal(signal.SIGINT, signal.SIG_IGN)\ntime.sleep(60)"
    with nb.connect() as cluster:
        cluster.up(1, slots=2)
        kernel = Kernel(dict(os.environ))
        kernel.run("%load_ext nbcluster")
        sent = kernel.send(held, front_end=True)
        kernel.until(lambda m: "2 running" in str(m["content"]))
        kernel.manager.interrupt_kernel()
        wait_until(lambda: cluster.job("held").snapshot().stop_requested)
        kernel.manager.interrupt_kernel()
        (message,) = of_type(kernel.until_idle(sent), "error")
        assert message["content"]["evalue"] == "held: left while it stops; look at it again with %nbcluster attach held"
        assert not cluster.job("held").done()
        kernel.stop()
        cluster.cancel("held", now=True)
        cluster.down()


def test_awaited_jobs_are_shown_and_end_as_html(kernel: Kernel) -> None:
    for name in ("one", "two"):
        kernel.run(SLOW.format(options="-a -q").replace("-o slow", f"-o {name}"))
    messages = kernel.run("import asyncio\n[job.state for job in await asyncio.gather(one, two)]")
    *views, value = shown(messages)
    assert value == {"text/plain": "['COMPLETED', 'COMPLETED']"}
    pages = sorted(view["text/plain"] for view in views if view != {"text/html": ""})
    assert pages == ["one: COMPLETED, 100 of 100 items", "two: COMPLETED, 100 of 100 items"]
    assert all(WIDGET not in view for view in views)
    assert len(of_type(messages, "comm_open")) == len(of_type(messages, "comm_close"))


def test_an_awaited_job_that_is_shown_elsewhere_is_not_shown_again(kernel: Kernel) -> None:
    kernel.run(SLOW.format(options="-a"))
    messages = kernel.run("await slow")
    (value,) = of_type(messages, "execute_result")
    assert value["content"]["data"]["text/plain"] == "<Job slow: COMPLETED, 100 of 100 items>"
    assert of_type(messages, "display_data", "comm_open") == []


def test_the_end_of_the_kernel_stops_no_job(cluster_url: str) -> None:
    kernel = Kernel({**os.environ, "NBCLUSTER_URL": cluster_url})
    kernel.run("%load_ext nbcluster")
    kernel.send(SLOW.format(options="--name outlives"), front_end=True)
    kernel.until(lambda m: m["msg_type"] == "display_data" and WIDGET in m["content"]["data"])
    kernel.stop()
    with nb.connect(cluster_url) as cluster:
        job = cluster.job("outlives")
        assert not job.snapshot().stop_requested
        assert job.wait(60).results() == list(range(100))


# --- notebooks that are run by programs ------------------------------------------------------------------------------

TUTORIAL = [
    "%load_ext nbcluster",
    "%nbcluster up 1 --slots 1  # a node",
    "%%nbcluster map n in range(20) -o squares\nn * n",
    "squares",
    "sum(squares.results())",
    "%nbcluster attach squares",
    "%%nbcluster map n in range(4) -o halves --on-error collect\n2 / n",
    "list(halves.frame()['error'].notna())",
    "%%nbcluster local n in range(3) -o here\nn",
    "here",
    "await squares",
    "[value async for value in squares][-1]",
    "[pair async for pair in here.as_completed()], (await here).results(), [value async for value in here]",
    "%nbcluster down",
]


def test_a_tutorial_passes_strict_nbval_again_and_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NBCLUSTER_URL", f"sqlite:///{tmp_path / 'cluster.db'}")
    notebook = new_notebook(cells=[new_code_cell(source) for source in TUTORIAL])
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    NotebookClient(notebook, timeout=60).execute()
    texts = [output.get("text", "") for cell in notebook.cells for output in cell.outputs]
    assert "squares: COMPLETED, 20 of 20 items\n" in texts
    path = tmp_path / "tutorial.ipynb"
    nbformat.write(notebook, path)
    for run in range(2):
        monkeypatch.setenv("NBCLUSTER_URL", f"sqlite:///{tmp_path / f'again{run}.db'}")
        command = [sys.executable, "-m", "pytest", "--nbval", "--nbval-current-env", "-q", "-p", "no:cacheprovider"]
        ran = subprocess.run(
            [*command, "--rootdir", str(tmp_path), str(path)], capture_output=True, text=True, check=False, timeout=120
        )
        assert re.search(rf"{len(TUTORIAL)} passed", ran.stdout), ran.stdout + ran.stderr
