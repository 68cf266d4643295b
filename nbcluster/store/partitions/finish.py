"""CLAIMED -> COMPLETED, FAILED, or PENDING again, by the owner of the attempt."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import BigInteger, Connection, Float, Integer, String, Text, case, insert, select, update
from sqlalchemy.sql.dml import ReturningUpdate
from sqlalchemy.types import TypeEngine

from nbcluster.lifecycle import PartitionStatus, Phase, sources
from nbcluster.records import Finish
from nbcluster.store import payloads
from nbcluster.store.engine import Database
from nbcluster.store.events import EventLog
from nbcluster.store.partitions.claim import PENDING, still
from nbcluster.store.tables import attempts, logs, partitions, results
from nbcluster.store.wakeup import WORK, job_topic

_FINISH_COLUMNS: dict[str, TypeEngine[Any]] = {
    "id": BigInteger(),
    "attempt": BigInteger(),
    "token": BigInteger(),
    "owner": String(),
    "status": String(),
    "exit_code": String(),
    "exit_message": Text(),
    "seconds": Float(),
    "failed_items": BigInteger(),
    "crashed": Integer(),
}


class Finishes:
    """Recording how attempts ended, with their results, output and history."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._dialect = database.dialect
        self._events = EventLog(database)
        self._finish = self._finish_statement()

    def _finish_statement(self) -> ReturningUpdate[Any]:
        batch = self._dialect.batch(_FINISH_COLUMNS)
        now = self._dialect.now()
        handed_back = batch.c.status == PENDING
        return (
            update(partitions)
            .where(
                # The list of keys keeps the planner on the primary key when its statistics are stale.
                self._dialect.narrowed(partitions.c.step_execution_id, "ids"),
                partitions.c.step_execution_id == batch.c.id,
                partitions.c.attempt == batch.c.attempt,
                partitions.c.claim_token == batch.c.token,
                partitions.c.assigned_node == batch.c.owner,
                still(PartitionStatus.CLAIMED),
            )
            .values(
                status=batch.c.status,
                assigned_node=case((handed_back, None), else_=partitions.c.assigned_node),
                exit_code=batch.c.exit_code,
                exit_message=batch.c.exit_message,
                seconds=batch.c.seconds,
                failed_items=batch.c.failed_items,
                crashes=partitions.c.crashes + batch.c.crashed,
                end_time=case((handed_back, None), else_=now),
                last_updated=now,
            )
            .returning(partitions.c.step_execution_id)
        )

    def finish(self, finishes: Sequence[Finish]) -> set[int]:
        """Record how attempts ended, each with its result and output in the same transaction.

        Gives the partitions that were recorded, also those that an earlier try of ours
        recorded without our hearing of it.  The others belong to somebody else by now.
        """
        rows = [_finish_row(finish) for finish in finishes]
        bound = self._dialect.batch_values(_FINISH_COLUMNS, rows)
        bound["ids"] = self._dialect.listed([finish.claim.partition_id for finish in finishes])

        def work(connection: Connection) -> set[int]:
            accepted = set(connection.execute(self._finish, bound).scalars())
            self._tell(connection, [f for f in finishes if f.claim.partition_id in accepted])
            self._write_results(connection, [f for f in finishes if f.claim.partition_id in accepted])
            refused = [f for f in finishes if f.claim.partition_id not in accepted]
            topics = {job_topic(f.claim.step.job_execution_id) for f in finishes}
            if any(f.status is PartitionStatus.PENDING for f in finishes):
                topics.add(WORK)
            self._database.announce(connection, topics)
            return accepted | self._recorded_before(connection, refused)

        return self._database.write(work)

    def _tell(self, connection: Connection, finishes: Sequence[Finish]) -> None:
        """One event for all that ended in the same way."""
        groups: dict[tuple[Phase, int, int, str], list[tuple[int, int]]] = {}
        for finish in finishes:
            step = finish.claim.step
            key = (_phase(finish), step.job_execution_id, step.step_execution_id, finish.claim.node_id)
            groups.setdefault(key, []).append((finish.claim.partition_id, finish.claim.attempt))
        self._events.record_all(
            connection,
            [
                {"phase": phase, "job": job, "step": step, "node": node, "members": members}
                for (phase, job, step, node), members in groups.items()
            ],
        )

    def _write_results(self, connection: Connection, finishes: Sequence[Finish]) -> None:
        stored = [_result_row(connection, finish) for finish in finishes if finish.result is not None]
        if stored:
            self._dialect.insert_many(connection, results, stored)
        written = [
            {"step_execution_id": f.claim.partition_id, "attempt": f.claim.attempt, "body": f.log}
            for f in finishes
            if f.log
        ]
        if written:
            connection.execute(insert(logs), written)
        for finish in finishes:
            if finish.crashed or finish.status is PartitionStatus.PENDING:
                self._remember_attempt(connection, finish)

    def _remember_attempt(self, connection: Connection, finish: Finish) -> None:
        """Keep an attempt that was not the last: the partition's row will show the next one."""
        connection.execute(
            insert(attempts).values(
                step_execution_id=finish.claim.partition_id,
                attempt=finish.claim.attempt,
                node_id=finish.claim.node_id,
                end_time=self._dialect.now(),
                outcome="CRASHED" if finish.crashed else "HANDED_BACK",
                message=finish.exit_message,
                seconds=finish.seconds,
                peak_memory=finish.peak_memory,
            )
        )

    def _recorded_before(self, connection: Connection, refused: Sequence[Finish]) -> set[int]:
        """Those whose COMMIT succeeded although its answer was lost: final, with our attempt and token."""
        if not refused:
            return set()
        by_id = {f.claim.partition_id: f for f in refused}
        rows = connection.execute(
            select(
                partitions.c.step_execution_id,
                partitions.c.attempt,
                partitions.c.claim_token,
                partitions.c.status,
            ).where(self._dialect.among(partitions.c.step_execution_id, "ids")),
            {"ids": self._dialect.listed(list(by_id))},
        ).all()
        return {
            row[0]
            for row in rows
            if (row[1], row[2], row[3])
            == (by_id[row[0]].claim.attempt, by_id[row[0]].claim.token, by_id[row[0]].status.value)
        }


def _phase(finish: Finish) -> Phase:
    if finish.status is PartitionStatus.PENDING:
        return Phase.CRASHED if finish.crashed else Phase.RETRIED if finish.erred else Phase.HANDED_BACK
    return Phase.COMPLETED if finish.status is PartitionStatus.COMPLETED else Phase.FAILED


def _finish_row(finish: Finish) -> tuple[Any, ...]:
    if (PartitionStatus.CLAIMED not in sources(finish.status)) or finish.status is PartitionStatus.CLAIMED:
        raise ValueError(f"a CLAIMED partition cannot become {finish.status}")
    return (
        finish.claim.partition_id,
        finish.claim.attempt,
        finish.claim.token,
        finish.claim.node_id,
        finish.status.value,
        finish.exit_code.value if finish.exit_code else None,
        finish.exit_message,
        finish.seconds,
        finish.failed_items,
        int(finish.crashed),
    )


def _result_row(connection: Connection, finish: Finish) -> dict[str, Any]:
    assert finish.result is not None
    inline = len(finish.result.values) <= payloads.INLINE
    return {
        "step_execution_id": finish.claim.partition_id,
        "attempt": finish.claim.attempt,
        "claim_token": finish.claim.token,
        "size": len(finish.result.values),
        "body": finish.result.values if inline else None,
        "payload_id": None if inline else payloads.put(connection, finish.result.values),
        "errors": finish.result.errors,
        "seconds": finish.result.seconds,
        "mac": finish.result.mac,
    }
