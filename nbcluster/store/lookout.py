"""One look at the registry: who is silent, whose sign of life is gone, and whether there is anything to do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, bindparam, exists, func, literal, select, true

from nbcluster.lifecycle import PRESENT, JobStatus, NodeStatus
from nbcluster.store.engine import Database
from nbcluster.store.partitions.claim import CLAIMED
from nbcluster.store.presence import Presence
from nbcluster.store.tables import nodes, partitions, step_execution


@dataclass(frozen=True, slots=True)
class Silent:
    """A process that has not beaten for long enough to be judged."""

    node_id: str
    status: NodeStatus
    seconds: float


@dataclass(frozen=True, slots=True)
class Sighting:
    """What one look saw."""

    members: int
    """Registered processes, kernels included."""
    working: bool
    """Whether any step is started."""
    ownerless: bool
    """Whether anybody holds partitions without being present."""
    database_age: float
    """Seconds since the database was started; infinite where it is no server."""
    silent: tuple[Silent, ...]
    doubted: frozenset[str]
    """Present processes whose sign of life must be asked for (see Presence)."""


class Lookout:
    """Looks with one statement, whose answer grows with what is wrong and not with the cluster."""

    def __init__(self, database: Database, presence: Presence) -> None:
        self._database = database
        self._statement = self._build(presence)

    def _build(self, presence: Presence) -> Select[Any]:
        dialect = self._database.dialect
        present = nodes.c.status.in_([status.value for status in PRESENT])
        age = dialect.age(nodes.c.last_updated_time)
        due = (present & (age > bindparam("unreachable"))) | (
            (nodes.c.status == NodeStatus.UNREACHABLE.value) & (age > bindparam("cleanup"))
        )
        doubted = present & (nodes.c.watched == 1) & presence.doubted()
        found = (
            select(nodes.c.node_id, nodes.c.status, age.label("age"), due.label("due"), doubted.label("doubted"))
            .where(due | doubted)
            .subquery("found")
        )
        owner = exists().where(nodes.c.node_id == partitions.c.assigned_node, present)
        started = literal(JobStatus.STARTED.value, literal_execute=True)
        head = select(
            select(func.count()).select_from(nodes).scalar_subquery().label("members"),
            exists().where(step_execution.c.status == started).label("working"),
            exists().where(partitions.c.status == CLAIMED, ~owner).label("ownerless"),
            dialect.uptime().label("uptime"),
        ).subquery("head")
        return select(head, found).select_from(head.outerjoin(found, true()))

    def look(self, unreachable: float, cleanup: float) -> Sighting:
        """Who is silent for ``unreachable`` seconds, or UNREACHABLE and silent for ``cleanup`` seconds, and so on."""
        bound = {"unreachable": unreachable, "cleanup": cleanup}
        rows = self._database.read(lambda connection: connection.execute(self._statement, bound).all())
        head = rows[0]
        return Sighting(
            members=int(head.members),
            working=bool(head.working),
            ownerless=bool(head.ownerless),
            database_age=float(head.uptime),
            silent=tuple(Silent(row.node_id, NodeStatus(row.status), float(row.age)) for row in rows if row.due),
            doubted=frozenset(row.node_id for row in rows if row.doubted),
        )
