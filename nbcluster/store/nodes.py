"""The node registry: register, beat, suspect, remove.  Ages are the database's, never a machine's."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection, Update, bindparam, delete, exists, func, insert, select, update

from nbcluster.labels import as_json, from_json
from nbcluster.lifecycle import JobStatus, NodeStatus, PartitionStatus, Phase, node_sources
from nbcluster.records import NewNode, Node
from nbcluster.store.engine import Database
from nbcluster.store.events import EventLog
from nbcluster.store.tables import coordination, nodes, partitions
from nbcluster.store.wakeup import control_topic


@dataclass(frozen=True, slots=True)
class Beat:
    """What a heartbeat found: whether our row was there, its status before, and whether we lead any job."""

    known: bool
    was: NodeStatus | None
    leads: bool = False


class NodeRegistry:
    """``batch_nodes``."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._dialect = database.dialect
        self._events = EventLog(database)
        self._build()

    def register(self, node: NewNode, *, watched: bool = False, draining: bool = False) -> None:
        """Add a node.  Its id is new at each start and never reused.

        ``watched`` says that it holds its sign of life (see Presence) by now.
        """
        now = self._dialect.now()
        status = NodeStatus.DRAINING if draining else NodeStatus.ACTIVE
        statement = insert(nodes).values(
            node_id=node.node_id,
            created_time=now,
            last_updated_time=now,
            status=status,
            host_identifier=node.host,
            pid=node.pid,
            slots=node.slots,
            python=node.python,
            version=node.version,
            labels=as_json(node.labels),
            watched=int(watched),
        )
        told: dict[str, Any] = {"state": status.value, "slots": node.slots, "host": node.host, "pid": node.pid}
        told |= {"python": node.python, "version": node.version, "labels": list(node.labels)}

        def work(connection: Connection) -> None:
            connection.execute(statement)
            # Its row goes with it: what it was is known afterwards from here.
            self._events.record(connection, Phase.NODE_JOINED, node=node.node_id, detail=json.dumps(told))

        self._database.write(work)

    def beat(self, node_id: str, busy: int, *, watched: bool = False, draining: bool = False) -> Beat:
        """Prove life, tell the load, and renew the lease of every job this node is master of.

        While nobody changed the node's status that is one statement, and a second one for masters.
        """
        expected = NodeStatus.DRAINING if draining else NodeStatus.ACTIVE
        bound = {
            "me": node_id,
            "busy": busy,
            "holds": int(watched),
            "expected": expected.value,
        }
        row = self._database.single(lambda connection: connection.execute(self._beat, bound).first())
        if row is None:
            return self._database.write(lambda connection: self._beat_anyway(connection, bound))
        if row.leads:
            self._database.single(lambda connection: connection.execute(self._renew, bound))
        return Beat(True, expected, bool(row.leads))

    def _beat_anyway(self, connection: Connection, bound: dict[str, Any]) -> Beat:
        """A beat of a node whose status is not what it expects."""
        was = connection.scalar(select(nodes.c.status).where(nodes.c.node_id == bound["me"]).with_for_update())
        if was is None:
            return Beat(False, None)
        # Told to drain, it stays so: also when it was thought lost meanwhile.
        draining = NodeStatus.DRAINING in (was, bound["expected"])
        status = NodeStatus.DRAINING if draining else NodeStatus.ACTIVE
        connection.execute(
            update(nodes)
            .where(nodes.c.node_id == bound["me"], nodes.c.status == was)
            .values(
                last_updated_time=self._dialect.now(),
                current_load=bound["busy"],
                watched=bound["holds"],
                status=status,
            )
        )
        if was != status:
            phase = Phase.NODE_DRAINING if draining else Phase.NODE_RETURNED
            self._events.record(connection, phase, node=bound["me"])
        leads = connection.execute(self._renew, bound).rowcount
        return Beat(True, NodeStatus(was), bool(leads))

    def _build(self) -> None:
        now = self._dialect.now()
        led = (
            coordination.c.master_node_id == bindparam("me"),
            coordination.c.status.in_((JobStatus.CREATED.value, JobStatus.STARTED.value)),
        )
        self._beat = (
            update(nodes)
            .where(nodes.c.node_id == bindparam("me"), nodes.c.status == bindparam("expected"))
            .values(last_updated_time=now, current_load=bindparam("busy"), watched=bindparam("holds"))
            .returning(exists().where(*led).label("leads"))
        )
        self._renew = update(coordination).where(*led).values(last_updated=now)

    def drain_named(self, name: str) -> list[str]:
        """Tell a node, by its id, or all of that name to take no more work; gives the ids that were meant."""

        def work(connection: Connection) -> list[str]:
            known = connection.execute(select(nodes.c.node_id).where(nodes.c.slots > 0)).scalars().all()
            meant = [node_id for node_id in known if name in (node_id, node_id.rsplit("-", 1)[0])]
            for node_id in meant:
                self._drain(connection, node_id)
            self._database.announce(connection, [control_topic(node_id) for node_id in meant])
            return meant

        return self._database.write(work)

    def drain(self, node_id: str) -> bool:
        """Say that a node takes no more work; False when its row is gone."""
        return self._database.write(lambda connection: self._drain(connection, node_id))

    def _drain(self, connection: Connection, node_id: str) -> bool:
        possible = nodes.c.status.in_(node_sources(NodeStatus.DRAINING))
        statement = update(nodes).where(nodes.c.node_id == node_id, possible).values(status=NodeStatus.DRAINING)
        moved = bool(connection.execute(statement).rowcount)
        if moved:
            self._events.record(connection, Phase.NODE_DRAINING, node=node_id)
        return moved

    def remove(self, connection: Connection, node_id: str) -> None:
        """An orderly end: the row goes at once."""
        if connection.execute(delete(nodes).where(nodes.c.node_id == node_id)).rowcount:
            self._events.record(connection, Phase.NODE_LEFT, node=node_id, detail="in good order")

    def mark_unreachable(self, connection: Connection, node_id: str, threshold: float) -> bool:
        """Suspect a node that has been silent for ``threshold`` seconds; False when it beat meanwhile."""
        silent = self._dialect.age(nodes.c.last_updated_time)
        age = connection.scalar(self._suspicion(node_id).where(silent > threshold).returning(silent.label("age")))
        if age is not None:
            detail = f"silent for {float(age):.1f} s"
            self._events.record(connection, Phase.NODE_UNREACHABLE, node=node_id, detail=detail)
        return age is not None

    def mark_vanished(self, connection: Connection, node_id: str) -> bool:
        """Suspect a node whose sign of life is gone; False when it says by now that it holds none."""
        gone = connection.execute(self._suspicion(node_id).where(nodes.c.watched == 1)).rowcount
        if gone:
            self._events.record(connection, Phase.NODE_UNREACHABLE, node=node_id, detail="its process has ended")
        return bool(gone)

    @staticmethod
    def _suspicion(node_id: str) -> Update:
        possible = nodes.c.status.in_(node_sources(NodeStatus.UNREACHABLE))
        return update(nodes).where(nodes.c.node_id == node_id, possible).values(status=NodeStatus.UNREACHABLE)

    def remove_silent(self, connection: Connection, node_id: str, threshold: float) -> bool:
        """Remove a node that is UNREACHABLE and silent for ``threshold`` seconds."""
        silent = self._dialect.age(nodes.c.last_updated_time)
        age = connection.scalar(
            delete(nodes)
            .where(nodes.c.node_id == node_id, nodes.c.status == NodeStatus.UNREACHABLE, silent > threshold)
            .returning(silent.label("age"))
        )
        if age is not None:
            detail = f"silent for {float(age):.1f} s"
            self._events.record(connection, Phase.NODE_REMOVED, node=node_id, detail=detail)
        return age is not None

    def all(self) -> list[Node]:
        """Every registered process, kernels included, oldest first."""
        statement = select(nodes, self._dialect.age(nodes.c.last_updated_time).label("age")).order_by(
            nodes.c.created_time, nodes.c.node_id
        )
        rows = self._database.read(lambda connection: connection.execute(statement).all())
        return [
            Node(
                node_id=row.node_id,
                status=NodeStatus(row.status),
                host=row.host_identifier or "",
                pid=row.pid,
                slots=row.slots,
                busy=row.current_load,
                python=row.python,
                version=row.version,
                started=row.created_time,
                heartbeat_age=max(0.0, float(row.age)),
                labels=from_json(row.labels),
                watched=bool(row.watched),
                environment=row.environment,
            )
            for row in rows
        ]

    def observed(self) -> list[Node]:
        """Like ``all``, with what each node holds now in place of the load that it told last."""
        held = (
            select(partitions.c.assigned_node, func.count())
            .where(partitions.c.status == PartitionStatus.CLAIMED)
            .group_by(partitions.c.assigned_node)
        )
        rows = self._database.read(lambda connection: connection.execute(held).all())
        claims = {row[0]: int(row[1]) for row in rows}
        return [replace(node, busy=min(node.slots, claims.get(node.node_id, 0))) for node in self.all()]

    def workers(self, threshold: float) -> Sequence[Node]:
        """Nodes that may be given work: ACTIVE, with slots, heard of within ``threshold`` seconds."""
        return [
            node
            for node in self.all()
            if node.slots and node.status is NodeStatus.ACTIVE and node.heartbeat_age <= threshold
        ]
