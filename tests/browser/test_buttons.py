"""Buttons below the headline: what a click does to the job, and what the page shows then."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import expect

from nbcluster.api import Cluster
from tests.browser.conftest import Gate, Open

pytestmark = pytest.mark.timeout(180, method="thread")


def test_pause_resume_cancel_and_resume_again(open_notebook: Open, gate: Gate, cluster: Cluster) -> None:
    notebook = open_notebook(gate.cell(40, options="-a"))
    notebook.run(1)
    headline = notebook.headline(1)
    notebook.button(1, "Pause").click()
    expect(headline).to_contain_text("paused")
    assert cluster.job("gated").snapshot().paused
    notebook.button(1, "Resume").click()
    expect(headline).to_contain_text("running")
    gate.let_pass(10)
    expect(headline).to_contain_text("10 of 40 items")
    notebook.button(1, "Cancel").click()
    assert not cluster.job("gated").snapshot().stop_requested  # one click asks only
    notebook.button(1, "Cancel: sure?").click()
    expect(headline).to_contain_text("stopped")
    assert cluster.job("gated").state == "STOPPED"
    gate.open()
    notebook.button(1, "Resume").click()
    expect(headline).to_contain_text("completed")
    assert cluster.job("gated").results() == list(range(40))
    expect(notebook.output(1).locator("button:visible")).to_have_count(0)


def test_what_failed_is_tried_again_in_the_same_place(open_notebook: Open, tmp_path: Path, cluster: Cluster) -> None:
    cured = tmp_path / "cured"
    notebook = open_notebook(
        f"%%nbcluster map n in range(4) -p 4 -o shares -a\n"
        f"import pathlib\nassert n != 2 or pathlib.Path({str(cured)!r}).exists(), 'ill'\nn"
    )
    notebook.run(1)
    expect(notebook.headline(1)).to_contain_text("1 failed")
    cured.touch()
    notebook.button(1, "Retry failed").click()
    expect(notebook.headline(1)).to_contain_text("completed")
    assert cluster.job("shares").results() == [0, 1, 2, 3]
    expect(notebook.panel.locator("button:visible", has_text="Retry failed")).to_have_count(0)


def test_a_button_that_can_do_nothing_says_why(open_notebook: Open, cluster: Cluster) -> None:
    notebook = open_notebook("%%nbcluster map n in range(4) -p 4 -o shares -a\n1 / (n - 1)")
    notebook.run(1)
    expect(notebook.button(1, "Retry failed")).to_be_visible()
    cluster.retry("shares").wait()
    notebook.button(1, "Retry failed").click()
    expect(notebook.output(1)).to_contain_text("a newer execution of it exists; use job('shares')")


def test_detach_ends_the_view_and_not_the_job(open_notebook: Open, gate: Gate, cluster: Cluster) -> None:
    notebook = open_notebook(gate.cell(20, options="-a"), "%nbcluster attach gated")
    notebook.run(1)
    notebook.button(1, "Detach").click()
    expect(notebook.output(1)).to_contain_text(
        re.compile(
            r"gated goes on without this view \(as it was at [\d:]+\)\. To see it again: %nbcluster attach gated"
        )
    )
    expect(notebook.output(1).locator("button:visible")).to_have_count(0)
    notebook.run(2)
    gate.let_pass(10)
    expect(notebook.headline(2)).to_contain_text("10 of 20 items")
    expect(notebook.headline(1)).not_to_contain_text("10 of 20 items")
    gate.open()
    expect(notebook.headline(2)).to_contain_text("completed")


def test_an_awaiting_cell_shows_the_job_once_and_can_be_left(open_notebook: Open, gate: Gate, cluster: Cluster) -> None:
    notebook = open_notebook(gate.cell(20, options="-a -q"), "await gated")
    notebook.run(1)
    notebook.start(2)
    expect(notebook.output(2)).to_contain_text("The stop button ends the waiting; the job goes on.")
    notebook.interrupt()
    notebook.ended(2)
    expect(notebook.output(2)).to_contain_text("gated goes on without this view")
    assert not cluster.job("gated").snapshot().stop_requested
    notebook.start(2)
    gate.let_pass(5)
    expect(notebook.headline(2)).to_contain_text("5 of 20 items")
    notebook.button(2, "Pause").click()
    expect(notebook.headline(2)).to_contain_text("paused")
    assert notebook.runs(2)
    notebook.button(2, "Resume").click()
    gate.open()
    notebook.ended(2)
    expect(notebook.headline(2)).to_have_count(1)
    expect(notebook.headline(2)).to_contain_text("completed")
    expect(notebook.output(2).locator(".jp-OutputArea-executeResult")).to_have_count(0)
