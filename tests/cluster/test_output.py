"""What partitions print is kept for them, within limits, and hurts nobody."""

from __future__ import annotations

from typing import Any

import pytest

import nbcluster as nb
from tests.cluster.conftest import Lab, about_processes
from tests.waiting import wait_until


def test_output_is_captured_whoever_writes_it(cluster: Any) -> None:
    def chatty(n: int) -> None:
        import os
        import subprocess
        import sys

        print("printed", n)
        print("to stderr", n, file=sys.stderr)
        os.write(1, b"written %d\n" % n)
        subprocess.run(["sh", "-c", f"echo from a program {n}"], check=True)

    job = cluster.map(chatty, range(8), chunk=2).wait(60)
    for partition in range(4):
        expected = [
            line
            for n in (2 * partition, 2 * partition + 1)
            for line in (f"printed {n}", f"to stderr {n}", f"written {n}", f"from a program {n}")
        ]
        assert job.logs(partition).splitlines() == expected
    assert job.snapshot().log_tail.startswith("printed")
    with pytest.raises(nb.InputError, match="has no partition 4; they are numbered 0 to 3"):
        job.logs(4)


def test_output_of_a_failed_partition_is_kept(cluster: Any) -> None:
    def fails(n: int) -> None:
        print("before the failure")
        raise ValueError(n)

    assert cluster.map(fails, range(1)).wait(60).logs(0) == "before the failure\n"


def test_silent_partitions_have_no_log(cluster: Any) -> None:
    assert cluster.map(lambda n: n, range(2), chunk=1).wait(60).logs(1) == ""


def test_a_progress_bar_and_bytes_that_are_no_text_are_kept_as_they_are(cluster: Any) -> None:
    def bar(n: int) -> None:
        import os

        os.write(1, b"10%\r20%\r\x1b[31mred\x1b[0m \xff\x00 end\n")

    assert cluster.map(bar, range(1)).wait(60).logs(0) == "10%\r20%\r\x1b[31mred\x1b[0m \ufffd\0 end\n"


@about_processes
def test_of_too_much_output_head_and_tail_are_kept(lab: Lab) -> None:
    lab.nodes(1, slots=2)
    cluster = lab.connect(max_log="10kB")

    def work(n: int) -> int:
        for line in range(100_000):
            print("line", line)
        return n

    job = cluster.map(work, range(2), chunk=1).wait(60)
    assert job.results() == [0, 1]
    for partition in range(2):
        text = job.logs(partition)
        assert text.startswith("line 0\nline 1\n")
        assert text.endswith("line 99998\nline 99999\n")
        assert "bytes left out" in text
        assert len(text) < 100_000


@about_processes
def test_a_hundred_megabytes_of_output_do_not_hurt_the_node(lab: Lab) -> None:
    (node,) = lab.nodes(1, slots=2)
    cluster = lab.connect()
    before = peak_memory(node.pid)

    def flood(n: int) -> int:
        import os

        block = b"x" * 99 + b"\n"
        for _ in range(1000):
            os.write(1, block * 1000)
        return n

    job = cluster.map(flood, range(2), chunk=1).wait(60)
    assert job.results() == [0, 1]
    assert 1_000_000 <= len(job.logs(0)) < 1_300_000
    assert peak_memory(node.pid) - before < 50_000
    assert lab.tables.value("SELECT status FROM batch_nodes WHERE slots > 0") == "ACTIVE"


@about_processes
def test_an_endless_printer_leaves_its_neighbour_alone_and_can_be_stopped(lab: Lab) -> None:
    lab.nodes(1, slots=2)
    cluster = lab.connect()

    def endless(n: int) -> None:
        import os

        block = b"y" * 65536
        while True:
            os.write(1, block)

    printer = cluster.map(endless, range(1))
    wait_until(lambda: printer.snapshot().partitions["CLAIMED"] == 1)
    assert cluster.map(lambda n: n, range(50), chunk=1).wait(60).results() == list(range(50))
    printer.cancel()
    assert printer.state == "STOPPED"


def peak_memory(pid: int) -> int:
    """Largest resident size of a process so far, in kB."""
    with open(f"/proc/{pid}/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
