"""Submitting: all or nothing, from several kernels and threads at once, wherever the file lies."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import nbcluster as nb
from tests.cluster.conftest import Lab
from tests.cluster.nodes import NodeProcess
from tests.waiting import wait_until

ENDLESSLY = """
import nbcluster as nb
cluster = nb.connect()
print("ready", flush=True)
while True:
    cluster.map(abs, range(20000), chunk=1)
    print("submitted", flush=True)
"""

THREE_JOBS = """
import sys
import nbcluster as nb
me = int(sys.argv[1])
with nb.connect() as cluster:
    jobs = [cluster.map(lambda n: n + me + turn, range(30), chunk=1, name=f"job-{me}-{turn}") for turn in range(3)]
    for turn, job in enumerate(jobs):
        assert job.results() == [n + me + turn for n in range(30)]
print("all right", flush=True)
"""


def test_a_kernel_killed_while_it_submits_leaves_whole_jobs_only(lab: Lab) -> None:
    for delay in (0.0, 0.15, 0.3):
        kernel = lab.kernel(ENDLESSLY)
        wait_until(lambda kernel=kernel: "submitted" in kernel.said(), message=kernel.said)
        timer = threading.Event()
        timer.wait(delay)  # somewhere in the middle of the next one
        kernel.kill()
    jobs = lab.tables.count("batch_job_execution")
    assert jobs >= 3
    for table in ("batch_job_instance", "batch_step_execution", "batch_job_coordination"):
        assert lab.tables.count(table) == jobs
    sizes = lab.tables.rows("SELECT count(*) FROM batch_partitions GROUP BY job_execution_id")
    assert [row[0] for row in sizes] == [20_000] * jobs


def test_several_kernels_submit_at_once(lab: Lab) -> None:
    lab.nodes(2, slots=1)
    kernels = [lab.kernel(THREE_JOBS, str(me)) for me in range(3)]
    for kernel in kernels:
        assert kernel.process.wait(120) == 0, kernel.said()
    assert lab.tables.rows("SELECT DISTINCT status FROM batch_job_execution") == [("COMPLETED",)]
    assert lab.tables.count("batch_results") == 3 * 3 * 30


def test_several_threads_share_a_connection(cluster: Any) -> None:
    found: dict[int, Any] = {}

    def work(me: int) -> None:
        found[me] = cluster.map(lambda n: n * me, range(20), chunk=2).results()

    threads = [threading.Thread(target=work, args=(me,)) for me in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert found == {me: [n * me for n in range(20)] for me in range(6)}


def test_a_file_in_a_deep_folder_with_a_strange_name(tmp_path: Path) -> None:
    folder = tmp_path / "a folder, its name: 'ü'" / ("deep" * 20) / ("deeper" * 10)
    folder.mkdir(parents=True)
    url = f"sqlite:///{folder / 'my cluster.db'}"
    node = NodeProcess(url, 1, tmp_path / "node.log", tmp_path, {})
    try:
        node.ready()
        with nb.connect(url) as cluster:
            assert cluster.map(abs, range(-3, 3), chunk=1).results() == [3, 2, 1, 0, 1, 2]
    finally:
        node.end()


def test_nodes_that_start_at_once_on_nothing_agree(tmp_path: Path) -> None:
    """Whoever comes first makes the file, the tables and the key."""
    url = f"sqlite:///{tmp_path / 'new' / 'cluster.db'}"
    nodes = [NodeProcess(url, 1, tmp_path / f"node{place}.log", tmp_path, {}) for place in range(4)]
    try:
        for node in nodes:
            node.ready()
        with nb.connect(url) as cluster:
            assert len(cluster.nodes()) == 4
            assert cluster.map(abs, range(40), chunk=1).results() == list(range(40))
    finally:
        for node in nodes:
            node.end()
