"""The view is legible in the light and in the dark theme."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

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


@pytest.fixture(params=["JupyterLab Light", "JupyterLab Dark"])
def theme(request: pytest.FixtureRequest, page: Page) -> Iterator[str]:
    change = "theme => window.jupyterapp.commands.execute('apputils:change-theme', {theme})"
    page.evaluate(change, request.param)
    page.wait_for_function("theme => document.body.dataset.jpThemeName === theme", arg=request.param)
    yield request.param
    page.evaluate(change, "JupyterLab Light")


def test_every_text_stands_out_from_its_background(theme: str, open_notebook: Open, gate: Gate) -> None:
    notebook = open_notebook(gate.cell(40), "gated.cancel()")
    notebook.start(1)
    gate.let_pass(10)
    expect(notebook.headline(1)).to_contain_text("10 of 40 items")
    _assert_legible(notebook)
    notebook.interrupt()
    notebook.ended(1)
    expect(notebook.headline(1)).to_contain_text("stopped")
    _assert_legible(notebook)


def _assert_legible(notebook: Notebook) -> None:
    for what, selector in TEXTS.items():
        found = notebook.output(1).evaluate(CONTRAST, selector)
        assert found, f"there is no {what}"
        assert [text for text in found if text["contrast"] < LEGIBLE] == [], what
