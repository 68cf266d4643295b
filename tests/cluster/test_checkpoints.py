"""What running functions save and report: there for the next attempt, and for everybody to see."""

from __future__ import annotations

from typing import Any

import nbcluster as nb
from tests.cluster.conftest import Lab, about_processes
from tests.waiting import wait_until


def die() -> None:
    import os
    import signal

    os.kill(os.getpid(), signal.SIGKILL)


def test_the_next_attempt_goes_on_from_what_was_saved(cluster: Any) -> None:
    def train(n: int) -> tuple[int, int]:
        here = nb.current()
        epoch = here.checkpoint or 0
        while epoch < 5:
            epoch += 1
            here.save(epoch)
            if epoch in (2, 4):
                die()
        return n, here.attempt

    job = cluster.map(train, range(3), chunk=1)
    assert job.results() == [(n, 3) for n in range(3)]
    attempts = job.attempts()
    assert attempts["outcome"].tolist() == ["CRASHED", "CRASHED", "COMPLETED"] * 3
    assert attempts["message"][0].startswith(
        "the child process died: killed by SIGKILL (out of memory, perhaps), having"
    )
    assert attempts["peak_memory"].dropna().min() > 1_000_000


def test_what_was_saved_survives_node_kernel_and_resume(lab: Lab) -> None:
    (node,) = lab.nodes(1, slots=1)
    gate = str(lab.folder / "gate")

    def work(_n: int) -> tuple[Any, Any]:
        import os
        import time

        here = nb.current()
        found = here.checkpoint
        if found is None:
            here.save({"rows": list(range(20_000))})  # too large for its row
        while found is None or not os.path.exists(gate):
            time.sleep(0.05)
        return found, here.attempt

    cluster = lab.connect()
    job = cluster.map(work, [1], name="long")
    wait_until(lambda: lab.tables.count("batch_checkpoints"), message="the checkpoint")
    node.kill()
    lab.nodes(1, slots=1)
    wait_until(lambda: lab.tables.value("SELECT max(attempt) FROM batch_partitions") == 2, message="the next attempt")
    job.cancel()
    (lab.folder / "gate").touch()
    found, attempt = lab.connect().job("long").resume().result()
    assert found == {"rows": list(range(20_000))}
    assert attempt == 3
    assert lab.tables.count("batch_checkpoints") == 0


def test_only_what_can_travel_is_saved(cluster: Any) -> None:
    def work(n: int) -> list[str]:
        import threading

        complaints = []
        for value in (threading.Lock(), bytes(2000)):
            try:
                nb.current().save(value)
            except nb.PayloadError as error:
                complaints.append(type(error).__name__)
        return complaints

    assert cluster.map(work, [1]).result() == ["CannotPickle"]


def test_the_last_moment_is_enough_to_save(lab: Lab) -> None:
    """Whoever is told to stop may save what it has, and goes on from there later."""
    lab.nodes(1, slots=1, interrupt_grace="20s")
    work = lab.effects.worker()

    def patient(n: int) -> Any:
        here = nb.current()
        try:
            return here.checkpoint or work(n)
        except KeyboardInterrupt:
            here.save(("was cancelled", here.cancelled))
            raise

    job = lab.connect().map(patient, [7])
    lab.effects.wait_for_begins(1)
    job.cancel()
    assert job.state == "STOPPED"
    assert job.resume().result() == ("was cancelled", True)


def test_every_attempt_has_the_same_idempotency_key(lab: Lab) -> None:
    lab.nodes(1, slots=1)
    file = str(lab.folder / "keys")

    def work(n: int) -> str:
        here = nb.current()
        with open(file, "a") as log:
            log.write(f"{n} {here.idempotency_key}\n")
        if here.attempt == 1:
            die()
        if here.attempt == 2:
            raise ValueError("again")
        return here.idempotency_key

    job = lab.connect().map(work, range(2), chunk=1).wait(60)
    assert job.state == "FAILED"
    first, second = job.resume().results()
    lines = [line.split() for line in (lab.folder / "keys").read_text().splitlines()]
    assert {key for n, key in lines if n == "0"} == {first}
    assert {key for n, key in lines if n == "1"} == {second}
    assert len(lines) == 6
    assert first != second


# --- progress ------------------------------------------------------------------------------------


def test_how_far_it_is_can_be_seen_while_it_runs(lab: Lab) -> None:
    (node,) = lab.nodes(1, slots=2)
    work = lab.effects.worker()

    def reporting(n: int) -> int:
        for step in range(1000):
            nb.current().progress(step / 1000, "counting")
        nb.current().progress(0.25 * (n + 1), f"reading file {n}")
        return work(n)

    job = lab.connect().map(reporting, range(3), chunk=1)
    wait_until(lambda: [one.progress for one in job.snapshot().running] == [0.25, 0.5], message=job.snapshot)
    shown = job.snapshot().running
    assert [(one.index, one.node, one.message) for one in shown] == [
        (0, node.id, "reading file 0"),
        (1, node.id, "reading file 1"),
    ]
    assert job.partitions()["progress"].tolist()[:2] == [0.25, 0.5]
    lab.effects.open_gate()
    job.wait(60)
    assert job.partitions()["progress"].tolist() == [1.0] * 3
    assert job.snapshot().running == ()


# --- timeline ------------------------------------------------------------------------------------


@about_processes
def test_a_timeline_and_the_overhead_of_a_real_job(lab: Lab) -> None:
    lab.nodes(1, slots=2)

    def work(n: int) -> int:
        import time

        time.sleep(0.2)
        return n

    job = lab.connect().map(work, range(4), chunk=1).wait(60)
    timeline = job.timeline()
    assert timeline["time"].is_monotonic_increasing
    phases = timeline[timeline["partition"] == 0]["phase"].tolist()
    assert phases == ["CLAIMED", "STARTED", "COMPLETED"]
    assert timeline["phase"].iloc[0] == "RECEIVED"
    assert timeline["phase"].iloc[-1] == "COMPLETION_DETECTED"
    whole = timeline["seconds"].iloc[-1]
    assert 0 < job.overhead() < whole - 0.39
