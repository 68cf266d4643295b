"""A database that goes away, forgets its connections or keeps everybody waiting: jobs go on, nothing is lost."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, make_url

from nbcluster.config import parse_duration
from tests.cluster.conftest import QUICK, Lab
from tests.cluster.database import Tables
from tests.cluster.nodes import alive
from tests.cluster.proxy import Proxy
from tests.waiting import wait_until

OLDEST_BEAT = "SELECT extract(epoch FROM clock_timestamp() - min(last_updated_time)) FROM batch_nodes"
END_SESSIONS = (
    "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
    "WHERE datname = current_database() AND application_name LIKE 'nbcluster%'"
)
THRESHOLD = parse_duration(QUICK["unreachable_node_threshold"])
SQUARES = [n * n for n in range(1000)]


class ProxiedLab(Lab):
    """A lab whose processes all reach the database through a proxy; its own SQL does not."""

    def __init__(self, url: str, folder: Path) -> None:
        server = make_url(url)
        assert server.host
        self.proxy = Proxy(server.host, server.port or 5432)
        self.direct = url
        through = server.set(host="127.0.0.1", port=self.proxy.port)
        super().__init__(through.render_as_string(hide_password=False), folder)
        self.tables = Tables(url)

    def nodes_past_the_proxy(self, count: int, slots: int) -> Any:
        through, self.url = self.url, self.direct
        try:
            return self.nodes(count, slots)
        finally:
            self.url = through


@pytest.fixture
def proxied(database_url: str, tmp_path: Path) -> Iterator[ProxiedLab]:
    lab = ProxiedLab(database_url, tmp_path)
    try:
        yield lab
    finally:
        lab.close()
        lab.proxy.cut()
    lab.check()


@pytest.mark.needs("sessions")
def test_an_outage_that_everybody_shares_costs_nobody_his_work(
    proxied: ProxiedLab, caplog: pytest.LogCaptureFixture
) -> None:
    nodes = proxied.nodes(2, slots=2)
    job = proxied.connect().map(proxied.effects.worker(), range(24), chunk=1)
    running = {note.index for note in proxied.effects.wait_for_begins(4)}
    ended: list[str] = []
    job.add_done_callback(lambda job: ended.append(job.state))
    proxied.proxy.cut()
    proxied.effects.open_gate()
    wait_until(lambda: set(proxied.effects.ended()) >= running, message="work that goes on without a database")
    wait_until(lambda: proxied.tables.value(OLDEST_BEAT) > 1.5 * THRESHOLD, message="a long outage")
    assert proxied.tables.statuses(job.id)["CLAIMED"] >= 4
    assert "waiting for it to come back" in caplog.text  # what waits in the kernel says so, and goes on waiting
    proxied.proxy.restore()
    assert job.wait(60).results() == SQUARES[:24]
    wait_until(lambda: ended, message="the callback")
    assert ended == ["COMPLETED"]
    assert set(proxied.effects.begun().values()) == {1}
    assert proxied.tables.count("batch_attempts", "outcome = 'NODE_LOST'") == 0
    assert all(node.running for node in nodes)
    ids = set(job._cluster.nodes()["node"])
    assert ids == {node.id for node in nodes}


@pytest.mark.needs("sessions")
def test_a_node_that_is_cut_off_loses_its_work_and_comes_back(proxied: ProxiedLab) -> None:
    (cut_off,) = proxied.nodes(1, slots=1)
    (other,) = proxied.nodes_past_the_proxy(1, slots=1)
    through, proxied.url = proxied.url, proxied.direct
    cluster = proxied.connect()
    proxied.url = through
    job = cluster.map(proxied.effects.worker(), range(8), chunk=1)
    proxied.effects.wait_for_begins(1, other.id)
    (lost,) = [note.index for note in proxied.effects.wait_for_begins(1, cut_off.id) if note.node == cut_off.id]
    proxied.proxy.cut()
    status = "SELECT status FROM batch_nodes WHERE node_id = :id"
    wait_until(lambda: proxied.tables.value(status, id=cut_off.id) == "UNREACHABLE", message="the suspicion")
    proxied.effects.open_gate()
    assert job.wait(60).results() == SQUARES[:8]
    assert proxied.effects.begun()[lost] == 2
    assert set(job.nodes()["node"]) == {other.id}
    proxied.proxy.restore()
    wait_until(lambda: "FENCED" in cut_off.said(), message=cut_off.said)
    proxied.effects.start_anew()
    again = cluster.map(proxied.effects.worker(), range(4), chunk=1)
    proxied.effects.wait_for_begins(1, cut_off.id)
    proxied.effects.open_gate()
    again.wait(60)


@pytest.mark.needs("sessions")
def test_sessions_that_are_ended_again_and_again(lab: Lab) -> None:
    lab.nodes(2, slots=2)
    cluster = lab.connect()
    lab.effects.open_gate()
    job = cluster.map(lab.effects.worker(seconds=0.005), range(300), chunk=1)
    for round_number in range(6):
        wait_until(lambda n=round_number: len(lab.effects.notes("BEGIN")) > 40 * n, message="progress")
        wait_until(lambda: lab.tables.value(END_SESSIONS), message="sessions to end")
    assert job.wait(60).results() == SQUARES[:300]
    assert set(lab.effects.begun().values()) == {1}
    assert lab.tables.count("batch_results") == 300


@pytest.mark.needs("sessions")
@pytest.mark.parametrize("transferable", [True, False], ids=["transferable", "once"])
def test_lost_answers_to_commits_neither_lose_nor_double_anything(proxied: ProxiedLab, transferable: bool) -> None:
    patient = {"unreachable_node_threshold": "5s", "node_cleanup_threshold": "20s"}
    nodes = proxied.nodes(2, slots=2, **patient)
    proxied.effects.open_gate()
    through, proxied.url = proxied.url, proxied.direct
    cluster = proxied.connect(**patient)
    proxied.url = through
    worker = proxied.effects.worker(seconds=0.005)
    job = cluster.map(worker, range(300), chunk=1, transferable=transferable)
    # The answer to a claim, to a start, to a result, to a heartbeat.
    for statement in ["claimed_time=", "failed_items=", "current_load="] * 3 + [*["start_time="] * (not transferable)]:
        proxied.proxy.lose_answer(after=statement)
        wait_until(lambda: proxied.proxy.lost, message=f"a lost answer after {statement}")
    assert job.wait(60).results() == SQUARES[:300]
    assert set(proxied.effects.begun().values()) == {1}
    assert proxied.tables.count("batch_results") == 300
    assert not [node.log for node in nodes if "FENCED" in node.said()]
    # The answers to three claims were lost: nobody heard of those, perhaps of the same partition's.
    assert 2 <= proxied.tables.value("SELECT max(attempt) FROM batch_partitions") <= 4


@pytest.mark.needs("sessions")
def test_a_submission_whose_answer_is_lost_is_one_job(proxied: ProxiedLab) -> None:
    cluster = proxied.connect()
    for _ in range(3):
        proxied.proxy.lose_answer(after="INSERT INTO batch_job_coordination")
        cluster.map(abs, range(40), chunk=1)
        assert proxied.proxy.lost
    assert proxied.tables.count("batch_job_execution") == 3
    assert proxied.tables.count("batch_partitions") == 3 * 40


@pytest.mark.needs("sessions")
def test_a_node_gives_up_after_its_patience_with_exit_code_75(proxied: ProxiedLab) -> None:
    (node,) = proxied.nodes(1, slots=2, database_patience="1s")
    family = wait_until(node.children)
    proxied.proxy.cut()
    assert node.process.wait(30) == 75
    assert "no database for 1 s: giving up" in node.said()
    assert not any(alive(pid) for pid in family)


@pytest.mark.needs("sessions")
def test_the_server_is_restarted(lab: Lab) -> None:
    """A killed session makes the server end all others and recover; a server that is not ours only ends them."""
    lab.nodes(2, slots=1)
    cluster = lab.connect()
    job = cluster.map(lab.effects.worker(), range(12), chunk=1)
    lab.effects.wait_for_begins(2)
    if os.environ.get("NBCLUSTER_TEST_POSTGRES_URL"):
        lab.tables.value(END_SESSIONS)
    else:
        session = lab.tables.value("SELECT min(pid) FROM pg_stat_activity WHERE application_name LIKE 'nbcluster%'")
        os.kill(session, signal.SIGKILL)
    lab.effects.open_gate()
    assert job.wait(60).results() == SQUARES[:12]
    assert set(lab.effects.begun().values()) == {1}
    assert lab.tables.count("batch_results") == 12


def hold(lab: Lab) -> Any:
    """A foreign transaction that nobody who writes gets past."""
    engine = create_engine(lab.url)
    connection = engine.connect()
    if lab.tables.sqlite:
        connection.exec_driver_sql("PRAGMA busy_timeout = 10000")
        connection.exec_driver_sql("BEGIN IMMEDIATE")
    else:
        connection.exec_driver_sql("LOCK TABLE batch_nodes, batch_partitions IN ACCESS EXCLUSIVE MODE")
    return connection


def test_a_lock_that_is_held_for_long_is_waited_for(lab: Lab) -> None:
    nodes = lab.nodes(2, slots=1)
    job = lab.connect().map(lab.effects.worker(), range(8), chunk=1)
    lab.effects.wait_for_begins(2)
    lock = hold(lab)
    lab.effects.open_gate()
    until = time.monotonic() + 1.5 * THRESHOLD
    wait_until(lambda: time.monotonic() > until, message="a long lock")
    lock.rollback()
    lock.close()
    lock.engine.dispose()
    assert job.wait(60).results() == SQUARES[:8]
    assert set(lab.effects.begun().values()) == {1}
    for node in nodes:
        assert not re.search(r"locked|UNREACHABLE|moved", node.said())


@pytest.mark.needs("sessions")
def test_what_a_function_saves_waits_for_the_database_and_what_it_reports_does_not(proxied: ProxiedLab) -> None:
    import nbcluster as nb

    proxied.nodes(1, slots=2)
    work = proxied.effects.worker()
    saved = str(proxied.folder / "saved")

    def saving(n: int) -> Any:
        here = nb.current()
        if here.checkpoint is not None:
            return here.checkpoint
        work(n)
        for step in range(1000):
            here.progress(step / 1000, "while the database is away")
        with open(saved, "a") as log:
            log.write("reported\n")
        here.save(n * n)
        with open(saved, "a") as log:
            log.write("saved\n")
        return os.kill(os.getpid(), signal.SIGKILL)

    def lines() -> list[str]:
        return Path(saved).read_text().split() if os.path.exists(saved) else []

    job = proxied.connect().map(saving, range(2), chunk=1)
    proxied.effects.wait_for_begins(2)
    proxied.proxy.cut()
    proxied.effects.open_gate()
    wait_until(lambda: lines().count("reported") == 2, message="functions that wait for nobody")
    wait_until(lambda: proxied.tables.value(OLDEST_BEAT) > 1.5 * THRESHOLD, message="a long outage")
    assert "saved" not in lines()
    proxied.proxy.restore()
    assert job.wait(60).results() == SQUARES[:2]
    assert lines().count("saved") == 2
    assert job.partitions()["attempt"].tolist() == [2, 2]
