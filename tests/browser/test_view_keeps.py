"""What a reader opened and where a reader scrolled stays while the figures of a live view change."""

from __future__ import annotations

import pytest
from playwright.sync_api import Locator, expect

from tests.browser.conftest import Gate, Open
from tests.browser.pages import Notebook

pytestmark = pytest.mark.timeout(180, method="thread")

FAILING = (
    "\nprint('item', n, *range(60), sep='\\n')\nraise ValueError(f'kind {n % 2}\\n' + '\\n'.join(map(str, range(60))))"
)
SCROLLED = "element => element.scrollTop"
SCROLL = "element => { element.scrollTop = 40; }"


def scrolled(box: Locator) -> float:
    place: float = box.evaluate(SCROLLED)
    return place


def grow(notebook: Notebook, gate: Gate, *numbers: int) -> None:
    """Let the job go on and wait until the view says so, each time."""
    for number in numbers:
        gate.let_pass(number)
        expect(notebook.headline(1)).to_contain_text(f"{number} of 40 items")


def test_an_open_traceback_and_the_output_stay_open_and_where_they_were(open_notebook: Open, gate: Gate) -> None:
    notebook = open_notebook(gate.cell(40, options="--on-error collect") + FAILING)
    output = notebook.start(1)
    grow(notebook, gate, 2)
    expect(output).to_contain_text("1 \N{MULTIPLICATION SIGN} ValueError: kind 0")
    traceback, folded = output.locator(".nbc-inner").first, output.locator(".nbc-folded")
    expect(traceback.locator("pre")).not_to_be_visible()
    expect(folded).not_to_be_visible()
    traceback.locator("summary").click()
    output.locator(".nbc-fold summary").click()
    expect(traceback.locator("pre")).to_be_visible()
    expect(folded).to_be_visible()
    traceback.locator("pre").evaluate(SCROLL)
    folded.evaluate(SCROLL)
    before = folded.text_content()
    grow(notebook, gate, 6, 9, 14, 20)
    expect(output).to_contain_text("10 \N{MULTIPLICATION SIGN} ValueError: kind 0")
    expect(traceback.locator("pre")).to_be_visible()
    expect(folded).to_be_visible()
    assert folded.text_content() != before
    assert (scrolled(traceback.locator("pre")), scrolled(folded)) == (40, 40)


def test_the_table_of_nodes_stays_where_it_was_scrolled_to(open_notebook: Open, gate: Gate) -> None:
    notebook = open_notebook(gate.cell(40))
    output = notebook.start(1)
    grow(notebook, gate, 2)
    table = output.locator(".jupyter-widgets:has(> .widget-html-content .nbc-table)")
    table.evaluate("element => { element.style.maxHeight = '30px'; element.scrollTop = 12; }")
    grow(notebook, gate, 6, 9, 14)
    assert scrolled(table) == 12


def test_nothing_in_the_view_is_made_anew_but_what_changed(open_notebook: Open, gate: Gate) -> None:
    notebook = open_notebook(gate.cell(40))
    output = notebook.start(1)
    grow(notebook, gate, 2)
    output.evaluate("root => root.querySelectorAll('.jupyter-widgets').forEach(one => { one.marked = true; })")
    grow(notebook, gate, 6, 9, 14)
    widgets = output.evaluate("root => [...root.querySelectorAll('.jupyter-widgets')].map(one => one.marked === true)")
    assert widgets
    assert all(widgets)
