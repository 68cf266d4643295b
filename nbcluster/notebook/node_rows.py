"""The nodes of a job as rows of words.  Pure."""

from __future__ import annotations

from nbcluster.lifecycle import NodeStatus
from nbcluster.notebook.wording import ago, clean, rate
from nbcluster.shown import NodeView

MOST_NODES = 12

COLUMNS = ("node", "state", "heartbeat", "busy", "load", "rate", "done", "version", "python")
COLUMNS_AFTER = ("node", "state", "slots", "done", "version", "python")
"""``busy`` counts slots, ``done`` partitions; ``rate`` is of items."""
NUMBERS = frozenset({"slots", "busy", "load", "rate", "done"})
"""Columns that are read from their right edge."""


def most_telling(nodes: tuple[NodeView, ...], most: int = MOST_NODES) -> tuple[tuple[NodeView, ...], int]:
    """A window of rows: lost nodes first, then those that did most; and how many are not shown."""
    ranked = sorted(nodes, key=lambda node: (node.status == NodeStatus.ACTIVE, -node.done, -node.busy))
    kept = {node.node_id for node in ranked[:most]}
    return tuple(node for node in nodes if node.node_id in kept), max(0, len(nodes) - most)


def row_of(node: NodeView, finished: bool) -> tuple[str, ...]:
    """One node, in the words of ``COLUMNS``, or of ``COLUMNS_AFTER`` when the job has ended."""
    name, state = clean(node.node_id, 60), clean(node.status, 20).lower()
    made = (f"{node.done:,}", clean(node.version, 20), clean(node.python, 12))
    if finished:
        return (name, state, str(node.slots or ""), *made)
    if not node.slots:
        return (name, state, "", "", "", "", *made)  # its row is gone; what it did is known
    return (
        name,
        state,
        ago(node.heartbeat_age),
        f"{node.busy} of {node.slots}",
        f"{node.load:.0%}",
        "" if node.rate is None else rate(node.rate),
        *made,
    )
