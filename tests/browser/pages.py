"""A notebook in the browser: its cells are run, looked at and clicked as a person would.

``playwright``'s own expectations (``expect(...).to_contain_text``) are the bounded polls of these tests.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import nbformat
from nbformat.v4 import new_code_cell, new_notebook
from playwright.sync_api import Locator, Page, expect

from tests.browser.lab import Lab

PATIENCE = 60_000
"""Milliseconds that anything in the page may take."""

expect.set_options(timeout=PATIENCE)

OPEN = """async (path) => {
  const panel = await window.jupyterapp.commands.execute('docmanager:open', {path});
  await panel.context.ready;
  await panel.sessionContext.ready;
  return panel.id;
}"""
PANEL = """([id, act]) => {
  const panel = [...window.jupyterapp.shell.widgets('main')].find(widget => widget.id === id);
  const commands = window.jupyterapp.commands;
  const run = {
    status: () => panel.sessionContext.session?.kernel?.status ?? 'none',
    kernel: () => panel.sessionContext.session?.kernel?.id ?? '',
    show: () => window.jupyterapp.shell.activateById(id),
    close: async () => { await panel.context.save(); panel.dispose(); },
    discard: async () => { await panel.sessionContext.shutdown(); panel.dispose(); },
  };
  const cell = /^run (\\d+)$/.exec(act);
  if (cell) {
    window.jupyterapp.shell.activateById(id);
    panel.content.activeCellIndex = Number(cell[1]);
    panel.content.deselectAll();
    commands.execute('notebook:run-cell');
    return null;
  }
  return run[act]();
}"""

# What can be wrong with a widget in the page.
LOST = re.compile("Error displaying widget|Error creating widget|Failed to load model|model not found")


class Notebook:
    """One notebook, open in a page of JupyterLab."""

    def __init__(self, lab: Lab, page: Page, path: Path) -> None:
        self.lab = lab
        self.page = page
        self.path = path
        self.open()

    @staticmethod
    def write(path: Path, cells: list[str]) -> Path:
        """A new notebook file."""
        book = new_notebook(cells=[new_code_cell(source) for source in cells])
        book.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
        nbformat.write(book, path)
        return path

    def open(self) -> None:
        """Open the file in a tab; a kernel starts, unless one still runs for it."""
        self._id: str = self.page.evaluate(OPEN, self.path.relative_to(self.lab.folder).as_posix())
        self.panel = self.page.locator(f'[id="{self._id}"]')
        expect(self.panel.locator(".jp-Cell").first).to_be_visible()
        self.kernel: str = self._do("kernel")

    def _do(self, act: str) -> Any:
        return self.page.evaluate(PANEL, [self._id, act])

    # --- acting -----------------------------------------------------------------------

    def start(self, number: int) -> Locator:
        """Run a cell without waiting for its end; gives its output."""
        self._do(f"run {number}")
        return self.output(number)

    def run(self, number: int) -> Locator:
        """Run a cell to its end; gives its output."""
        output = self.start(number)
        self.ended(number)
        return output

    def ended(self, number: int) -> None:
        """Wait for the end of a cell."""
        expect(self.cell(number).locator(".jp-InputPrompt").first).to_have_text(re.compile(r"\[\d+\]"))

    def runs(self, number: int) -> bool:
        """Whether a cell runs now."""
        return "*" in (self.cell(number).locator(".jp-InputPrompt").first.text_content() or "")

    def interrupt(self) -> None:
        """Press the stop button."""
        self.show()
        self.panel.locator('[data-jp-item-name="interrupt"]').click()

    def restart(self) -> None:
        """Restart the kernel through the menu."""
        self.show()
        self.page.locator(".lm-MenuBar-item", has_text=re.compile("^Kernel$")).click()
        self.page.locator('.lm-Menu-item[data-command="kernelmenu:restart"]').click()
        self.page.locator(".jp-Dialog button.jp-mod-accept").click()

    def show(self) -> None:
        """Bring its tab to the front."""
        self._do("show")

    def close(self) -> None:
        """Save it and close its tab; the kernel lives on."""
        self._do("close")

    def discard(self) -> None:
        """End its kernel and close its tab."""
        self._do("discard")

    def reopen_without_kernel(self) -> None:
        """Save it, close everything, end its kernel, and open the file as somebody else would.

        What the kernel says at its end reaches nobody, as after a crash.
        """
        self._do("close")
        self.lab.end_kernel(self.kernel)
        load(self.lab, self.page)
        self.open()

    # --- looking ----------------------------------------------------------------------

    def cell(self, number: int) -> Locator:
        """A cell, counted from 0."""
        return self.panel.locator(".jp-Notebook .jp-Cell").nth(number)

    def output(self, number: int) -> Locator:
        """What is below a cell."""
        return self.cell(number).locator(".jp-Cell-outputArea")

    def lost_widgets_are_hidden(self, number: int) -> None:
        """Wait until JupyterLab has given up on a saved widget of the cell; nobody may see what it says of it."""
        lost = self.output(number).locator(".jp-OutputArea-output.jupyter-widgets")
        expect(lost).to_contain_text(LOST)
        expect(lost).to_be_hidden()

    def button(self, number: int, label: str) -> Locator:
        """A button of a view; what else belongs to its name is its icon."""
        return self.output(number).locator("button:visible", has_text=re.compile(rf"^\s*{re.escape(label)}\s*$"))

    def headline(self, number: int) -> Locator:
        """The first line of the view of a job."""
        return self.output(number).locator(".nbc-head:visible")


def load(lab: Lab, page: Page) -> None:
    """Load JupyterLab anew, with no tab open."""
    page.goto(lab.address("lab") + "&reset", timeout=PATIENCE)
    page.wait_for_function("() => window.jupyterapp?.shell", timeout=PATIENCE)
    page.evaluate("() => window.jupyterapp.restored")
    page.evaluate("() => window.jupyterapp.shell.collapseLeft()")
