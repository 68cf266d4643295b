"""Who is looking: a browser, a terminal, or nobody (nbclient, papermill, nbval).

A front end that draws widgets says which cell it runs.  Programs that run notebooks use ``jupyter_client``, whose
message ids end in process and count; nothing is drawn for them while a job runs, because nobody looks and because
a notebook under test must come out the same each time.
"""

from __future__ import annotations

import re
import sys
import time
from importlib.metadata import version
from importlib.util import find_spec
from typing import Any

_MADE_BY_JUPYTER_CLIENT = re.compile(r"_\d+_\d+$")

WIDGET = "widget"
HTML = "html"
HTML_ONCE = "html once"
LINE = "line"
TEXT = "text"
NONE = "none"


def somebody_looks(shell: Any) -> bool:
    """Whether the running cell was sent by a front end that can show HTML while it runs."""
    if not in_kernel(shell):
        return False
    if cell_id(shell):
        return True
    request = shell.get_parent() or {}
    message = str((request.get("header") or {}).get("msg_id", ""))
    return bool(message) and not _MADE_BY_JUPYTER_CLIENT.search(message)


def in_kernel(shell: Any) -> bool:
    """Whether the shell belongs to a Jupyter kernel."""
    return getattr(shell, "kernel", None) is not None and hasattr(shell, "get_parent")


def can_type(shell: Any) -> bool:
    """Whether what runs in a cell may ask its reader something."""
    if not in_kernel(shell):
        return True
    request = shell.get_parent() or {}
    return bool((request.get("content") or {}).get("allow_stdin"))


def shows_while_running(way: str) -> bool:
    """Whether what is shown stays alive in its own place, also after its cell."""
    return way in (WIDGET, HTML)


def clicks_reach_awaiting_cells() -> bool:
    """Whether a button works while a cell awaits: ipykernel handles widgets' messages meanwhile since 7.4."""
    major, minor = version("ipykernel").split(".")[:2]
    return (int(major), int(minor)) >= (7, 4)


def cell_id(shell: Any) -> str:
    """The cell that runs, the same whenever it is run; "" where the front end does not say."""
    request = shell.get_parent() if in_kernel(shell) else None
    return str(((request or {}).get("metadata") or {}).get("cellId") or "")


def request_id(shell: Any) -> str:
    """The id of the request that the running cell answers; "" outside of a kernel."""
    request = shell.get_parent() if in_kernel(shell) else None
    return str(((request or {}).get("header") or {}).get("msg_id", ""))


def kernel_is_ending(shell: Any, patience: float = 0.4) -> bool:
    """Whether an interrupt was the first half of a restart or shutdown.

    Jupyter interrupts a kernel right before it asks it to end; the kernel's control thread hears the second half
    while the cell still handles the first.
    """
    if not in_kernel(shell):
        return False
    deadline = time.monotonic() + patience
    while not shell.exit_now and time.monotonic() < deadline:
        time.sleep(0.02)
    return bool(shell.exit_now)


def way_to_show(wanted: str, shell: Any) -> str:
    """What to show a running job with: one of the words above, as near to what is wanted as can be.

    The order is widget, HTML, text.  A live view that is asked for by name is given even if nobody seems to look.
    """
    if wanted == NONE:
        return NONE
    if in_kernel(shell):
        looked_at = somebody_looks(shell)
        if wanted == "auto":
            wanted = WIDGET if looked_at else TEXT
        if wanted == WIDGET and find_spec("ipywidgets") is None:
            wanted = HTML
        return HTML_ONCE if wanted == HTML and not looked_at else wanted
    return LINE if sys.stderr.isatty() else TEXT
