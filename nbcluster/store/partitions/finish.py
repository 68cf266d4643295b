"""CLAIMED -> COMPLETED, FAILED, or PENDING again, by the owner of the attempt."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import (
    BigInteger,
    BindParameter,
    Connection,
    Float,
    Insert,
    Integer,
    String,
    Text,
    bindparam,
    case,
    func,
    insert,
    select,
    update,
)
from sqlalchemy.sql.dml import ReturningUpdate
from sqlalchemy.types import TypeEngine

from nbcluster.lifecycle import ExitCode, PartitionStatus, Phase, sources
from nbcluster.records import Claim, Finish
from nbcluster.store import payloads
from nbcluster.store.cached import CachedResults
from nbcluster.store.engine import BULK, Database
from nbcluster.store.events import EventLog
from nbcluster.store.partitions.checkpoints import Checkpoints
from nbcluster.store.partitions.claim import PENDING, still
from nbcluster.store.tables import attempts, logs, partitions, results
from nbcluster.store.targets import Targets, may_take_long
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
    "erred": Integer(),
    "retry_after": Float(),
}


class Finishes:
    """Recording how attempts ended, with their results, output and history."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._dialect = database.dialect
        self._events = EventLog(database)
        self._checkpoints = Checkpoints(database)
        self._targets = Targets(database)
        self._cached = CachedResults(database)
        self._finish = self._finish_statement()
        self._remember = self._remember_statement()

    def _finish_statement(self) -> ReturningUpdate[Any]:
        batch = self._dialect.batch(_FINISH_COLUMNS)
        now = self._dialect.now()
        handed_back = batch.c.status == PENDING
        begun = func.coalesce(partitions.c.start_time, self._dialect.ahead(-batch.c.seconds))
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
                errors=partitions.c.errors + batch.c.erred,
                not_before=self._dialect.ahead(batch.c.retry_after),
                # When the work began is only known now, unless it may run once and was marked as begun.
                start_time=case((handed_back, None), else_=begun),
                end_time=case((handed_back, None), else_=now),
                last_updated=now,
            )
            .returning(partitions.c.step_execution_id, partitions.c.has_checkpoint)
        )

    def _remember_statement(self) -> Insert:
        """Keep an attempt that was not the last: the partition's row will show the next one."""
        its_id: BindParameter[int] = bindparam("its_id")
        return insert(attempts).values(
            step_execution_id=its_id,
            claimed_time=select(partitions.c.claimed_time)
            .where(partitions.c.step_execution_id == its_id)
            .scalar_subquery(),
            end_time=self._dialect.now(),
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
            recorded = {row[0]: row[1] for row in connection.execute(self._finish, bound)}
            mine = [f for f in finishes if f.claim.partition_id in recorded]
            self._tell(connection, mine)
            self._targets.write(connection, mine)
            self._targets.execute(connection, mine)
            self._write_results(connection, mine)
            self._cached.give(connection, mine)
            self._write_attempts(connection, mine)
            self._write_checkpoints(
                connection, mine, {one for one, has_checkpoint in recorded.items() if has_checkpoint}
            )
            refused = [f for f in finishes if f.claim.partition_id not in recorded]
            before = self._recorded_before(connection, refused) if refused else set()
            self._tell_fenced(connection, [f.claim for f in refused if f.claim.partition_id not in before])
            topics = {job_topic(f.claim.step.job_execution_id) for f in finishes}
            # What waits for a retry is nobody's work yet; who recorded it wakes when it is due.
            if any(f.status is PartitionStatus.PENDING and not f.retry_after for f in finishes):
                topics.add(WORK)
            self._database.announce(connection, topics)
            return before | set(recorded)

        patience = BULK if any(map(may_take_long, finishes)) else None
        return self._database.write(work, patience=patience)

    def fenced(self, claims: Sequence[Claim]) -> None:
        """Record that these were moved while their node was out of touch, and that it drops what it computed."""
        if claims:
            self._database.write(lambda connection: self._tell_fenced(connection, claims))

    def _tell(self, connection: Connection, finishes: Sequence[Finish]) -> None:
        """One event for all that ended in the same way; another for what was refused, with the reason."""
        told: list[tuple[Phase, Claim, str | None]] = [(_phase(finish), finish.claim, None) for finish in finishes]
        told += [
            (Phase.REFUSED, finish.claim, finish.exit_message)
            for finish in finishes
            if finish.exit_code is ExitCode.BAD_SIGNATURE
        ]
        self._record(connection, told)

    def _tell_fenced(self, connection: Connection, claims: Sequence[Claim]) -> None:
        self._record(connection, [(Phase.FENCED, claim, "what it computed is dropped") for claim in claims])

    def _record(self, connection: Connection, told: Sequence[tuple[Phase, Claim, str | None]]) -> None:
        groups: dict[tuple[Phase, int, int, str, str | None], list[tuple[int, int]]] = {}
        for phase, claim, detail in told:
            key = (phase, claim.step.job_execution_id, claim.step.step_execution_id, claim.node_id, detail)
            groups.setdefault(key, []).append((claim.partition_id, claim.attempt))
        self._events.record_all(
            connection,
            [
                {"phase": phase, "job": job, "step": step, "node": node, "members": members, "detail": detail}
                for (phase, job, step, node, detail), members in groups.items()
            ],
        )

    def _write_results(self, connection: Connection, finishes: Sequence[Finish]) -> None:
        final = [finish for finish in finishes if finish.status is not PartitionStatus.PENDING]
        stored = [_result_row(connection, finish) for finish in final if finish.result is not None]
        if stored:
            self._dialect.insert_many(connection, results, stored)
        written = [
            {"step_execution_id": f.claim.partition_id, "attempt": f.claim.attempt, "body": f.log}
            for f in finishes
            if f.log
        ]
        if written:
            connection.execute(insert(logs), written)

    def _write_attempts(self, connection: Connection, finishes: Sequence[Finish]) -> None:
        rows = [_attempt_row(f) for f in finishes if f.crashed or f.status is PartitionStatus.PENDING]
        if rows:
            connection.execute(self._remember, rows)

    def _write_checkpoints(self, connection: Connection, finishes: Sequence[Finish], having: set[int]) -> None:
        """Keep the good items of what is retried; forget what was left for partitions that are complete."""
        kept = [(f.claim, f.result) for f in finishes if f.status is PartitionStatus.PENDING and f.result is not None]
        if kept:
            self._checkpoints.keep_items(connection, kept)
        done = [f.claim for f in finishes if f.status is PartitionStatus.COMPLETED and f.claim.partition_id in having]
        if done:
            self._checkpoints.drop(connection, done)

    def _recorded_before(self, connection: Connection, refused: Sequence[Finish]) -> set[int]:
        """Those whose COMMIT succeeded although its answer was lost.

        They are final with our attempt and token, or our attempt is among those that are not the last.
        """
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
        final = {
            row[0]
            for row in rows
            if (row[1], row[2], row[3])
            == (by_id[row[0]].claim.attempt, by_id[row[0]].claim.token, by_id[row[0]].status.value)
        }
        remembered = connection.execute(
            select(attempts.c.step_execution_id, attempts.c.attempt, attempts.c.outcome).where(
                self._dialect.among(attempts.c.step_execution_id, "ids")
            ),
            {"ids": self._dialect.listed(list(by_id))},
        ).all()
        earlier = {
            row[0]
            for row in remembered
            if by_id[row[0]].status is PartitionStatus.PENDING
            and (row[1], row[2]) == (by_id[row[0]].claim.attempt, _phase(by_id[row[0]]).value)
        }
        return final | earlier


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
        int(finish.erred),
        finish.retry_after,
    )


def _attempt_row(finish: Finish) -> dict[str, Any]:
    return {
        "its_id": finish.claim.partition_id,
        "attempt": finish.claim.attempt,
        "node_id": finish.claim.node_id,
        "outcome": Phase.CRASHED.value if finish.crashed else _phase(finish).value,
        "message": finish.exit_message,
        "seconds": finish.seconds,
        "peak_memory": finish.peak_memory,
    }


def _result_row(connection: Connection, finish: Finish) -> dict[str, Any]:
    assert finish.result is not None
    reference = finish.result.reference
    inline = reference is None and len(finish.result.values) <= payloads.INLINE
    if inline:
        payload_id = None
    else:
        payload_id = payloads.put(connection, finish.result.values) if reference is None else reference.name
    return {
        "step_execution_id": finish.claim.partition_id,
        "attempt": finish.claim.attempt,
        "claim_token": finish.claim.token,
        "size": len(finish.result.values) if reference is None else reference.size,
        "body": finish.result.values if inline else None,
        "payload_id": payload_id,
        "errors": finish.result.errors,
        "seconds": finish.result.seconds,
        "mac": finish.result.mac,
    }
