"""A node or a kernel with one of the package's safeguards taken out: what the checker must catch.

``NBCLUSTER_CHAOS_MUTATION`` names the patch; then the real program runs.  Nothing of this is
in the package: each patch replaces a method when the process starts, and fails loudly when
that method is not there any more.
"""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

VARIABLE = "NBCLUSTER_CHAOS_MUTATION"
CLOCK = "NBCLUSTER_CHAOS_CLOCK"

PATCHES: dict[str, Callable[[], None]] = {}


def patch(function: Callable[[], None]) -> Callable[[], None]:
    PATCHES[function.__name__.replace("_", "-")] = function
    return function


def replace(owner: Any, name: str, new: Any) -> Any:
    """Put ``new`` in the place of what must be there; gives the old one."""
    old = getattr(owner, name)
    setattr(owner, name, new)
    return old


@patch
def fence_removed() -> None:
    """Outcomes are recorded by key alone, whoever has the partition."""
    from nbcluster.store.partitions import Claims, Finishes

    def statement(self: Any) -> Any:
        return without(made(self), "attempt", "claim_token", "assigned_node", "status")

    made = replace(Finishes, "_finish_statement", statement)
    replace(Claims, "still_owned", lambda self, claims: {claim.partition_id for claim in claims})


def without(statement: Any, *columns: str) -> Any:
    """The statement without those of its conditions that name one of the columns."""
    conditions = statement._where_criteria
    kept = tuple(one for one in conditions if not any(f".{column}" in str(one) for column in columns))
    assert len(kept) < len(conditions)
    statement._where_criteria = kept
    return statement


@patch
def grace_removed() -> None:
    """A node judges the others whether or not it was itself in contact, and however new the server is."""
    import dataclasses
    import math

    from nbcluster.node.heartbeat import Heartbeat
    from nbcluster.store.lookout import Lookout

    def look(self: Any, *thresholds: float) -> Any:
        return dataclasses.replace(looked(self, *thresholds), database_age=math.inf)

    replace(Heartbeat, "unbroken_for", lambda self, seconds: True)
    looked = replace(Lookout, "look", look)


@patch
def reread_removed() -> None:
    """An outcome whose COMMIT was answered by nothing is taken for refused."""
    from nbcluster.store.partitions import Finishes

    replace(Finishes, "_recorded_before", lambda self, connection, refused: set())


@patch
def claim_unguarded() -> None:
    """Candidates are read without a lock in one transaction and taken without a guard in another."""
    import time

    from sqlalchemy import select, update

    from nbcluster.lifecycle import Phase
    from nbcluster.store.partitions import claim
    from nbcluster.store.tables import partitions

    def claiming(self: Any, step: Any, node_id: str, limit: int, **_how: object) -> Any:
        waiting = (
            select(partitions.c.step_execution_id)
            .where(partitions.c.master_step_execution_id == step.step_execution_id, partitions.c.status == "PENDING")
            .order_by(partitions.c.partition_index)
            .limit(limit)
        )
        picked = self._database.read(lambda connection: list(connection.execute(waiting).scalars()))
        time.sleep(0.05)  # long enough for another to look, too
        token = int(time.time_ns() % 2**62)
        taking = (
            update(partitions)
            .where(partitions.c.step_execution_id.in_(picked))
            .values(status="CLAIMED", assigned_node=node_id, attempt=partitions.c.attempt + 1, claim_token=token)
            .returning(partitions)
        )

        def work(connection: Any) -> Any:
            rows = connection.execute(taking).all()
            if rows:
                self._events.record(
                    connection, Phase.CLAIMED, job=step.job_execution_id, step=step.step_execution_id, node=node_id,
                    members=[(row.step_execution_id, row.attempt) for row in rows],
                )  # fmt: skip
            return rows

        return [claim._claim(row, step, node_id, token) for row in self._database.write(work)]

    replace(claim.Claims, "claim", claiming)


@patch
def clock_of_the_node() -> None:
    """Heartbeats carry the node's own clock, not the database's."""
    from sqlalchemy import bindparam

    from nbcluster.store.columns import Moment
    from nbcluster.store.nodes import NodeRegistry

    ahead = timedelta(seconds=float(os.environ.get(CLOCK, "0")))

    class OwnClock:
        def __init__(self, dialect: Any) -> None:
            self._dialect = dialect

        def __getattr__(self, name: str) -> Any:
            return getattr(self._dialect, name)

        def now(self) -> Any:
            return bindparam(None, callable_=lambda: datetime.now(UTC) + ahead, type_=Moment)

    class Clocked:
        def __init__(self, database: Any) -> None:
            self._database, self.dialect = database, OwnClock(database.dialect)

        def __getattr__(self, name: str) -> Any:
            return getattr(self._database, name)

    def start(self: Any, database: Any) -> None:
        made(self, Clocked(database))

    made = replace(NodeRegistry, "__init__", start)


@patch
def two_transactions() -> None:
    """COMPLETED is committed before the result is, and some nodes die in between."""
    from nbcluster.store.partitions import Finishes

    def finish(self: Any, finishes: Any) -> Any:
        accepted = finished(self, finishes)
        if any(one.claim.index % 7 == 3 and one.claim.attempt == 1 for one in finishes):
            os._exit(9)
        self._database.write(
            lambda connection: write_results(
                self, connection, [one for one in finishes if one.claim.partition_id in accepted]
            )
        )
        return accepted

    finished = replace(Finishes, "finish", finish)
    write_results = replace(Finishes, "_write_results", lambda self, connection, finishes: None)


@patch
def rows_apart() -> None:
    """Rows are written in a transaction of their own, before the guard is asked."""
    from nbcluster.store.partitions import Finishes

    def finish(self: Any, finishes: Any) -> Any:
        self._database.write(lambda connection: self._targets.write(connection, finishes))
        return finished(self, [dataclasses.replace(one, rows=None) for one in finishes])

    finished = replace(Finishes, "finish", finish)


@patch
def term_ignored() -> None:
    """A master writes whatever its term is; the rightful one is slow."""
    from nbcluster.master.coordinator import Coordinator
    from nbcluster.store.advancing import Advancing

    def build(self: Any) -> None:
        built(self)
        self._move_coordination = without(self._move_coordination, "term")

    built = replace(Advancing, "_build", build)
    if not kernel():
        replace(Coordinator, "advance_all", lambda self, node_id: 0)
        replace(Coordinator, "watch", lambda self, job_id, term: None)


@patch
def attempt_not_raised() -> None:
    """A claim after a failure keeps the attempt's number."""
    from sqlalchemy import case

    from nbcluster.store.partitions.claim import Claims
    from nbcluster.store.tables import partitions

    def statement(self: Any, *given: Any) -> Any:
        attempt = partitions.c.attempt
        return made(self, *given).values(attempt=case((attempt == 0, 1), else_=attempt))

    made = replace(Claims, "_claim_statement", statement)


@patch
def start_not_recorded() -> None:
    """What may begin once is begun without a word in the database."""
    from nbcluster.store.partitions import Claims

    replace(Claims, "start", lambda self, claims: {claim.partition_id for claim in claims})


@patch
def call_forgotten() -> None:
    """A node claims a partition and never gives it to a child."""
    from nbcluster.node.executor import Executor

    def submit(self: Any, calls: Any) -> None:
        submitted(self, [call for call in calls if call.claim.index != 5])

    submitted = replace(Executor, "submit", submit)


def kernel() -> bool:
    return len(sys.argv) > 1 and sys.argv[1].startswith("{")


def main() -> int:
    PATCHES[os.environ[VARIABLE]]()
    if kernel():
        from tests.chaos import kernel as program

        return program.main()
    from nbcluster.cli.node import main as node

    return node()


if __name__ == "__main__":
    raise SystemExit(main())
