"""How a handle or a diagnosis shows itself as a cell's value."""

from __future__ import annotations

from typing import Any

from nbcluster.diagnosing.diagnosis import Diagnosis
from nbcluster.errors import NBClusterError
from nbcluster.notebook.front_end import in_kernel, somebody_looks
from nbcluster.notebook.model import view_of


def mimebundle(shown: object, shell: Any) -> dict[str, str]:
    """Text, and in a notebook HTML: a diagnosis as a table, a job as it is now if somebody looks."""
    made = {"text/plain": repr(shown)}
    if isinstance(shown, Diagnosis):
        if in_kernel(shell):
            from nbcluster.notebook import diagnosis_render

            made["text/html"] = diagnosis_render.page(shown)
    elif somebody_looks(shell):
        made |= _as_now(shown)
    return made


def _as_now(handle: Any) -> dict[str, str]:
    """A job's view as it is now; where it cannot be read the text says what is known."""
    from nbcluster.notebook import render

    try:
        return {"text/html": render.page(view_of(handle.snapshot()))}
    except NBClusterError:
        return {}
