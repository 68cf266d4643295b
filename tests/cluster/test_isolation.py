"""What a child gets to see, and what stays of it."""

from __future__ import annotations

import os
import signal
from typing import Any

import pytest
from sqlalchemy import make_url

from nbcluster.signing import shared_key_path
from tests.cluster.conftest import Lab, about_processes
from tests.cluster.nodes import alive
from tests.waiting import wait_until


def test_a_child_knows_no_database_no_password_and_no_key(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PGPASSWORD", "DATABASE_URL", "NBCLUSTER_ANYTHING"):
        monkeypatch.setenv(name, "well-kept secret")
    monkeypatch.setenv("MY_OWN_SETTING", "visible")
    lab.nodes(1, slots=1)
    cluster = lab.connect()

    def look(_n: int) -> tuple[dict[str, str], list[str], list[str]]:
        import os
        import sys

        links = []
        for name in os.listdir("/proc/self/fd"):
            try:
                links.append(os.readlink(f"/proc/self/fd/{name}"))
            except OSError:
                continue
        with open("/proc/self/cmdline") as file:
            return dict(os.environ), [file.read(), *links], sorted(sys.modules)

    environ, seen, modules = cluster.map(look, [0]).results()[0]
    assert environ["MY_OWN_SETTING"] == "visible"
    names = [name for name in environ if name.startswith(("NBCLUSTER_", "PG", "DATABASE"))]
    assert set(names) <= {"NBCLUSTER_TEST_RUN"}
    url = make_url(lab.url)
    secrets = ["well-kept secret", lab.url]
    if url.password:
        key = shared_key_path(cluster.store.cluster_id).read_text()
        secrets += [str(url.password), key]
    everything = "\n".join([*environ.values(), *seen])
    assert not [secret for secret in secrets if secret in everything]
    assert not any("cluster.db" in text for text in seen)
    assert not {"sqlalchemy", "psycopg", "sqlite3", "nbcluster.store", "nbcluster.config"} & set(modules)


def test_nothing_of_a_password_or_key_is_in_a_nodes_command_line_or_log(lab: Lab) -> None:
    (node,) = lab.nodes(1, slots=1)
    url = make_url(lab.url)
    with open(f"/proc/{node.pid}/cmdline") as file:
        seen = file.read() + node.said() + repr(lab.connect())
    assert url.password is None or str(url.password) not in seen


def test_a_partition_does_not_see_what_another_job_left(cluster: Any) -> None:
    def leave(n: int) -> None:
        global LEFT
        LEFT = n

    def look(_n: int) -> tuple[bool, bool]:
        import __main__

        return "LEFT" in globals(), hasattr(__main__, "LEFT")

    cluster.map(leave, range(16), chunk=1).wait(60)
    assert set(cluster.map(look, range(16), chunk=1).results()) == {(False, False)}


def test_a_partition_starts_where_its_node_was_started(shared_lab: Lab, cluster: Any) -> None:
    def wander(_n: int) -> str:
        import os

        here = os.getcwd()
        os.chdir("/")
        return here

    assert set(cluster.map(wander, range(16), chunk=1).results()) == {str(shared_lab.folder)}


@about_processes
def test_no_child_outlives_its_killed_node(lab: Lab) -> None:
    (node,) = lab.nodes(1, slots=3)
    cluster = lab.connect()
    cluster.map(lab.effects.worker(), range(3), chunk=1)
    lab.effects.wait_for_begins(3)
    family = node.children()
    assert {note.pid for note in lab.effects.notes()} == family
    node.kill()
    for pid in family:
        wait_until(lambda pid=pid: not alive(pid), message=f"the end of child {pid}")


@about_processes
def test_a_cancelled_partition_takes_what_it_started_with_it(lab: Lab) -> None:
    (node,) = lab.nodes(1, slots=1)
    pids = lab.folder / "pids"

    def spawn(_n: int) -> None:
        import signal
        import subprocess

        signal.signal(signal.SIGINT, signal.SIG_IGN)
        sleeper = subprocess.Popen(["sleep", "1000"])
        pids.write_text(str(sleeper.pid))
        sleeper.wait()

    job = lab.connect().map(spawn, [0])
    wait_until(lambda: pids.exists() and pids.read_text(), message="a grandchild")
    job.cancel()
    sleeper = int(pids.read_text())
    wait_until(lambda: not alive(sleeper), message="the end of the grandchild")
    assert node.running


@about_processes
def test_a_child_that_is_killed_while_idle_is_replaced(lab: Lab) -> None:
    (node,) = lab.nodes(1, slots=2)
    cluster = lab.connect()
    family = wait_until(lambda: children if len(children := node.children()) == 2 else None)
    cluster.map(lambda n: n, range(2), chunk=1).wait(60)
    for pid in family:
        os.kill(pid, signal.SIGKILL)
    job = cluster.map(lambda n: n, range(8), chunk=1).wait(60)
    assert job.results() == list(range(8))
    wait_until(lambda: len(node.children()) == 2 and not node.children() & family, message="two new children")
