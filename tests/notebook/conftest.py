"""A real IPython shell and a real cluster of one node."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output
from traitlets.config import Config

_COLOURS = re.compile(r"\x1b\[[0-9;]*m")


@dataclasses.dataclass
class Ran:
    """What a cell gave: its value, its error, and what it printed."""

    value: Any
    error: BaseException | None
    out: str
    err: str


class Notebook:
    """Cells, run one after the other in one shell."""

    def __init__(self, shell: InteractiveShell) -> None:
        self.shell = shell

    def __getitem__(self, name: str) -> Any:
        return self.shell.user_ns[name]

    def __contains__(self, name: str) -> bool:
        return name in self.shell.user_ns

    def run(self, cell: str) -> Ran:
        """Run a cell as a front end does; its error is returned, not raised."""
        with capture_output(display=False) as captured:
            result = self.shell.run_cell(cell, store_history=True)
        error = result.error_before_exec or result.error_in_exec
        return Ran(result.result, error, _COLOURS.sub("", captured.stdout), _COLOURS.sub("", captured.stderr))

    def good(self, cell: str) -> Ran:
        """Run a cell that must not fail."""
        ran = self.run(cell)
        assert ran.error is None, f"{cell}\n{ran.out}\n{ran.err}"
        return ran


@pytest.fixture(scope="package")
def shell() -> Iterator[InteractiveShell]:
    """The process's shell: IPython has one, as a notebook does."""
    # In memory: what tests type is nobody's history.
    instance = InteractiveShell.instance(config=Config({"HistoryManager": {"hist_file": ":memory:"}}))
    yield instance
    InteractiveShell.clear_instance()


@pytest.fixture
def bare(shell: InteractiveShell) -> Iterator[Notebook]:
    """A notebook in which nothing was loaded."""
    shell.reset()
    yield Notebook(shell)
    if "nbcluster" in shell.extension_manager.loaded:
        shell.extension_manager.unload_extension("nbcluster")


@pytest.fixture(scope="package")
def cluster_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An embedded database with one node of two slots."""
    import nbcluster as nb

    folder: Path = tmp_path_factory.mktemp("cluster")
    url = f"sqlite:///{folder / 'cluster.db'}"
    with nb.connect(url) as cluster:
        cluster.up(1, slots=2)
        yield url
        cluster.down()


@pytest.fixture
def notebook(bare: Notebook, cluster_url: str, monkeypatch: pytest.MonkeyPatch) -> Notebook:
    """A notebook with the magics, whose database has one node."""
    monkeypatch.setenv("NBCLUSTER_URL", cluster_url)
    bare.good("%load_ext nbcluster")
    return bare
