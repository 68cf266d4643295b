"""A laptop that sleeps in the middle of a job: its kernel stands still, and goes on as if nothing had been."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

import nbcluster as nb
from tests.notebook.kernels import Kernel, printed, shown
from tests.waiting import wait_until

pytestmark = pytest.mark.timeout(180, method="thread")

QUICK_TO_DOUBT = {
    "NBCLUSTER_HEARTBEAT_INTERVAL": "300ms",
    "NBCLUSTER_UNREACHABLE_NODE_THRESHOLD": "1500ms",
    "NBCLUSTER_NODE_CLEANUP_THRESHOLD": "3s",
}
LIKEWISE = {"heartbeat_interval": "300ms", "unreachable_node_threshold": "1500ms", "node_cleanup_threshold": "3s"}
SLOW = "%%nbcluster map n in range(60) -p 60 -o nightly --fresh\nimport time\ntime.sleep(0.1)\nn"


@pytest.fixture
def kernel(cluster_url: str) -> Iterator[Kernel]:
    kernel = Kernel({**os.environ, **QUICK_TO_DOUBT, "NBCLUSTER_URL": cluster_url})
    kernel.run("%load_ext nbcluster")
    yield kernel
    kernel.stop()


def test_a_cell_ends_well_although_its_kernel_slept_through_the_job(kernel: Kernel, cluster_url: str) -> None:
    sent = kernel.send(SLOW, front_end=True)
    begun = kernel.until(lambda m: m["msg_type"] == "display_data")
    pid = kernel.manager.provisioner.process.pid
    os.kill(pid, signal.SIGSTOP)
    try:
        with nb.connect(cluster_url, **LIKEWISE) as other:
            assert other.job("nightly").wait(60).state == "COMPLETED"
    finally:
        os.kill(pid, signal.SIGCONT)
    messages = [*begun, *kernel.until_idle(sent)]
    assert shown(messages)[0]["text/plain"] == "nightly: COMPLETED, 60 of 60 items"
    assert printed(messages) == ""
    assert printed(kernel.run("print(sum(nightly.results()))")) == f"{sum(range(60))}\n"


def test_a_kernel_that_wakes_in_mid_job_shows_the_rest_of_it(kernel: Kernel, cluster_url: str) -> None:
    sent = kernel.send(SLOW.replace("0.1", "0.2"), front_end=True)
    begun = kernel.until(lambda m: m["msg_type"] == "display_data")
    with nb.connect(cluster_url, **LIKEWISE) as other:
        other.join()  # somebody else is there to take the job over
        job = other.job("nightly")
        sleeper = other.row_of(job.id).master_node_id
        pid = kernel.manager.provisioner.process.pid
        os.kill(pid, signal.SIGSTOP)
        try:
            wait_until(lambda: other.row_of(job.id).master_node_id != sleeper, message="another master")
        finally:
            os.kill(pid, signal.SIGCONT)
        assert not job.done()
        messages = [*begun, *kernel.until_idle(sent)]
    assert shown(messages)[0]["text/plain"] == "nightly: COMPLETED, 60 of 60 items"
    assert printed(kernel.run("print(sum(nightly.results()))")) == f"{sum(range(60))}\n"
