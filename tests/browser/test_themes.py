"""The view is legible in the light and in the dark theme."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Gate, Open
from tests.browser.pages import Notebook

pytestmark = pytest.mark.timeout(180, method="thread")

CONTRAST = Path(__file__).with_name("contrast.js").read_text()
LEGIBLE = 4.5
TEXTS = {
    "headline": ".nbc-name, .nbc-head > span",
    "dim text": ".nbc-dim",
    "chips": ".nbc-chip, .nbc-key",
    "table": "th, td",
}


THEMES = ("JupyterLab Dark", "JupyterLab Light")  # the other tests go on in the light one


def test_every_text_stands_out_from_its_background(open_notebook: Open, gate: Gate) -> None:
    notebook = open_notebook(gate.cell(40), gate.cell(40, "behind", "-a"))
    notebook.start(1)
    gate.let_pass(10)
    expect(notebook.headline(1)).to_contain_text("10 of 40 items")
    assert_legible(notebook, 1, TEXTS)
    notebook.interrupt()
    notebook.ended(1)
    expect(notebook.headline(1)).to_contain_text("stopped")
    assert_legible(notebook, 1, TEXTS)
    notebook.run(2)
    notebook.button(2, "Pause").click()
    expect(notebook.headline(2)).to_contain_text("paused")
    notebook.button(2, "Cancel").click()
    expect(notebook.button(2, "Cancel: sure?")).to_be_visible()
    assert_legible(notebook, 2, {"buttons": "button", "what a click did": ".nbcluster-controls .nbc-dim"})


def assert_legible(notebook: Notebook, cell: int, texts: dict[str, str]) -> None:
    for theme in THEMES:
        notebook.page.evaluate("theme => window.jupyterapp.commands.execute('apputils:change-theme', {theme})", theme)
        notebook.page.wait_for_function("theme => document.body.dataset.jpThemeName === theme", arg=theme)
        for what, selector in texts.items():
            found = notebook.output(cell).evaluate(CONTRAST, selector)
            assert found, f"there is no {what}"
            assert [text for text in found if text["contrast"] < LEGIBLE] == [], f"{what}, {theme}"
