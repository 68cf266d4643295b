"""Watching the other nodes: suspect the silent, move their work, later remove them.

Every process sweeps; whoever is first wins, the others see 0 rows.
"""

from __future__ import annotations

import logging

from nbcluster.lifecycle import PRESENT, NodeStatus
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

    def sweep(self) -> bool:
        """Move the work of those that are surely gone, and mark and remove the silent; whether there were any.

        Silence is judged only by a process that was itself in unbroken contact.
        """
        me = self._heartbeat.node_id
        others = [node for node in self._store.nodes.all() if node.node_id != me]
        present = {node.node_id: node for node in others if node.status in PRESENT}
        vanished = self._store.presence.vanished(me, present)
        for node_id in vanished:
            self._suspect(present[node_id], 0.0)
        if self._heartbeat.unbroken_for(self._unreachable):
            self._judge_silence(others)
        orphans = self._store.release_orphans()
        if orphans:
            log.warning("%d partitions belonged to nodes that are not registered any more: moved", orphans)
        return bool(vanished) or len(present) < len(others)

    def _judge_silence(self, others: list[Node]) -> None:
        for node in others:
            if node.heartbeat_age <= self._unreachable:
                continue
            if node.status is not NodeStatus.UNREACHABLE:
                self._suspect(node, self._unreachable)
            elif node.heartbeat_age > self._cleanup:
                self._remove(node)

    def _suspect(self, node: Node, silent_for: float) -> None:
        losses = self._store.suspect(node.node_id, silent_for)
        if losses is not None:
            why = f"silent for {node.heartbeat_age:.1f} s" if silent_for else "gone: its process has ended"
            log.warning("%s is %s: UNREACHABLE, %d partitions moved, %d failed", node.node_id, why, *losses)

    def _remove(self, node: Node) -> None:
        if self._store.remove_silent(node.node_id, self._cleanup):
            log.warning("%s is silent for %.1f s: removed", node.node_id, node.heartbeat_age)
