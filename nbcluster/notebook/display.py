"""How a job's handle shows itself as a cell's value."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nbcluster.errors import NBClusterError
from nbcluster.notebook.front_end import somebody_looks
from nbcluster.notebook.model import view_of

if TYPE_CHECKING:
    from nbcluster.handle import JobHandle


def mimebundle(handle: JobHandle, shell: Any) -> dict[str, str]:
    """Text, which is the same on every machine, and where somebody looks the view as it is now."""
    made = {"text/plain": repr(handle)}
    if somebody_looks(shell):
        from nbcluster.notebook import render

        try:
            made["text/html"] = render.page(view_of(handle.snapshot()))
        except NBClusterError:
            return made  # the text says what is known
    return made
