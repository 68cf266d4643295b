"""Jobs of several steps: in order, partition by partition, resumed where they were left."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

import pytest

import nbcluster as nb
from nbcluster.errors import InputError, JobFailed
from tests.cluster.conftest import Lab
from tests.waiting import wait_until


def step_states(lab: Lab) -> dict[str, str]:
    return dict(lab.tables.rows("SELECT step_name, status FROM batch_step_execution ORDER BY step_execution_id"))


def test_a_step_gets_the_values_of_the_one_before_it_partition_by_partition(cluster: Any) -> None:
    job = (
        cluster.pipeline()
        .map("load", lambda n: n * 10, range(7), chunk=3)
        .map("score", lambda n: n + 1)
        .map_partitions("pairs", lambda values: (len(values), sum(values)))
        .aggregate("report", lambda values: values)
        .run()
    )
    assert job.result() == [(3, 33), (3, 123), (1, 61)]
    assert job.results() == [job.result()]
    assert job.step("load").results() == [n * 10 for n in range(7)]
    assert job.step("score").results() == [n * 10 + 1 for n in range(7)]
    frame = job.step("score").frame()
    assert frame["input"].tolist() == [n * 10 for n in range(7)]
    assert frame["partition"].tolist() == [0, 0, 0, 1, 1, 1, 2]
    assert job.step("pairs").frame()["input"].tolist() == [[1, 11, 21], [31, 41, 51], [61]]
    assert job.steps() == ["load", "score", "pairs", "report"]
    assert job.step("score").state == "COMPLETED"
    assert len(job.step("score").partitions()) == 3


def test_a_part_passes_from_one_map_partitions_to_the_next_as_it_is(cluster: Any) -> None:
    job = (
        cluster.pipeline()
        .map_partitions("clean", list, nb.ranges(0, 6, chunk=2))
        .map_partitions("fit", sum)
        .starmap("pairs", lambda a, b: a * b, [(1, 2), (3, 4)])
        .run()
    )
    assert job.results() == [2, 12]
    assert job.step("fit").results() == [1, 5, 9]


def test_large_values_pass_from_step_to_step(cluster: Any) -> None:
    job = (
        cluster.pipeline()
        .map("make", lambda n: bytes([n]) * 300_000, range(4), chunk=2)
        .map("measure", len)
        .aggregate("sum", "sum")
        .run()
    )
    assert job.result() == 1_200_000


def test_steps_without_predecessors_run_beside_each_other_and_a_later_one_waits_for_both(cluster: Any) -> None:
    job = (
        cluster.pipeline()
        .map("left", lambda n: n, range(4))
        .map("right", lambda n: -n, range(3), after=[])
        .map("both", lambda n: n * 2, [1, 2], after=["left", "right"])
        .run()
    )
    assert job.results() == [2, 4]
    assert job.step("right").results() == [0, -1, -2]
    ends = [job.step(name).partitions()["ended"].max() for name in ("left", "right")]
    assert job.step("both").partitions()["claimed"].min() >= max(ends)


def test_local_steps_run_in_this_process(cluster: Any) -> None:
    seen: list[Any] = []
    lock = threading.Lock()

    def first() -> int:
        seen.append((os.getpid(), threading.current_thread().name))
        return 5

    def last(values: list[int]) -> int:
        seen.append(os.getpid())
        return sum(values)

    job = cluster.pipeline().local("first", first).map("middle", lambda n: n, [1, 2, 3]).local("last", last).run()
    assert job.result() == 6
    assert seen == [(os.getpid(), "nbcluster-first"), os.getpid()]
    assert job.step("first").result() == 5
    assert job.step("first").partitions()["node"].tolist() == [cluster.node_id]
    assert not lock.locked()


def test_a_local_step_that_fails_fails_the_job_with_its_traceback(cluster: Any) -> None:
    job = cluster.pipeline().local("first", lambda: 1 / 0).map("then", lambda n: n, range(3)).run()
    with pytest.raises(JobFailed, match="step first: 1 of 1 items failed"):
        job.results()
    assert "ZeroDivisionError" in job.step("first").traceback(0)
    assert job.step("then").state == "FAILED"
    assert set(job.step("then").partitions()["exit_code"]) == {"CANCELLED"}


def test_what_follows_a_failed_step_does_not_start(cluster: Any) -> None:
    job = cluster.pipeline().map("load", lambda n: 1 / n, range(3), chunk=1).map("score", abs).run()
    with pytest.raises(JobFailed, match=r"step load: 1 of 3 items failed\n  1 x ZeroDivisionError"):
        job.results()
    assert job.step("load").frame()["value"].tolist()[1:] == [1.0, 0.5]


def test_a_pipeline_goes_on_at_its_first_unfinished_step(cluster: Any, tmp_path: Any) -> None:
    flag, counts = str(tmp_path / "repaired"), str(tmp_path / "counts")

    def load(n: int) -> int:
        with open(counts, "a") as file:
            file.write("x")
        return n

    def score(n: int) -> int:
        import os

        if n == 2 and not os.path.exists(flag):
            raise LookupError("not yet")
        return n * n

    def told() -> Any:
        pipeline = cluster.pipeline("nightly").map("load", load, range(4), chunk=1).map("score", score)
        return pipeline.aggregate("sum", "sum").run(announce=False)

    job = told()
    assert job.wait().state == "FAILED"
    Path(flag).touch()
    again = told()
    assert again.id != job.id
    assert "goes on with the run of" in again.note
    assert "that failed" in again.note
    assert again.result() == 14
    assert Path(counts).read_text() == "xxxx"
    assert again.step("score").partitions()["attempt"].tolist() == [1, 1, 2, 1]
    once_more = told()
    assert once_more.id == again.id
    assert "re-attached" in once_more.note
    assert told().result() == 14


def test_the_kernel_is_killed_between_two_steps(lab: Lab) -> None:
    lab.nodes(2, slots=1)
    kernel = lab.kernel(SUBMIT, str(lab.effects.gate))
    wait_until(lambda: "submitted" in kernel.said(), message=kernel.said)
    kernel.kill()
    lab.effects.open_gate()
    wait_until(lambda: set(step_states(lab).values()) == {"COMPLETED"}, message=lambda: step_states(lab))
    with nb.connect(lab.url) as cluster:
        job = cluster.job("three-steps")
        assert job.result() == sum(n + 1 for n in range(6))
        assert job.step("prepare").result() == "prepared"
        assert lab.tables.value("SELECT max(attempt) FROM batch_partitions") == 1


def test_the_launcher_and_a_node_are_killed_together(lab: Lab) -> None:
    first, _second = lab.nodes(2, slots=1)
    kernel = lab.kernel(SUBMIT, str(lab.effects.gate))
    wait_until(lambda: "submitted" in kernel.said(), message=kernel.said)
    first.kill()
    kernel.kill()
    lab.effects.open_gate()
    wait_until(lambda: set(step_states(lab).values()) == {"COMPLETED"}, message=lambda: step_states(lab))
    with nb.connect(lab.url) as cluster:
        assert cluster.job("three-steps").result() == sum(n + 1 for n in range(6))


def test_a_launcher_that_was_frozen_watches_its_pipeline_to_the_end(lab: Lab) -> None:
    (node,) = lab.nodes(1, slots=1)
    kernel = lab.kernel(SUBMIT, str(lab.effects.gate))
    wait_until(lambda: "submitted" in kernel.said(), message=kernel.said)
    kernel.freeze()
    wait_until(
        lambda: (
            set(lab.tables.rows("SELECT master_node_id FROM batch_job_coordination WHERE status <> 'COMPLETED'"))
            == {(node.id,)}
        ),
        message="a take-over",
    )
    lab.effects.open_gate()
    wait_until(lambda: set(step_states(lab).values()) == {"COMPLETED"}, message=lambda: step_states(lab))
    kernel.thaw()
    wait_until(lambda: "ended COMPLETED 21" in kernel.said(), message=kernel.said)


def test_a_local_step_whose_launcher_died_runs_on_a_node(lab: Lab) -> None:
    lab.nodes(1, slots=1)
    kernel = lab.kernel(LOCAL, str(lab.effects.gate))
    wait_until(lambda: "begun" in kernel.said(), message=kernel.said)
    kernel.kill()
    lab.effects.open_gate()
    wait_until(lambda: set(step_states(lab).values()) == {"COMPLETED"}, message=lambda: step_states(lab))
    with nb.connect(lab.url) as cluster:
        assert cluster.job("local-first").results() == [2, 4]
        assert cluster.job("local-first").step("first").result() != kernel.pid


def test_a_local_step_that_cannot_travel_says_so_when_its_launcher_died(lab: Lab) -> None:
    lab.nodes(1, slots=1)
    kernel = lab.kernel(TIED)
    wait_until(lambda: "begun" in kernel.said(), message=kernel.said)
    kernel.kill()
    wait_until(lambda: set(step_states(lab).values()) == {"FAILED"}, message=lambda: step_states(lab))
    with nb.connect(lab.url) as cluster, pytest.raises(JobFailed, match="could run only in the process that launched"):
        cluster.job("tied").results()


@pytest.mark.parametrize("now", [False, True])
def test_a_local_step_can_be_cancelled(cluster: Any, now: bool) -> None:
    begun = threading.Event()

    def endless() -> None:
        import time

        begun.set()
        while True:
            time.sleep(0.01)

    job = cluster.pipeline().local("endless", endless).map("then", lambda n: n, range(2)).run()
    assert begun.wait(20)
    job.cancel(now=now)
    assert job.state == "STOPPED"
    assert job.step("endless").state == "STOPPED"
    wait_until(
        lambda: (not now and not any(thread.name == "nbcluster-endless" for thread in threading.enumerate())) or now,
        message="the end of the thread",
    )


def test_a_pipeline_is_checked_before_anything_is_stored(cluster: Any) -> None:
    pipeline = cluster.pipeline()
    with pytest.raises(InputError, match=r"^this pipeline has no step"):
        pipeline.run()
    with pytest.raises(InputError, match=r"^step 'a' has no items and no single step before it; give it items=$"):
        pipeline.map("a", abs)
    pipeline.map("a", abs, range(3)).aggregate("b", sum)
    with pytest.raises(InputError, match=r"^there is a step 'a' already"):
        pipeline.map("a", abs, range(3))
    with pytest.raises(InputError, match=r"^step 'c' cannot take over the partitions of 'b', which is one value"):
        pipeline.map("c", abs)
    with pytest.raises(InputError, match=r"^step 'c' cannot come after 'z': the steps so far are a, b$"):
        pipeline.map("c", abs, after="z")
    with pytest.raises(InputError, match=r"^step 'c' takes over the partitions of the step before it; leave chunk="):
        pipeline.map("c", abs, after="a", chunk=2)
    with pytest.raises(InputError, match=r"^step 'c' aggregates the values of one step"):
        pipeline.aggregate("c", "sum", after=[])
    with pytest.raises(
        InputError, match=r"^'on_success' is the name of the callback's step; give this one another name"
    ):
        pipeline.map("on_success", abs, range(2))
    with pytest.raises(InputError, match=r"^unknown option fresh; known are chunk"):
        pipeline.map("c", abs, range(2), fresh=True)


SUBMIT = """
import sys, time
import nbcluster as nb

def work(n):
    import os, time
    while not os.path.exists(gate):
        time.sleep(0.01)
    return n

gate = sys.argv[1]
cluster = nb.connect()
job = (
    cluster.pipeline("three-steps")
    .local("prepare", lambda: "prepared")
    .map("load", work, range(6), chunk=1)
    .map("score", lambda n: n + 1)
    .aggregate("sum", "sum")
    .run()
)
job.step("prepare").wait()
print("submitted", job.id, flush=True)
print("ended", job.wait().state, job.result(), flush=True)
"""

TIED = """
import sys, threading, time
import nbcluster as nb

lock = threading.Lock()

def first():
    with lock:
        print("begun", flush=True)
        time.sleep(600)

nb.connect().pipeline("tied").local("first", first).run().wait()
"""

LOCAL = """
import sys, time
import nbcluster as nb

def first():
    import os, time
    print("begun", flush=True)
    while not os.path.exists(gate):
        time.sleep(0.01)
    return os.getpid()

gate = sys.argv[1]
cluster = nb.connect()
cluster.pipeline("local-first").local("first", first).map("then", lambda n: 2 * n, [1, 2]).run().wait()
"""
