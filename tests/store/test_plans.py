"""However long the history, the statements of every second read what they need by an index and no more."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import partial

import pytest

from nbcluster.records import StepToRun
from nbcluster.store import Store, open_store, schema
from tests.builders import completed, handed_back
from tests.postgres import PostgresServer
from tests.store.acts import Statement, change, ids, lose, register, statements_of, submit, take

MANY = 20_000


def plan(store: Store, statement: Statement) -> str:
    """How the database would run a statement."""
    explain = {"sqlite": "EXPLAIN QUERY PLAN", "postgresql": "EXPLAIN"}[store.database.dialect.name]
    found = store.database.read(
        lambda connection: connection.exec_driver_sql(f"{explain} {statement[0]}", statement[1]).all()
    )
    return "\n".join(str(row[-1]) for row in found)


def plans(store: Store, work: Callable[[], object], about: str) -> list[str]:
    """The plans of those statements of ``work`` that begin so."""
    return [plan(store, one) for one in statements_of(store, work) if one[0].upper().startswith(about)]


def reads_all_of(table: str, text: str) -> bool:
    """Whether a plan goes through a whole table (or all of an index that is not partial)."""
    return bool(re.search(rf"Seq Scan on {table}\b|SCAN {table}(?! USING (COVERING )?INDEX ix_batch_\w+)", text))


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A database for all tests of this module."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path_factory.mktemp('plans') / 'cluster.db'}"
        return
    server: PostgresServer = request.getfixturevalue("postgres")
    fresh = server.fresh_database()
    yield fresh
    server.drop_database(fresh)


@pytest.fixture(scope="module", params=["stale statistics", "fresh statistics"])
def store(request: pytest.FixtureRequest, url: str) -> Iterator[Store]:
    """A long history, and a few jobs that wait; the planner knows of it or not."""
    store = open_store(url, initialize="always")
    register(store, "a-1", "b-1")
    history, *_ = submit(store, MANY), submit(store, MANY // 10), submit(store, MANY // 10)
    done = "SET status = 'COMPLETED', assigned_node = 'a-1', exit_code = 'COMPLETED'"
    change(store, f"UPDATE batch_partitions {done} WHERE master_step_execution_id = :s", s=history.step_execution_id)
    if request.param == "fresh statistics":
        change(store, "ANALYZE")
    yield store
    schema.drop(store.database)
    store.close()


@pytest.fixture
def step(store: Store) -> StepToRun:
    """A step with waiting work, in the middle of others."""
    return store.jobs.started_steps()[1]


@pytest.mark.parametrize("steal", [False, True])
def test_a_claim_reads_the_waiting_partitions_by_their_own_index(store: Store, step: StepToRun, steal: bool) -> None:
    def claim() -> None:
        store.claims.claim(step, "b-1", 5, free=True, steal=steal)

    for text in plans(store, claim, "UPDATE"):
        assert "ix_batch_partitions_pending" in text, text
        assert not reads_all_of("batch_partitions", text), text


def test_work_is_claimed_in_the_order_of_the_index_without_sorting(store: Store, step: StepToRun) -> None:
    for text in plans(store, lambda: store.claims.claim(step, "b-1", 5, free=True, steal=True), "UPDATE"):
        assert not re.search(r"\bSort\b|TEMP B-TREE FOR ORDER BY", text), text


def test_what_was_picked_is_claimed_by_key(store: Store, step: StepToRun) -> None:
    for text in plans(store, lambda: store.claims.claim(step, "b-1", 5, free=True, steal=True), "UPDATE"):
        assert re.search(r"pk_batch_partitions|USING INTEGER PRIMARY KEY", text), text
        assert len(re.findall("ix_batch_partitions_pending", text)) == 1, text


@pytest.mark.parametrize("size", [1, 100])
def test_a_finish_finds_its_partitions_by_their_keys(store: Store, step: StepToRun, size: int) -> None:
    claims = take(store, step, limit=size)

    def finish() -> None:
        assert store.finishes.finish([completed(claim) for claim in claims]) == ids(claims)

    (text,) = plans(store, finish, "UPDATE BATCH_PARTITIONS")
    assert not reads_all_of("batch_partitions", text), text
    assert re.search(r"pk_batch_partitions|USING INTEGER PRIMARY KEY", text), text


def test_a_finish_goes_through_its_batch_once(store: Store, step: StepToRun) -> None:
    claims = take(store, step, limit=100)
    (text,) = plans(store, lambda: store.finishes.finish([handed_back(c) for c in claims]), "UPDATE BATCH_PARTITIONS")
    assert not re.search(r"SEARCH batch_partitions.*SCAN rows|Nested Loop.*Function Scan on batch", text, re.DOTALL), (
        text
    )


def test_the_loss_of_a_node_reads_what_it_held_by_an_index_of_its_own(store: Store, step: StepToRun) -> None:
    take(store, step, "b-1", limit=5)
    held = [text for text in plans(store, lambda: lose(store, "b-1"), "SELECT") if "batch_partitions" in text]
    assert held
    for text in held:
        assert "ix_batch_partitions_claimed" in text, text
        assert not reads_all_of("batch_partitions", text), text


def test_claims_without_an_owner_are_looked_for_by_an_index_of_their_own(store: Store, step: StepToRun) -> None:
    take(store, step, "b-1", limit=5)
    text, *_ = plans(store, store.release_orphans, "SELECT")
    assert "ix_batch_partitions_claimed" in text, text
    assert not reads_all_of("batch_partitions", text), text


def test_what_a_node_holds_is_read_by_an_index_of_its_own(store: Store, step: StepToRun) -> None:
    take(store, step, "b-1", limit=5)
    (text,) = plans(store, lambda: store.claims.held_by("b-1"), "SELECT")
    assert "ix_batch_partitions_claimed" in text, text
    assert not reads_all_of("batch_partitions", text), text


def test_whether_a_job_is_complete_is_read_from_its_own_partitions(store: Store, step: StepToRun) -> None:
    def look() -> None:
        assert not store.advancing.due(step.job_execution_id)
        assert store.advancing.advance(step.job_execution_id, 1) is None

    for text in plans(store, look, "SELECT"):
        assert not reads_all_of("batch_partitions", text), text


def test_progress_is_read_from_the_partitions_of_the_job(store: Store, step: StepToRun) -> None:
    (text,) = plans(store, lambda: store.views.progress(step.job_execution_id, step.step_execution_id), "SELECT")
    assert not reads_all_of("batch_partitions", text), text


def test_a_live_view_reads_no_other_jobs_partitions(store: Store, step: StepToRun) -> None:
    take(store, step, limit=1)
    look, of = store.standings, step.step_execution_id
    for work in (lambda: look.tally(of), lambda: look.ended(of, [0, 1]), lambda: look.log_tail(of, [0, 1])):
        for text in plans(store, work, "SELECT"):
            assert not reads_all_of("batch_partitions", text), text


def test_what_runs_is_found_without_a_walk_over_the_job(store: Store, step: StepToRun) -> None:
    for work in (store.standings.running, store.history.running):
        (text,) = plans(store, partial(work, step.step_execution_id), "SELECT")
        assert "ix_batch_partitions_claimed" in text, text
