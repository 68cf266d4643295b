"""What tests do to a store, in one line each."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

from sqlalchemy import event, text

from nbcluster.newjob import NewPartition
from nbcluster.records import Claim, Finish, StepToRun
from nbcluster.store import Store
from nbcluster.store.jobs import Submitted
from tests.builders import a_new_job, a_new_node, completed

T = TypeVar("T")

Statement = tuple[str, Any]

EVERYTHING = 100_000

_EARLIER = {"sqlite": "- CAST(:seconds * 1000000 AS INTEGER)", "postgresql": "- make_interval(secs => :seconds)"}


# --- plain SQL -----------------------------------------------------------------------------------


def rows(store: Store, statement: str, **bound: Any) -> list[tuple[Any, ...]]:
    """What a statement reads."""
    found = store.database.read(lambda connection: connection.execute(text(statement), bound).all())
    return [tuple(row) for row in found]


def value(store: Store, statement: str, **bound: Any) -> Any:
    """The first value that a statement reads."""
    return rows(store, statement, **bound)[0][0]


def count(store: Store, table: str, where: str = "1 = 1", **bound: Any) -> int:
    return int(value(store, f"SELECT count(*) FROM {table} WHERE {where}", **bound))


def change(store: Store, statement: str, **bound: Any) -> int:
    """Run a statement that writes; gives the number of rows."""
    return store.database.write(lambda connection: connection.execute(text(statement), bound).rowcount)


def earlier(store: Store, table: str, column: str, seconds: float, where: str, **bound: Any) -> None:
    """Move stored times back, by the database's own clock."""
    moved = f"{column} {_EARLIER[store.database.dialect.name]}"
    changed = change(store, f"UPDATE {table} SET {column} = {moved} WHERE {where}", seconds=seconds, **bound)
    assert changed, f"nothing in {table} where {where}"


def statements_of(store: Store, work: Callable[[], object]) -> list[Statement]:
    """What the database is asked while ``work`` runs."""
    asked: list[Statement] = []

    def remember(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        asked.append((statement, parameters))

    event.listen(store.database.engine, "before_cursor_execute", remember)
    try:
        work()
    finally:
        event.remove(store.database.engine, "before_cursor_execute", remember)
    return asked


# --- nodes ---------------------------------------------------------------------------------------


def register(store: Store, *node_ids: str, slots: int = 2) -> None:
    for node_id in node_ids:
        store.nodes.register(a_new_node(node_id, slots=slots))


def silence(store: Store, node_id: str, seconds: float) -> None:
    """As if the node's last heartbeat had come so much earlier."""
    earlier(store, "batch_nodes", "last_updated_time", seconds, "node_id = :node", node=node_id)


def lose(store: Store, node_id: str) -> tuple[int, int]:
    """A node falls silent and is suspected: (partitions moved, partitions failed)."""
    silence(store, node_id, 60)
    losses = store.suspect(node_id, 10)
    assert losses is not None
    return losses


# --- jobs ----------------------------------------------------------------------------------------


def submit(store: Store, partitions: int | Iterable[NewPartition] = 1, **changes: Any) -> StepToRun:
    """Store a job; gives its step as a node sees it."""
    return step_of(store, store.jobs.create(a_new_job(partitions, **changes)))


def step_of(store: Store, submitted: Submitted) -> StepToRun:
    found = [s for s in store.jobs.started_steps() if s.step_execution_id == submitted.step_execution_id]
    assert found, "the step is not started"
    return found[0]


def take(store: Store, step: StepToRun, node_id: str = "a-1", limit: int = EVERYTHING) -> list[Claim]:
    """Claim whatever there is."""
    return store.claims.claim(step, node_id, limit, free=True, steal=True)


def run(store: Store, step: StepToRun, node_id: str = "a-1", how: Callable[..., Finish] = completed) -> list[Claim]:
    """Claim and finish whatever there is."""
    claims = take(store, step, node_id)
    assert store.finishes.finish([how(claim) for claim in claims]) == ids(claims)
    return claims


def ids(claims: Sequence[Claim]) -> set[int]:
    return {claim.partition_id for claim in claims}


def indexes(claims: Sequence[Claim]) -> list[int]:
    return [claim.index for claim in claims]


def statuses(store: Store, step: StepToRun) -> list[str]:
    """The state of each partition, in order."""
    return [row.status.value for row in store.views.partitions(step.step_execution_id)]


def owners(store: Store, step: StepToRun) -> list[str | None]:
    """The node of each partition, in order."""
    return [row.node for row in store.views.partitions(step.step_execution_id)]


# --- at once -------------------------------------------------------------------------------------


def at_once(*works: Callable[[], T]) -> list[T]:
    """Run each in a thread of its own, all from the same moment on; gives what they gave."""
    barrier = threading.Barrier(len(works))
    given: dict[int, T] = {}
    failed: list[BaseException] = []

    def one(place: int) -> None:
        barrier.wait(30)
        try:
            given[place] = works[place]()
        except BaseException as error:  # noqa: BLE001 -- raised again below, in the test's own thread
            failed.append(error)

    threads = [threading.Thread(target=one, args=(place,)) for place in range(len(works))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive(), "it does not end"
    if failed:
        raise failed[0]
    return [given[place] for place in range(len(works))]
