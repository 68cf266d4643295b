from __future__ import annotations

import stat
from concurrent.futures import Executor
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import inspect, make_url

from nbcluster.errors import ConfigError, DatabaseError, SchemaError, SchemaMissing, SchemaTooNew
from nbcluster.store import Store, open_store, schema
from nbcluster.store.engine import Database
from nbcluster.store.tables import SCHEMA_VERSION
from tests.store import processes as elsewhere
from tests.store.acts import change, rows, run, statuses, submit
from tests.store.conftest import RACERS, OpenStore

FRESH_DATABASE = True


@pytest.fixture
def database(database_url: str) -> Any:
    """The empty database, without any tables."""
    made = Database(database_url)
    if made.dialect.file is not None:
        made.dialect.make_file()  # type: ignore[attr-defined]
    yield made
    made.close()


def execute(database: Database, script: str) -> None:
    """Run a script, one statement after the other."""
    statements = [statement for statement in script.split(";\n") if statement.strip()]
    database.write(lambda connection: [connection.exec_driver_sql(one) for one in statements])


def shape(database: Database) -> dict[str, Any]:
    """Everything that tells one schema from another."""

    def look(connection: Any) -> dict[str, Any]:
        seen = inspect(connection)
        return {
            table: {
                "columns": [(c["name"], str(c["type"]), c["nullable"], c["default"]) for c in seen.get_columns(table)],
                "key": seen.get_pk_constraint(table)["constrained_columns"],
                "unique": sorted(sorted(u["column_names"]) for u in seen.get_unique_constraints(table)),
                "checks": sorted(str(c["name"]) for c in seen.get_check_constraints(table)),
                "references": sorted(str(f["referred_table"]) for f in seen.get_foreign_keys(table)),
                "indexes": sorted((str(i["name"]), tuple(i["column_names"])) for i in seen.get_indexes(table)),
            }
            for table in sorted(seen.get_table_names())
        }

    return database.read(look)


# --- made once -----------------------------------------------------------------------------------


def test_the_first_use_makes_the_tables_and_the_second_finds_them(database: Database) -> None:
    assert not schema.exists(database)
    assert schema.create(database) is True
    assert schema.create(database) is False
    assert schema.exists(database)
    assert schema.check(database) == schema.check(database)


def test_all_who_open_the_same_database_are_in_the_same_cluster(open_another: OpenStore) -> None:
    assert open_another().cluster_id == open_another().cluster_id


def test_several_first_users_at_once_make_one_cluster(database_url: str, processes: Executor) -> None:
    found = elsewhere.race(processes, RACERS, elsewhere.create_schema, database_url)
    assert len(set(found)) == 1


@pytest.mark.needs("file")
def test_an_embedded_file_is_readable_by_its_owner_only(store: Store) -> None:
    file = store.database.dialect.file
    assert file is not None
    for path in file.parent.glob(file.name + "*"):
        if path.is_file():
            assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path


@pytest.mark.needs("file")
def test_folders_on_the_way_to_an_embedded_file_are_made(tmp_path: Path) -> None:
    path = tmp_path / "some" / "where" / "cluster.db"
    open_store(f"sqlite:///{path}").close()
    assert path.is_file()


# --- refused -------------------------------------------------------------------------------------


def test_missing_tables_are_told_with_the_command_that_makes_them(database_url: str) -> None:
    with pytest.raises(SchemaMissing, match=r"has no nbcluster tables; run: nbcluster init --url '"):
        open_store(database_url, initialize="never")


@pytest.mark.needs("login")
def test_the_tables_of_a_server_are_not_made_by_merely_connecting(database_url: str) -> None:
    with pytest.raises(SchemaMissing) as raised:
        open_store(database_url)
    assert str(make_url(database_url).password) not in str(raised.value)


@pytest.mark.needs("file")
def test_looking_for_a_database_that_is_not_there_leaves_nothing_behind(database_url: str, tmp_path: Path) -> None:
    with pytest.raises(SchemaMissing):
        open_store(database_url, initialize="never")
    assert list(tmp_path.iterdir()) == []


def test_tables_that_vanish_are_told_like_missing_ones(store: Store) -> None:
    schema.drop(store.database)
    with pytest.raises(SchemaMissing, match="has no nbcluster tables"):
        store.nodes.all()


def test_a_newer_schema_is_refused_with_both_versions(store: Store, open_another: OpenStore) -> None:
    change(store, "UPDATE batch_cluster SET value = '999' WHERE name = 'schema_version'")
    with pytest.raises(SchemaTooNew) as raised:
        open_another()
    assert "has schema version 999, made by a newer nbcluster" in str(raised.value)
    assert f"this one knows up to {SCHEMA_VERSION}: upgrade nbcluster here" in str(raised.value)


@pytest.mark.parametrize("damage", ["UPDATE batch_cluster SET value = 'x'", "DELETE FROM batch_cluster"])
def test_a_damaged_schema_is_refused(store: Store, open_another: OpenStore, damage: str) -> None:
    change(store, f"{damage} WHERE name = 'schema_version'")
    with pytest.raises(SchemaError, match="the table batch_cluster is damaged"):
        open_another()


@pytest.mark.needs("login")
def test_another_key_than_the_clusters_is_refused(
    store: Store, open_another: OpenStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    schema.record_key(store.database, store.signer.mark)
    open_another()
    monkeypatch.setenv("NBCLUSTER_KEY", "77" * 32)
    with pytest.raises(ConfigError, match="the key on this machine is not that of"):
        open_another()


@pytest.mark.needs("login")
def test_whoever_makes_the_tables_of_a_shared_database_makes_its_key(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NBCLUSTER_KEY", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    url = database.dialect.url.render_as_string(hide_password=False)
    for initialize in ("always", "always", "never"):
        open_store(url, initialize=initialize).close()
    assert len(list(tmp_path.rglob("*.key"))) == 1
    assert schema.key_mark(database) is not None


def test_of_two_keys_that_are_recorded_the_first_holds(store: Store) -> None:
    first = schema.key_mark(store.database) or schema.record_key(store.database, "first")
    assert schema.record_key(store.database, "second") == first
    assert schema.record_key(store.database, "third", replace=True) == "third"
    assert schema.key_mark(store.database) == "third"


# --- as a script ---------------------------------------------------------------------------------


def test_the_script_makes_what_the_first_use_makes(database: Database) -> None:
    name = database.dialect.name
    execute(database, schema.ddl(name))
    by_script = shape(database)
    execute(database, schema.ddl(name, dropping=True))
    assert shape(database) == {}
    schema.create(database)
    assert by_script == shape(database)


def test_a_database_made_by_the_script_runs_jobs(database: Database, open_another: OpenStore) -> None:
    execute(database, schema.ddl(database.dialect.name))
    store = open_another(initialize="never")
    step = submit(store, 2)
    run(store, step)
    assert statuses(store, step) == ["COMPLETED", "COMPLETED"]


def test_each_printed_script_makes_a_cluster_of_its_own(database: Database) -> None:
    assert schema.ddl(database.dialect.name) != schema.ddl(database.dialect.name)


def test_what_was_dropped_can_be_made_again(store: Store) -> None:
    submit(store, 3)
    schema.drop(store.database)
    assert shape(store.database) == {}
    assert schema.create(store.database) is True
    assert rows(store, "SELECT * FROM batch_partitions") == []
    submit(store, 3)


# --- what the tables themselves refuse -----------------------------------------------------------


@pytest.mark.parametrize(
    ("table", "column"),
    [
        ("batch_nodes", "status"),
        ("batch_job_execution", "status"),
        ("batch_step_execution", "status"),
        ("batch_job_coordination", "status"),
        ("batch_partitions", "status"),
        ("batch_partitions", "exit_code"),
    ],
)
def test_a_state_that_does_not_exist_is_refused_by_the_database(store: Store, table: str, column: str) -> None:
    from tests.store.acts import register

    register(store, "a-1")
    submit(store)
    with pytest.raises(DatabaseError):
        change(store, f"UPDATE {table} SET {column} = 'ASLEEP'")


def test_names_of_the_seed_are_kept(store: Store) -> None:
    tables = set(shape(store.database))
    assert {
        "batch_nodes",
        "batch_job_coordination",
        "batch_partitions",
        "batch_job_instance",
        "batch_job_execution",
        "batch_job_execution_params",
        "batch_step_execution",
    } <= tables
    assert rows(store, "SELECT step_execution_id, job_execution_id, assigned_node, partition_key, is_transferable, "
                       "master_step_execution_id, status, last_updated FROM batch_partitions") == []  # fmt: skip
