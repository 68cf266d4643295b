"""Open stores on each database, and other processes to race with.

Making tables and building statements takes longer than most of these tests: they share
one database of each system with the stores that are open on it, emptied after each test.
A module that says ``FRESH_DATABASE = True`` gets a new database each time.
"""

from __future__ import annotations

import itertools
import multiprocessing
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from pathlib import Path

import pytest

from nbcluster.store import Store, open_store
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


class Shared:
    """A database with tables that one test after the other uses, and stores that are open on it."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.stores = [open_store(url, initialize="always")]
        filled = [table.name for table in reversed(metadata.sorted_tables) if table not in (cluster, sequences)]
        self._statements = [f"DELETE FROM {name}" for name in filled]

    def store(self, place: int) -> Store:
        """An open store, the same one whenever this is asked for."""
        while len(self.stores) <= place:
            self.stores.append(open_store(self.url))
        return self.stores[place]

    def empty(self) -> None:
        """Remove every row but those that make a new cluster."""
        self.stores[0].database.write(lambda connection: [connection.exec_driver_sql(s) for s in self._statements])

    def close(self) -> None:
        for store in self.stores:
            store.close()


@pytest.fixture(scope="package")
def shared_sqlite(_cluster_key: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shared]:
    shared = Shared(f"sqlite:///{tmp_path_factory.mktemp('shared') / 'cluster.db'}")
    yield shared
    shared.close()


@pytest.fixture(scope="package")
def shared_postgresql(_cluster_key: None, postgres: PostgresServer) -> Iterator[Shared]:
    shared = Shared(postgres.fresh_database())
    yield shared
    shared.close()
    postgres.drop_database(shared.url)


@pytest.fixture
def shared(request: pytest.FixtureRequest) -> Iterator[Shared | None]:
    """The shared database of the test's system; None for a test that wants its own."""
    if getattr(request.module, "FRESH_DATABASE", False):
        yield None
        return
    found: Shared = request.getfixturevalue(f"shared_{request.node.callspec.params['database_url']}")
    yield found
    found.empty()


@pytest.fixture
def database_url(request: pytest.FixtureRequest, shared: Shared | None, tmp_path: Path) -> Iterator[str]:
    """URL of a database that only this test uses: without jobs, or (FRESH_DATABASE) without tables."""
    if shared is not None:
        yield shared.url
    elif request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'cluster.db'}"
    else:
        server: PostgresServer = request.getfixturevalue("postgres")
        url = server.fresh_database()
        yield url
        server.drop_database(url)


@pytest.fixture
def open_another(database_url: str, shared: Shared | None) -> Iterator[OpenStore]:
    """Opens the test's database, with connections of its own each time."""
    opened: list[Store] = []
    places = itertools.count()

    def open_another(**options: object) -> Store:
        if shared is not None:
            return shared.store(next(places))
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
