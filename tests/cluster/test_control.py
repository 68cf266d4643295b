"""What a user asks of a running or an ended job: pause, retry, stop at once, limits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from nbcluster.errors import InputError, JobFailed
from tests.cluster.conftest import Lab
from tests.waiting import wait_until


def test_a_paused_job_begins_nothing_and_goes_on_where_it_was(lab: Lab) -> None:
    lab.nodes(1, slots=1)
    cluster = lab.connect()
    job = cluster.map(lab.effects.worker(), range(4), chunk=1)
    lab.effects.wait_for_begins(1)
    cluster.pause(job.id)
    other = cluster.submit(abs, -3)
    lab.effects.open_gate()
    assert other.wait(30).result() == 3, "other jobs go on"
    begun = sum(lab.effects.begun().values())
    assert begun < 4
    assert job.state == "STARTED"
    cluster.resume(job.id)
    assert job.results() == [0, 1, 4, 9]
    assert set(lab.effects.begun().values()) == {1}


def test_a_paused_job_can_be_stopped(lab: Lab) -> None:
    lab.nodes(1, slots=1)
    job = lab.connect().map(lab.effects.worker(), range(4), chunk=1)
    lab.effects.wait_for_begins(1)
    job.pause()
    job.cancel()
    assert job.state == "STOPPED"
    with pytest.raises(InputError, match="cannot be paused: it is STOPPED"):
        job.pause()


@pytest.mark.parametrize("busy", ["pure", "native"])
def test_cancelling_now_ends_busy_loops_and_native_code(cluster: Any, tmp_path: Path, busy: str) -> None:
    begun = tmp_path / "begun"
    target = str(begun)

    def work(_: int) -> None:
        from pathlib import Path

        Path(target).touch()
        if busy == "native":
            sum(range(10**12))
        while True:
            try:
                while True:
                    pass
            except KeyboardInterrupt:
                continue

    job = cluster.map(work, [1])
    wait_until(begun.exists, message="the partition")
    cluster.cancel(job.id, now=True)
    assert job.state == "STOPPED"
    assert cluster.submit(abs, -1).wait(30).result() == 1


def test_all_that_failed_can_be_tried_again(cluster: Any, tmp_path: Path) -> None:
    flag = str(tmp_path / "repaired")

    def work(n: int) -> int:
        import os

        if n % 2 and not os.path.exists(flag):
            raise LookupError("not yet")
        return n

    job = cluster.map(work, range(4), chunk=1)
    with pytest.raises(JobFailed, match="2 of 4 items failed"):
        job.results()
    first = job.id
    Path(flag).touch()
    assert job.retry() is job
    assert job.id != first
    assert job.results() == [0, 1, 2, 3]
    assert job.partitions()["attempt"].tolist() == [1, 2, 1, 2]
    with pytest.raises(InputError, match="cannot be retried: it is complete"):
        job.retry()


def test_one_partition_can_be_run_again_with_what_follows_from_it(cluster: Any, tmp_path: Path) -> None:
    counts = str(tmp_path / "counts")

    def work(n: int) -> int:
        with open(counts, "a") as file:
            file.write(f"{n} ")
        return len(open(counts).read().split())

    job = cluster.map(work, range(3), chunk=1, aggregate="max")
    assert job.result() == 3
    cluster.retry(job.id, 1)
    again = cluster.job(job.name)
    assert again.result() == 4
    assert sorted(Path(counts).read_text().split()) == ["0", "1", "1", "2"]
    with pytest.raises(InputError, match="has no partition 3"):
        again.retry(3)


def test_a_running_job_is_not_retried(lab: Lab) -> None:
    job = lab.connect().map(abs, range(3))
    with pytest.raises(InputError, match="cannot be retried: it is running"):
        job.retry()
    with pytest.raises(InputError, match="cannot be resumed: it is running"):
        job.resume()


def test_a_job_with_too_many_errors_begins_no_more(lab: Lab) -> None:
    lab.nodes(1, slots=1)
    told = lab.folder / "told"
    target = str(told)

    def tell(outcome: Any) -> None:
        from pathlib import Path

        Path(target).write_text(f"{outcome.status} {len(outcome.failed)}")

    def work(n: int) -> None:
        import time

        time.sleep(0.05)
        raise ValueError(f"bad {n}")

    job = lab.connect().map(work, range(200), chunk=1, max_errors=3, on_failure=tell)
    with pytest.raises(JobFailed, match="ValueError: bad"):
        job.results()
    codes = job.partitions()["exit_code"].value_counts()
    assert 4 <= codes["FAILED"] < 100
    assert codes["CANCELLED"] > 100
    assert told.read_text() == "FAILED 200"
