"""One JupyterLab and one Chromium for all of these tests; a database, its nodes and a kernel for each."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

import nbcluster as nb
from nbcluster.api import Cluster
from tests.browser.lab import Lab
from tests.browser.pages import Notebook, load

FLAGS = ("--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage", "--no-first-run")

Open = Callable[..., Notebook]


@pytest.fixture(scope="package")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A JupyterLab server."""
    lab = Lab(tmp_path_factory.mktemp("lab"))
    lab.start()
    yield lab
    lab.stop()


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """A headless Chromium.  It ends before the tests of other rooms: it occupies the thread's event loop."""
    path = os.environ.get("NBCLUSTER_TEST_CHROMIUM") or shutil.which("chromium")
    if not path:
        pytest.skip("there is no Chromium on the PATH")
    flags = [*FLAGS, "--no-sandbox"] if os.geteuid() == 0 else [*FLAGS]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=flags)
        yield browser
        browser.close()


@pytest.fixture(scope="package")
def page(lab: Lab, browser: Browser) -> Page:
    """The window that most tests use, one after the other; no test leaves a tab open in it."""
    page = browser.new_context(viewport={"width": 1400, "height": 1000}).new_page()
    load(lab, page)
    return page


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    """An embedded database of this test alone, with one node of two slots."""
    with nb.connect(f"sqlite:///{tmp_path / 'cluster.db'}") as cluster:
        cluster.up(1, slots=2)
        yield cluster
        cluster.down()


class Gate:
    """Lets the items of a job through, some at a time, so that a test decides how far it is.

    The job's items are called in order; item ``n`` waits until more than ``n`` may pass.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir()

    def cell(self, items: int, out: str = "gated", options: str = "") -> str:
        """A cell with such a job, one item a partition."""
        return (
            f"%%nbcluster map n in range({items}) -p {items} -o {out} {options}\n"
            "import pathlib, time\n"
            f"passed = pathlib.Path({str(self._folder)!r})\n"
            "while not (passed / str(n)).exists() and not (passed / 'all').exists():\n"
            "    time.sleep(0.02)\n"
            "n"
        )

    def let_pass(self, number: int) -> None:
        """Let the first ``number`` items through."""
        for item in range(number):
            (self._folder / str(item)).touch()

    def open(self) -> None:
        """Let everything through."""
        (self._folder / "all").touch()


@pytest.fixture
def gate(cluster: Cluster, tmp_path: Path) -> Iterator[Gate]:
    """What holds a job's items back; open at the end, so that the nodes can go."""
    gate = Gate(tmp_path / "gate")
    yield gate
    gate.open()


@pytest.fixture
def open_notebook(lab: Lab, page: Page, cluster: Cluster, tmp_path: Path) -> Iterator[Open]:
    """``open_notebook("cell", "cell")`` opens one with a new kernel; its cell 0 loads the magics and connects."""
    first = f"%load_ext nbcluster\n%nbcluster connect {cluster.url}"
    opened: list[Notebook] = []

    def open_one(*cells: str, on: Page = page) -> Notebook:
        path = lab.folder / f"{tmp_path.name}_{len(opened)}.ipynb"
        notebook = Notebook(lab, on, Notebook.write(path, [first, *cells]))
        opened.append(notebook)
        notebook.run(0)
        return notebook

    yield open_one
    for notebook in opened:
        notebook.discard()
