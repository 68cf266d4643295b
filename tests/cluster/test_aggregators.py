"""What is shipped with a job and runs once when everything before it is done."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import nbcluster as nb
from nbcluster.errors import InputError, JobFailed, PartitionError
from tests.cluster.conftest import Lab
from tests.waiting import wait_until


def teller(path: Path) -> Any:
    """A callback that writes what it was told, one line a call."""
    target = str(path)

    def tell(outcome: Any) -> int:
        import os

        failed = ",".join(f"{part.step}:{part.index}:{part.error}" for part in outcome.failed)
        nodes = sum(part.node is not None for part in outcome.partitions)
        line = f"{outcome.job}|{outcome.status}|{len(outcome.partitions)}|{nodes}|{failed}\n"
        descriptor = os.open(target, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(descriptor, line.encode())
        os.close(descriptor)
        return len(outcome.partitions)

    return tell


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


def inverse(n: int) -> float:
    return 1 / n


# --- aggregators ---------------------------------------------------------------------------------


def test_an_aggregator_gets_all_values_in_input_order(cluster: Any) -> None:
    job = cluster.map(lambda n: n * n, range(20), chunk=3, aggregate=lambda values: (len(values), values[:4]))
    assert job.result() == (20, [0, 1, 4, 9])
    assert job.results() == [n * n for n in range(20)]
    assert job.steps() == ["map", "aggregate"]
    assert job.step("aggregate").result() == (20, [0, 1, 4, 9])


@pytest.mark.parametrize(
    ("fold", "value"), [("sum", 45), ("mean", 4.5), ("min", 0), ("max", 9), ("count", 10), ("list", list(range(10)))]
)
def test_a_fold_can_be_named(cluster: Any, fold: str, value: Any) -> None:
    assert cluster.map(lambda n: n, range(10), chunk=4, aggregate=fold).result() == value


def test_frames_become_one_frame(cluster: Any) -> None:
    job = cluster.map(lambda n: pd.DataFrame({"n": [n, -n]}), range(1, 4), chunk=1, aggregate="frame")
    assert job.result()["n"].tolist() == [1, -1, 2, -2, 3, -3]


def test_an_aggregation_of_large_results(cluster: Any) -> None:
    job = cluster.map(lambda n: bytes([n]) * 2_000_000, range(6), chunk=2, aggregate="concat")
    assert [job.result()[2_000_000 * n] for n in range(6)] == list(range(6))


def test_an_aggregator_that_fails_fails_the_job_and_keeps_the_items(cluster: Any) -> None:
    job = cluster.map(lambda n: n, range(4), aggregate=lambda values: 1 / 0)
    with pytest.raises(PartitionError, match="ZeroDivisionError"):
        job.result()
    assert job.state == "FAILED"
    assert job.frame()["value"].tolist() == [0, 1, 2, 3]
    with pytest.raises(JobFailed, match="step aggregate: 1 of 1 items failed"):
        job.results()


def test_nothing_is_aggregated_when_an_item_failed(cluster: Any, tmp_path: Path) -> None:
    target = str(tmp_path / "aggregated")
    job = cluster.map(inverse, range(4), chunk=1, aggregate=lambda values: Path(target).touch())
    with pytest.raises(JobFailed, match="1 of 4 items failed"):
        job.result()
    assert job.step("aggregate").state == "FAILED"
    assert not Path(target).exists()


def test_what_is_no_fold_is_refused(cluster: Any) -> None:
    with pytest.raises(InputError, match=r"^aggregate is 'median'; write a function of the list of all values"):
        cluster.map(inverse, range(4), aggregate="median")
    with pytest.raises(InputError, match=r"^on_success must be a function, not int$"):
        cluster.map(inverse, range(4), on_success=3)


# --- callbacks -----------------------------------------------------------------------------------


def test_on_success_is_told_of_every_partition_once(cluster: Any, tmp_path: Path) -> None:
    good, bad = tmp_path / "good", tmp_path / "bad"
    job = cluster.map(
        lambda n: n, range(6), chunk=2, name="told", fresh=True, on_success=teller(good), on_failure=teller(bad)
    )
    job.wait()
    assert job.state == "COMPLETED"
    assert lines(good) == ["told|COMPLETED|3|3|"]
    assert lines(bad) == []
    assert job.step("on_success").result() == 3
    assert job.step("on_failure").state == "STOPPED"


def test_on_failure_is_told_why(cluster: Any, tmp_path: Path) -> None:
    good, bad = tmp_path / "good", tmp_path / "bad"
    job = cluster.map(
        inverse, range(3), chunk=1, name="fails", fresh=True, on_success=teller(good), on_failure=teller(bad),
        aggregate="sum",
    )  # fmt: skip
    job.wait()
    assert job.state == "FAILED"
    (line,) = lines(bad)
    assert line.startswith("fails|FAILED|4|3|map:0:ZeroDivisionError: division by zero")
    assert lines(good) == []


def test_a_job_whose_on_success_fails_is_failed(cluster: Any) -> None:
    job = cluster.map(lambda n: n, range(3), on_success=lambda outcome: outcome.nothing)
    job.wait()
    assert job.state == "FAILED"
    assert job.frame()["value"].tolist() == [0, 1, 2]
    assert "step on_success: 1 of 1 items failed" in job.failure()


def test_no_callback_for_a_job_that_was_stopped(lab: Lab) -> None:
    lab.nodes(1, slots=1)
    told = lab.folder / "told"
    job = lab.connect().map(lab.effects.worker(), range(3), chunk=1, on_success=teller(told), on_failure=teller(told))
    lab.effects.wait_for_begins(1)
    job.cancel()
    assert job.state == "STOPPED"
    assert lines(told) == []
    lab.effects.open_gate()
    job.resume().wait()
    assert job.state == "COMPLETED"
    assert len(lines(told)) == 1


def test_on_failure_runs_when_the_job_failed_because_a_node_was_lost(lab: Lab) -> None:
    node, _other = lab.nodes(2, slots=1)
    told = lab.folder / "told"
    work = lab.effects.worker()
    job = lab.connect().map(work, range(2), chunk=1, transferable=False, name="lost", on_failure=teller(told))
    lab.effects.wait_for_begins(2)
    node.kill()
    lab.effects.open_gate()
    job.wait(60)
    assert job.state == "FAILED"
    (line,) = wait_until(lambda: lines(told), message="the callback")
    assert line.startswith("lost|FAILED|2|2|map:")
    assert "was lost while it ran this partition and it is not transferable" in line


def test_the_kernel_dies_before_the_aggregation_which_runs_all_the_same(lab: Lab) -> None:
    lab.nodes(2, slots=1)
    kernel = lab.kernel(SUBMIT, str(lab.effects.gate), str(lab.folder / "told"))
    wait_until(lambda: "submitted" in kernel.said(), message=kernel.said)
    kernel.kill()
    lab.effects.open_gate()
    wait_until(
        lambda: lab.tables.value("SELECT status FROM batch_job_execution") == "COMPLETED",
        message=lambda: lab.tables.rows("SELECT step_name, status FROM batch_step_execution"),
    )
    assert lines(lab.folder / "told") == ["20 COMPLETED"]
    with nb.connect(lab.url) as cluster:
        assert cluster.job("left-alone").result() == sum(n * n for n in range(20))


def test_a_callback_that_failed_is_run_again_by_resume(cluster: Any, tmp_path: Path) -> None:
    repaired, told = tmp_path / "repaired", tmp_path / "told"
    flag, tell = str(repaired), teller(told)

    def callback(outcome: Any) -> None:
        from pathlib import Path

        if not Path(flag).exists():
            raise LookupError("not yet")
        tell(outcome)

    job = cluster.map(lambda n: n, range(3), chunk=1, on_success=callback).wait()
    assert job.state == "FAILED"
    repaired.touch()
    job.resume().wait()
    assert job.state == "COMPLETED"
    assert len(lines(told)) == 1
    assert set(job.partitions()["attempt"]) == {1}, "nothing else runs again"


def test_the_node_of_a_callback_is_lost_and_another_runs_it(lab: Lab) -> None:
    nodes = lab.nodes(2, slots=1)
    work, told = lab.effects.worker(), lab.folder / "told"
    tell = teller(told)

    def callback(outcome: Any) -> None:
        work(0)
        tell(outcome)

    job = lab.connect().map(abs, range(4), chunk=1, on_success=callback)
    (note,) = lab.effects.wait_for_begins(1)
    next(node for node in nodes if node.id == note.node).kill()
    lab.effects.open_gate()
    assert job.wait(60).state == "COMPLETED"
    assert len(lines(told)) == 1
    assert job.step("on_success").partitions()["attempt"].tolist() == [2]


SUBMIT = """
import sys, time
import nbcluster as nb

def work(n):
    import os, time
    while not os.path.exists(gate):
        time.sleep(0.01)
    return n * n

def tell(outcome):
    import os
    descriptor = os.open(target, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(descriptor, f"{len(outcome.partitions) - 1} {outcome.status}\\n".encode())

gate, target = sys.argv[1:]
cluster = nb.connect()
job = cluster.map(work, range(20), chunk=1, name="left-alone", aggregate=sum, on_success=tell)
print("submitted", job.id, flush=True)
time.sleep(600)
"""


def test_a_fold_that_raises_is_tried_again_like_an_item(cluster: Any, tmp_path: Path) -> None:
    met = str(tmp_path / "met")

    def total(values: list[int]) -> int:
        import os

        if not os.path.exists(met):
            open(met, "w").close()
            raise OSError("once")
        return sum(values)

    job = cluster.map(lambda n: n, range(4), aggregate=total, retries=1, retry_wait=0.01)
    assert job.result() == 6
    assert job.step("aggregate").partitions()["attempt"].tolist() == [2]
