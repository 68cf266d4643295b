"""Reading what partitions gave: stored results and arguments, still closed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, func, select

from nbcluster.cachedresult import TakenOver
from nbcluster.depot.names import FILE, is_reference
from nbcluster.lifecycle import FINAL, PartitionStatus
from nbcluster.records import Reference, Result, Signed, StoredResult
from nbcluster.store import payloads
from nbcluster.store.cached import CachedEntry, CachedResults
from nbcluster.store.engine import Database
from nbcluster.store.tables import partitions, results, step_execution


class Outcomes:
    """``batch_results``, with the partitions they belong to."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._dialect = database.dialect
        self._cached = CachedResults(database)

    def read(self, step_id: int, indexes: Sequence[int], *, arguments: bool, fetch: bool = True) -> list[StoredResult]:
        """The final partitions among ``indexes``, in order, with arguments if they are asked for.

        Large values are not read: there is a reference in their place.  Without ``fetch`` nothing is read that is not
        in the rows themselves; ``fetched`` does that for one partition.
        """
        source = func.coalesce(partitions.c.result_of, partitions.c.step_execution_id)
        columns = [
            partitions.c.partition_index, partitions.c.partition_key, partitions.c.status, partitions.c.assigned_node,
            partitions.c.attempt, partitions.c.claim_token, partitions.c.item_count, partitions.c.exit_code,
            partitions.c.exit_message, partitions.c.seconds, results.c.attempt.label("result_attempt"), results.c.body,
            results.c.payload_id, results.c.errors, results.c.seconds.label("item_seconds"), results.c.mac,
            results.c.size, source.label("source"), partitions.c.step_execution_id.label("partition_id"),
            partitions.c.result_of, partitions.c.cache_key, partitions.c.cache_mac,
        ]  # fmt: skip
        if arguments:
            columns += [partitions.c.arguments, partitions.c.arguments_mac, partitions.c.arguments_payload]
        statement = (
            select(*columns)
            .outerjoin(results, results.c.step_execution_id == source)
            .where(
                partitions.c.master_step_execution_id == step_id,
                self._dialect.among(partitions.c.partition_index, "indexes"),
                partitions.c.status.in_(FINAL),
            )
            .order_by(partitions.c.partition_index)
        )

        def work(connection: Connection) -> list[StoredResult]:
            rows = connection.execute(statement, {"indexes": self._dialect.listed(indexes)}).all()
            entries = self._cached.entries(connection, {row.cache_key for row in rows if _may_be_taken_over(row)})
            in_files = [row for row in rows if _in_a_file(row, arguments)]
            at = self._addresses(connection, in_files) if in_files else {}
            return [_stored(connection, row, arguments, at, _taken_over(row, entries), fetch) for row in rows]

        return self._database.read(work)

    def fetched(self, stored: StoredResult, *, values: bool, arguments: bool) -> StoredResult:
        """The same with its values and arguments, if they are asked for, where ``read`` did not fetch them."""
        result, sent = stored.result, stored.arguments
        name = result.unfetched if result is not None and values else None
        sent_name = stored.arguments_unfetched if arguments else None
        if name is None and sent_name is None:
            return stored

        def work(connection: Connection) -> list[bytes]:
            return [b"" if one is None else payloads.get(connection, one) or b"" for one in (name, sent_name)]

        body, sent_body = self._database.read(work)
        if result is not None and name is not None:
            result = replace(result, values=body, unfetched=None)
        if sent is not None and sent_name is not None:
            sent = replace(sent, body=sent_body)
        left = None if arguments else stored.arguments_unfetched
        return replace(stored, result=result, arguments=sent, arguments_unfetched=left)

    def _addresses(self, connection: Connection, rows: Sequence[Any]) -> dict[int, str | None]:
        """Where the steps that computed these results keep their large values."""
        statement = (
            select(partitions.c.step_execution_id, step_execution.c.values_at)
            .join(step_execution, step_execution.c.step_execution_id == partitions.c.master_step_execution_id)
            .where(self._dialect.among(partitions.c.step_execution_id, "ids"))
        )
        ids = sorted({one for row in rows for one in (row.source, row.partition_id)})
        found = connection.execute(statement, {"ids": self._dialect.listed(ids)})
        return {row[0]: row[1] for row in found}


def _in_a_file(row: Any, arguments: bool) -> bool:
    names = (row.payload_id, row.arguments_payload if arguments else None)
    return any(name is not None and name.startswith(FILE) for name in names)


def _may_be_taken_over(row: Any) -> bool:
    return row.result_of is not None and row.cache_key is not None and row.cache_mac is not None


def _taken_over(row: Any, entries: dict[str, CachedEntry]) -> TakenOver | None:
    """Which job computed it, if it is the one that the cache names."""
    entry = entries.get(row.cache_key) if _may_be_taken_over(row) else None
    if entry is None or entry.partition_id != row.result_of:
        return None
    return TakenOver(entry.uid, entry.step_name, entry.index, row.cache_key, bytes(row.cache_mac), entry.mac)


def _stored(
    connection: Connection,
    row: Any,
    arguments: bool,
    at: Mapping[int, str | None],
    taken_over: TakenOver | None,
    fetch: bool,
) -> StoredResult:
    result = None
    if row.errors is not None:
        reference = _reference(row.payload_id, at.get(row.source), row.size)
        values = b"" if row.body is None else bytes(row.body)
        later = row.payload_id if row.body is None and reference is None else None
        if later is not None and fetch:
            values, later = payloads.get(connection, later) or b"", None
        result = Result(values, row.errors, bytes(row.item_seconds), bytes(row.mac), reference, unfetched=later)
    sent = sent_at = sent_later = None
    if arguments:
        sent_at = _reference(row.arguments_payload, at.get(row.partition_id))
        body = b"" if row.arguments is None else bytes(row.arguments)
        sent_later = row.arguments_payload if row.arguments is None and sent_at is None else None
        if sent_later is not None and fetch:
            body, sent_later = payloads.get(connection, sent_later) or b"", None
        sent = Signed(body, bytes(row.arguments_mac))
    return StoredResult(
        index=row.partition_index,
        key=row.partition_key,
        status=PartitionStatus(row.status),
        node=row.assigned_node,
        attempt=row.attempt,
        token=row.claim_token,
        items=row.item_count,
        exit_code=row.exit_code,
        exit_message=row.exit_message,
        seconds=row.seconds,
        result=result,
        arguments=sent,
        arguments_reference=sent_at,
        arguments_unfetched=sent_later,
        taken_over=taken_over,
    )


def _reference(name: str | None, at: str | None, size: int = 0) -> Reference | None:
    return Reference(name, at, size) if name is not None and is_reference(name) else None
