"""Clusters for tests: processes that are ended, databases that are audited, whatever a test did.

* ``lab``: an empty cluster with short thresholds, to start, kill and freeze nodes in.
* ``cluster``: two idle nodes and a connected kernel that the tests of a module share.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cloudpickle
import pytest

import nbcluster as nb
from tests.cluster.database import Tables, prepare
from tests.cluster.nodes import NodeProcess, OneProcess, settings_environment
from tests.cluster.tables import UsersTables
from tests.cluster.workload import Effects
from tests.postgres import PostgresServer

QUICK = {
    # A lost node is noticed in about two seconds.  A test that loses none should not depend on these.
    "heartbeat_interval": "300ms",
    "unreachable_node_threshold": "1500ms",
    "node_cleanup_threshold": "3s",
    "orphaned_tasks_polling_interval": "300ms",
    "task_polling_interval": "300ms",
    "interrupt_grace": "500ms",
}


about_processes = pytest.mark.needs("file")
"""For a test to which the database is all the same: it runs on the one that costs nothing."""


class Lab:
    """One database with the processes that a test started on it."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url = url
        self.folder = folder
        self.tables = Tables(url)
        self.effects = Effects(folder)
        self.audited = True
        self.expected_in_logs = False
        self._processes: list[OneProcess] = []
        self._clusters: list[Any] = []
        prepare(url)

    def nodes(self, count: int = 1, slots: int = 1, **settings: object) -> list[NodeProcess]:
        """Start nodes and wait until they have registered; settings over QUICK."""
        started = [self.start_node(slots, **settings) for _ in range(count)]
        return [node.ready() for node in started]

    def start_node(self, slots: int, **settings: object) -> NodeProcess:
        """Start a node and do not wait."""
        log = self.folder / f"node{len(self._processes)}.log"
        node = NodeProcess(self.url, slots, log, self.folder, QUICK | settings)
        self._processes.append(node)
        return node

    def kernel(self, script: str, *arguments: str) -> OneProcess:
        """Start a process that runs a script, as a kernel would run its cells."""
        place = len(self._processes)
        file = self.folder / f"kernel{place}.py"
        file.write_text(script)
        command = [sys.executable, str(file), *arguments]
        environ = settings_environment(self.url, QUICK)
        process = OneProcess(command, self.folder / f"kernel{place}.log", environ, self.folder)
        self._processes.append(process)
        return process

    def connect(self, **settings: object) -> Any:
        """A connection of this process, as a kernel."""
        cluster = nb.connect(self.url, **(QUICK | settings))
        self._clusters.append(cluster)
        return cluster

    def close(self) -> None:
        for cluster in self._clusters:
            cluster.close()
        for process in self._processes:
            process.end()
        for process in self._processes:  # pytest shows this beside a failure
            print(f"--- {process.log.name}\n{process.said()}")

    def check(self) -> None:
        """What holds after every test: an audited database, and no surprise in a node's log."""
        if self.audited:
            self.tables.audit()
        surprised = [process.log.name for process in self._processes if "Traceback" in process.said()]
        assert self.expected_in_logs or not surprised, f"a traceback in {surprised}"


@pytest.fixture
def lab(database_url: str, tmp_path: Path) -> Iterator[Lab]:
    made = Lab(database_url, tmp_path)
    try:
        yield made
    finally:
        made.close()
    made.check()


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def shared_lab(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """Two nodes of two slots with ordinary thresholds, for tests that leave them as they found them."""
    folder = tmp_path_factory.mktemp("shared")
    if request.param == "sqlite":
        url, server = f"sqlite:///{folder / 'cluster.db'}", None
    else:
        server = request.getfixturevalue("postgres")
        assert isinstance(server, PostgresServer)
        url = server.fresh_database()
    made = Lab(url, folder)
    ordinary = dict.fromkeys(QUICK, "") | {"interrupt_grace": QUICK["interrupt_grace"]}
    try:
        made.nodes(2, slots=2, **ordinary)
        yield made
    finally:
        made.close()
    made.check()
    if server is not None:
        server.drop_database(url)


@pytest.fixture(scope="module")
def cluster(shared_lab: Lab) -> Iterator[Any]:
    """A kernel that is connected to the module's shared nodes."""
    with nb.connect(shared_lab.url) as connected:
        yield connected


@pytest.fixture
def tables(shared_lab: Lab) -> Iterator[UsersTables]:
    """The user's tables in the shared database; those called t or t2 are dropped again."""
    found = UsersTables(shared_lab.url)
    yield found
    for name in ("t", "t2"):
        found.run(f"DROP TABLE IF EXISTS {name}")
    found.close()


@pytest.fixture(autouse=True, scope="module")
def _functions_by_value(request: pytest.FixtureRequest) -> Iterator[None]:
    """Functions of a test module travel as those of a notebook do: nodes cannot import the tests."""
    cloudpickle.register_pickle_by_value(request.module)
    yield
    cloudpickle.unregister_pickle_by_value(request.module)
