"""A kernel that dies: its job goes on, ends, and is read by another one."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from typing import Any

import nbcluster as nb
from tests.cluster.conftest import QUICK, Lab
from tests.cluster.nodes import settings_environment
from tests.waiting import wait_until

SUBMIT = """
import sys, time
import nbcluster as nb

def work(n):
    import os, time
    while not os.path.exists(gate):
        time.sleep(0.01)
    if n == bad:
        raise LookupError(f"no {n}")
    return {"n": n, "square": n * n}

gate, bad = sys.argv[1], int(sys.argv[2])
cluster = nb.connect()
job = cluster.map(work, range(40), chunk=2, name="left-alone")
print("submitted", job.id, flush=True)
if sys.argv[3] == "stay":
    job.wait()
    print("ended", job.state, flush=True)
"""

ATTACH = """
import json
import nbcluster as nb
with nb.connect() as cluster:
    job = cluster.job("left-alone")
    frame = job.frame()
    values = frame["square"].astype(object).where(frame["error"].isna(), None).tolist()
    print(json.dumps({"state": job.state, "values": values, "errors": job.errors()["message"].tolist(),
                      "source": "no {n}" in (job.code or ""), "cards": job.snapshot().partitions}))
"""


def attach(lab: Lab) -> dict[str, Any]:
    """What a new process reads of the job, by its name."""
    done = subprocess.run(
        [sys.executable, "-c", ATTACH],
        env=settings_environment(lab.url, QUICK),
        cwd=lab.folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return dict(json.loads(done.stdout.splitlines()[-1]))


def job_status(lab: Lab) -> str:
    return str(lab.tables.value("SELECT status FROM batch_job_execution"))


def test_a_killed_kernels_job_is_finished_by_the_nodes(lab: Lab) -> None:
    nodes = lab.nodes(2, slots=1)
    kernel = lab.kernel(SUBMIT, str(lab.effects.gate), "-1", "stay")
    wait_until(lambda: "submitted" in kernel.said(), message=kernel.said)
    kernel.kill()
    lab.effects.open_gate()
    wait_until(lambda: job_status(lab) == "COMPLETED", message=lambda: job_status(lab))
    master, term = lab.tables.rows("SELECT master_node_id, term FROM batch_job_coordination")[0]
    assert master in {node.id for node in nodes}
    assert term == 2
    assert lab.tables.count("batch_events", "phase = 'TAKEN_OVER'") == 1
    assert set(lab.tables.rows("SELECT attempt FROM batch_partitions")) == {(1,)}
    found = attach(lab)
    assert found["state"] == "COMPLETED"
    assert found["values"] == [n * n for n in range(40)]
    assert found["cards"] == {"PENDING": 0, "CLAIMED": 0, "COMPLETED": 20, "FAILED": 0}
    assert found["source"]


def test_a_kernel_that_leaves_early_has_its_failed_job_finished_too(lab: Lab) -> None:
    lab.nodes(1, slots=2)
    kernel = lab.kernel(SUBMIT, str(lab.effects.gate), "7", "go")
    assert kernel.process.wait(30) == 0
    lab.effects.open_gate()
    wait_until(lambda: job_status(lab) == "FAILED", message=lambda: job_status(lab))
    found = attach(lab)
    assert found["errors"] == ["no 7"]
    assert found["values"] == [n * n if n != 7 else None for n in range(40)]


def test_the_master_is_killed_again_and_again_and_the_job_ends_once(lab: Lab) -> None:
    nodes = lab.nodes(2, slots=1)
    kernel = lab.kernel(SUBMIT, str(lab.effects.gate), "-1", "stay")
    wait_until(lambda: "submitted" in kernel.said(), message=kernel.said)
    kernel.kill()

    def master() -> str:
        return str(lab.tables.value("SELECT master_node_id FROM batch_job_coordination"))

    first = wait_until(lambda: next((node for node in nodes if node.id == master()), None), message="a take-over")
    first.kill()
    nodes += lab.nodes(1, slots=1)
    left = [node for node in nodes if node is not first]
    wait_until(lambda: master() in {node.id for node in left}, message="another take-over")
    lab.effects.open_gate()
    wait_until(lambda: job_status(lab) == "COMPLETED", message=lambda: job_status(lab))
    assert lab.tables.value("SELECT term FROM batch_job_coordination") == 3
    with nb.connect(lab.url) as cluster:
        assert [value["n"] for value in cluster.job("left-alone").results()] == list(range(40))


def test_a_job_left_without_any_process_is_taken_over_by_the_next_node(lab: Lab) -> None:
    kernel = lab.kernel(SUBMIT, str(lab.effects.gate), "-1", "stay")
    wait_until(lambda: "submitted" in kernel.said(), message=kernel.said)
    kernel.kill()
    lab.effects.open_gate()
    lab.nodes(1, slots=2)
    wait_until(lambda: job_status(lab) == "COMPLETED", message=lambda: job_status(lab))
    assert attach(lab)["values"] == [n * n for n in range(40)]


def test_a_frozen_kernel_cannot_end_what_another_has_taken_over(lab: Lab) -> None:
    (node,) = lab.nodes(1, slots=1)
    kernel = lab.kernel(SUBMIT, str(lab.effects.gate), "-1", "stay")
    wait_until(lambda: "submitted" in kernel.said(), message=kernel.said)
    kernel.send(signal.SIGSTOP)
    wait_until(
        lambda: lab.tables.value("SELECT master_node_id FROM batch_job_coordination") == node.id, message="a take-over"
    )
    kernel.send(signal.SIGCONT)
    lab.effects.open_gate()
    wait_until(lambda: "ended COMPLETED" in kernel.said(), message=kernel.said)
    assert lab.tables.value("SELECT term FROM batch_job_coordination") == 2
    assert kernel.process.wait(10) == 0


def test_a_kernel_that_connects_looks_after_jobs_that_were_left_by_all(lab: Lab) -> None:
    (node,) = lab.nodes(1, slots=2)
    kernel = lab.kernel(SUBMIT, str(lab.effects.gate), "-1", "stay")
    wait_until(lambda: "submitted" in kernel.said(), message=kernel.said)
    kernel.freeze()
    lab.effects.open_gate()
    wait_until(lambda: lab.tables.count("batch_partitions", "status <> 'COMPLETED'") == 0, message="all partitions")
    node.kill()
    kernel.kill()
    # As if they had been gone for a long time: nobody has to be found silent first.
    lab.tables.change("DELETE FROM batch_nodes")
    lab.tables.change("UPDATE batch_job_coordination SET master_node_id = 'kernel-gone'")
    assert job_status(lab) == "STARTED"
    with nb.connect(lab.url, **QUICK):
        wait_until(lambda: job_status(lab) == "COMPLETED", message=lambda: job_status(lab))


def test_a_kernel_that_connects_to_an_idle_cluster_is_no_member(lab: Lab) -> None:
    with nb.connect(lab.url):
        assert lab.tables.count("batch_nodes") == 0
