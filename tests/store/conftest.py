"""Open stores on each database, and other processes to race with."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor

import pytest

from nbcluster.store import Store, open_store

KEY = "5a" * 32
RACERS = 4

OpenStore = Callable[..., Store]


@pytest.fixture(scope="package", autouse=True)
def _cluster_key() -> Iterator[None]:
    """The key of the servers' clusters, here and in every process that is started here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NBCLUSTER_KEY", KEY)
        yield


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
