"""How a handle shows itself where there is a notebook, without this package importing one."""

from __future__ import annotations

import sys
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import TYPE_CHECKING, Any, Protocol

from nbcluster.errors import InputError

if TYPE_CHECKING:
    from nbcluster.api import Cluster
    from nbcluster.handle import JobHandle


class Notebook(Protocol):
    """What the notebook layer does for those below it."""

    def mimebundle(self, shown: object) -> dict[str, Any]:
        """The representations of a job's handle or of a diagnosis."""

    def watch(self, shown: Cluster | JobHandle) -> None:
        """Show it live in the running cell, and go on when the cell has ended."""

    def awaited(self, handle: JobHandle) -> AbstractAsyncContextManager[None]:
        """Show it live while the running cell awaits it."""


_notebooks: list[Notebook] = []


def mimebundle(shown: object) -> dict[str, Any]:
    """The representations of a handle; text alone outside of a notebook."""
    if "IPython" in sys.modules and _notebooks:
        return _notebooks[-1].mimebundle(shown)
    return {"text/plain": repr(shown)}


def awaited(handle: JobHandle) -> AbstractAsyncContextManager[None]:
    """Shows a job while it is awaited; nothing outside of a notebook."""
    if "IPython" in sys.modules and _notebooks:
        return _notebooks[-1].awaited(handle)
    return nullcontext()


def watch(shown: Cluster | JobHandle) -> None:
    """Show it live; loads the magics where nobody has.  Raises InputError outside of a notebook."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    if shell is None:
        raise InputError("watch() shows in a notebook or in IPython; in a terminal there are: nbcluster nodes, jobs")
    if not _notebooks:
        shell.run_line_magic("load_ext", "nbcluster")
    _notebooks[-1].watch(shown)


def install(notebook: Notebook) -> None:
    """Let the notebook show things; the notebook layer does this when it is loaded."""
    _notebooks[:] = [notebook]


def uninstall() -> None:
    """From now on text alone."""
    _notebooks.clear()
