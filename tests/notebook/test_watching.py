"""``watch`` and ``doctor`` in notebooks: in a shell, and in a real kernel with a front end."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import nbcluster as nb
from tests.notebook.conftest import Notebook
from tests.notebook.kernels import Kernel, Message, of_type, printed, shown
from tests.waiting import wait_until

WIDGET = "application/vnd.jupyter.widget-view+json"
SLOW = "%%nbcluster map n in range(400) -p 400 -o slow -a --progress none --fresh\nimport time\ntime.sleep(0.05)\nn"


# --- in a shell ----------------------------------------------------------------------------------


def test_without_a_front_end_watch_prints_the_cluster_once(notebook: Notebook) -> None:
    notebook.good("%%nbcluster map n in range(3) -o threes -q\nn")
    said = notebook.good("%nbcluster watch").out
    assert said.startswith("cluster: ")
    assert "1 node alive, " in said
    assert any(line.split()[:3] == ["node", "state", "heartbeat"] for line in said.splitlines())
    assert any(line.split()[0] == "threes" and "completed" in line for line in said.splitlines()[1:] if line)


def test_watching_a_job_binds_no_name(notebook: Notebook, cluster_url: str) -> None:
    with nb.connect(cluster_url) as elsewhere:
        elsewhere.map(abs, range(4), name="of_somebody_else").wait(60)
    assert notebook.good("%nbcluster watch of_somebody_else").out == "of_somebody_else: COMPLETED, 4 of 4 items\n"
    assert "of_somebody_else" not in notebook
    assert "_job" not in notebook
    ran = notebook.run("%nbcluster watch nothing_of_that_name")
    assert type(ran.error).__name__ == "UnknownJob"


def test_in_python_the_same_without_the_magics(bare: Notebook, cluster_url: str) -> None:
    bare.good(
        f"import nbcluster as nb\nnc = nb.connect({cluster_url!r})\njob = nc.map(abs, range(4), name='four').wait()"
    )
    assert bare.good("nc.watch()").out.startswith("cluster: ")
    assert bare.good("job.watch()").out == "four: COMPLETED, 4 of 4 items\n"
    assert bare.good("%nbcluster help watch").out.startswith("%nbcluster watch [JOB]")
    bare.good("nc.close()")


def test_the_status_names_ones_own_running_jobs(notebook: Notebook) -> None:
    notebook.good(SLOW)
    said = notebook.good("%nbcluster").out
    assert "1 job running (yours: slow " in said
    assert said.count("\n") == 1
    notebook.good("slow.cancel(now=True)")


def test_doctor_gives_a_diagnosis_that_shows_itself(notebook: Notebook) -> None:
    diagnosis = notebook.good("%nbcluster doctor").value
    assert isinstance(diagnosis, nb.Diagnosis)
    checks = {finding.check: finding for finding in diagnosis.findings}
    assert checks["nodes"].seen.startswith("1 node alive, ")
    assert "NBCLUSTER_URL" in checks["database"].seen
    assert notebook.good("nc = _ ; print(repr(nc))").out == f"{diagnosis}\n"


def test_doctor_works_when_connecting_does_not(bare: Notebook, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NBCLUSTER_URL", "postgresql+psycopg://ada:canary@127.0.0.1:9/none")
    bare.good("%load_ext nbcluster")
    diagnosis = bare.good("%nbcluster doctor").value
    (finding,) = diagnosis.findings
    assert "cannot be reached" in finding.seen
    assert finding.command.startswith("pg_isready")
    assert "canary" not in str(diagnosis)


def test_jobs_since(notebook: Notebook) -> None:
    notebook.good("%%nbcluster map n in range(3) -o recent -q\nn")
    assert "recent" in set(notebook.good("%nbcluster jobs --since 1d").value["name"])
    assert len(notebook.good("%nbcluster jobs --since 1ms").value) == 0
    assert type(notebook.run("%nbcluster jobs --since soon").error).__name__ == "UsageError"


# --- in a kernel ---------------------------------------------------------------------------------


@pytest.fixture
def kernel(cluster_url: str) -> Iterator[Kernel]:
    kernel = Kernel({**os.environ, "NBCLUSTER_URL": cluster_url})
    kernel.run("%load_ext nbcluster")
    yield kernel
    kernel.stop()


def html_of(message: Message) -> str:
    """What an update shows in a widget or in its place."""
    content: dict[str, Any] = message["content"]
    state = content.get("data", {}).get("state", {})
    return str(state.get("value") or content.get("data", {}).get("text/html") or "")


def test_a_front_end_gets_a_view_that_goes_on_after_the_cell(kernel: Kernel) -> None:
    messages = kernel.run("%nbcluster watch")
    bundle = shown(messages)[-1]
    assert WIDGET in bundle
    assert 'aria-label="Nodes"' in bundle["text/html"]
    assert printed(messages) == ""
    kernel.send(SLOW, front_end=True)
    kernel.until(lambda message: message["msg_type"] == "comm_msg" and "slow" in html_of(message))
    kernel.run("slow.cancel(now=True)")


def the_button(messages: list[Message]) -> str:
    """The comm of the button that says Close."""
    (found,) = [
        message["content"]["comm_id"]
        for message in of_type(messages, "comm_open")
        if message["content"]["data"]["state"].get("description") == "Close"
    ]
    return str(found)


def is_final(message: Message) -> bool:
    return message["msg_type"] == "update_display_data" and "as it was at" in html_of(message)


def test_its_button_closes_it_and_leaves_html(kernel: Kernel) -> None:
    messages = kernel.run("%nbcluster watch")
    click = {
        "comm_id": the_button(messages),
        "data": {"method": "custom", "content": {"event": "click"}, "buffers": []},
    }
    kernel.client.shell_channel.send(kernel.client.session.msg("comm_msg", click))
    messages += kernel.until(is_final)
    messages += kernel.run("1")
    opened = {message["content"]["comm_id"] for message in of_type(messages, "comm_open")}
    assert {message["content"]["comm_id"] for message in of_type(messages, "comm_close")} == opened
    page, emptied, *_ = shown(messages)
    assert set(page) == {"text/html", "text/plain"}
    assert emptied == {"text/html": ""}


def test_running_its_cell_again_ends_the_view_before(kernel: Kernel) -> None:
    kernel.run("%nbcluster watch")
    messages = kernel.run("%nbcluster watch")
    assert [message for message in messages if is_final(message)]
    threads = "import threading\nprint(sum('view-cluster' in t.name for t in threading.enumerate()))"
    wait_until(lambda: printed(kernel.run(threads)) == "1\n", message="the end of the first view's thread")


def test_a_program_gets_text_and_a_diagnosis_as_html_too(kernel: Kernel) -> None:
    messages = kernel.run("%nbcluster watch", front_end=False)
    assert printed(messages).startswith("cluster: ")
    assert of_type(messages, "display_data", "comm_open") == []
    (bundle,) = shown(kernel.run("%nbcluster doctor", front_end=False))
    assert set(bundle) == {"text/plain", "text/html"}
    assert "<table" in bundle["text/html"]
    assert ">ok</span>" in bundle["text/html"]


def test_what_a_diagnosis_quotes_does_not_act_in_html(tmp_path: Path) -> None:
    from nbcluster.diagnosing.diagnosis import Diagnosis, Finding, Result
    from nbcluster.notebook.diagnosis_render import page

    evil = "<img src=x onerror=alert(1)>"
    assert "<img" not in page(Diagnosis([Finding(evil, Result.PROBLEM, evil, evil, evil)]))
