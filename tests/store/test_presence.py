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
from tests.store.acts import rows
from tests.store.conftest import OpenStore
from tests.waiting import wait_until

FRESH_DATABASE = True

ME, OTHER = "me-1", "other-1"


@pytest.fixture
def live(database_url: str, store: Store) -> Iterator[Callable[[str], subprocess.Popen[str]]]:
    """Starts processes that show that they live, and waits until this is seen."""
    started: list[subprocess.Popen[str]] = []
    store.presence.hold(ME)

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


def vanished(store: Store, *others: str) -> set[str]:
    return store.presence.vanished(ME, others)


def locks(store: Store) -> int:
    """Signs of life that the server knows of."""
    here = "database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    return len(rows(store, f"SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND {here}"))


def seen(store: Store, count: int) -> None:
    """Wait until the signs of life are there, and look once: who was never seen is never missed."""
    if store.database.dialect.file is None:
        wait_until(lambda: locks(store) == count, message="the signs of life")
    vanished(store, OTHER)
    vanished(store, OTHER)


def test_a_process_that_lives_is_not_missed(store: Store, live: Callable[[str], object]) -> None:
    live(OTHER)
    seen(store, 2)
    assert vanished(store, OTHER) == set()
    assert not store.presence.in_doubt


def test_a_killed_process_is_missed(store: Store, live: Callable[[str], subprocess.Popen[str]]) -> None:
    process = live(OTHER)
    seen(store, 2)
    process.kill()
    process.wait(30)
    assert wait_until(lambda: vanished(store, OTHER)) == {OTHER}
    assert vanished(store, OTHER) == set(), "once"


def test_a_frozen_process_is_not_missed(store: Store, live: Callable[[str], subprocess.Popen[str]]) -> None:
    process = live(OTHER)
    seen(store, 2)
    os.kill(process.pid, signal.SIGSTOP)
    try:
        assert [vanished(store, OTHER) for _ in range(5)] == [set()] * 5
    finally:
        os.kill(process.pid, signal.SIGCONT)


def test_who_gives_no_sign_of_life_is_not_missed(store: Store, live: Callable[[str], object]) -> None:
    seen(store, 1)
    assert [vanished(store, "silent-1") for _ in range(3)] == [set()] * 3


def test_only_those_that_are_asked_about_are_told(store: Store, live: Callable[[str], subprocess.Popen[str]]) -> None:
    process = live(OTHER)
    seen(store, 2)
    process.kill()
    process.wait(30)
    assert [vanished(store, "third-1") for _ in range(3)] == [set()] * 3


@pytest.mark.needs("file")
def test_a_process_that_left_in_good_order_leaves_no_sign(store: Store, database_url: str) -> None:
    other = open_store(database_url)
    other.presence.hold(OTHER)
    file = store.database.dialect.file
    assert file is not None
    folder = file.with_name(file.name + ".wake")
    assert len(list(folder.glob("*.alive"))) == 1
    other.close()
    assert list(folder.glob("*.alive")) == []
    assert vanished(store, OTHER) == set()


@pytest.mark.needs("sessions")
def test_when_all_sessions_broke_nobody_is_missed(store: Store, open_another: OpenStore) -> None:
    """As after a restart of the server: who was itself cut off knows nothing of the others."""
    watcher = open_another()
    store.presence.hold(ME)
    other = open_another()
    other.presence.hold(OTHER)
    seen(store, 2)
    listening = "datname = current_database() AND application_name = 'nbcluster-listen'"
    sessions = rows(watcher, f"SELECT pid FROM pg_stat_activity WHERE {listening}")
    assert rows(watcher, f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {listening}")

    def reconnected() -> bool:
        assert vanished(store, OTHER) == set()
        now = rows(watcher, f"SELECT pid FROM pg_stat_activity WHERE {listening}")
        return len(now) == 2 and not set(now) & set(sessions) and locks(watcher) == 2

    wait_until(reconnected, message="both listeners to be back")
    assert [vanished(store, OTHER) for _ in range(3)] == [set()] * 3
