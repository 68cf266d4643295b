#!/usr/bin/env python3
"""One large input for many partitions: shared, or captured by the function; and results from the cache."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import cloudpickle
import numpy as np
from _harness import Benchmark, Samples, run

import nbcluster as nb

MEGABYTES, PARTITIONS, CACHED = 100, 64, 1000


def measure(cluster: nb.Cluster) -> Samples:
    """Seconds, and what a child holds for itself alone, in MB."""
    array = np.random.default_rng(7).integers(0, 1000, MEGABYTES * 10**6 // 8)
    expected = [int(array[n]) for n in range(PARTITIONS)]
    cluster.map(abs, range(8), chunk=1).results()  # the children are warm

    stored, big = timed(lambda: cluster.share(array))

    def shared(n: int) -> tuple[int, float]:
        return int(big.value[n]), private()

    def captured(n: int) -> tuple[int, float]:
        return int(array[n]), private()

    first, told = timed(lambda: cluster.map(shared, range(PARTITIONS), chunk=1).results())
    second, _ = timed(lambda: cluster.map(shared, range(PARTITIONS), chunk=1).results())
    assert [value for value, _ in told] == expected
    alone = max(memory for _, memory in told)
    with_it, told = timed(lambda: cluster.map(captured, range(PARTITIONS), chunk=1, max_capture="1GB").results())
    assert [value for value, _ in told] == expected
    removed, _ = timed(big.delete)
    computed, values = timed(lambda: cluster.map(abs, range(CACHED), chunk=1, cache=True).results())
    taken, again = timed(lambda: cluster.map(abs, range(CACHED), chunk=1, cache=True).results())
    assert values == again == list(range(CACHED))
    return {
        f"share {MEGABYTES} MB (s)": [stored],
        f"{PARTITIONS} partitions that use it, first (s)": [first],
        f"{PARTITIONS} partitions that use it, again (s)": [second],
        f"{PARTITIONS} partitions of a function that captured it (s)": [with_it],
        "own memory of a child, shared (MB)": [alone],
        "own memory of a child, captured (MB)": [max(memory for _, memory in told)],
        "delete (s)": [removed],
        f"{CACHED} partitions with cache=True, first (s)": [computed],
        f"{CACHED} partitions with cache=True, again (s)": [taken],
    }


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds, and what it gave."""
    began = time.perf_counter()
    value = work()
    return time.perf_counter() - began, value


def private() -> float:
    """What this process holds that no other has, in MB."""
    with open("/proc/self/smaps_rollup") as told:
        return sum(int(line.split()[1]) for line in told if line.startswith("Private_")) / 1000


if __name__ == "__main__":
    cloudpickle.register_pickle_by_value(__import__("__main__"))
    run(Benchmark("share", __doc__ or "", measure, rounds=3))
