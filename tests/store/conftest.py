"""Open stores on each database, and other processes to race with.

Making a database on a server takes longer than most of these tests: they share one,
emptied after each.  A module that says ``FRESH_DATABASE = True`` gets a new one each time.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import delete

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
def shared_url(postgres: PostgresServer) -> Iterator[str]:
    """A database with tables, on the server, for one test after the other."""
    url = postgres.fresh_database()
    database = Database(url)
    schema.create(database)
    database.close()
    yield url
    postgres.drop_database(url)


@pytest.fixture
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """URL of an empty database that only this test uses."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'cluster.db'}"
    elif getattr(request.module, "FRESH_DATABASE", False):
        server: PostgresServer = request.getfixturevalue("postgres")
        url = server.fresh_database()
        yield url
        server.drop_database(url)
    else:
        url = request.getfixturevalue("shared_url")
        yield url
        empty(url)


def empty(url: str) -> None:
    """Remove every row but those that make a new cluster."""
    database = Database(url)
    filled = [table for table in reversed(metadata.sorted_tables) if table not in (cluster, sequences)]
    database.write(lambda connection: [connection.execute(delete(table)) for table in filled])
    database.close()


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
