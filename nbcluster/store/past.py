"""What is recorded of an earlier moment: which nodes there were, who held what, what had happened to a job."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import func, or_, select, union

from nbcluster.lifecycle import PartitionStatus, Phase
from nbcluster.store.engine import BULK, Database
from nbcluster.store.events import Member, parse_members
from nbcluster.store.tables import attempts, events, nodes, partitions


class NodeEvent(NamedTuple):
    """Something that was recorded of a node, by the database's clock."""

    time: datetime
    phase: str
    node: str
    detail: str | None


class PartitionEvent(NamedTuple):
    """Something that was recorded of partitions of a step."""

    time: datetime
    phase: str
    node: str | None
    members: tuple[Member, ...]


_OF_NODES = [phase.value for phase in Phase if phase.value.startswith("NODE_")]


class PastViews:
    """Reading ``batch_events`` up to a moment, with the rows that they tell of."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._dialect = database.dialect

    def _rows(self, statement: Any) -> Sequence[Any]:
        return self._database.read(lambda connection: connection.execute(statement).all(), patience=BULK)

    def clock(self) -> tuple[datetime, datetime | None]:
        """The time now, and that of the first thing that is recorded; None when nothing is."""
        first = select(func.min(events.c.event_time)).scalar_subquery()
        row = self._rows(select(self._dialect.now(), first))[0]
        return row[0], row[1]

    def node_events(self, until: datetime) -> list[NodeEvent]:
        """What was recorded of nodes themselves, in the order of the recording."""
        statement = (
            select(events.c.event_time, events.c.phase, events.c.node_id, events.c.detail)
            .where(events.c.phase.in_(_OF_NODES), events.c.event_time <= until)
            .order_by(events.c.event_id)
        )
        return [NodeEvent(*row) for row in self._rows(statement)]

    def traces(self, until: datetime) -> dict[str, datetime]:
        """When each process that anything is recorded of was first heard of, those that are there now included."""
        named = select(events.c.node_id, func.min(events.c.event_time)).where(
            events.c.node_id.is_not(None), events.c.event_time <= until
        )
        found = {row[0]: row[1] for row in self._rows(named.group_by(events.c.node_id))}
        there = select(nodes.c.node_id, nodes.c.created_time).where(nodes.c.created_time <= until)
        return found | {row[0]: row[1] for row in self._rows(there)}

    def held(self, at: datetime) -> dict[str, int]:
        """How many partitions each node had claimed and not yet given back or ended."""
        last = select(partitions.c.step_execution_id, partitions.c.attempt, partitions.c.assigned_node).where(
            partitions.c.status != PartitionStatus.PENDING,
            partitions.c.result_of.is_(None),
            partitions.c.claimed_time <= at,
            or_(partitions.c.end_time.is_(None), partitions.c.end_time > at),
        )
        earlier = select(attempts.c.step_execution_id, attempts.c.attempt, attempts.c.node_id).where(
            attempts.c.claimed_time <= at, attempts.c.end_time > at
        )
        every = union(last, earlier).subquery()  # an attempt may be in both
        statement = select(every.c.assigned_node, func.count()).group_by(every.c.assigned_node)
        return {row[0]: row[1] for row in self._rows(statement)}

    def partition_events(self, step_id: int, until: datetime) -> list[PartitionEvent]:
        """What was recorded of a step's partitions, in the order of the recording."""
        statement = (
            select(events.c.event_time, events.c.phase, events.c.node_id, events.c.members)
            .where(events.c.step_execution_id == step_id, events.c.members.is_not(None), events.c.event_time <= until)
            .order_by(events.c.event_id)
        )
        return [PartitionEvent(row[0], row[1], row[2], tuple(parse_members(row[3]))) for row in self._rows(statement)]

    def carried_over(self, step_id: int) -> set[int]:
        """The ids of the partitions that took a result over when the step was stored."""
        statement = select(partitions.c.step_execution_id).where(
            partitions.c.master_step_execution_id == step_id, partitions.c.result_of.is_not(None)
        )
        return {row[0] for row in self._rows(statement)}
