"""Whoever waits is woken when there is something to see, and not before."""

from __future__ import annotations

import contextlib
import os
import queue
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import Connection

from nbcluster.store import Store, open_store
from nbcluster.store.wakeup import WORK, job_topic, node_topic
from tests.builders import a_new_partition, completed, handed_back
from tests.store.acts import lose, register, rows, submit, take
from tests.store.conftest import OpenStore
from tests.store.listener import MARKER
from tests.waiting import wait_until

FRESH_DATABASE = True

TOPIC = "nbcluster_something"


class Listener:
    """Another process that listens to one topic."""

    def __init__(self, url: str, topic: str, *more: str) -> None:
        command = [sys.executable, "-m", "tests.store.listener", url, topic, *more]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self._said: queue.Queue[str] = queue.Queue()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        assert self._said.get(timeout=30)

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._said.put(line.strip())

    def wait_for(self, word: str) -> None:
        """Until it says this."""
        while self._said.get(timeout=30) != word:
            pass

    def hears(self, store: Store) -> list[str]:
        """What it heard of its topic up to now: everything before two markers that are announced now."""
        heard: list[str] = []
        for _ in range(2):
            announce(store, MARKER)
            while (word := self._said.get(timeout=30)) != "marker":
                heard.append(word)
        return heard

    def ready(self, store: Store) -> Listener:
        """Wait until it surely listens, and nothing is on its way."""
        for word, topic in (("woken", TOPIC), ("marker", MARKER)):
            wait_until(partial(self._answers, store, topic, word), message="the listener", interval=0.1)
        while self.hears(store):
            pass
        return self

    def _answers(self, store: Store, topic: str, word: str) -> bool:
        """Announce a topic; whether it was heard since the last time."""
        announce(store, topic)
        words = []
        with contextlib.suppress(queue.Empty):
            while True:
                words.append(self._said.get_nowait())
        return word in words

    def end(self) -> None:
        self.process.kill()
        self.process.wait(30)
        self._reader.join(30)
        assert self.process.stdout is not None
        self.process.stdout.close()


def announce(store: Store, *topics: str) -> None:
    """Announce topics, in a transaction of their own that writes nothing."""
    store.database.read(lambda connection: store.database.announce(connection, topics))


@pytest.fixture
def listener(store: Store, database_url: str) -> Iterator[Callable[..., Listener]]:
    """Starts processes that listen."""
    started: list[Listener] = []

    def start(topic: str = TOPIC, *more: str) -> Listener:
        started.append(Listener(database_url, topic, *more))
        return started[-1]

    yield start
    for one in started:
        one.end()


# --- between processes ---------------------------------------------------------------------------


def test_an_announcement_wakes_another_process(store: Store, listener: Callable[..., Listener]) -> None:
    other = listener().ready(store)
    announce(store, TOPIC)
    other.wait_for("woken")


def test_it_wakes_after_the_commit_and_not_before(store: Store, listener: Callable[..., Listener]) -> None:
    other = listener().ready(store)
    heard_before = []

    def work(connection: Connection) -> None:
        store.database.announce(connection, [TOPIC])
        heard_before.extend(other.hears(store))

    store.database.write(work)
    assert heard_before == []
    other.wait_for("woken")


def test_what_is_rolled_back_wakes_nobody(store: Store, listener: Callable[..., Listener]) -> None:
    other = listener().ready(store)

    def work(connection: Connection) -> None:
        store.database.announce(connection, [TOPIC])
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        store.database.write(work)
    assert other.hears(store) == [], "neither then nor with the next transaction of the same connection"


def test_several_processes_are_woken_by_one_announcement(store: Store, listener: Callable[..., Listener]) -> None:
    others = [listener().ready(store), listener().ready(store)]
    for other in others:
        other.hears(store)
    announce(store, TOPIC)
    for other in others:
        other.wait_for("woken")


# --- within a process ----------------------------------------------------------------------------


class Woken:
    """Counts how often a topic was announced."""

    def __init__(self, store: Store, topic: str) -> None:
        self.times = 0
        self._first = threading.Event()
        self.unsubscribe = store.wakeup.subscribe(topic, self._wake)
        # A server lets its subscribers look once when it begins to listen; a file is heard from the first moment on.
        announce(store, topic)
        assert self._first.wait(30)
        self.settle(store)

    def _wake(self) -> None:
        self.times += 1
        self._first.set()

    def settle(self, store: Store) -> None:
        """Wait until everything that is announced was heard, and begin to count anew."""
        passed = threading.Event()
        unsubscribe = store.wakeup.subscribe(MARKER, passed.set)
        for _ in range(2):
            passed.clear()
            announce(store, MARKER)
            assert passed.wait(30)
        unsubscribe()
        self.times = 0


def test_new_work_wakes_its_owners_or_everybody(store: Store, open_another: OpenStore) -> None:
    other = open_another()
    work, mine, others = (Woken(store, topic) for topic in (WORK, node_topic("a-1"), node_topic("b-1")))
    submit(other, [a_new_partition(0, assigned_node="a-1"), a_new_partition(1, assigned_node="a-1")])
    wait_until(lambda: mine.times)
    assert (work.times, others.times) == (0, 0)
    submit(other, [a_new_partition(0, assigned_node="a-1"), a_new_partition(1)])
    wait_until(lambda: work.times)
    many = [a_new_partition(index, assigned_node=f"node-{index}") for index in range(50)]
    work.settle(store)
    submit(other, many)
    wait_until(lambda: work.times)


def test_an_ended_partition_wakes_those_who_watch_its_job(store: Store, open_another: OpenStore) -> None:
    other = open_another()
    step, another = submit(other, 3), submit(other)
    job, beside, work = (
        Woken(store, topic) for topic in (job_topic(step.job_execution_id), job_topic(another.job_execution_id), WORK)
    )
    first, second, third = take(other, step)
    other.finishes.finish([completed(first)])
    wait_until(lambda: job.times)
    assert (beside.times, work.times) == (0, 0)
    other.finishes.finish([handed_back(second)])
    wait_until(lambda: work.times)
    other.finishes.finish([completed(third)])
    assert beside.times == 0


@pytest.mark.parametrize("what", ["a stop", "a loss", "an end", "a resumption"])
def test_what_others_must_know_is_announced(store: Store, open_another: OpenStore, what: str) -> None:
    other = open_another()
    register(other, "a-1")
    step = submit(other, 2)
    claims = take(other, step, "a-1")
    job, work = Woken(store, job_topic(step.job_execution_id)), Woken(store, WORK)
    if what == "a stop":
        other.coordination.request_stop(step.job_execution_id)
        wait_until(lambda: job.times and work.times)
    elif what == "a loss":
        lose(other, "a-1")
        wait_until(lambda: job.times and work.times)
    else:
        other.finishes.finish([completed(claim) for claim in claims[:1]])
        other.coordination.request_stop(step.job_execution_id)
        other.finishes.finish([handed_back(claims[1])])
        job.settle(store)
        work.settle(store)
        other.advancing.advance(step.job_execution_id, 1)
        wait_until(lambda: job.times)
        if what == "a resumption":
            other.jobs.resume(step.job_execution_id, "kernel-2")
            wait_until(lambda: work.times)


def test_who_unsubscribed_is_woken_no_more(store: Store, open_another: OpenStore) -> None:
    other = open_another()
    kept, left = Woken(store, TOPIC), Woken(store, TOPIC)
    left.unsubscribe()
    left.unsubscribe()
    announce(other, TOPIC)
    wait_until(lambda: kept.times)
    assert left.times == 0


def test_a_callback_that_raises_ends_nothing(store: Store, open_another: OpenStore) -> None:
    def fails() -> None:
        raise ZeroDivisionError

    store.wakeup.subscribe(TOPIC, fails)
    woken, other = Woken(store, TOPIC), open_another()
    announce(other, TOPIC)
    wait_until(lambda: woken.times >= 1)
    announce(other, TOPIC)
    wait_until(lambda: woken.times >= 2)


def test_after_closing_no_thread_is_left(database_url: str) -> None:
    before = set(threading.enumerate())
    store = open_store(database_url, initialize="always")
    Woken(store, TOPIC)
    assert set(threading.enumerate()) > before
    store.close()
    assert set(threading.enumerate()) == before


@pytest.mark.needs("sessions")
def test_a_listener_whose_connection_died_listens_again(store: Store, open_another: OpenStore) -> None:
    woken, other = Woken(store, TOPIC), open_another()
    ended = rows(
        other,
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE datname = current_database() AND application_name = 'nbcluster-listen'",
    )
    assert ended
    wait_until(lambda: woken.times, message="the look after the reconnection")
    woken.settle(store)
    announce(other, TOPIC)
    wait_until(lambda: woken.times)


# --- beside a file -------------------------------------------------------------------------------


def sockets(store: Store) -> set[Path]:
    file = store.database.dialect.file
    assert file is not None
    return set(file.with_name(file.name + ".wake").glob("*.sock"))


@pytest.mark.needs("file")
def test_the_socket_of_a_killed_process_is_cleaned_away(store: Store, listener: Callable[..., Listener]) -> None:
    other = listener().ready(store)
    assert len(sockets(store)) == 1
    other.process.kill()
    other.process.wait(30)
    announce(store, TOPIC)
    assert sockets(store) == set()


@pytest.mark.needs("file")
def test_a_store_that_is_closed_leaves_no_socket(store: Store, database_url: str) -> None:
    other = open_store(database_url)
    other.wakeup.subscribe(TOPIC, lambda: None)
    assert len(sockets(store)) == 1
    other.close()
    assert sockets(store) == set()


@pytest.mark.needs("file")
def test_what_else_lies_in_the_folder_does_not_hurt(store: Store, open_another: OpenStore) -> None:
    woken, other = Woken(store, TOPIC), open_another()
    (own,) = sockets(store)
    (own.parent / "notes.txt").write_text("not ours")
    (own.parent / "0-plain.sock").write_text("no socket")
    before = os.getcwd()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as stream:
        os.chdir(own.parent)  # the path may be longer than an address
        try:
            stream.bind("1-stream.sock")
        finally:
            os.chdir(before)
        announce(other, TOPIC)
        wait_until(lambda: woken.times)
    assert (own.parent / "notes.txt").exists()


@pytest.mark.needs("file")
def test_a_listener_that_is_too_busy_to_listen_holds_up_nobody(store: Store, open_another: OpenStore) -> None:
    busy, reached = threading.Event(), threading.Event()

    def slow() -> None:
        reached.set()
        assert busy.wait(60)

    store.wakeup.subscribe(TOPIC, slow)
    other = open_another()
    for _ in range(5000):
        announce(other, TOPIC)
    assert reached.wait(30)
    busy.set()


@pytest.mark.needs("file")
def test_a_database_in_a_deep_folder_wakes_too(tmp_path: Path) -> None:
    folder = tmp_path / ("x" * 90) / ("y" * 90)
    store, other = (open_store(f"sqlite:///{folder}/cluster.db") for _ in range(2))
    try:
        woken = Woken(store, TOPIC)
        announce(other, TOPIC)
        wait_until(lambda: woken.times)
    finally:
        store.close()
        other.close()


# --- topics --------------------------------------------------------------------------------------


@pytest.mark.parametrize("node_id", ["a-1", "x" * 200, "knöten '\"; DROP TABLE batch_nodes -- -1"])
def test_a_topic_is_a_plain_short_name_whatever_a_node_is_called(node_id: str) -> None:
    topic = node_topic(node_id)
    assert len(topic) <= 63
    assert topic.replace("_", "").isalnum()
    assert topic.isascii()
    assert topic != node_topic(node_id + "x")
