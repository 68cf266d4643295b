#!/usr/bin/env python3
"""Large values: how fast many of some megabytes travel, a large closure, and what memory one of a gigabyte takes.

On SQLite values travel as files beside the database, on PostgreSQL through the database, and with
``results=file://...`` as files in a folder.  The numbers are random: nothing of them can be compressed.
Memory is the peak of the resident pages of a process above what it had before, as a multiple of the
value; pages of mapped files are counted, and so is the value itself where the process holds it.
"""

from __future__ import annotations

import gc
import os
import re
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from _harness import Benchmark, Samples, run

import nbcluster as nb

COUNT, NUMBERS = 64, 10**6
MEGABYTES = COUNT * NUMBERS * 8 / 1e6
CLOSURE, PARTITIONS = 50 * 10**6 // 8, 200
GIGABYTE = 125 * 10**6  # numbers: 1 GB


def make(seed: int, numbers: int = NUMBERS) -> Any:
    return np.random.default_rng(seed).random(numbers)


def one_large(seed: int) -> Any:
    return np.random.default_rng(seed).random(GIGABYTE)


def measure(cluster: nb.Cluster) -> Samples:
    cluster.map(abs, range(8), chunk=1).results()  # the children are warm
    found = on_one_way(cluster, "", {})
    if cluster.url.startswith("postgresql"):
        with tempfile.TemporaryDirectory(dir=os.environ["XDG_STATE_HOME"]) as folder:
            found |= on_one_way(cluster, ", results=file://", {"results": f"file://{folder}"})
    return found


def on_one_way(cluster: nb.Cluster, how: str, options: dict[str, str]) -> Samples:
    arrays = [make(seed) for seed in range(COUNT)]
    expected = [float(array[-1]) for array in arrays]
    came, values = timed(lambda: cluster.map(make, range(COUNT), chunk=1, **options).results())
    assert [float(value[-1]) for value in values] == expected
    values = None
    went, last = timed(lambda: cluster.map(lambda array: float(array[-1]), arrays, chunk=1, **options).results())
    assert last == expected
    found = {f"{COUNT} results of 8 MB{how} (MB/s)": [MEGABYTES / came]}
    found[f"{COUNT} arguments of 8 MB{how} (MB/s)"] = [MEGABYTES / went]
    if not how:
        big = make(7, CLOSURE)
        took, sums = timed(lambda: cluster.map(lambda n: float(big[n]), range(PARTITIONS), chunk=1).results())
        assert sums == big[:PARTITIONS].tolist()
        found[f"{PARTITIONS} partitions of a 50 MB closure (s)"] = [took]
    return found | of_a_gigabyte(cluster, how, options)


def of_a_gigabyte(cluster: nb.Cluster, how: str, options: dict[str, str]) -> Samples:
    """Seconds and peaks of memory for one large result and one large argument."""
    found: Samples = {}
    peaks = Peaks(cluster)
    took, value = timed(lambda: cluster.map(one_large, [3], **options).results())
    found[f"one result of 1 GB{how} (s)"] = [took]
    found |= peaks.figures(f"result{how}")
    expected = float(value[0].sum())
    value = None
    gc.collect()
    peaks = Peaks(cluster)
    array = one_large(3)
    took, value = timed(lambda: cluster.map(lambda array: float(array.sum()), [array], **options).results())
    assert value == [expected]
    found[f"one argument of 1 GB{how} (s)"] = [took]
    return found | peaks.figures(f"argument{how}")


class Peaks:
    """What kernel, nodes and children need more than they have now."""

    def __init__(self, cluster: nb.Cluster) -> None:
        nodes = [int(pid) for pid in cluster.nodes()["pid"]]
        children = [pid for node in nodes for pid in children_of(node)]
        self._groups = {"kernel": [os.getpid()], "node": nodes, "child": children}
        for pid in (pid for group in self._groups.values() for pid in group):
            Path(f"/proc/{pid}/clear_refs").write_text("5")  # forget the peak
        self._before = {pid: status(pid, "VmRSS") for group in self._groups.values() for pid in group}

    def figures(self, what: str) -> Samples:
        return {
            f"{name}'s peak, {what} (x value)": [
                max(status(pid, "VmHWM") - self._before[pid] for pid in group) / (GIGABYTE * 8)
            ]
            for name, group in self._groups.items()
        }


def status(pid: int, name: str) -> int:
    """A number of bytes from what the system says of a process."""
    match = re.search(rf"{name}:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert match
    return int(match[1]) * 1024


def children_of(pid: int) -> list[int]:
    listed = (Path(f"/proc/{pid}/task") / task / "children" for task in os.listdir(f"/proc/{pid}/task"))
    return [int(child) for file in listed for child in file.read_text().split()]


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds, and what it gave."""
    began = time.perf_counter()
    value = work()
    return time.perf_counter() - began, value


if __name__ == "__main__":
    about = "values of 8 MB and of 1 GB, random; two nodes of one slot; from map() until results() returns"
    run(Benchmark("values", about, measure, rounds=3))
