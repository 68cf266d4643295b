"""What others do to a partition: move the work of a lost node, cancel what nobody runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, exists, insert, select, update

from nbcluster.lifecycle import CALLBACKS, PRESENT, ExitCode, PartitionStatus, Phase
from nbcluster.store.engine import Database
from nbcluster.store.events import EventLog
from nbcluster.store.partitions.claim import CLAIMED, PENDING
from nbcluster.store.tables import attempts, nodes, partitions, step_execution
from nbcluster.store.wakeup import WORK, job_topic


class Releases:
    """Transitions made by somebody who is not the owner.  Each runs in its caller's transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._dialect = database.dialect
        self._events = EventLog(database)

    def release_lost(self, connection: Connection, node_id: str) -> tuple[int, int]:
        """Move what a lost node held: (partitions given back, partitions failed as NODE_LOST).

        Transferable ones, and those that had not begun, are PENDING again; those that may
        run only once and had begun are FAILED.  PENDING work assigned to it becomes free.
        """
        held = (
            select(partitions)
            .where(partitions.c.assigned_node == node_id, partitions.c.status == CLAIMED)
            .order_by(partitions.c.step_execution_id)
        )
        rows = connection.execute(self._dialect.lock_and_skip(held)).all()
        moved = [row for row in rows if row.is_transferable or row.start_time is None]
        failed = [row for row in rows if not (row.is_transferable or row.start_time is None)]
        for group, phase in ((moved, Phase.MOVED), (failed, Phase.FAILED)):
            for row in group:
                self._move_lost(connection, row, fail=phase is Phase.FAILED)
            self._tell(connection, phase, node_id, group)
        connection.execute(
            update(partitions)
            .where(
                partitions.c.assigned_node == node_id,
                partitions.c.status == PENDING,
            )
            .values(assigned_node=None)
        )
        topics = {job_topic(row.job_execution_id) for row in rows} | {WORK}
        self._database.announce(connection, topics)
        return len(moved), len(failed)

    def _tell(self, connection: Connection, phase: Phase, node_id: str, rows: Sequence[Any]) -> None:
        for step in dict.fromkeys(row.master_step_execution_id for row in rows):
            mine = [row for row in rows if row.master_step_execution_id == step]
            members = [(row.step_execution_id, row.attempt) for row in mine]
            self._events.record(
                connection, phase, job=mine[0].job_execution_id, step=step, node=node_id, members=members,
                detail="the node was lost",
            )  # fmt: skip

    def ownerless(self, connection: Connection) -> list[str]:
        """Nodes that hold partitions and are not there: removed, or UNREACHABLE.

        Whoever moves their work passes over a row that the node's last, unfinished commit still locks; and
        a node may claim in the moment before it learns that it was removed, and die then.
        """
        owner = exists().where(
            nodes.c.node_id == partitions.c.assigned_node, nodes.c.status.in_([status.value for status in PRESENT])
        )
        statement = select(partitions.c.assigned_node).distinct().where(partitions.c.status == CLAIMED, ~owner)
        return [str(owner) for owner in connection.execute(statement).scalars()]

    def _move_lost(self, connection: Connection, row: Any, *, fail: bool) -> None:
        now = self._dialect.now()
        message = f"the node {row.assigned_node} was lost while it ran this partition"
        values: dict[str, Any] = {"node_losses": partitions.c.node_losses + 1, "last_updated": now}
        if fail:
            values |= {
                "status": PartitionStatus.FAILED,
                "exit_code": ExitCode.NODE_LOST,
                "exit_message": message + " and it is not transferable",
                "failed_items": partitions.c.item_count,
                "end_time": now,
            }
        else:
            values |= {"status": PartitionStatus.PENDING, "assigned_node": None}
        moved = connection.execute(
            update(partitions)
            .where(
                partitions.c.step_execution_id == row.step_execution_id,
                partitions.c.attempt == row.attempt,
                partitions.c.assigned_node == row.assigned_node,
                partitions.c.status == CLAIMED,
            )
            .values(**values)
        ).rowcount
        if moved:
            connection.execute(
                insert(attempts).values(
                    step_execution_id=row.step_execution_id,
                    attempt=row.attempt,
                    node_id=row.assigned_node,
                    claimed_time=row.claimed_time,
                    end_time=now,
                    outcome="NODE_LOST",
                    message=message,
                )
            )

    def cancel_pending(self, connection: Connection, job_id: int) -> None:
        """Fail what nobody has begun in a job that was asked to stop; callbacks are not part of it."""
        ordinary = select(step_execution.c.step_execution_id).where(
            step_execution.c.job_execution_id == job_id, step_execution.c.kind.not_in(CALLBACKS)
        )
        for step_id in connection.execute(ordinary).scalars().all():
            self._cancel(connection, step_id, "the job was stopped before this partition began")

    def cancel_step(self, connection: Connection, step_id: int) -> None:
        """Fail the partitions of a step that will not start."""
        self._cancel(connection, step_id, "the step was not started: an earlier one did not complete")

    def _cancel(self, connection: Connection, step_id: int, message: str) -> None:
        now = self._dialect.now()
        rows = connection.execute(
            update(partitions)
            .where(partitions.c.master_step_execution_id == step_id, partitions.c.status == PENDING)
            .values(
                status=PartitionStatus.FAILED,
                exit_code=ExitCode.CANCELLED,
                exit_message=message,
                failed_items=partitions.c.item_count,
                end_time=now,
                last_updated=now,
            )
            .returning(partitions.c.step_execution_id, partitions.c.attempt, partitions.c.job_execution_id)
        ).all()
        if rows:
            members = [(row[0], row[1]) for row in rows]
            self._events.record(connection, Phase.CANCELLED, job=rows[0][2], step=step_id, members=members)
