"""``batch_cached``: results by what they are the result of, for every job that computes the same.

An entry points at the partition that holds the result, and is there for as long as that is.
Nothing here is trusted: whoever takes a result over checks the signatures of entry and result.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, bindparam, delete, select

from nbcluster.cachedresult import CachedResult
from nbcluster.lifecycle import PartitionStatus
from nbcluster.records import Finish
from nbcluster.store.engine import Database
from nbcluster.store.tables import cached, partitions, results

_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class CachedEntry:
    """The partition that a key stands for, with what its node signed."""

    partition_id: int
    uid: str
    step_name: str
    index: int
    mac: bytes


class CachedResults:
    """Looking for results of other jobs, taking them over, and giving others one's own."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._give = database.dialect.insert_missing(cached).values(saved_time=database.dialect.now())

    def find(self, keys: Collection[str]) -> tuple[list[CachedResult], list[str]]:
        """What there is for these keys; and those whose entries lead nowhere, for their results are gone."""

        def work(connection: Connection) -> tuple[list[CachedResult], list[str]]:
            rows = [row for some in _slices(keys) for row in connection.execute(_FIND, {"keys": some})]
            found = [
                CachedResult(
                    key=row.cache_key,
                    partition_id=row.step_execution_id,
                    uid=row.job_uid,
                    step_name=row.step_name,
                    index=row.partition_index,
                    attempt=row.attempt,
                    token=row.claim_token,
                    mac=bytes(row.mac),
                    node=row.assigned_node,
                    seconds=row.seconds,
                )
                for row in rows
                if row.attempt is not None
            ]
            return found, [row.cache_key for row in rows if row.attempt is None]

        return self._database.read(work)

    def drop(self, keys: Collection[str]) -> None:
        """Forget these entries, so that the next result of their keys takes their place."""

        def work(connection: Connection) -> None:
            for some in _slices(keys):
                connection.execute(_DROP, {"keys": some})

        if keys:
            self._database.write(work)

    def confirmed(self, connection: Connection, wanted: Sequence[CachedResult]) -> set[str]:
        """The keys of those that are still there; they stay until the caller's transaction has ended."""
        held = {one.key: one.partition_id for one in wanted}
        return {
            row.cache_key
            for some in _slices(held)
            for row in connection.execute(_HOLD, {"keys": some})
            if row.step_execution_id == held[row.cache_key]
        }

    def entries(self, connection: Connection, keys: Collection[str]) -> dict[str, CachedEntry]:
        """The entries of these keys."""
        return {
            row.cache_key: CachedEntry(
                row.step_execution_id, row.job_uid, row.step_name, row.partition_index, bytes(row.mac)
            )
            for some in _slices(keys)
            for row in connection.execute(_ENTRIES, {"keys": some})
        }

    def give(self, connection: Connection, finishes: Sequence[Finish]) -> None:
        """Enter the good results that others may take over; what is entered already stays."""
        rows = [
            {
                "cache_key": finish.claim.cache_key,
                "step_execution_id": finish.claim.partition_id,
                "job_uid": finish.claim.step.uid,
                "step_name": finish.claim.step.name,
                "partition_index": finish.claim.index,
                "mac": finish.cached_mac,
            }
            for finish in finishes
            if finish.status is PartitionStatus.COMPLETED and finish.cached_mac is not None
        ]
        if rows:  # in one order, or two nodes with the same keys would wait for each other
            connection.execute(self._give, sorted(rows, key=lambda row: str(row["cache_key"])))


_KEYS = cached.c.cache_key.in_(bindparam("keys", expanding=True))
_FIND = (
    select(cached, results.c.attempt, results.c.claim_token, partitions.c.assigned_node, partitions.c.seconds)
    .outerjoin(results, results.c.step_execution_id == cached.c.step_execution_id)
    .outerjoin(partitions, partitions.c.step_execution_id == cached.c.step_execution_id)
    .where(_KEYS)
)
_DROP = delete(cached).where(_KEYS)
_ENTRIES = select(cached).where(_KEYS)
_HOLD = (
    select(cached.c.cache_key, cached.c.step_execution_id)
    .join(results, results.c.step_execution_id == cached.c.step_execution_id)
    .where(_KEYS)
    .order_by(cached.c.cache_key)
    .with_for_update(read=True, of=cached)
)


def _slices(keys: Collection[str]) -> Iterator[list[str]]:
    every = sorted(keys)
    for start in range(0, len(every), _AT_ONCE):
        yield every[start : start + _AT_ONCE]
