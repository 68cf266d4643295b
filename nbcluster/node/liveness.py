"""Watching the other members: suspect the silent, move their work, later remove them.

Every member sweeps; whoever is first wins, the others see 0 rows.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

from nbcluster.lifecycle import NodeStatus
from nbcluster.node.heartbeat import Heartbeat
from nbcluster.store import Store
from nbcluster.store.lookout import Sighting, Silent

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Swept:
    """What a sweep found: how many members there are, whether any job runs, whether anybody was lost."""

    members: int
    working: bool
    losses: bool


class Liveness:
    """One sweep over the registry."""

    def __init__(self, store: Store, heartbeat: Heartbeat, unreachable: float, cleanup: float) -> None:
        self._store = store
        self._heartbeat = heartbeat
        self._unreachable = unreachable
        self._cleanup = cleanup

    def sweep(self) -> Swept:
        """Move the work of those that are surely gone, and mark and remove the silent.

        Silence is judged only by a process that was itself in unbroken contact, with a database
        that has been up for as long: after an outage all have a whole threshold to beat again.
        """
        me = self._heartbeat.node_id
        seen = self._store.lookout.look(self._unreachable, self._cleanup)
        vanished = self._store.presence.vanished(me, seen.doubted)
        lost = [self._suspect(node_id, "gone: its process has ended", None) for node_id in sorted(vanished)]
        if self._heartbeat.unbroken_for(self._unreachable) and seen.database_age > self._unreachable:
            lost += [self._judge(one) for one in seen.silent if one.node_id not in vanished | {me}]
        if seen.ownerless:
            self._move_ownerless()
        return Swept(seen.members, _working(seen), any(lost))

    def _judge(self, silent: Silent) -> bool:
        if silent.status is not NodeStatus.UNREACHABLE:
            return self._suspect(silent.node_id, f"silent for {silent.seconds:.1f} s", self._unreachable)
        removed = self._store.remove_silent(silent.node_id, self._cleanup)
        if removed:
            log.warning("%s is silent for %.1f s: removed", silent.node_id, silent.seconds)
        return removed

    def _suspect(self, node_id: str, why: str, silent_for: float | None) -> bool:
        losses = self._store.suspect(node_id, silent_for)
        if losses is not None:
            log.warning("%s is %s: UNREACHABLE, %d partitions moved, %d failed", node_id, why, *losses)
        return losses is not None

    def _move_ownerless(self) -> None:
        moved = self._store.release_orphans()
        if moved:
            log.warning("%d partitions belonged to nodes that are lost or removed: moved", moved)


def _working(seen: Sighting) -> bool:
    return seen.working or seen.ownerless
