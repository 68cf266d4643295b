"""What is sent only once, however many partitions there are."""

from __future__ import annotations

from typing import Any

import pytest

from tests.cluster.conftest import Lab, about_processes


class Noted:
    """Leaves a line wherever it is unpickled."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __getstate__(self) -> dict[str, str]:
        return {"path": self.path}

    def __setstate__(self, state: dict[str, str]) -> None:
        import os

        self.path = state["path"]
        with open(self.path, "a") as file:
            file.write(f"{os.getpid()}\n")


@about_processes
def test_a_child_unpickles_the_function_once_for_a_job(lab: Lab) -> None:
    lab.nodes(2, slots=2)
    loads = lab.folder / "loads"
    noted = Noted(str(loads))

    def work(n: int) -> int:
        assert noted.path
        return n

    assert lab.connect().map(work, range(200), chunk=1).results() == list(range(200))
    pids = loads.read_text().split()
    assert 1 <= len(pids) == len(set(pids)) <= 4


@pytest.mark.needs("sessions")
def test_a_node_reads_the_function_once_for_a_job(lab: Lab) -> None:
    lab.nodes(2, slots=2)
    cluster = lab.connect()

    def scans() -> int:
        lab.tables.rows("SELECT pg_stat_clear_snapshot()")
        return int(
            lab.tables.value(
                "SELECT seq_scan + coalesce(idx_scan, 0) FROM pg_stat_user_tables WHERE relname = 'batch_payloads'"
            )
        )

    before = scans()
    assert cluster.map(lambda n: n, range(300), chunk=1).results() == list(range(300))
    lab.close()  # a session that ends reports its counts
    # Twice when it is stored, and once by each of two nodes.
    assert scans() - before <= 6


def test_the_function_is_stored_once_for_equal_jobs(lab: Lab) -> None:
    cluster = lab.connect()
    for _ in range(3):
        cluster.map(abs, range(10))
    assert lab.tables.count("batch_payloads") == 1
    assert lab.tables.value("SELECT count(DISTINCT function_id) FROM batch_step_execution") == 1


def test_large_arguments_that_are_equal_are_stored_once(lab: Lab) -> None:
    part: Any = b"z" * 3_000_000
    cluster = lab.connect()
    cluster.map_partitions(len, lambda n: [part, part, part])
    assert lab.tables.count("batch_partitions", "arguments_payload IS NOT NULL") == 3
    assert lab.tables.value("SELECT count(DISTINCT arguments_payload) FROM batch_partitions") == 1
    lab.nodes(1, slots=1)
    assert cluster.job(1).wait(60).results() == [3_000_000] * 3
