"""A process that ended is seen by what it held; a frozen one only by its silence."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest

from nbcluster.store import Store, open_store
from tests.builders import a_new_node
from tests.store.acts import register, rows
from tests.store.conftest import OpenStore
from tests.waiting import wait_until

FRESH_DATABASE = True

ME, OTHER = "me-1", "other-1"


def hold(store: Store, node_id: str) -> None:
    """Register with a sign of life."""
    store.presence.hold(node_id)
    wait_until(lambda: store.presence.holding, message="the sign of life")
    store.nodes.register(a_new_node(node_id), watched=True)


@pytest.fixture
def live(database_url: str, store: Store) -> Iterator[Callable[[str], subprocess.Popen[str]]]:
    """Starts processes that show that they live; so does this one."""
    started: list[subprocess.Popen[str]] = []
    hold(store, ME)

    def start(node_id: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "tests.store.listener", database_url, "nbcluster_something", node_id]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "open\n"
        return process

    yield start
    for process in started:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        process.wait(30)
        assert process.stdout is not None
        process.stdout.close()


def vanished(store: Store) -> set[str]:
    return store.presence.vanished(ME, store.lookout.look(1e6, 1e6).doubted)


def locks(store: Store) -> int:
    """Signs of life that the server knows of."""
    here = "database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    return len(rows(store, f"SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND {here}"))


def watch(store: Store) -> None:
    """Look once: whose sign is missing at the first look may have lost it with everybody."""
    assert vanished(store) == set()


def test_a_process_that_lives_is_not_missed(store: Store, live: Callable[[str], object]) -> None:
    live(OTHER)
    watch(store)
    assert vanished(store) == set()
    assert not store.presence.in_doubt


def test_a_killed_process_is_missed(store: Store, live: Callable[[str], subprocess.Popen[str]]) -> None:
    process = live(OTHER)
    watch(store)
    process.kill()
    process.wait(30)
    assert wait_until(lambda: vanished(store)) == {OTHER}
    assert vanished(store) == set(), "once"


def test_a_frozen_process_is_not_missed(store: Store, live: Callable[[str], subprocess.Popen[str]]) -> None:
    process = live(OTHER)
    watch(store)
    os.kill(process.pid, signal.SIGSTOP)
    try:
        assert [vanished(store) for _ in range(5)] == [set()] * 5
    finally:
        os.kill(process.pid, signal.SIGCONT)


def test_who_gives_no_sign_of_life_is_not_missed(store: Store, live: Callable[[str], object]) -> None:
    register(store, "silent-1")
    assert [vanished(store) for _ in range(3)] == [set()] * 3


def test_who_says_that_it_lost_its_sign_is_not_missed(
    store: Store, live: Callable[[str], subprocess.Popen[str]]
) -> None:
    process = live(OTHER)
    watch(store)
    assert store.nodes.beat(OTHER, 0, watched=False).known
    process.kill()
    process.wait(30)
    assert [vanished(store) for _ in range(3)] == [set()] * 3
    assert store.suspect(OTHER, None) is None


def test_the_suspicion_looks_again_whether_the_sign_is_held(store: Store) -> None:
    store.nodes.register(a_new_node(OTHER), watched=True)
    store.nodes.beat(OTHER, 0, watched=False)
    assert store.suspect(OTHER, None) is None
    store.nodes.beat(OTHER, 0, watched=True)
    assert store.suspect(OTHER, None) == (0, 0)
    assert rows(store, "SELECT node_id, detail FROM batch_events WHERE phase = 'NODE_UNREACHABLE'") == [
        (OTHER, "its process has ended")
    ]


@pytest.mark.needs("file")
def test_a_process_that_left_in_good_order_leaves_no_sign(store: Store, database_url: str) -> None:
    other = open_store(database_url)
    hold(other, OTHER)
    file = store.database.dialect.file
    assert file is not None
    folder = file.with_name(file.name + ".wake")
    assert len(list(folder.glob("*.alive"))) == 1
    other.close()
    assert list(folder.glob("*.alive")) == []
    assert vanished(store) == set()


@pytest.mark.needs("sessions")
def test_when_all_sessions_broke_nobody_is_missed(store: Store, open_another: OpenStore) -> None:
    """As after a restart of the server: who was itself cut off knows nothing of the others."""
    watcher = open_another()
    hold(store, ME)
    other = open_another()
    hold(other, OTHER)
    watch(store)
    listening = "datname = current_database() AND application_name = 'nbcluster-listen'"
    sessions = rows(watcher, f"SELECT pid FROM pg_stat_activity WHERE {listening}")
    assert rows(watcher, f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {listening}")

    def reconnected() -> bool:
        assert vanished(store) == set()
        now = rows(watcher, f"SELECT pid FROM pg_stat_activity WHERE {listening}")
        return len(now) == 2 and not set(now) & set(sessions) and locks(watcher) == 2

    wait_until(reconnected, message="both listeners to be back")
    assert [vanished(store) for _ in range(3)] == [set()] * 3
