"""A database of an earlier version becomes one of this version, with everything that is in it."""

from __future__ import annotations

from concurrent.futures import Executor
from pathlib import Path
from typing import Any

import pytest

from nbcluster.errors import DatabaseError, SchemaTooOld
from nbcluster.lifecycle import JobStatus
from nbcluster.store import open_store, schema
from nbcluster.store.engine import Database
from nbcluster.store.tables import SCHEMA_VERSION
from nbcluster.store.upgrade import upgrade
from tests.store import processes as elsewhere
from tests.store.acts import at_once, change, count, rows, run, statuses, submit, take
from tests.store.conftest import RACERS, OpenStore
from tests.store.test_schema import database, execute, shape  # noqa: F401 -- a fixture

FRESH_DATABASE = True

DATA = Path(__file__).parent.parent / "data"

NOW = {"sqlite": "1700000000000000", "postgresql": "now()"}

IDS = {
    "sqlite": "UPDATE batch_sequences SET last_value = 4",
    "postgresql": "SELECT setval('batch_step_execution_seq', 4), "
    "setval('batch_job_execution_job_execution_id_seq', 1), setval('batch_job_instance_job_instance_id_seq', 1)",
}


@pytest.fixture(params=range(1, SCHEMA_VERSION))
def was(request: pytest.FixtureRequest) -> int:
    """Each version that there was."""
    version: int = request.param
    return version


@pytest.fixture
def old(database: Database, was: int) -> Database:  # noqa: F811
    """A database of that version with a job that is half done."""
    name = database.dialect.name
    execute(database, (DATA / f"schema_v{was}_{name}.sql").read_text())
    blob = {"sqlite": "x'6f6c6421'", "postgresql": "'old!'::bytea"}[name]
    execute(database, (DATA / "job_v1.sql").read_text().format(now=NOW[name], blob=blob))
    execute(database, IDS[name])
    return database


def parts(found: dict[str, Any]) -> dict[str, Any]:
    """A shape in which the order of columns does not count."""
    return {name: table | {"columns": sorted(table["columns"], key=str)} for name, table in found.items()}


def test_an_old_schema_becomes_the_new_one(old: Database, was: int) -> None:
    assert upgrade(old) == was
    upgraded = parts(shape(old))
    schema.drop(old)
    schema.create(old)
    assert upgraded == parts(shape(old))


def test_what_is_in_it_stays(old: Database) -> None:
    def everything() -> list[Any]:
        kept = "step_execution_id, partition_key, status, attempt, claim_token, arguments, exit_code, last_updated"
        statements = (
            f"SELECT {kept} FROM batch_partitions ORDER BY 1",
            "SELECT step_execution_id, body FROM batch_results",
            "SELECT phase, node_id FROM batch_events",
            "SELECT value FROM batch_cluster WHERE name = 'cluster_id'",
        )
        return [
            [tuple(row) for row in old.read(lambda connection, s=s: connection.exec_driver_sql(s).all())]
            for s in statements
        ]

    before = everything()
    upgrade(old)
    assert everything() == before


def test_the_job_goes_on(old: Database, open_another: OpenStore) -> None:
    store = open_another()
    assert schema.check(store.database) == "0123456789abcdef0123456789abcdef"
    (step,) = store.jobs.started_steps()
    assert (step.priority, step.retries, step.require, step.paused) == (0, 0, (), False)
    assert [claim.index for claim in take(store, step, "new-1")] == [2]
    store.deregister("old-1")
    run(store, step, "new-1")
    assert statuses(store, step)[:2] == ["COMPLETED", "COMPLETED"]
    store.deregister("new-1")
    run(store, step, "newer-1")
    assert store.advancing.advance(1, 1) is JobStatus.COMPLETED
    other = submit(store, 3)
    assert other.step_execution_id > 4, "ids go on"
    run(store, other)
    assert count(store, "batch_events", "phase = 'COMPLETION_DETECTED'") == 1


def test_the_new_checks_hold(old: Database, open_another: OpenStore) -> None:
    store = open_another()
    assert rows(
        store, "SELECT kind, main_step FROM batch_step_execution JOIN batch_job_execution USING (job_execution_id)"
    )
    assert store.coordination.request_stop(1)
    change(store, "UPDATE batch_partitions SET exit_code = 'TIMEOUT' WHERE step_execution_id = 4")
    with pytest.raises(DatabaseError):
        change(store, "UPDATE batch_step_execution SET kind = 'ODD'")


def test_upgrading_again_changes_nothing(old: Database, was: int) -> None:
    assert upgrade(old) == was
    assert upgrade(old) is None
    assert schema.check(old)


def test_of_two_threads_that_upgrade_at_once_one_does(old: Database, was: int) -> None:
    url = old.dialect.url.render_as_string(hide_password=False)
    databases = [Database(url) for _ in range(2)]
    found = at_once(*(lambda one=one: upgrade(one) for one in databases))
    assert sorted(found, key=str) == [was, None]
    for one in databases:
        one.close()


def test_several_processes_that_open_it_at_once_find_one_cluster(
    old: Database, database_url: str, processes: Executor
) -> None:
    found = elsewhere.race(processes, RACERS, elsewhere.create_schema, database_url)
    assert set(found) == {"0123456789abcdef0123456789abcdef"}
    assert old.read(lambda c: c.exec_driver_sql("SELECT count(*) FROM batch_partitions").scalar()) == 3


def test_where_connecting_may_not_change_tables_it_says_what_to_do(old: Database, was: int, database_url: str) -> None:
    with pytest.raises(SchemaTooOld) as raised:
        open_store(database_url, initialize="never")
    assert f"has schema version {was}, made by an older nbcluster, and this one needs" in str(raised.value)
    assert f"{SCHEMA_VERSION}; stop what runs on it, then run: nbcluster init --url" in str(raised.value)
    assert raised.value.exit_code == 4


@pytest.mark.needs("login")
def test_a_shared_database_is_not_upgraded_by_merely_connecting(old: Database, database_url: str) -> None:
    with pytest.raises(SchemaTooOld):
        open_store(database_url)


def test_init_upgrades_and_says_so(old: Database, was: int, database_url: str) -> None:
    from nbcluster.cli.setup import initialize

    made = initialize(database_url, new_key=False)
    assert f"upgraded from schema version {was}, schema version {SCHEMA_VERSION}" in made
    assert f"already there, schema version {SCHEMA_VERSION}" in initialize(database_url, new_key=False)
