#!/usr/bin/env python3
"""Reading what jobs gave: what it takes of a kernel's memory, and how long, by every way that promises little of both.

Each way is taken by a fresh process that knows only the database; its peak is what it has above the memory that it
had before it began to read.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from _harness import Benchmark, Samples, run

import nbcluster as nb

PARTITIONS = 100_000
LARGE, MEGABYTE = 1_000, 1 << 20
ITEMS = 1_000_000
PATIENCE = 1800.0

READER = """
import json, sys, time
import duckdb, numpy, pandas
import nbcluster as nb
from nbcluster import exports
from nbcluster.frames import items

url, number, way, file = sys.argv[1:]

def megabytes(name):
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) / 1024 for line in status if line.startswith(name + ":"))

with nb.connect(url) as cluster:
    job = cluster.job(int(number))
    job.wait()
    with open("/proc/self/clear_refs", "w") as refs:
        refs.write("5")  # the peak begins here
    before, began = megabytes("VmRSS"), time.perf_counter()
    count = 0
    if way in ("iter", "as_completed"):
        for _ in getattr(job, way)():
            count += 1
    elif way == "first of iter":
        next(job.iter())
        count = 1
    elif way in ("frame", "results"):
        count = len(getattr(job, way)())
    elif way == "errors":
        job.errors()
    else:
        getattr(job, way)(file)
    seconds = time.perf_counter() - began
    print(json.dumps({"count": count, "seconds": seconds, "peak": megabytes("VmHWM") - before}))
"""


def read(cluster: nb.Cluster, url: str, job: int, way: str, count: int) -> Samples:
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-c", READER, url, str(job), way, str(Path(folder) / "file")]
        root = str(Path(__file__).resolve().parent.parent)
        done = subprocess.run(command, env=os.environ | {"PYTHONPATH": root}, stdout=subprocess.PIPE, check=True)
    found = json.loads(done.stdout.splitlines()[-1])
    if found["count"] not in (count, 0):
        raise AssertionError(f"{way} gave {found['count']} values instead of {count}")
    return {"peak MB": [round(found["peak"], 1)], "seconds": [found["seconds"]]}


def measure(cluster: nb.Cluster) -> Samples:
    url = cluster.settings.url
    jobs = {
        f"{PARTITIONS:,} partitions": (cluster.map(abs, range(PARTITIONS), chunk=1), PARTITIONS),
        f"{ITEMS:,} items in 100 partitions": (cluster.map(row, range(ITEMS), partitions=100), ITEMS),
        f"{LARGE:,} x 1 MB": (cluster.map(large, range(LARGE), chunk=1), LARGE),
    }
    samples: Samples = {}
    for name, (job, count) in jobs.items():
        job.wait(PATIENCE)
        for way in ("iter", "as_completed", "first of iter", "errors", "to_parquet", "to_csv", "frame"):
            if way.startswith("to_") and "MB" in name:
                continue  # arrays in a file of rows are texts
            expected = 1 if way == "first of iter" else count
            for figure, values in read(cluster, url, job.id, way, expected).items():
                samples.setdefault(f"{name}, {way}: {figure}", []).extend(values)
    return samples


def row(n: int) -> dict[str, object]:
    return {"n": n, "half": n / 2, "text": f"number {n}"}


def large(n: int) -> object:
    import numpy as np

    return np.full(MEGABYTE // 8, n, dtype="float64")


if __name__ == "__main__":
    run(Benchmark("reading", "Memory and time of a kernel that reads what jobs gave", measure, rounds=1))
