"""Which live views stand in which cell: a cell that is run again ends those of the run before.

Its outputs were cleared by then, so such a view would go on looking for nobody.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from nbcluster.notebook.front_end import cell_id, request_id


@dataclass
class _Place:
    """The views of one run of a cell."""

    request: str
    ends: list[Callable[[], None]] = field(default_factory=list)


_places: dict[str, _Place] = {}


def take(shell: Any, end: Callable[[], None]) -> None:
    """The running cell shows a view, which ``end()`` ends; those of its earlier run end now."""
    cell, request = cell_id(shell), request_id(shell)
    if not cell:
        return
    before = _places.get(cell)
    if before is not None and before.request == request:
        before.ends.append(end)
        return
    _places[cell] = _Place(request, [end])
    for one in before.ends if before else ():
        one()
