"""The live view of a job as a person sees it in JupyterLab."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Gate, Open
from tests.browser.pages import LOST

FAILING = "%%nbcluster map n in range(4) -p 4 -o shares -a\n1 / (n - 1)"

pytestmark = pytest.mark.timeout(180, method="thread")


def test_the_count_grows_while_the_cell_runs(open_notebook: Open, gate: Gate) -> None:
    notebook = open_notebook(gate.cell(40))
    notebook.start(1)
    headline = notebook.headline(1)
    for number in (4, 8, 12, 16):
        gate.let_pass(number)
        expect(headline).to_contain_text(f"{number} of 40 items")
        assert notebook.runs(1)
    gate.let_pass(40)
    notebook.ended(1)
    expect(headline).to_contain_text("40 items in")


def test_the_stop_button_stops_the_job_keeps_what_is_finished_and_says_how_to_go_on(
    open_notebook: Open, gate: Gate
) -> None:
    notebook = open_notebook(gate.cell(40), "gated.resume().wait()\nsum(gated.results())")
    output = notebook.start(1)
    gate.let_pass(10)
    expect(notebook.headline(1)).to_contain_text("10 of 40 items")
    notebook.interrupt()
    notebook.ended(1)
    expect(notebook.headline(1)).to_contain_text("stopped")
    expect(output).to_contain_text(
        "10 of 40 items are finished and kept. To go on: gated.resume() or %nbcluster resume"
    )
    gate.let_pass(40)
    expect(notebook.run(2)).to_contain_text(str(sum(range(40))))


def test_a_notebook_that_is_opened_again_without_its_kernel_tells_the_story(open_notebook: Open, gate: Gate) -> None:
    notebook = open_notebook(gate.cell(4), gate.cell(40, "unended"), gate.cell(5, "behind", "-a"), FAILING)
    gate.let_pass(4)
    notebook.run(1)
    notebook.start(2)
    expect(notebook.headline(2)).to_contain_text("4 of 40 items")
    notebook.interrupt()
    notebook.ended(2)
    notebook.run(3)
    expect(notebook.headline(3)).to_contain_text("4 of 5 items")
    notebook.run(4)
    expect(notebook.button(4, "Retry failed")).to_be_visible()
    notebook.reopen_without_kernel()
    expect(notebook.headline(1)).to_contain_text("4 items in")
    expect(notebook.headline(2)).to_contain_text("4 of 40 items")
    notebook.lost_widgets_are_hidden(3)
    expect(notebook.output(3).get_by_text("See %nbcluster attach behind")).to_be_visible()
    notebook.lost_widgets_are_hidden(4)
    expect(notebook.headline(4)).to_contain_text("1 failed")
    expect(notebook.panel.locator("button:visible", has_text="Retry failed")).to_have_count(0)
    expect(notebook.panel).not_to_contain_text(LOST, use_inner_text=True)
