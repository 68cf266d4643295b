"""``%load_ext nbcluster``: silent, connects to nothing, imports next to nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell


def load_ipython_extension(ip: InteractiveShell) -> None:
    """Make ``%nbcluster`` and ``%%nbcluster`` known.  Doing so twice is harmless."""
    from nbcluster.notebook.magics import install

    install(ip)


def unload_ipython_extension(ip: InteractiveShell) -> None:
    """Forget them again, and leave the database; jobs go on."""
    from nbcluster.notebook.magics import remove

    remove(ip)
