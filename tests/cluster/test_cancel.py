"""Stopping a job: what runs is stopped, what is finished stays, resume() goes on with the stored split."""

from __future__ import annotations

import pytest

import nbcluster as nb
from tests.cluster.conftest import Lab, about_processes
from tests.cluster.nodes import alive
from tests.waiting import wait_until


def sleeping(_n: int) -> None:
    import time

    time.sleep(1000)


def spinning(_n: int) -> None:
    while True:
        pass


def stuck_in_c(_n: int) -> None:
    sum(range(10**12))  # one call that never returns to the interpreter's loop


def deaf(_n: int) -> None:
    import contextlib
    import time

    while True:
        with contextlib.suppress(BaseException):
            time.sleep(1000)


ENDLESS = [sleeping, spinning, stuck_in_c, deaf]


@about_processes
def test_long_partitions_are_stopped_whatever_they_do(lab: Lab) -> None:
    note = lab.effects.worker()
    lab.effects.open_gate()

    def work(n: int) -> int:
        note(n)
        if n >= 2:
            ENDLESS[n % 4](n)
        return n

    (node,) = lab.nodes(1, slots=4)
    cluster = lab.connect()
    job = cluster.map(work, range(10), chunk=1)
    lab.effects.wait_for_begins(6)
    job.cancel()
    assert job.state == "STOPPED"
    partitions = job.partitions()
    assert partitions["state"].tolist() == ["COMPLETED"] * 2 + ["FAILED"] * 8
    assert set(partitions["exit_code"][2:]) == {"CANCELLED"}
    assert partitions["message"].str.contains("was stopped while this partition ran").sum() == 4
    assert job.frame()["value"].tolist()[:2] == [0, 1]
    with pytest.raises(nb.JobStopped, match="resume"):
        job.results()
    # Those that listen stop and live on; the others are killed and replaced.  The node is as good as before.
    ran = {ENDLESS[note.index % 4]: note.pid for note in lab.effects.notes("BEGIN") if note.index >= 2}
    for body in (stuck_in_c, deaf):
        wait_until(lambda pid=ran[body]: not alive(pid), message=f"the end of {body.__name__}")
    assert {ran[sleeping], ran[spinning]} <= node.children()
    assert cluster.map(lambda n: n, range(8), chunk=1).results() == list(range(8))
    assert len(node.children()) == 4


def test_resume_runs_only_what_is_unfinished(lab: Lab) -> None:
    lab.nodes(2, slots=1)
    cluster = lab.connect()
    job = cluster.map(lab.effects.worker(), range(10), chunk=1, name="resumed")
    first = job.id
    for index in range(3):
        lab.effects.open_gate(index)
    wait_until(lambda: job.snapshot().partitions["COMPLETED"] == 3, message="three partitions")
    lab.effects.wait_for_begins(5)
    job.cancel()
    before = lab.effects.begun()
    finished = [n for n, state in enumerate(job.partitions()["state"]) if state == "COMPLETED"]
    assert job.frame()["value"].dropna().tolist() == [n * n for n in finished]
    old_results = lab.tables.count("batch_results")

    lab.effects.open_gate()
    job.resume()
    assert job.id != first
    assert job.results() == [n * n for n in range(10)]
    assert job.state == "COMPLETED"
    begun = lab.effects.begun()
    assert {n: begun[n] - before[n] for n in range(10)} == {n: 0 if n in finished else 1 for n in range(10)}
    assert lab.tables.count("batch_results") == old_results + 10 - len(finished)
    # One instance, two executions; the name leads to the newer one, and the older one stays as it was.
    assert lab.tables.count("batch_job_instance") == 1
    assert cluster.job("resumed").id == job.id
    assert cluster.job(first).state == "STOPPED"
    with pytest.raises(nb.InputError, match="it is complete"):
        job.resume()
    with pytest.raises(nb.InputError, match="newer execution"):
        cluster.job(first).resume()


def test_resume_runs_failed_partitions_again(lab: Lab) -> None:
    marker = str(lab.folder / "repaired")

    def work(n: int) -> int:
        import os

        if n % 3 == 0 and not os.path.exists(marker):
            raise OSError("not yet")
        return n

    lab.nodes(1, slots=2)
    job = lab.connect().map(work, range(9), chunk=1)
    job.wait(60)
    assert len(job.errors()) == 3
    (lab.folder / "repaired").touch()
    assert job.resume().results() == list(range(9))
    assert job.errors().empty


def test_cancel_by_another_kernel_and_of_a_job_that_nobody_runs(lab: Lab) -> None:
    cluster, other = lab.connect(), lab.connect()
    job = cluster.map(lambda n: n, range(4), name="waits")
    other.cancel("waits")
    assert job.wait(30).state == "STOPPED"
    assert set(job.partitions()["message"]) == {"the job was stopped before this partition began"}
    job.cancel()  # a second time changes nothing
    assert job.state == "STOPPED"


def test_cancel_of_a_finished_job_changes_nothing(lab: Lab) -> None:
    lab.nodes(1, slots=1)
    job = lab.connect().map(lambda n: n, range(4)).wait(60)
    job.cancel()
    assert job.state == "COMPLETED"
    assert job.results() == [0, 1, 2, 3]


@about_processes
def test_cancel_does_not_wait_for_a_frozen_node_for_ever(lab: Lab) -> None:
    (node,) = lab.nodes(1, slots=1)
    job = lab.connect().map(lab.effects.worker(), range(4), chunk=1)
    lab.effects.wait_for_begins(1)
    node.freeze()
    job.cancel()
    assert job.state == "STOPPED"
    node.thaw()
    lab.effects.open_gate()
    assert job.resume().results() == [0, 1, 4, 9]


def test_what_a_lost_node_may_not_repeat_runs_again_when_the_user_says_so(lab: Lab) -> None:
    (node,) = lab.nodes(1, slots=1)
    job = lab.connect().map(lab.effects.worker(), range(3), chunk=1, transferable=False)
    lab.effects.wait_for_begins(1)
    node.kill()
    lab.effects.open_gate()
    lab.nodes(1, slots=1)
    job.wait(60)
    assert job.partitions()["exit_code"].tolist().count("NODE_LOST") == 1
    assert job.resume().results() == [0, 1, 4]
    assert sorted(lab.effects.begun().values()) == [1, 1, 2]
