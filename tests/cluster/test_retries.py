"""Attempts that raise or last too long: tried again as often as asked for, and only what failed of them."""

from __future__ import annotations

from typing import Any

import pytest

import nbcluster as nb
from tests.cluster.conftest import Lab, about_processes
from tests.cluster.nodes import alive
from tests.waiting import wait_until


def notes(file: Any) -> list[str]:
    return sorted(file.read_text().split()) if file.exists() else []


def test_only_the_items_that_failed_are_tried_again(cluster: Any, tmp_path: Any) -> None:
    file = str(tmp_path / "ran")

    def work(n: int) -> int:
        attempt = nb.current().attempt
        with open(file, "a") as log:
            log.write(f"{n}.{attempt}\n")
        if n % 4 == 1 and attempt < 3:
            raise ValueError(f"not yet {n}")
        return n * n

    job = cluster.map(work, range(10), chunk=5, retries=2, retry_wait="100ms")
    assert job.results() == [n * n for n in range(10)]
    again = [f"{n}.{attempt}" for n in (1, 5, 9) for attempt in (2, 3)]
    assert notes(tmp_path / "ran") == sorted([f"{n}.1" for n in range(10)] + again)
    attempts = job.attempts()
    assert attempts["outcome"].tolist() == ["RETRIED", "RETRIED", "COMPLETED"] * 2
    assert attempts["message"][0].startswith("ValueError: not yet 1 (retry 1 of 2 in 0.1 s)")
    assert job.frame()["attempt"].tolist() == [3] * 10
    count = "SELECT count(*) FROM batch_checkpoints"
    assert cluster.store.database.read(lambda connection: connection.exec_driver_sql(count).scalar()) == 0


def test_when_no_retry_is_left_the_error_is_what_it_was(cluster: Any) -> None:
    def work(n: int) -> int:
        if n == 2:
            raise KeyError("always")
        return n

    job = cluster.map(work, range(4), chunk=4, retries=2, retry_wait=0).wait(60)
    assert job.state == "FAILED"
    assert job.partitions()["attempt"].tolist() == [3]
    frame = job.frame()
    assert frame["value"].dropna().tolist() == [0, 1, 3]
    assert frame["error"][2] == "KeyError: 'always'"
    assert "in work" in job.traceback(0)


@pytest.mark.parametrize(
    ("retry_on", "attempts"), [(ValueError, 1), ("ZeroDivisionError", 2), ([KeyError, ArithmeticError], 2)]
)
def test_only_errors_that_are_named_are_worth_a_retry(cluster: Any, retry_on: Any, attempts: int) -> None:
    job = cluster.map(lambda n: 1 // n, [0], retries=1, retry_on=retry_on, retry_wait=0).wait(60)
    assert job.partitions()["attempt"].tolist() == [attempts]


def test_a_class_of_the_notebook_may_be_named(cluster: Any) -> None:
    class Busy(ConnectionError):
        pass

    def work(n: int) -> int:
        if nb.current().attempt == 1:
            raise Busy(n)
        return n

    assert cluster.map(work, range(2), retries=1, retry_on=Busy, retry_wait=0).results() == [0, 1]


def test_a_retry_leaves_the_slot_to_others_while_it_waits(lab: Lab) -> None:
    lab.nodes(1, slots=1)

    def work(n: int) -> int:
        if n == 0 and nb.current().attempt == 1:
            raise ValueError
        return n

    job = lab.connect().map(work, range(20), chunk=1, retries=1, retry_wait="1s")
    wait_until(lambda: lab.tables.statuses(job.id).get("COMPLETED") == 19, message="everything else")
    assert lab.tables.statuses(job.id).get("PENDING") == 1
    assert job.results() == list(range(20))


@about_processes
def test_good_items_survive_the_node(lab: Lab) -> None:
    """What an attempt had done is used by the next one, elsewhere, and after a resume."""
    (first,) = lab.nodes(1, slots=1)
    file, repaired = str(lab.folder / "ran"), str(lab.folder / "repaired")

    def work(n: int) -> int:
        import os

        with open(file, "a") as log:
            log.write(f"{n}\n")
        if n == 3 and not os.path.exists(repaired):
            raise OSError("not yet")
        return n

    cluster = lab.connect()
    job = cluster.map(work, range(4), chunk=4, retries=1, retry_wait="2s")
    wait_until(lambda: lab.tables.count("batch_attempts", "outcome = 'RETRIED'"), message="the first attempt")
    first.kill()
    lab.nodes(1, slots=1)
    assert job.wait(60).state == "FAILED"
    assert notes(lab.folder / "ran") == ["0", "1", "2", "3", "3"]
    (lab.folder / "repaired").touch()
    assert job.resume().results() == [0, 1, 2, 3]
    assert notes(lab.folder / "ran") == ["0", "1", "2", "3", "3", "3"]


# --- too long ------------------------------------------------------------------------------------


def sleeping() -> None:
    import time

    time.sleep(1000)


def spinning() -> None:
    while True:
        pass


def stuck_in_c() -> None:
    sum(range(10**12))


@pytest.mark.parametrize("body", [sleeping, spinning, stuck_in_c])
def test_what_lasts_too_long_is_killed(cluster: Any, body: Any) -> None:
    def work(n: int) -> int:
        if n == 1:
            print("about to be slow")
            body()
        return n

    job = cluster.map(work, range(4), chunk=1, timeout="500ms").wait(60)
    partitions = job.partitions()
    assert partitions["state"].tolist() == ["COMPLETED", "FAILED", "COMPLETED", "COMPLETED"]
    assert (partitions["exit_code"][1], partitions["attempt"][1]) == ("TIMEOUT", 1)
    assert partitions["message"][1] == (
        "ran longer than the timeout of 0.5 s and was killed; its last output: about to be slow"
    )
    assert job.frame()["error"][1].startswith("TIMEOUT: ran longer")


def test_what_lasted_too_long_may_be_tried_again(cluster: Any) -> None:
    def work(n: int) -> int:
        if n == 1 and nb.current().attempt == 1:
            stuck_in_c()
        return n

    job = cluster.map(work, range(2), timeout="500ms", retries=1, retry_on=TimeoutError, retry_wait=0)
    assert job.results() == [0, 1]
    assert job.attempts()["outcome"].tolist() == ["COMPLETED", "RETRIED", "COMPLETED"]


@about_processes
def test_with_a_child_goes_what_it_started(lab: Lab) -> None:
    lab.nodes(1, slots=1)
    file = lab.folder / "grandchild"
    path = str(file)

    def work(_n: int) -> None:
        import subprocess

        process = subprocess.Popen(["sleep", "1000"])
        with open(path, "w") as log:
            log.write(str(process.pid))
        process.wait()

    job = lab.connect().map(work, [1], timeout="1s").wait(60)
    assert job.partitions()["exit_code"].tolist() == ["TIMEOUT"]
    wait_until(lambda: not alive(int(file.read_text())), message="the end of what the child started")


# --- enough --------------------------------------------------------------------------------------


def test_after_too_many_errors_what_runs_may_finish_and_the_rest_is_not_begun(lab: Lab) -> None:
    lab.nodes(1, slots=2)
    work, effects = lab.effects.worker(), lab.effects

    def some_fail(n: int) -> int:
        if n < 3:
            raise ValueError(n)
        return work(n)

    job = lab.connect().map(some_fail, range(60), chunk=1, max_errors=2)
    effects.wait_for_begins(1)
    wait_until(lambda: job.snapshot().stop_requested, message="the end of patience")
    effects.open_gate()
    assert job.wait(60).state == "FAILED"
    states = job.partitions()["exit_code"].value_counts().to_dict()
    assert states["FAILED"] == 3
    assert states["COMPLETED"] == len(effects.ended())
    assert states["CANCELLED"] == 60 - 3 - states["COMPLETED"]


@about_processes
def test_cancel_now_kills_at_once(lab: Lab) -> None:
    (node,) = lab.nodes(1, slots=4, interrupt_grace="100s")
    note = lab.effects.worker()
    lab.effects.open_gate()
    bodies = [sleeping, spinning, stuck_in_c, sleeping]

    def work(n: int) -> None:
        note(n)
        bodies[n % 4]()

    cluster = lab.connect()
    job = cluster.map(work, range(8), chunk=1)
    begun = lab.effects.wait_for_begins(4)
    job.cancel(now=True)
    assert job.state == "STOPPED"
    assert set(job.partitions()["exit_code"]) == {"CANCELLED"}
    assert not any(alive(one.pid) for one in begun)
    assert cluster.map(lambda n: n, range(8), chunk=1).results() == list(range(8))
    wait_until(lambda: len(node.children()) == 4, message="a new child for each")


@about_processes
def test_who_ignores_a_cancel_is_killed_by_the_next_one(lab: Lab) -> None:
    lab.nodes(1, slots=1, interrupt_grace="100s")
    note = lab.effects.worker()
    lab.effects.open_gate()

    def work(n: int) -> None:
        note(n)
        stuck_in_c()

    job = lab.connect().map(work, [1])
    lab.effects.wait_for_begins(1)
    job.cancel(wait=False)
    wait_until(lambda: job.snapshot().stop_requested, message="the first request")
    job.cancel(now=True)
    assert job.state == "STOPPED"
