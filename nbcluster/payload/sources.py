"""The lines of notebook cells, which travel with their functions so that tracebacks show them everywhere."""

from __future__ import annotations

import linecache
import types
from collections.abc import Iterator
from typing import Any

from nbcluster.payload.captures import captured


def cell_sources(function: Any, seen: set[int] | None = None) -> Iterator[tuple[str, str]]:
    """Source text of every notebook cell that the function, or a function it captured, came from."""
    seen = set() if seen is None else seen
    code = getattr(function, "__code__", None)
    if code is None or id(function) in seen:
        inner = getattr(function, "func", None) or getattr(function, "__func__", None)
        if code is None and inner is not None:
            yield from cell_sources(inner, seen)
        return
    seen.add(id(function))
    name = code.co_filename
    # Installed modules are found on the node's own disk; only cells have nothing but this text.
    if getattr(function, "__module__", None) in (None, "__main__") or name.startswith("<"):
        lines = linecache.getlines(name)
        if lines:
            yield name, "".join(lines)
    for value in captured(function).values():
        if isinstance(value, types.FunctionType):
            yield from cell_sources(value, seen)


def install_sources(sources: dict[str, str]) -> None:
    """Make tracebacks of shipped functions show their lines."""
    for name, text in sources.items():
        linecache.cache[name] = (len(text), None, text.splitlines(keepends=True), name)
