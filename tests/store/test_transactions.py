"""What passes is retried inside; what does not becomes an error of ours; nothing is half done."""

from __future__ import annotations

import threading
from concurrent.futures import Executor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, make_url, text

from nbcluster.errors import DatabaseError, DatabaseUnreachable
from nbcluster.store import Store
from nbcluster.store.dialects import sqlite
from tests.builders import completed
from tests.store import processes as elsewhere
from tests.store.acts import at_once, change, count, register, rows, run, silence, statuses, submit, take, value
from tests.store.conftest import OpenStore
from tests.waiting import wait_until

FRESH_DATABASE = True


def overload(connection: Connection, node_id: str) -> None:
    """Write to a node's row, and so lock it."""
    connection.execute(text("UPDATE batch_nodes SET current_load = 100 WHERE node_id = :node"), {"node": node_id})


def end_connections(store: Store) -> int:
    """As a server that is restarted does: end every connection to this database but one's own."""
    others = "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    return len(rows(store, f"SELECT pg_terminate_backend(pid) {others}"))


# --- all or nothing ------------------------------------------------------------------------------


class Interrupted(Exception):
    """Something of the caller's own."""


def test_an_error_in_the_middle_leaves_nothing_and_passes_unchanged(store: Store) -> None:
    register(store, "a-1")

    def work(connection: Connection) -> None:
        overload(connection, "a-1")
        raise Interrupted

    with pytest.raises(Interrupted):
        store.database.write(work)
    assert store.nodes.all()[0].busy == 0


def test_a_statement_that_will_never_succeed_is_tried_once(store: Store) -> None:
    tries = []

    def work(connection: Connection) -> None:
        tries.append(1)
        connection.execute(text("INSERT INTO batch_nodes (node_id) VALUES ('a-1')"))

    with pytest.raises(DatabaseError, match="refused a statement") as raised:
        store.database.write(work)
    assert len(tries) == 1
    assert raised.value.__cause__ is not None


def test_many_threads_share_a_store(store: Store) -> None:
    register(store, "a-1")

    def add() -> None:
        for _ in range(10):
            change(store, "UPDATE batch_nodes SET current_load = current_load + 1")

    at_once(*[add] * 8)
    assert store.nodes.all()[0].busy == 80


# --- passing refusals ----------------------------------------------------------------------------


@pytest.mark.needs("file")
def test_a_writer_waits_for_another_process_that_writes(store: Store, open_another: OpenStore) -> None:
    register(store, "a-1")
    other, holding, let_go = open_another(), threading.Event(), threading.Event()

    def hold() -> None:
        def work(connection: Connection) -> None:
            overload(connection, "a-1")
            holding.set()
            assert let_go.wait(30)

        other.database.write(work)

    holder = threading.Thread(target=hold)
    holder.start()
    assert holding.wait(30)
    beat = threading.Thread(target=store.nodes.beat, args=("a-1", 7))
    beat.start()
    assert store.nodes.all()[0].busy == 0, "readers do not wait"
    assert beat.is_alive()
    let_go.set()
    beat.join(30)
    holder.join(30)
    assert store.nodes.all()[0].busy == 7


@pytest.mark.needs("file")
def test_a_locked_file_is_tried_again(store: Store, open_another: OpenStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite, "_PATIENCE_MS", 0)  # the driver itself waits no more
    register(store, "a-1")
    impatient, refused = open_another(), threading.Event()
    judge = impatient.database.dialect.is_transient

    def is_transient(error: Any) -> bool:
        refused.set()
        return judge(error)

    monkeypatch.setattr(impatient.database.dialect, "is_transient", is_transient)

    def hold(connection: Connection) -> threading.Thread:
        overload(connection, "a-1")
        beat = threading.Thread(target=impatient.nodes.beat, args=("a-1", 7))
        beat.start()
        assert refused.wait(30)
        return beat

    store.database.write(hold).join(30)
    assert store.nodes.all()[0].busy == 7


@pytest.mark.needs("file")
def test_a_file_that_stays_locked_is_told(
    store: Store, open_another: OpenStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "_PATIENCE_MS", 0)
    register(store, "a-1")
    impatient = open_another()

    def hold(connection: Connection) -> None:
        overload(connection, "a-1")
        with pytest.raises(DatabaseUnreachable, match=r"cluster\.db cannot be used \(database is locked\)"):
            impatient.nodes.beat("a-1", 7)

    store.database.write(hold)


def test_opening_a_database_again_takes_nothing_from_those_who_have_it_open(
    store: Store, open_another: OpenStore, database_url: str, processes: Executor
) -> None:
    """With a file: whoever opens and closes it by hand drops all locks that its process holds on it."""
    register(store, "a-1")
    open_another()
    assert processes.submit(elsewhere.nodes_seen, database_url).result(60) == ["a-1"]
    register(store, "b-1")
    assert processes.submit(elsewhere.nodes_seen, database_url).result(60) == ["a-1", "b-1"]


@pytest.mark.needs("sessions")
def test_a_deadlock_is_tried_again(store: Store, open_another: OpenStore) -> None:
    register(store, "a-1", "b-1")
    both = threading.Barrier(2)
    tries: list[str] = []

    def crossing(first: str, second: str) -> Any:
        def work(connection: Connection) -> None:
            tries.append(first)
            overload(connection, first)
            if tries.count(first) == 1:
                both.wait(30)
            overload(connection, second)

        return lambda: open_another().database.write(work)

    at_once(crossing("a-1", "b-1"), crossing("b-1", "a-1"))
    assert len(tries) == 3, "one of the two was the victim, once"


@pytest.mark.needs("sessions")
def test_a_serialization_failure_is_tried_again(store: Store) -> None:
    register(store, "a-1")
    tries = []

    def work(connection: Connection) -> None:
        tries.append(1)
        connection.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"))
        connection.execute(text("SELECT * FROM batch_nodes")).all()
        if len(tries) == 1:
            store.nodes.beat("a-1", 5)
        overload(connection, "a-1")

    store.database.write(work)
    assert len(tries) == 2
    assert store.nodes.all()[0].busy == 100


# --- lost connections ----------------------------------------------------------------------------


@pytest.mark.needs("sessions")
def test_connections_that_died_are_replaced(store: Store, open_another: OpenStore) -> None:
    register(store, "a-1")
    at_once(store.nodes.all, store.nodes.all)
    assert end_connections(open_another()) >= 1
    assert store.nodes.beat("a-1", 3).known
    assert [node.busy for node in store.nodes.all()] == [3]


@pytest.mark.needs("sessions")
def test_a_transaction_whose_connection_dies_is_run_again(store: Store, open_another: OpenStore) -> None:
    register(store, "a-1")
    other, tries = open_another(), []

    def work(connection: Connection) -> None:
        tries.append(1)
        connection.execute(text("UPDATE batch_nodes SET current_load = current_load + 1"))
        if len(tries) == 1:
            end_connections(other)
        connection.execute(text("SELECT 1"))

    store.database.write(work)
    assert store.nodes.all()[0].busy == 1


@pytest.mark.needs("sessions")
def test_a_submission_whose_connection_dies_is_stored_once(
    store: Store, open_another: OpenStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    other, tries = open_another(), []
    insert_many = store.database.dialect.insert_many

    def dying(connection: Connection, table: Any, new: Any) -> None:
        tries.append(1)
        if len(tries) == 1:
            end_connections(other)
        insert_many(connection, table, new)

    monkeypatch.setattr(store.database.dialect, "insert_many", dying)
    step = submit(store, 100)
    assert len(tries) == 2
    assert statuses(store, step) == ["PENDING"] * 100
    assert count(store, "batch_partitions") == 100


@pytest.mark.needs("sessions")
def test_on_a_server_that_became_read_only_the_connection_is_made_anew(store: Store) -> None:
    register(store, "a-1")
    backends = []

    def work(connection: Connection) -> None:
        backends.append(connection.scalar(text("SELECT pg_backend_pid()")))
        if len(backends) == 1:  # as after a fail-over: this session leads to what is a replica now
            connection.execute(text("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY"))
            connection.commit()
        overload(connection, "a-1")

    store.database.write(work)
    assert store.nodes.all()[0].busy == 100
    assert len(set(backends)) == len(backends) == 2


# --- large ids -----------------------------------------------------------------------------------


def count_on_from(store: Store, number: int) -> None:
    """As if so many jobs and steps had been stored before."""
    if store.database.dialect.name == "postgresql":
        rows(store, "SELECT setval('batch_step_execution_seq', :n)", n=number)
        rows(store, "SELECT setval(pg_get_serial_sequence('batch_job_execution', 'job_execution_id'), :n)", n=number)
        return
    change(store, "UPDATE batch_sequences SET last_value = :n", n=number)
    submit(store)
    for table in ("batch_partitions", "batch_job_coordination", "batch_step_execution", "batch_events"):
        change(store, f"DELETE FROM {table}")
    change(store, "UPDATE batch_job_execution SET job_execution_id = :n", n=number)


@pytest.mark.parametrize("beyond", [2**31, 2**53], ids=["2^31", "2^53"])
def test_ids_may_be_large(store: Store, beyond: int) -> None:
    count_on_from(store, beyond)
    step = submit(store, 25)
    assert step.job_execution_id > beyond
    assert step.step_execution_id > beyond
    claims = take(store, step)
    assert min(claim.partition_id for claim in claims) > beyond
    assert len({claim.partition_id for claim in claims}) == 25
    accepted = store.finishes.finish([completed(claim) for claim in claims])
    assert accepted == {claim.partition_id for claim in claims}
    assert store.claims.held_by("a-1") == []
    read = store.outcomes.read(step.step_execution_id, range(25), arguments=True)
    assert [one.result is not None for one in read] == [True] * 25
    ended = store.advancing.advance(step.job_execution_id, 1)
    assert ended == "COMPLETED"
    assert store.views.job(step.job_execution_id) is not None


def test_claim_tokens_of_63_bits_are_kept_to_the_last_bit(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("secrets.randbits", lambda bits: 2**bits - 1)
    step = submit(store)
    (claim,) = take(store, step)
    assert claim.token == 2**63 - 1
    assert store.claims.still_owned([claim]) == {claim.partition_id}
    assert store.finishes.finish([completed(claim)]) == {claim.partition_id}
    assert value(store, "SELECT claim_token FROM batch_results") == 2**63 - 1


# --- time ----------------------------------------------------------------------------------------


def test_times_are_in_utc_and_of_now(store: Store) -> None:
    register(store, "a-1")
    step = submit(store)
    run(store, step)
    job = store.views.job(step.job_execution_id)
    assert job is not None
    (row,) = store.views.partitions(step.step_execution_id)
    for moment in (store.nodes.all()[0].started, job.created, row.claimed, row.ended):
        assert moment is not None
        assert moment.utcoffset() == timedelta(0)
        assert abs(datetime.now(UTC) - moment) < timedelta(minutes=5)  # the server may run on another machine
    assert row.claimed is not None
    assert row.ended is not None
    assert job.created <= row.claimed <= row.ended


def test_machines_in_different_time_zones_agree_on_every_age(
    store: Store, database_url: str, processes: Executor
) -> None:
    zones = {"tokyo-1": "Asia/Tokyo", "los-angeles-1": "America/Los_Angeles", "kolkata-1": "Asia/Kolkata"}
    for node_id, zone in zones.items():
        processes.submit(elsewhere.register_elsewhere, database_url, zone, node_id, 100.0).result(60)
    register(store, "here-1")
    silence(store, "here-1", 100.0)
    ages = {node.node_id: node.heartbeat_age for node in store.nodes.all()}
    assert set(ages) == {*zones, "here-1"}
    assert all(100 <= age < 160 for age in ages.values()), ages
    assert [store.suspect(node_id, 200) for node_id in zones] == [None, None, None]
    assert [store.suspect(node_id, 90) for node_id in zones] == [(0, 0), (0, 0), (0, 0)]


@pytest.mark.needs("sessions")
def test_sessions_in_different_time_zones_agree_on_every_age(store: Store, database_url: str) -> None:
    from nbcluster.store import open_store

    register(store, "here-1")
    zoned = make_url(database_url).update_query_dict({"options": "-c timezone=Asia/Tokyo"})
    other = open_store(zoned.render_as_string(hide_password=False))
    try:
        assert value(other, "SHOW timezone") == "Asia/Tokyo"
        register(other, "tokyo-1")
        for one in (store, other):
            nodes = one.nodes.all()
            assert [node.heartbeat_age < 60 for node in nodes] == [True, True]
            assert {node.started.utcoffset() for node in nodes} == {timedelta(0)}
    finally:
        other.close()


def test_an_age_follows_the_databases_clock_and_not_this_machines(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    register(store, "a-1")
    monkeypatch.setattr("time.time", lambda: 0.0)
    assert store.nodes.all()[0].heartbeat_age < 60
    assert store.suspect("a-1", 60) is None


# --- durability ----------------------------------------------------------------------------------


@pytest.mark.needs("file")
def test_a_commit_to_a_file_is_on_the_disk_and_readers_do_not_block_it(store: Store) -> None:
    assert value(store, "PRAGMA journal_mode") == "wal"
    assert value(store, "PRAGMA synchronous") == 2
    assert value(store, "PRAGMA foreign_keys") == 1


@pytest.mark.needs("sessions")
def test_a_server_is_used_with_read_committed(store: Store) -> None:
    assert store.database.write(lambda c: c.scalar(text("SHOW transaction_isolation"))) == "read committed"


@pytest.mark.needs("sessions")
def test_no_transaction_stays_open(store: Store, open_another: OpenStore) -> None:
    step = submit(store, 3)
    run(store, step)
    store.views.progress(step.job_execution_id, step.step_execution_id)
    watcher = open_another()

    def idle_in_transaction() -> int:
        return count(watcher, "pg_stat_activity", "datname = current_database() AND state LIKE 'idle in transaction%'")

    wait_until(lambda: idle_in_transaction() == 0, message="every transaction to end")
