"""The whole cluster live, and the doctor's table, as a person sees them in JupyterLab."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from nbcluster.api import Cluster
from tests.browser.conftest import Gate, Open
from tests.browser.pages import LOST
from tests.browser.test_themes import assert_legible

pytestmark = pytest.mark.timeout(180, method="thread")


def test_a_job_that_somebody_else_runs_is_seen_while_it_runs(open_notebook: Open, gate: Gate) -> None:
    watching = open_notebook("%nbcluster watch")
    watching.run(1)
    expect(watching.headline(1)).to_contain_text("1 node alive, 0 of 2 slots busy; 0 jobs running")
    working = open_notebook(gate.cell(20, "theirs", "-a --progress none"))
    working.run(1)
    watching.show()
    expect(watching.headline(1)).to_contain_text("2 of 2 slots busy; 1 job running")
    jobs = watching.output(1).locator('table[aria-label="Jobs"]:visible')
    for number in (5, 15):
        gate.let_pass(number)
        expect(jobs).to_contain_text(f"{number} of 20")
    gate.open()
    expect(jobs).to_contain_text("completed")
    expect(watching.headline(1)).to_contain_text("0 jobs running")


def test_close_leaves_the_last_state_and_so_does_running_the_cell_again(open_notebook: Open) -> None:
    notebook = open_notebook("%nbcluster watch")
    notebook.run(1)
    notebook.run(1)
    expect(notebook.button(1, "Close")).to_have_count(1)
    notebook.button(1, "Close").click()
    expect(notebook.output(1)).to_contain_text("as it was at")
    expect(notebook.button(1, "Close")).to_have_count(0)
    notebook.reopen_without_kernel()
    expect(notebook.headline(1)).to_contain_text("1 node alive")
    expect(notebook.panel).not_to_contain_text(LOST, use_inner_text=True)


def test_without_a_kernel_an_open_view_says_how_to_see_it_again(open_notebook: Open) -> None:
    notebook = open_notebook("%nbcluster watch")
    notebook.run(1)
    expect(notebook.headline(1)).to_contain_text("1 node alive")
    notebook.reopen_without_kernel()
    expect(notebook.output(1)).to_contain_text("See it again with %nbcluster watch")
    expect(notebook.panel).not_to_contain_text(LOST, use_inner_text=True)


def test_it_is_legible_in_both_themes(open_notebook: Open, gate: Gate, cluster: Cluster) -> None:
    notebook = open_notebook(
        gate.cell(4, "gpus", "-a --progress none --require gpu"),
        gate.cell(20, "running", "-a --progress none"),
        "%nbcluster watch",
        "%nbcluster doctor",
    )
    for number in (1, 2, 3, 4):
        notebook.run(number)
    texts = {"headline": ".nbc-name, .nbc-head > span", "dim text": ".nbc-dim", "chips": ".nbc-chip", "table": "th, td"}
    expect(notebook.headline(3)).to_contain_text("2 of 2 slots busy; 2 jobs running")
    expect(notebook.output(4)).to_contain_text("No live node has gpu")
    assert_legible(notebook, 3, {**texts, "button": "button"})
    del texts["dim text"]  # a finding with a cure beside its command has some; there is none here
    assert_legible(notebook, 4, texts)
    for name in ("gpus", "running"):
        cluster.job(name).cancel(now=True)
