"""Who shall run which partition: pure choices from live nodes, made once when a job is split.

An assignment is a preference.  A node claims what is assigned to it first, then
unassigned work, then, after a short wait, what busy or silent nodes have not begun
(never in a ``fixed_node_count`` step).
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import entry_points
from typing import Any, SupportsIndex

from nbcluster.errors import InputError
from nbcluster.strategies.base import Assignment, AssignmentStrategy, Candidate, Planned
from nbcluster.strategies.custom import Custom
from nbcluster.strategies.fixed_node_count import FixedNodeCount
from nbcluster.strategies.least_loaded import LeastLoaded
from nbcluster.strategies.round_robin import RoundRobin
from nbcluster.strategies.scale_up import ScaleUp

__all__ = ["Assignment", "AssignmentStrategy", "Candidate", "Planned", "choose_strategy", "strategy_names"]

_BUILT_IN: dict[str, Callable[[int], AssignmentStrategy]] = {
    "round_robin": lambda _nodes: RoundRobin(),
    "fixed_node_count": FixedNodeCount,
    "fixed": FixedNodeCount,
    "scale_up": lambda _nodes: ScaleUp(),
    "least_loaded": lambda _nodes: LeastLoaded(),
}
_GROUP = "nbcluster.strategies"


def strategy_names() -> list[str]:
    """The strategies that can be named: built in, and installed by entry point."""
    return [*(name for name in _BUILT_IN if name != "fixed"), *(point.name for point in entry_points(group=_GROUP))]


def choose_strategy(wanted: Any, nodes: int | None = None) -> AssignmentStrategy:
    """The strategy of that name, class, object or function.

    ``nodes`` is the count for ``fixed_node_count`` and refused for all others.
    Raises InputError for an unknown name.
    """
    if nodes is not None and wanted not in ("fixed", "fixed_node_count"):
        raise InputError("nodes= goes with strategy='fixed_node_count' only")
    if nodes is not None and (not isinstance(nodes, SupportsIndex) or nodes < 0):
        raise InputError(f"nodes is {nodes!r}; it must be a whole number")
    if isinstance(wanted, str):
        if wanted in _BUILT_IN:
            return _BUILT_IN[wanted](nodes or 0)
        wanted = _from_entry_point(wanted)
    if isinstance(wanted, type):
        wanted = wanted()
    if hasattr(wanted, "assign"):
        return Custom(wanted.assign, getattr(wanted, "name", type(wanted).__name__))
    if callable(wanted):
        return Custom(wanted, getattr(wanted, "__name__", "custom"))
    raise InputError(f"{wanted!r} is no assignment strategy; known are {', '.join(strategy_names())}")


def _from_entry_point(name: str) -> Any:
    for point in entry_points(group=_GROUP):
        if point.name == name:
            return point.load()
    raise InputError(f"there is no strategy {name!r}; known are {', '.join(strategy_names())}")
