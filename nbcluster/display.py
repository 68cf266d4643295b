"""How a handle shows itself where there is a notebook, without this package importing one."""

from __future__ import annotations

import sys
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nbcluster.handle import JobHandle

_formatters: list[Any] = []
_views: list[Any] = []


def mimebundle(handle: JobHandle) -> dict[str, Any]:
    """The representations of a handle; text alone outside of a notebook."""
    if "IPython" in sys.modules and _formatters:
        bundle: dict[str, Any] = _formatters[-1](handle)
        return bundle
    return {"text/plain": repr(handle)}


def awaited(handle: JobHandle, wanted: str) -> AbstractAsyncContextManager[None]:
    """What is shown while ``await handle`` waits, in the way that is ``wanted``; nothing outside of a notebook."""
    if "IPython" in sys.modules and _views:
        view: AbstractAsyncContextManager[None] = _views[-1](handle, wanted)
        return view
    return nullcontext()


def install(formatter: Any, view: Any) -> None:
    """Let ``formatter(handle)`` make the representations, and ``view(handle, wanted)`` show what is awaited.

    The notebook layer does this when it is loaded.
    """
    _formatters[:] = [formatter]
    _views[:] = [view]
