"""Watching the other nodes: suspect the silent, move their work, later remove them.

Every process sweeps; whoever is first wins, the others see 0 rows.
"""

from __future__ import annotations

import logging

from nbcluster.lifecycle import NodeStatus
from nbcluster.node.heartbeat import Heartbeat
from nbcluster.records import Node
from nbcluster.store import Store

log = logging.getLogger(__name__)


class Liveness:
    """One sweep over the registry."""

    def __init__(self, store: Store, heartbeat: Heartbeat, unreachable: float, cleanup: float) -> None:
        self._store = store
        self._heartbeat = heartbeat
        self._unreachable = unreachable
        self._cleanup = cleanup

    def sweep(self) -> None:
        """Mark and remove silent nodes, if this process is in a position to judge."""
        if not self._heartbeat.unbroken_for(self._unreachable):
            return
        for node in self._store.nodes.silent(self._unreachable):
            if node.node_id == self._heartbeat.node_id:
                continue
            if node.status is not NodeStatus.UNREACHABLE:
                self._suspect(node)
            elif node.heartbeat_age > self._cleanup:
                self._remove(node)

    def _suspect(self, node: Node) -> None:
        losses = self._store.suspect(node.node_id, self._unreachable)
        if losses is not None:
            log.warning(
                "%s is silent for %.1f s: UNREACHABLE, %d partitions moved, %d failed",
                node.node_id, node.heartbeat_age, *losses,
            )  # fmt: skip

    def _remove(self, node: Node) -> None:
        if self._store.remove_silent(node.node_id, self._cleanup):
            log.warning("%s is silent for %.1f s: removed", node.node_id, node.heartbeat_age)
