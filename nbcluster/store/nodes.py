"""The node registry: register, beat, suspect, remove.  Ages are the database's, never a machine's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from sqlalchemy import Connection, delete, func, insert, select, update

from nbcluster.labels import as_json, from_json
from nbcluster.lifecycle import JobStatus, NodeStatus, PartitionStatus, node_sources
from nbcluster.records import NewNode, Node
from nbcluster.store.engine import Database
from nbcluster.store.tables import coordination, nodes, partitions


@dataclass(frozen=True, slots=True)
class Beat:
    """What a heartbeat found: whether our row was there, and which status it had before."""

    known: bool
    was: NodeStatus | None


class NodeRegistry:
    """``batch_nodes``."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._dialect = database.dialect

    def register(self, node: NewNode) -> None:
        """Add a node, ACTIVE from now on.  Its id is new at each start and never reused."""
        now = self._dialect.now()
        self._database.write(
            lambda connection: connection.execute(
                insert(nodes).values(
                    node_id=node.node_id,
                    created_time=now,
                    last_updated_time=now,
                    status=NodeStatus.ACTIVE,
                    host_identifier=node.host,
                    pid=node.pid,
                    slots=node.slots,
                    python=node.python,
                    version=node.version,
                    labels=as_json(node.labels),
                )
            )
        )

    def beat(self, node_id: str, busy: int) -> Beat:
        """Prove life, tell the load, and renew the lease of every job this node is master of."""

        def work(connection: Connection) -> Beat:
            was = connection.scalar(select(nodes.c.status).where(nodes.c.node_id == node_id).with_for_update())
            status = NodeStatus.DRAINING if was == NodeStatus.DRAINING else NodeStatus.ACTIVE
            known = connection.execute(
                update(nodes)
                .where(nodes.c.node_id == node_id, nodes.c.status.in_([status, NodeStatus.UNREACHABLE]))
                .values(last_updated_time=self._dialect.now(), current_load=busy, status=status)
            ).rowcount
            connection.execute(
                update(coordination)
                .where(
                    coordination.c.master_node_id == node_id,
                    coordination.c.status.in_((JobStatus.CREATED, JobStatus.STARTED)),
                )
                .values(last_updated=self._dialect.now())
            )
            return Beat(bool(known), NodeStatus(was) if was else None)

        return self._database.write(work)

    def drain(self, node_id: str) -> bool:
        """Say that a node takes no more work; False when its row is gone."""
        return self._move(node_id, NodeStatus.DRAINING)

    def _move(self, node_id: str, target: NodeStatus) -> bool:
        statement = (
            update(nodes)
            .where(nodes.c.node_id == node_id, nodes.c.status.in_(node_sources(target)))
            .values(status=target)
        )
        return bool(self._database.write(lambda connection: connection.execute(statement).rowcount))

    def remove(self, connection: Connection, node_id: str) -> None:
        """An orderly end: the row goes at once."""
        connection.execute(delete(nodes).where(nodes.c.node_id == node_id))

    def mark_unreachable(self, connection: Connection, node_id: str, threshold: float) -> bool:
        """Suspect a node that has been silent for ``threshold`` seconds; False when it beat meanwhile."""
        return bool(
            connection.execute(
                update(nodes)
                .where(
                    nodes.c.node_id == node_id,
                    nodes.c.status.in_(node_sources(NodeStatus.UNREACHABLE)),
                    self._dialect.age(nodes.c.last_updated_time) > threshold,
                )
                .values(status=NodeStatus.UNREACHABLE)
            ).rowcount
        )

    def remove_silent(self, connection: Connection, node_id: str, threshold: float) -> bool:
        """Remove a node that is UNREACHABLE and silent for ``threshold`` seconds."""
        return bool(
            connection.execute(
                delete(nodes).where(
                    nodes.c.node_id == node_id,
                    nodes.c.status == NodeStatus.UNREACHABLE,
                    self._dialect.age(nodes.c.last_updated_time) > threshold,
                )
            ).rowcount
        )

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
