"""``nbcluster`` as one types it, in processes of its own, on both databases."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import make_url

import nbcluster as nb
from tests.cluster.database import Tables, prepare
from tests.waiting import wait_until

Run = Callable[..., subprocess.CompletedProcess[str]]


def sevenths(n: int) -> float:
    print(f"dividing by {n - 7}")
    return 1 / (n - 7)


def slowly(n: int) -> int:
    import time

    time.sleep(0.2)
    return n


@pytest.fixture
def nbcluster(database_url: str, tmp_path: Path) -> Iterator[Run]:
    """Runs ``nbcluster ARGUMENTS --url URL``; its exit code is 0 unless the test says otherwise."""
    prepare(database_url)
    secret = make_url(database_url).password

    def run(*arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "nbcluster.cli.admin", *arguments, "--url", database_url]
        done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=60, check=False)
        assert done.returncode == code, done.stdout + done.stderr
        assert secret is None or secret not in done.stdout + done.stderr
        return done

    yield run
    run("down")


def records(done: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = json.loads(done.stdout)
    return listed


def test_nodes_go_up_are_listed_and_go_down(nbcluster: Run) -> None:
    assert "2 nodes ready on this machine, 1 slot each" in nbcluster("up", "2", "--slots", "1").stdout
    nodes = records(nbcluster("nodes", "--json"))
    assert [(node["state"], node["slots"]) for node in nodes] == [("ACTIVE", 1)] * 2
    table = nbcluster("nodes").stdout.splitlines()
    assert table[0].split()[:3] == ["node", "state", "heartbeat_age"]
    assert sorted(line.split()[0] for line in table[1:]) == sorted(node["node"] for node in nodes)
    assert nbcluster("down").stdout == "2 nodes stopped\n"
    assert records(nbcluster("nodes", "--json")) == []
    assert "No node is there" in nbcluster("nodes").stdout


def test_a_job_is_listed_with_its_partitions_and_what_it_printed(nbcluster: Run, database_url: str) -> None:
    nbcluster("up", "1", "--slots", "2")
    with nb.connect(database_url) as cluster:
        job = cluster.map(sevenths, range(10), chunk=1, name="sevenths").wait(60)
    (listed,) = records(nbcluster("jobs", "--json"))
    assert (listed["job"], listed["name"], listed["state"]) == (job.id, "sevenths", "FAILED")
    assert (listed["items"], listed["done"], listed["failed"]) == (10, 10, 1)
    assert records(nbcluster("jobs", "--since", "1h", "--json")) == [listed]
    assert "no job was submitted here in the last 1ms" in nbcluster("jobs", "--since", "1ms").stdout

    partitions = list(csv.DictReader(io.StringIO(nbcluster("partitions", "sevenths", "--csv").stdout)))
    assert [part["state"] for part in partitions] == ["COMPLETED"] * 7 + ["FAILED"] + ["COMPLETED"] * 2
    assert partitions[7]["message"] == "ZeroDivisionError: division by zero"
    assert "division by zero" in nbcluster("partitions", str(job.id)).stdout

    assert nbcluster("logs", "sevenths", "3").stdout == "dividing by -4\n"
    failed = nbcluster("logs", "sevenths", "7").stdout
    assert failed.startswith("dividing by 0\n")
    assert "return 1 / (n - 7)" in failed
    assert "numbered 0 to 9" in nbcluster("logs", "sevenths", "10", code=2).stderr
    assert "there is no job" in nbcluster("partitions", "nothing", code=2).stderr


def test_a_job_is_cancelled_and_goes_on(nbcluster: Run, database_url: str) -> None:
    nbcluster("up", "1", "--slots", "1")
    with nb.connect(database_url) as cluster:
        job = cluster.map(slowly, range(20), chunk=1, name="slow")
        wait_until(lambda: job.snapshot().items_done, message="the first item")
        assert "slow: STOPPED, " in nbcluster("cancel", "slow").stdout
        kept = len(job.frame().query("error.isna()"))
        assert 1 <= kept < 20
        assert "slow has ended already: STOPPED" in nbcluster("cancel", "slow").stdout
        said = nbcluster("resume", "slow").stdout
        assert f"{20 - kept} partitions to run" in said
        resumed = cluster.job("slow")
        assert resumed.id != job.id
        assert resumed.wait(60).results() == list(range(20))
    assert "cannot be resumed: it is complete" in nbcluster("resume", "slow", code=2).stderr


def test_a_command_looks_after_no_job_that_everybody_left(nbcluster: Run, database_url: str) -> None:
    with nb.connect(database_url) as cluster:
        cluster.map(sevenths, range(3), name="left")
    for command in (["nodes"], ["jobs"], ["pause", "left"], ["resume", "left"], ["partitions", "left"]):
        nbcluster(*command)
    tables = Tables(database_url)
    assert tables.value("SELECT max(term) FROM batch_job_coordination") == 1
    assert tables.count("batch_nodes") == 0
    with nb.connect(database_url) as cluster:
        wait_until(lambda: tables.value("SELECT max(term) FROM batch_job_coordination") == 2, message="its adoption")
        cluster.job("left").cancel()
