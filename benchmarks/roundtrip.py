#!/usr/bin/env python3
"""How long a single partition takes from ``submit`` to its result in hand, on nodes that are idle and warm."""

from __future__ import annotations

import time

from _harness import Benchmark, Samples, run

import nbcluster as nb

ROUNDS, TIMES = 4, 50
WARM_UP = 20
PATIENCE = 60.0


def same(number: int) -> int:
    return number


def measure(cluster: nb.Cluster) -> Samples:
    milliseconds = []
    for number in range(-WARM_UP, TIMES):
        began = time.perf_counter()
        value = cluster.submit(same, number).wait(timeout=PATIENCE).result()
        if number >= 0:
            milliseconds.append((time.perf_counter() - began) * 1000)
        if value != number:
            raise AssertionError(f"{number} came back as {value}")
    return {"round trip ms": milliseconds}


if __name__ == "__main__":
    about = f"submit(f, n).wait().result(), {TIMES} times in each round, after {WARM_UP} to warm up"
    run(Benchmark("roundtrip", about, measure, rounds=ROUNDS))
