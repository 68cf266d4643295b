"""A node that only lost its session is no dead node, also when it gets no other."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from sqlalchemy import make_url

from tests.cluster.conftest import Lab
from tests.waiting import wait_until

SQUARES = [n * n for n in range(1000)]
END_LISTENERS = (
    "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
    "WHERE datname = current_database() AND application_name = 'nbcluster-listen'"
)


@contextlib.contextmanager
def only_open_connections(lab: Lab) -> Iterator[Any]:
    """Connections that are open stay and new ones are refused, as when the server's limit is reached; gives one."""
    url = make_url(lab.url).set(drivername="postgresql")
    plain, other = (one.render_as_string(hide_password=False) for one in (url, url.set(database="postgres")))
    with psycopg.connect(plain, autocommit=True) as connection, psycopg.connect(other, autocommit=True) as elsewhere:

        def allow(yes: bool) -> None:
            elsewhere.execute(f'ALTER DATABASE "{url.database}" ALLOW_CONNECTIONS {yes}'.encode())

        allow(False)
        try:
            yield connection
        finally:
            allow(True)


def watched(connection: Any) -> dict[str, int]:
    return dict(connection.execute("SELECT node_id, watched FROM batch_nodes").fetchall())


@pytest.mark.needs("sessions")
def test_nodes_whose_sessions_break_and_cannot_come_back_are_not_thought_dead(lab: Lab) -> None:
    nodes = lab.nodes(2, slots=1)
    cluster = lab.connect()
    job = cluster.map(lab.effects.worker(), range(4), chunk=1)
    lab.effects.wait_for_begins(2)
    everybody = {*(node.id for node in nodes), cluster.node_id}
    with only_open_connections(lab) as connection:
        wait_until(lambda: watched(connection) == dict.fromkeys(everybody, 1), message="the signs of life")
        assert connection.execute(END_LISTENERS).fetchone() == (3,)
        wait_until(lambda: watched(connection) == dict.fromkeys(everybody, 0), message="that all lost their sign")
        looks = 3 * len(everybody)
        beats = "SELECT sum(extract(epoch FROM last_updated_time)) FROM batch_nodes"
        for _ in range(looks):
            before = connection.execute(beats).fetchone()
            wait_until(lambda before=before: connection.execute(beats).fetchone() != before, message="a beat")
        assert set(connection.execute("SELECT DISTINCT status FROM batch_nodes").fetchall()) == {("ACTIVE",)}
    wait_until(
        lambda: set(lab.tables.rows("SELECT node_id, watched FROM batch_nodes")) == {(one, 1) for one in everybody},
        message="the signs of life to be back",
    )
    lab.effects.open_gate()
    assert job.wait(60).results() == SQUARES[:4]
    assert set(lab.effects.begun().values()) == {1}
    assert lab.tables.count("batch_events", "phase LIKE 'NODE%' AND phase <> 'NODE_JOINED'") == 0
