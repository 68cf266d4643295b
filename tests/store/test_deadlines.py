"""No call waits for ever for a server that accepts and never answers."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest
from sqlalchemy import make_url, text

from nbcluster.errors import DatabaseUnreachable
from nbcluster.store import Store, open_store
from nbcluster.store.dialects import limited
from tests.builders import a_new_node
from tests.cluster.proxy import Proxy
from tests.store.acts import count, rows
from tests.waiting import wait_until

FRESH_DATABASE = True
pytestmark = pytest.mark.needs("sessions")

PATIENCE = 0.5


@pytest.fixture
def proxy(database_url: str) -> Iterator[Proxy]:
    url = make_url(database_url)
    made = Proxy(str(url.host), url.port or 5432)
    yield made
    made.cut()


@pytest.fixture
def behind(store: Store, proxy: Proxy, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """The store again, through the proxy, with little patience."""
    monkeypatch.setattr(limited, "PATIENCE", PATIENCE)
    monkeypatch.setattr("nbcluster.store.engine._RECONNECT_FOR", PATIENCE / 2)
    monkeypatch.setattr("nbcluster.store.wakeup_postgresql._PATIENCE", PATIENCE)
    url = make_url(database_url).set(host="127.0.0.1", port=proxy.port)
    through = open_store(url.render_as_string(hide_password=False))
    yield through
    through.close()


def test_a_call_into_a_black_hole_ends_and_says_so(behind: Store, proxy: Proxy) -> None:
    assert behind.nodes.all() == []
    proxy.black_hole()
    with pytest.raises(DatabaseUnreachable, match=r"has not answered for 0\.5 s"):
        behind.nodes.all()


def test_a_transaction_into_a_black_hole_ends_and_may_have_been_done(behind: Store, store: Store, proxy: Proxy) -> None:
    behind.nodes.register(a_new_node("a-1"))
    proxy.black_hole()
    with pytest.raises(DatabaseUnreachable):
        behind.nodes.register(a_new_node("b-1"))
    proxy.restore()
    assert behind.nodes.beat("a-1", 7).known, "a new connection"
    assert count(store, "batch_nodes", "node_id = 'a-1' AND current_load = 7") == 1


def test_what_keeps_moving_may_take_longer(behind: Store, proxy: Proxy) -> None:
    """Twenty thousand rows through a slow network: no silence is long, all of it together is."""
    proxy.delay(PATIENCE / 3)
    many = "SELECT g, repeat('x', 100) FROM generate_series(1, 20000) AS g"
    began = time.monotonic()
    found = behind.database.read(lambda connection: connection.execute(text(many)).all())
    assert len(found) == 20_000
    assert time.monotonic() - began > PATIENCE


def test_a_call_that_is_known_to_take_long_is_given_the_time(behind: Store) -> None:
    slow = text(f"SELECT pg_sleep({3 * PATIENCE})")
    with pytest.raises(DatabaseUnreachable):
        behind.database.read(lambda connection: connection.execute(slow))
    behind.database.read(lambda connection: connection.execute(slow), patience=60)
    with pytest.raises(DatabaseUnreachable):
        behind.database.read(lambda connection: connection.execute(slow))


@pytest.mark.parametrize("doubted", [False, True], ids=["in its turn", "when work was not announced"])
def test_a_listener_in_a_black_hole_is_replaced(
    behind: Store, store: Store, proxy: Proxy, monkeypatch: pytest.MonkeyPatch, doubted: bool
) -> None:
    monkeypatch.setattr("nbcluster.store.wakeup_postgresql._PROBE_EVERY", 3600.0 if doubted else PATIENCE)
    woken = threading.Event()
    behind.wakeup.subscribe("nbcluster_something", woken.set)
    wait_until(lambda: behind.wakeup.alive, message="the listener")
    sessions = behind.wakeup.sessions
    proxy.black_hole()
    if doubted:
        behind.wakeup.doubt()
    wait_until(lambda: not behind.wakeup.alive, message="that the listener sees it")
    proxy.restore()
    wait_until(lambda: behind.wakeup.alive and behind.wakeup.sessions > sessions, message="another session")
    woken.clear()

    def announced() -> bool:
        store.database.read(lambda connection: store.database.announce(connection, ["nbcluster_something"]))
        return woken.wait(0.1)

    wait_until(announced, message="a wake-up")


def test_a_transaction_that_is_left_open_loses_its_locks(store: Store) -> None:
    """As of a process that was stopped in the middle of it: the server ends it."""
    statement = "SELECT current_setting('idle_in_transaction_session_timeout'), current_setting('lock_timeout')"
    assert rows(store, statement) == [("10s", "8s")]
