"""A database that is stopped, killed, frozen, full, or holds everybody up."""

from __future__ import annotations

import contextlib
import resource
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
from sqlalchemy import create_engine, make_url

from tests.chaos import workload
from tests.chaos.faults import POSTGRESQL, SQLITE, fault
from tests.chaos.harness import LOSS, ChaosLab
from tests.chaos.nemesis import Nemesis
from tests.waiting import wait_until

SESSIONS = (
    "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
    "WHERE datname = current_database() AND application_name LIKE '{}'"
)


@fault("C6-restarts", databases=(POSTGRESQL,))
def restarts(lab: ChaosLab) -> None:
    """PostgreSQL is restarted fast, immediately, and after a kill -9, in mid-job."""
    lab.start_nodes(3)
    nemesis = Nemesis(lab)
    lab.submit(lab.connect(), "again", 1500, seconds=0.01)
    lab.submit(lab.connect(), "once", 200, seconds=0.01, transferable=False)
    for number, how in enumerate(("fast", "immediate", "kill")):
        lab.wait_for_begins(400 * number + 100)
        with nemesis.without_database(how):
            pass
    lab.settle()
    assert lab.tables.count("batch_attempts", "outcome = 'NODE_LOST'") == 0


def _gone(lab: ChaosLab, seconds: float) -> None:
    lab.start_nodes(3)
    lab.submit(lab.connect(), "long", 18, seconds=seconds / 3)
    lab.submit(lab.connect(), "short", 300, seconds=0.01)
    lab.wait_for_begins(6)
    with Nemesis(lab).without_database():
        before = len(lab.notes("END"))
        time.sleep(seconds)
        lab.figures["ended_meanwhile"] = len(lab.notes("END")) - before
    lab.settle()
    assert int(lab.figures["ended_meanwhile"]) > 0, "what ran did not go on while the database was away"
    assert all(node.running for node in lab.nodes)


@fault("C7-gone-5s", databases=(POSTGRESQL,), smoke=True)
def gone_5s(lab: ChaosLab) -> None:
    """PostgreSQL is away for five seconds, longer than the threshold."""
    _gone(lab, 5.0)


@fault("C7-gone-30s", databases=(POSTGRESQL,))
def gone_30s(lab: ChaosLab) -> None:
    """PostgreSQL is away for thirty seconds."""
    _gone(lab, 30.0)


@fault("C7-frozen", databases=(POSTGRESQL,))
def frozen(lab: ChaosLab) -> None:
    """PostgreSQL stands still for ten seconds, with every connection open."""
    lab.start_nodes(3)
    lab.submit(lab.connect(), "again", 400, seconds=0.05)
    lab.wait_for_begins(20)
    with Nemesis(lab).frozen_database():
        time.sleep(10.0)
    lab.settle()


@fault("sessions-ended", databases=(POSTGRESQL,))
def sessions_ended(lab: ChaosLab) -> None:
    """An administrator ends every session but the listening ones, three times a second."""
    lab.start_nodes(2)
    lab.submit(lab.connect(), "again", 400, seconds=0.02)
    strike = lab.strike("end sessions", excuses=frozenset())
    with Nemesis(lab).every(0.3, lambda: lab.tables.value(SESSIONS.format("nbcluster"))):
        lab.wait_for_begins(300)
    strike.over()
    lab.settle()


@fault("lost-notifications", databases=(POSTGRESQL, SQLITE))
def lost_notifications(lab: ChaosLab) -> None:
    """Nobody hears an announcement: the poll finds the work."""
    lab.start_nodes(2)
    cluster = lab.connect()
    strike = lab.strike("lose notifications", *lab.nodes, excuses=LOSS if not lab.sqlite else frozenset())

    def deafen() -> None:
        if not lab.sqlite:
            lab.tables.value(SESSIONS.format("nbcluster-listen"))
            return
        beside = Path(str(make_url(lab.url).database)).with_name("cluster.db.wake")
        for path in beside.glob("*.sock"):
            path.unlink(missing_ok=True)

    with Nemesis(lab).every(0.05, deafen):
        for number in range(3):
            lab.submit(cluster, f"deaf-{number}", 20, seconds=0.01)
            lab.wait_for_begins(20 * number + 5)
        lab.settle()
    strike.over()


@fault("connection-limit", databases=(POSTGRESQL,))
def connection_limit(lab: ChaosLab) -> None:
    """Others take every connection that the server has, and give them back some seconds later."""
    lab.start_nodes(2)
    cluster = lab.connect()
    lab.submit(cluster, "again", 300, seconds=0.05)
    lab.wait_for_begins(10)
    with lab.striking("take every connection", *lab.nodes), contextlib.ExitStack() as taken:
        _take_all(lab, taken)
        end = time.monotonic() + 5.0
        while time.monotonic() < end:
            _take_all(lab, taken)
            time.sleep(0.05)
    lab.settle()


def _take_all(lab: ChaosLab, taken: contextlib.ExitStack) -> None:
    """Open connections until the server refuses one; sessions of ours are ended to make room for others."""
    conninfo = make_url(lab.url).set(drivername="postgresql").render_as_string(hide_password=False)
    mine: list[Any] = getattr(taken, "mine", [])
    taken.mine = mine  # type: ignore[attr-defined]
    if mine:
        mine[0].execute(SESSIONS.format("nbcluster%"))
    while True:
        try:
            mine.append(taken.enter_context(psycopg.connect(conninfo, autocommit=True, connect_timeout=5)))
        except psycopg.OperationalError:
            return


@fault("long-lock")
def long_lock(lab: ChaosLab) -> None:
    """A foreign transaction keeps every writer waiting for longer than the threshold."""
    lab.start_nodes(2)
    lab.submit(lab.connect(), "again", 60, seconds=0.1)
    lab.wait_for_begins(4)
    engine = create_engine(lab.url)
    with lab.striking("lock", excuses=frozenset()), engine.connect() as connection:
        if lab.sqlite:
            connection.exec_driver_sql("PRAGMA busy_timeout = 10000")
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        else:
            connection.exec_driver_sql("LOCK TABLE batch_nodes, batch_partitions IN ACCESS EXCLUSIVE MODE")
        time.sleep(5.0)
        connection.rollback()
    engine.dispose()
    lab.settle()


# --- no room ---------------------------------------------------------------------------------------------------------

BULK = 100_000


@fault("disk-full", databases=(SQLITE,), small_disk=True)
def disk_full(lab: ChaosLab) -> None:
    """The file system of the embedded file is full, and somebody makes room later."""
    ballast = Path(str(make_url(lab.url).database)).with_name("ballast")

    @contextlib.contextmanager
    def full() -> Iterator[None]:
        with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(4096))
        yield
        ballast.unlink()

    _without_room(lab, full(), frozenset())


@fault("file-limit", databases=(SQLITE,))
def file_limit(lab: ChaosLab) -> None:
    """No file of a node may grow any more, as with a quota, and somebody lifts the limit later."""

    @contextlib.contextmanager
    def limited() -> Iterator[None]:
        before = {node.pid: resource.prlimit(node.pid, resource.RLIMIT_FSIZE) for node in lab.nodes}
        for pid, (_, hard) in before.items():
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (1 << 16, hard))
        yield
        for pid, limits in before.items():
            resource.prlimit(pid, resource.RLIMIT_FSIZE, limits)

    _without_room(lab, limited(), LOSS)  # our own connection has no such limit, and sees them silent


def _without_room(lab: ChaosLab, harm: contextlib.AbstractContextManager[None], excuses: frozenset[str]) -> None:
    lab.start_nodes(2)
    expected = [bytes([n % 251]) * BULK for n in range(60)]
    body = workload.bulky(BULK, 0.1)
    lab.submit(lab.connect(), "bulky", 60, body=body, expected=expected)
    lab.wait_for_begins(10)
    with lab.striking("no room", *(lab.nodes if excuses else ()), excuses=excuses), harm:
        time.sleep(5.0)
    wait_until(lambda: all(node.running for node in lab.nodes), 1.0, "nodes that did not exit")
    lab.settle()
    assert lab.tables.count("batch_partitions", "status = 'FAILED'") == 0
