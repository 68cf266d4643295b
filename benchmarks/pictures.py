#!/usr/bin/env python3
"""How long pictures and questions take for a job of very many partitions, and how much memory."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from _harness import machine_and_versions, say, summary, surroundings, text_of

import nbcluster as nb
from nbcluster.store import Store, open_store
from tests.builders import a_new_job, a_new_node, completed, handed_back
from tests.postgres import PostgresServer, postgres_server

PARTITIONS, NODES, BATCH = 100_000, 20, 200
AGAIN = 500
"""One attempt in so many is handed back and runs again."""

NAME = "sweep"


def fill(store: Store, partitions: int) -> None:
    """A job as nodes would have left it, with some attempts that were not the last."""
    chance = random.Random(1)
    nodes = [f"lab{place:02}-{place:08x}" for place in range(NODES)]
    for node in nodes:
        store.nodes.register(a_new_node(node, slots=8))
    submitted = store.jobs.create(a_new_job(partitions, name=NAME))
    step = next(s for s in store.jobs.started_steps() if s.step_execution_id == submitted.step_execution_id)
    turn = 0
    while claims := store.claims.claim(step, nodes[turn % NODES], BATCH, free=True, steal=True):
        store.finishes.finish([
            handed_back(claim) if chance.random() < 1 / AGAIN
            else completed(claim, seconds=chance.lognormvariate(-5, 0.5))
            for claim in claims
        ])  # fmt: skip
        turn += 1
    store.advancing.advance(submitted.job_execution_id, 1)


def works(cluster: nb.Cluster) -> dict[str, Callable[[], object]]:
    job = cluster.job(NAME)
    timeline = job.timeline()
    return {
        "plot(), s": lambda: job.plot().png(),
        "plot('gantt'), s": lambda: job.plot("gantt").png(),
        "plot('throughput'), s": lambda: job.plot("throughput").png(),
        "plot('durations'), s": lambda: job.plot("durations").png(),
        "plot('scaling'), s": lambda: job.plot("scaling").png(),
        "timeline(), s": job.timeline,
        "a timeline as a cell's value, s": timeline._repr_html_,
        "sql, attempts by node, s": lambda: cluster.sql("SELECT node, avg(seconds) FROM attempts GROUP BY 1"),
        "sql, results without values, s": lambda: cluster.sql("SELECT node, avg(seconds) FROM results GROUP BY 1"),
    }


def measure(url: str, system: str, partitions: int, rounds: int, *, quiet: bool) -> list[dict[str, Any]]:
    store = open_store(url, initialize="always")
    say(f"{system}: {partitions:,} partitions", quiet=quiet)
    fill(store, partitions)
    store.close()
    samples: dict[str, list[float]] = {}
    with nb.connect(url) as cluster:
        for turn in range(rounds):
            say(f"{system}: round {turn + 1} of {rounds}", quiet=quiet)
            for name, work in works(cluster).items():
                began = time.perf_counter()
                work()
                samples.setdefault(name, []).append(time.perf_counter() - began)
    return [{"database": system, "figure": name, **summary(values)} for name, values in samples.items()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--partitions", type=int, default=PARTITIONS)
    parser.add_argument("--databases", nargs="+", default=["sqlite", "postgresql"], choices=["sqlite", "postgresql"])
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    with surroundings() as folder, contextlib.ExitStack() as stack:
        os.environ["NBCLUSTER_KEY"] = "5a" * 32
        needed = "postgresql" in options.databases
        server: PostgresServer | None = stack.enter_context(postgres_server()) if needed else None
        report = machine_and_versions("pictures", str(__doc__), server) | {
            "settings": {"partitions": options.partitions, "nodes": NODES, "rounds": options.rounds}
        }
        report["figures"] = []
        for system in options.databases:
            file = Path(tempfile.mkdtemp(dir=folder)) / "cluster.db"
            url = f"sqlite:///{file}" if system == "sqlite" or server is None else server.fresh_database()
            report["figures"] += measure(url, system, options.partitions, options.rounds, quiet=options.json)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        report["figures"].append({"database": "all", "figure": "peak memory of this process, MB", **summary([peak])})
    print(json.dumps(report, indent=2) if options.json else text_of(report))


if __name__ == "__main__":
    main()
