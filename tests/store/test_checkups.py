"""What a database tells of itself, and what a login may not do there."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import make_url

from nbcluster.records import Rights
from nbcluster.store import Store
from nbcluster.store.checkups import Checkups
from nbcluster.store.engine import Database
from tests.store.acts import change, count, register
from tests.store.test_connecting import without_privileges

FRESH_DATABASE = True

ROLE = "reader_of_tests"


def test_the_server_and_the_driver_have_versions(store: Store) -> None:
    seen = store.checkups.look()
    system = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}[store.database.dialect.name]
    assert re.match(rf"{system} \d+\.\d+", seen.server)
    assert seen.driver.split()[0] in ("sqlite3", "psycopg")
    assert seen.round_trip > 0


@pytest.mark.parametrize("behind", [-3600.0, 0.0, 90.0])
def test_the_clocks_are_compared_in_the_middle_of_the_round_trip(store: Store, behind: float) -> None:
    seen = Checkups(store.database, clock=lambda: time.time() - behind).look()
    assert seen.clock_ahead == pytest.approx(behind, abs=seen.round_trip / 2 + 0.5)


def test_who_made_the_tables_may_do_everything(store: Store) -> None:
    assert store.checkups.rights() == Rights()


def test_looking_changes_nothing(store: Store) -> None:
    register(store, "a-1")
    store.checkups.look()
    assert count(store, "batch_nodes") == 1


@pytest.fixture
def reader(store: Store, database_url: str) -> Iterator[Database]:
    """The database as a login sees it that may read and nothing else."""
    change(store, f"CREATE ROLE {ROLE} LOGIN PASSWORD 'reading'")
    change(store, f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {ROLE}")
    database = Database(
        make_url(database_url).set(username=ROLE, password="reading").render_as_string(hide_password=False)
    )
    yield database
    database.close()
    change(store, f"DROP OWNED BY {ROLE}")
    change(store, f"DROP ROLE {ROLE}")


@pytest.mark.needs("login")
def test_what_a_login_may_not_do_is_listed_with_the_statement_that_allows_it(store: Store, reader: Database) -> None:
    rights = Checkups(reader).rights()
    assert {"INSERT on batch_nodes", "UPDATE on batch_partitions", "DELETE on batch_events"} <= set(rights.lacking)
    assert "USAGE on batch_step_execution_seq" in rights.lacking
    assert not [one for one in rights.lacking if one.startswith("SELECT")]
    for statement in rights.command.split(";"):
        change(store, statement)
    assert Checkups(reader).rights() == Rights()


@pytest.mark.needs("file")
@pytest.mark.parametrize("closed", ["the file", "the folder"])
def test_a_file_that_cannot_be_written_is_told(store: Store, closed: str) -> None:
    file = store.database.dialect.file
    assert file is not None
    path: Path = file if closed == "the file" else file.parent
    mode = path.stat().st_mode
    path.chmod(0o555)
    try:
        with without_privileges():
            rights = store.checkups.rights()
    finally:
        path.chmod(mode)
    assert f"writing {path}" in rights.lacking
    assert f"'{path}'" in rights.command
    assert os.access(path, os.W_OK)


@pytest.mark.needs("file")
def test_statements_that_are_refused_are_the_rights_that_are_lacking(store: Store) -> None:
    database = Database(store.database.dialect.url.render_as_string(hide_password=False))
    try:
        database.write(lambda c: c.exec_driver_sql("ALTER TABLE batch_logs RENAME TO elsewhere"))
        rights = Checkups(database).rights()
    finally:
        database.close()
    assert rights.lacking == tuple(f"{right} on batch_logs" for right in ("SELECT", "INSERT", "UPDATE", "DELETE"))
    assert rights.cure
