#!/usr/bin/env python3
"""How many partitions a second two slots get through when the function does nothing."""

from __future__ import annotations

import time

from _harness import Benchmark, Samples, run

import nbcluster as nb

INPUTS = 10_000
WARM_UP = 200
PATIENCE = 300.0


def same(number: int) -> int:
    return number


def measure(cluster: nb.Cluster) -> Samples:
    cluster.map(same, range(WARM_UP), chunk=1).wait(timeout=PATIENCE)
    began = time.perf_counter()
    job = cluster.map(same, range(INPUTS), chunk=1)
    submitted = time.perf_counter()
    job.wait(timeout=PATIENCE)
    ended = time.perf_counter()
    values = job.results()
    read = time.perf_counter()
    if values != list(range(INPUTS)):
        raise AssertionError("the results are not those of the inputs, in order")
    if sorted(set(job.partitions()["attempt"])) != [1]:
        raise AssertionError("a partition ran more than once")
    return {
        "partitions/s": [INPUTS / (ended - began)],
        "submit s": [submitted - began],
        "results() s": [read - ended],
    }


if __name__ == "__main__":
    about = f"{INPUTS:,} inputs, one partition each, two slots; from map() until wait() returns"
    run(Benchmark("noop", about, measure, rounds=5))
