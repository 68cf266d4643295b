"""PENDING -> CLAIMED, and what the owner asks about its claims."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, Integer, Select, bindparam, func, literal, select, update
from sqlalchemy.sql.dml import ReturningUpdate

from nbcluster.lifecycle import PartitionStatus, Phase, sources
from nbcluster.records import Claim, Signed, StepToRun
from nbcluster.store import payloads
from nbcluster.store.engine import Database
from nbcluster.store.events import EventLog
from nbcluster.store.tables import job_execution, partitions
from nbcluster.store.wakeup import WORK

# Written out in the statement, so that the planner sees that the partial indexes fit.
PENDING = literal(PartitionStatus.PENDING.value, literal_execute=True)
CLAIMED = literal(PartitionStatus.CLAIMED.value, literal_execute=True)


_OWNER_FOR_EACH = frozenset({"round_robin", "fixed_node_count", "least_loaded"})

_CLAIMED_COLUMNS = (
    partitions.c.step_execution_id,
    partitions.c.partition_index,
    partitions.c.partition_key,
    partitions.c.attempt,
    partitions.c.is_transferable,
    partitions.c.item_count,
    partitions.c.crashes,
    partitions.c.errors,
    partitions.c.has_checkpoint,
    partitions.c.arguments,
    partitions.c.arguments_mac,
    partitions.c.arguments_payload,
    partitions.c.cache_key,
    partitions.c.cache_mac,
)

_LAST_COLUMNS = (
    partitions.c.assigned_node,
    partitions.c.claim_token,
    partitions.c.status,
    partitions.c.exit_code,
    partitions.c.exit_message,
)


class LastClaim(NamedTuple):
    """The last claim of a partition, and how it stands or ended; of one that is PENDING, the claim before."""

    claim: Claim
    status: PartitionStatus
    exit_code: str | None
    exit_message: str


def still(*expected: PartitionStatus) -> ColumnElement[bool]:
    """The guard of a statement that names its partitions by key: they are in one of these states.

    Said the other way round and behind a function, for PostgreSQL's planner: "is PENDING" invites
    it to walk through all that wait, and from the column's statistics it concludes that next to
    nothing is CLAIMED, and joins a batch of 500 in 200 ms instead of 20.
    """
    others = [status.value for status in PartitionStatus if status not in expected]
    return func.coalesce(partitions.c.status, "").not_in(others)


class Claims:
    """Taking partitions."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._dialect = database.dialect
        self._events = EventLog(database)
        own = partitions.c.assigned_node == bindparam("me")
        free = partitions.c.assigned_node.is_(None)
        others = partitions.c.assigned_node != bindparam("me")
        # Both columns of the index, although the first is the same in every row: else PostgreSQL sorts.
        in_order = (partitions.c.assigned_node, partitions.c.partition_index)
        self._claim_own = self._claim_statement(own, *in_order)
        self._claim_free = self._claim_statement(free, *in_order)
        # From the far end, away from where the owner claims.
        self._claim_others = self._claim_statement(
            others, partitions.c.assigned_node.desc(), partitions.c.partition_index.desc()
        )

    def _claim_statement(self, whose: Any, *order: Any) -> ReturningUpdate[Any]:
        now = self._dialect.now()
        candidates: Select[Any] = (
            select(partitions.c.step_execution_id)
            .where(
                partitions.c.master_step_execution_id == bindparam("step"),
                partitions.c.status == PENDING,
                whose,
                # Few wait for a retry: the index finds them, and this passes over them.
                partitions.c.not_before.is_(None) | (partitions.c.not_before <= now),
            )
            .order_by(*order)
            .limit(bindparam("limit", type_=Integer))
        )
        return (
            update(partitions)
            .where(
                self._dialect.chosen(partitions.c.step_execution_id, self._dialect.lock_and_skip(candidates)),
                still(*sources(PartitionStatus.CLAIMED)),
            )
            .values(
                status=PartitionStatus.CLAIMED,
                assigned_node=bindparam("me"),
                attempt=partitions.c.attempt + 1,
                claim_token=bindparam("token"),
                claimed_time=now,
                start_time=None,
                not_before=None,
                progress=None,
                progress_message=None,
                last_updated=now,
            )
            .returning(*_CLAIMED_COLUMNS)
        )

    def claim(self, step: StepToRun, node_id: str, limit: int, *, free: bool, steal: bool) -> list[Claim]:
        """Up to ``limit`` PENDING partitions of ``step``: first one's own, then unassigned, then others'.

        Under a strategy that gives each partition an owner, what has none came back from a
        crash or a lost node, and goes first: it has waited longest.
        ``steal`` admits PENDING work that is assigned to other nodes.
        """
        token = secrets.randbits(63)
        bound = {"step": step.step_execution_id, "me": node_id, "token": token}
        own = [self._claim_own]
        unassigned = [self._claim_free] if free else []
        first = unassigned + own if step.strategy in _OWNER_FOR_EACH else own + unassigned
        statements = first + ([self._claim_others] if steal else [])

        def work(connection: Connection) -> list[Any]:
            rows: list[Any] = []
            for statement in statements:
                if len(rows) < limit:
                    rows += connection.execute(statement, bound | {"limit": limit - len(rows)}).all()
            if rows:
                members = [(row.step_execution_id, row.attempt) for row in rows]
                self._events.record(
                    connection,
                    Phase.CLAIMED,
                    job=step.job_execution_id,
                    step=step.step_execution_id,
                    node=node_id,
                    members=members,
                )
            return rows

        claims = [_claim(row, step, node_id, token) for row in self._database.write(work)]
        return sorted(claims, key=lambda claim: claim.index)

    def last(self, step: StepToRun, index: int) -> LastClaim | None:
        """The claim of a partition's last attempt, for whoever runs it aside; nothing is claimed."""
        statement = select(*_CLAIMED_COLUMNS, *_LAST_COLUMNS).where(
            partitions.c.master_step_execution_id == step.step_execution_id, partitions.c.partition_index == index
        )
        row = self._database.read(lambda connection: connection.execute(statement).first())
        if row is None:
            return None
        claim = _claim(row, step, row.assigned_node or "", row.claim_token)
        return LastClaim(claim, PartitionStatus(row.status), row.exit_code, row.exit_message or "")

    def arguments(self, payload: str) -> bytes | None:
        """Arguments that are too large for their row."""
        return self._database.read(lambda connection: payloads.get(connection, payload))

    def start(self, claims: Sequence[Claim]) -> set[int]:
        """Commit that partitions which may run only once are about to begin; gives those still owned."""

        def work(connection: Connection) -> set[int]:
            now = self._dialect.now()
            begun = [
                claim
                for claim in claims
                if connection.execute(
                    update(partitions)
                    .where(*owned(claim), partitions.c.status == CLAIMED)
                    .values(start_time=now, last_updated=now)
                ).rowcount
            ]
            _tell(self._events, connection, Phase.STARTED, begun)
            return {claim.partition_id for claim in begun}

        return self._database.write(work)

    def still_owned(self, claims: Sequence[Claim]) -> set[int]:
        """Which of these claims the database still considers current."""
        by_id = {claim.partition_id: claim for claim in claims}
        statement = select(
            partitions.c.step_execution_id, partitions.c.attempt, partitions.c.claim_token, partitions.c.assigned_node
        ).where(self._dialect.among(partitions.c.step_execution_id, "ids"), partitions.c.status == CLAIMED)
        bound = {"ids": self._dialect.listed(list(by_id))}
        rows = self._database.read(lambda connection: connection.execute(statement, bound).all())
        return {
            row[0]
            for row in rows
            if (row[1], row[2], row[3]) == (by_id[row[0]].attempt, by_id[row[0]].token, by_id[row[0]].node_id)
        }

    def held_by(self, node_id: str) -> list[tuple[int, int, int]]:
        """What a node has CLAIMED: (partition, token, attempt)."""
        statement = select(partitions.c.step_execution_id, partitions.c.claim_token, partitions.c.attempt).where(
            partitions.c.assigned_node == node_id, partitions.c.status == CLAIMED
        )
        rows = self._database.read(lambda connection: connection.execute(statement).all())
        return [(row[0], row[1], row[2]) for row in rows]

    def running_by_user(self) -> dict[str, int]:
        """How many partitions each user has CLAIMED in the whole cluster."""
        rows = self._database.read(lambda connection: connection.execute(_RUNNING_BY_USER).all())
        return {row[0]: int(row[1]) for row in rows}

    def give_back(self, node_id: str, claims: Sequence[tuple[int, int, int]]) -> None:
        """Make claims of a node, which it never began, PENDING again."""

        def work(connection: Connection) -> None:
            given_back = []
            for partition_id, token, attempt in claims:
                row = connection.execute(
                    update(partitions)
                    .where(
                        partitions.c.step_execution_id == partition_id,
                        partitions.c.claim_token == token,
                        partitions.c.attempt == attempt,
                        partitions.c.assigned_node == node_id,
                        partitions.c.status == CLAIMED,
                    )
                    .values(status=PartitionStatus.PENDING, assigned_node=None, last_updated=self._dialect.now())
                    .returning(partitions.c.job_execution_id, partitions.c.master_step_execution_id)
                ).first()
                if row is not None:
                    given_back.append((row[0], row[1], partition_id, attempt))
            for job, step in dict.fromkeys((one[0], one[1]) for one in given_back):
                members = [(one[2], one[3]) for one in given_back if (one[0], one[1]) == (job, step)]
                self._events.record(
                    connection, Phase.HANDED_BACK, job=job, step=step, node=node_id, members=members,
                    detail="the answer to the claim was lost",
                )  # fmt: skip
            self._database.announce(connection, [WORK])

        self._database.write(work)


# Reads the index of what is CLAIMED: a handful of rows for each slot, however long the history.
_RUNNING_BY_USER = (
    select(job_execution.c.user_name, func.count())
    .join(partitions, partitions.c.job_execution_id == job_execution.c.job_execution_id)
    .where(partitions.c.status == CLAIMED)
    .group_by(job_execution.c.user_name)
)


def _tell(events: EventLog, connection: Connection, phase: Phase, claims: Sequence[Claim]) -> None:
    for step in dict.fromkeys(claim.step for claim in claims):
        mine = [claim for claim in claims if claim.step == step]
        events.record(
            connection,
            phase,
            job=step.job_execution_id,
            step=step.step_execution_id,
            node=mine[0].node_id,
            members=[(claim.partition_id, claim.attempt) for claim in mine],
        )


def owned(claim: Claim) -> tuple[Any, ...]:
    """The guard of a statement for one claim: this partition, this attempt, this token, this owner."""
    return (
        partitions.c.step_execution_id == claim.partition_id,
        partitions.c.attempt == claim.attempt,
        partitions.c.claim_token == claim.token,
        partitions.c.assigned_node == claim.node_id,
    )


def _claim(row: Any, step: StepToRun, node_id: str, token: int) -> Claim:
    mac = bytes(row.arguments_mac)
    return Claim(
        partition_id=row.step_execution_id,
        step=step,
        index=row.partition_index,
        key=row.partition_key,
        attempt=row.attempt,
        token=token,
        node_id=node_id,
        transferable=bool(row.is_transferable),
        items=row.item_count,
        crashes=row.crashes,
        arguments=Signed(b"" if row.arguments is None else bytes(row.arguments), mac),
        arguments_payload=row.arguments_payload,
        errors=row.errors,
        has_checkpoint=bool(row.has_checkpoint),
        cache_key=row.cache_key,
        cache_mac=None if row.cache_mac is None else bytes(row.cache_mac),
    )
