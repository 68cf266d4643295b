"""Children that die: the partition that killed them pays, and nobody else."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from tests.cluster.conftest import Lab, about_processes


def kills_itself() -> None:
    import os
    import signal

    os.kill(os.getpid(), signal.SIGKILL)


def segfaults() -> None:
    import ctypes

    ctypes.string_at(0)


def exits() -> None:
    import os

    os._exit(7)


def closes_everything() -> None:
    import os
    import time

    os.closerange(0, 256)
    time.sleep(1000)


def aborts() -> None:
    import os

    os.abort()


DEATHS = [
    (kills_itself, "killed by SIGKILL"),
    (segfaults, "killed by SIGSEGV"),
    (exits, "exit code 7"),
    (aborts, "killed by SIGABRT"),
]


@pytest.mark.parametrize(("death", "said"), DEATHS)
def test_a_partition_that_kills_its_child_is_poison(cluster: Any, death: Callable[[], None], said: str) -> None:
    def work(n: int) -> int:
        print("last words of", n, end="")
        if n == 3:
            death()
        return n

    job = cluster.map(work, range(8), chunk=1).wait(60)
    partitions = job.partitions()
    assert partitions["state"].tolist() == ["COMPLETED"] * 3 + ["FAILED"] + ["COMPLETED"] * 4
    dead = partitions.iloc[3]
    assert dead["exit_code"] == "POISON"
    assert dead["attempt"] == 3
    assert f"the child process died: {said}" in dead["message"]
    assert "last words of 3" in dead["message"]
    assert "3 processes" in dead["message"]
    assert "last words of 3" in job.logs(3)
    # Nobody else was tried twice.
    assert partitions.drop(index=3)["attempt"].tolist() == [1] * 7
    frame = job.frame()
    assert frame["value"].dropna().tolist() == [0, 1, 2, 4, 5, 6, 7]
    assert frame.loc[3, "error"].startswith("POISON: the child process died")
    attempts = cluster.store.database.read(
        lambda connection: connection.exec_driver_sql(
            "SELECT a.attempt, a.outcome FROM batch_attempts a JOIN batch_partitions p "
            f"ON p.step_execution_id = a.step_execution_id WHERE p.job_execution_id = {job.id} ORDER BY 1"
        ).all()
    )
    assert [tuple(row) for row in attempts] == [(1, "CRASHED"), (2, "CRASHED"), (3, "CRASHED")]


@pytest.mark.parametrize(("death", "said"), DEATHS)
def test_what_may_run_only_once_is_crashed_at_once(cluster: Any, death: Callable[[], None], said: str) -> None:
    def work(n: int) -> int:
        if n == 1:
            death()
        return n

    job = cluster.map(work, range(4), chunk=1, transferable=False).wait(60)
    dead = job.partitions().iloc[1]
    assert (dead["exit_code"], dead["attempt"]) == ("CRASHED", 1)
    assert said in dead["message"]
    assert job.frame()["value"].dropna().tolist() == [0, 2, 3]


def test_a_crash_that_does_not_repeat_costs_one_attempt(cluster: Any, tmp_path: Any) -> None:
    marker = str(tmp_path / "was-here")

    def work(n: int) -> int:
        import os

        if n == 2 and not os.path.exists(marker):
            open(marker, "w").close()
            os._exit(1)
        return n

    job = cluster.map(work, range(4), chunk=1).wait(60)
    assert job.results() == [0, 1, 2, 3]
    assert job.partitions()["attempt"].tolist() == [1, 1, 2, 1]


@about_processes
def test_max_attempts_is_obeyed(lab: Lab) -> None:
    lab.nodes(1, slots=1)
    job = lab.connect(max_attempts=1).map(lambda n: exits(), range(1)).wait(60)
    dead = job.partitions().iloc[0]
    assert (dead["exit_code"], dead["attempt"]) == ("POISON", 1)


def test_a_child_that_closes_its_descriptors_is_replaced(cluster: Any) -> None:
    job = cluster.map(lambda n: closes_everything() if n == 1 else n, range(4), chunk=1).wait(60)
    assert job.frame()["value"].dropna().tolist() == [0, 2, 3]
    dead = job.partitions().iloc[1]
    assert dead["exit_code"] == "POISON"
    assert "closed its link to the node" in dead["message"]


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ("import sys; sys.exit()", "SystemExit"),
        ("import sys; sys.exit('no more')", "SystemExit: no more"),
        ("raise KeyboardInterrupt", None),
        ("raise GeneratorExit('x')", "GeneratorExit: x"),
        ("input('? ')", "EOFError: EOF when reading a line"),
        ("def f(): f()\nf()", "RecursionError: maximum recursion depth exceeded"),
        ("bytearray(1 << 60)", "MemoryError"),
    ],
)
def test_strange_ends_of_a_function_are_errors_of_the_item(cluster: Any, body: str, error: str | None) -> None:
    def work(n: int) -> int:
        if n == 2:
            exec(body, {})
        return n

    job = cluster.map(work, range(4), chunk=2).wait(60)
    frame = job.frame()
    assert job.state == "FAILED"
    assert frame["value"].dropna().tolist() == [0, 1, 3]
    assert frame["attempt"].tolist() == [1] * 4
    if error is not None:
        assert frame.loc[2, "error"].startswith(error)
    assert re.search("in work", job.traceback(1))


def test_a_partition_cannot_leave_the_process_changed_for_the_next(cluster: Any) -> None:
    """Directory, signal handler and streams are put back; what one partition closed another may use."""

    def vandal(n: int) -> str:
        import os
        import signal
        import sys
        import tempfile

        before = os.getcwd()
        with tempfile.TemporaryDirectory() as folder:
            os.chdir(folder)
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            sys.stdout.close()
            sys.stderr = None
        return before

    job = cluster.map(vandal, range(12), chunk=1).wait(60)
    assert len(set(job.results())) == 1
    assert cluster.map(lambda n: print("still heard", n), range(12), chunk=1).wait(60).logs(3) == "still heard 3\n"


def test_a_function_that_forks_and_comes_back_twice_is_answered_once(cluster: Any) -> None:
    def forks(n: int) -> int:
        import os

        pid = os.fork()
        if pid:
            os.waitpid(pid, 0)
        return n

    job = cluster.map(forks, range(12), chunk=1).wait(60)
    assert job.results() == list(range(12))
    assert set(job.partitions()["attempt"]) == {1}


def test_grandchildren_go_with_a_killed_child(cluster: Any, tmp_path: Any) -> None:
    from tests.cluster.nodes import alive
    from tests.waiting import wait_until

    pids = str(tmp_path / "pids")

    def work(n: int) -> None:
        import os
        import subprocess

        sleeper = subprocess.Popen(["sleep", "1000"])
        with open(pids, "a") as file:
            file.write(f"{sleeper.pid}\n")
        os._exit(3)

    cluster.map(work, range(1)).wait(60)
    sleepers = [int(line) for line in (tmp_path / "pids").read_text().split()]
    assert len(sleepers) == 3
    for pid in sleepers:
        wait_until(lambda pid=pid: not alive(pid), message=f"the end of grandchild {pid}")
