"""What others do to a partition: move the work of a lost node, cancel what nobody runs."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, exists, insert, select, update

from nbcluster.lifecycle import ExitCode, PartitionStatus
from nbcluster.store.engine import Database
from nbcluster.store.partitions.claim import CLAIMED, PENDING
from nbcluster.store.tables import attempts, nodes, partitions
from nbcluster.store.wakeup import WORK, job_topic


class Releases:
    """Transitions made by somebody who is not the owner.  Each runs in its caller's transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._dialect = database.dialect

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
        for row in rows:
            self._move_lost(connection, row, fail=row in failed)
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

    def ownerless(self, connection: Connection) -> list[str]:
        """Nodes that hold partitions and are not registered.

        A removal passes over a row that the node's last, unfinished commit still locks; and
        a node may claim in the moment before it learns that it was removed, and die then.
        """
        statement = (
            select(partitions.c.assigned_node)
            .distinct()
            .where(partitions.c.status == CLAIMED, ~exists().where(nodes.c.node_id == partitions.c.assigned_node))
        )
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
        """Fail what nobody has begun in a job that was asked to stop."""
        now = self._dialect.now()
        connection.execute(
            update(partitions)
            .where(partitions.c.job_execution_id == job_id, partitions.c.status == PENDING)
            .values(
                status=PartitionStatus.FAILED,
                exit_code=ExitCode.CANCELLED,
                exit_message="the job was stopped before this partition began",
                failed_items=partitions.c.item_count,
                end_time=now,
                last_updated=now,
            )
        )
