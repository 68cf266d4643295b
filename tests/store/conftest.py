"""Open stores on each database, and other processes to race with.

Making tables takes longer than most of these tests: they get a copy of a file that has
them, or share one database on the server, emptied after each.  A module that says
``FRESH_DATABASE = True`` gets a new one each time.
"""

from __future__ import annotations

import multiprocessing
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import make_url

from nbcluster.store import Store, open_store, schema
from nbcluster.store.engine import Database
from nbcluster.store.tables import cluster, metadata, sequences
from tests.postgres import PostgresServer

KEY = "5a" * 32
RACERS = 4

OpenStore = Callable[..., Store]


@pytest.fixture(scope="package", autouse=True)
def _cluster_key() -> Iterator[None]:
    """The key of the servers' clusters, here and in every process that is started here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NBCLUSTER_KEY", KEY)
        yield


@pytest.fixture(scope="package")
def made_file(_cluster_key: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An embedded database with its tables and its key, to be copied."""
    file = tmp_path_factory.mktemp("made") / "cluster.db"
    open_store(f"sqlite:///{file}").close()
    return file


@pytest.fixture(scope="package")
def shared_database(postgres: PostgresServer) -> Iterator[tuple[str, Callable[[], object]]]:
    """A database with tables, on the server, for one test after the other: its URL, and what empties it."""
    url = postgres.fresh_database()
    database = Database(url)
    schema.create(database)
    database.close()
    filled = [table.name for table in reversed(metadata.sorted_tables) if table not in (cluster, sequences)]
    statement = ";".join(f"DELETE FROM {name}" for name in filled).encode()
    server = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)

    def empty() -> None:
        with psycopg.connect(server, autocommit=True, connect_timeout=10) as connection:
            connection.execute(statement)

    yield url, empty
    postgres.drop_database(url)


@pytest.fixture
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """URL of a database that only this test uses: without jobs, or (FRESH_DATABASE) without tables."""
    fresh = getattr(request.module, "FRESH_DATABASE", False)
    if request.param == "sqlite":
        file = tmp_path / "cluster.db"
        if not fresh:
            made: Path = request.getfixturevalue("made_file")
            for suffix in ("", ".key"):
                shutil.copy(f"{made}{suffix}", f"{file}{suffix}")
        yield f"sqlite:///{file}"
    elif fresh:
        server: PostgresServer = request.getfixturevalue("postgres")
        url = server.fresh_database()
        yield url
        server.drop_database(url)
    else:
        url, empty = request.getfixturevalue("shared_database")
        yield url
        empty()


@pytest.fixture
def open_another(database_url: str) -> Iterator[OpenStore]:
    """Opens the test's database, with connections of its own each time."""
    opened: list[Store] = []

    def open_another(**options: object) -> Store:
        opened.append(open_store(database_url, **({"initialize": "always"} | options)))  # type: ignore[arg-type]
        return opened[-1]

    yield open_another
    for store in opened:
        store.close()


@pytest.fixture
def store(open_another: OpenStore) -> Store:
    """The test's database, open."""
    return open_another()


@pytest.fixture(scope="package")
def processes(_cluster_key: None) -> Iterator[Executor]:
    """Processes that stand ready; what they run is in ``tests.store.processes``."""
    with ProcessPoolExecutor(RACERS, multiprocessing.get_context("spawn")) as pool:
        yield pool
