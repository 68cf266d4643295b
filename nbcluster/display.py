"""How a handle shows itself where there is a notebook, without this package importing one."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nbcluster.handle import JobHandle

_formatters: list[Any] = []


def mimebundle(handle: JobHandle) -> dict[str, Any]:
    """The representations of a handle; text alone outside of a notebook."""
    if "IPython" in sys.modules and _formatters:
        bundle: dict[str, Any] = _formatters[-1](handle)
        return bundle
    return {"text/plain": repr(handle)}


def install(formatter: Any) -> None:
    """Let ``formatter(handle)`` make the representations; the notebook layer does this when it is loaded."""
    _formatters[:] = [formatter]
