"""The same name, code and inputs are the same job: in this kernel, in the next one, after a failure."""

from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import nbcluster as nb
from nbcluster.errors import InputError
from tests.cluster.conftest import QUICK, Lab
from tests.cluster.nodes import settings_environment
from tests.waiting import wait_until

LIMIT = 3


def times_limit(n: int) -> int:
    return n * LIMIT


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """A name that no other test uses."""
    return str(request.node.name)[:80]


def test_running_a_cell_again_attaches_to_its_job_and_says_so(
    cluster: Any, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    first = cluster.map(times_limit, range(10), name=name)
    assert first.note is None
    with caplog.at_level(logging.WARNING):
        second = cluster.map(times_limit, range(10), name=name)
    assert second.id == first.id
    assert second.note.startswith(f"{name}: re-attached to the run of ")
    assert second.note.endswith(", same code and inputs")
    assert [record.getMessage() for record in caplog.records if record.name == "nbcluster.api"] == [
        f"{second.note}; fresh=True runs it again"
    ]
    assert second.results() == first.results() == [n * 3 for n in range(10)]
    caplog.clear()
    third = cluster.map(times_limit, range(10), name=name, announce=False)
    assert third.note
    assert not caplog.records


def test_how_it_is_cut_and_tried_does_not_make_another_job(cluster: Any, name: str) -> None:
    first = cluster.map(times_limit, range(10), name=name, chunk=2)
    again = cluster.map(times_limit, range(10), name=name, partitions=1, strategy="scale_up", retries=3, timeout=60)
    assert again.id == first.id


def test_another_constant_item_mode_or_captured_value_is_a_new_run(
    cluster: Any, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = [cluster.map(times_limit, range(10), name=name).id]
    ids.append(cluster.map(times_limit, range(11), name=name).id)
    ids.append(cluster.map(lambda n: n * 3, range(10), name=name).id)
    ids.append(cluster.map(lambda n: n * 4, range(10), name=name).id)
    ids.append(cluster.map_partitions(times_limit, range(10), name=name).id)
    ids.append(cluster.map(times_limit, range(10), name=name, aggregate="sum").id)
    monkeypatch.setattr(sys.modules[__name__], "LIMIT", 4)
    ids.append(cluster.map(times_limit, range(10), name=name).id)
    assert len(set(ids)) == len(ids)


def test_fresh_runs_it_again(cluster: Any, name: str) -> None:
    first = cluster.map(times_limit, range(4), name=name)
    second = cluster.map(times_limit, range(4), name=name, fresh=True)
    assert second.id != first.id
    assert second.note is None
    assert cluster.map(times_limit, range(4), name=name, announce=False).id == second.id


def test_a_job_without_a_name_is_always_a_new_one(cluster: Any) -> None:
    assert cluster.map(times_limit, range(4)).id != cluster.map(times_limit, range(4)).id


def test_what_failed_is_gone_on_with_and_only_that_runs(cluster: Any, name: str, tmp_path: Path) -> None:
    repaired, counts = str(tmp_path / "repaired"), tmp_path / "counts"
    noted = str(counts)

    def work(n: int) -> int:
        import os

        with open(noted, "a") as file:
            file.write(f"{n} ")
        if n == 1 and not os.path.exists(repaired):
            raise LookupError("not yet")
        return n

    first = cluster.map(work, range(3), chunk=1, name=name).wait()
    assert first.state == "FAILED"
    Path(repaired).touch()
    second = cluster.map(work, range(3), chunk=1, name=name, announce=False)
    assert "goes on with the run of" in second.note
    assert "that failed, with 2 of 3 partitions done" in second.note
    assert second.results() == [0, 1, 2]
    assert sorted(counts.read_text().split()) == ["0", "1", "1", "2"]


def test_a_paused_job_stays_paused_when_it_is_found(lab: Lab, name: str) -> None:
    lab.nodes(1, slots=1)
    cluster = lab.connect()
    work = lab.effects.worker()
    job = cluster.map(work, range(3), chunk=1, name=name)
    lab.effects.wait_for_begins(1)
    job.pause()
    found = cluster.map(work, range(3), chunk=1, name=name, announce=False)
    assert found.id == job.id
    assert "it is paused and resume() lets it go on" in found.note
    lab.effects.open_gate()
    wait_until(lambda: lab.tables.statuses(job.id).get("COMPLETED") == 1, message="the end of what ran")
    assert lab.tables.statuses(job.id) == {"COMPLETED": 1, "PENDING": 2}
    job.pause()  # a second time changes nothing
    assert found.resume() is found
    assert found.results() == [0, 1, 4]
    with pytest.raises(InputError, match=rf"^{name.split('[', maxsplit=1)[0]}.* cannot be paused: it is COMPLETED$"):
        found.pause()


KERNEL = """
import nbcluster as nb
factor = 7
words = {"a", "b", "c"}
class Scale:
    by = 2
    def of(self, n):
        return n * self.by
def work(n):
    return Scale().of(n) * factor if "a" in words else n
job = nb.connect().map(work, range(5), name="from-a-script", announce=False)
print(job.id, job.results(), job.note is not None, flush=True)
"""


def test_the_next_kernel_finds_the_job_of_the_one_before(lab: Lab) -> None:
    lab.nodes(1, slots=2)

    def run(script: str, seed: str) -> list[str]:
        done = subprocess.run(
            [sys.executable, "-c", script],
            env=settings_environment(lab.url, QUICK) | {"PYTHONHASHSEED": seed},
            cwd=lab.folder,
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        return done.stdout.strip().split(" ", 1)

    first, second = run(KERNEL, "1"), run(KERNEL, "2")
    assert first == ["1", "[0, 14, 28, 42, 56] False"]
    assert second == ["1", "[0, 14, 28, 42, 56] True"]
    assert run(KERNEL.replace("by = 2", "by = 3"), "3") == ["2", "[0, 21, 42, 63, 84] False"]


def test_kernels_that_submit_it_at_once_share_one_job(lab: Lab) -> None:
    lab.nodes(1, slots=2)
    kernels = [lab.kernel(KERNEL) for _ in range(3)]
    for kernel in kernels:
        wait_until(lambda kernel=kernel: not kernel.running, message=kernel.said)
    assert {kernel.said().split(" ", 1)[0] for kernel in kernels} == {"1"}
    assert sum("False" in kernel.said() for kernel in kernels) == 1
    assert lab.tables.count("batch_job_execution") == 1


def test_the_parameters_of_an_instance_can_be_read(lab: Lab) -> None:
    with nb.connect(lab.url) as cluster:
        cluster.map(abs, range(4), name="told")
    found = lab.tables.rows("SELECT parameter_name, identifying FROM batch_job_execution_params ORDER BY 1")
    assert found == [("code", "Y"), ("inputs", "Y"), ("mode", "Y"), ("strategy", "N"), ("user", "N")]
