#!/usr/bin/env python3
"""How long questions in SQL take over a history of a million partitions, each in a process of its own."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from _harness import machine_and_versions, say, summary, surroundings, text_of
from sqlalchemy import text

import nbcluster as nb
from nbcluster.store import Store, open_store
from tests.builders import a_new_job, a_new_node
from tests.postgres import PostgresServer, postgres_server

JOB_OF_HISTORY = 100_000
"""Partitions of one job of the history."""

NODES, EVENT_MEMBERS = 8, 100

QUESTIONS = {
    "partitions by state": "SELECT state, count(*), avg(seconds) FROM partitions GROUP BY 1",
    "partitions by node": "SELECT node, count(*), sum(seconds) FROM partitions GROUP BY 1",
    "partitions by name": "SELECT name, step, count(*), max(seconds) FROM partitions GROUP BY 1, 2",
    "partitions by minute": "SELECT time_bucket(INTERVAL 1 MINUTE, ended), count(*) FROM partitions GROUP BY 1",
    "partitions, only counted": "SELECT count(*) FROM partitions",
    "failed partitions": "SELECT job, partition, message FROM partitions WHERE state = 'FAILED'",
    "partitions of one job": "SELECT count(*), avg(seconds) FROM partitions WHERE job = 3",
    "partitions, all columns": "SELECT max(COLUMNS(*)) FROM partitions",
    "attempts by outcome": "SELECT outcome, count(*), avg(seconds) FROM attempts GROUP BY 1",
    "events by phase": "SELECT phase, count(*) FROM events GROUP BY 1",
    "results by error": "SELECT error, count(*), avg(seconds) FROM results GROUP BY 1",
    "events by partition": "SELECT count(DISTINCT partition), max(attempt) FROM events",
}


def fill(store: Store, partitions: int) -> None:
    """A history of jobs that are done: one in a hundred partitions FAILED, one in twenty had an earlier attempt."""
    for _ in range(partitions // JOB_OF_HISTORY):
        submitted = store.jobs.create(a_new_job(JOB_OF_HISTORY))
        _end(store, submitted.job_execution_id, submitted.step_execution_id)


def _end(store: Store, job: int, step: int) -> None:
    """What a thousand commits would do, in a few statements."""
    mine = f"WHERE master_step_execution_id = {step}"
    statements = (
        f"UPDATE batch_partitions SET status = 'COMPLETED', exit_code = 'COMPLETED', attempt = 1, "
        f"assigned_node = 'node-' || mod(partition_index, {NODES}), seconds = mod(partition_index, 997) / 64.0, "
        f"start_time = last_updated, claimed_time = last_updated, end_time = last_updated {mine}",
        "UPDATE batch_partitions SET status = 'FAILED', exit_code = 'FAILED', exit_message = 'ValueError: bad row ' "
        f"|| partition_index {mine} AND mod(partition_index, 100) = 1",
        f"UPDATE batch_partitions SET attempt = 2 {mine} AND mod(partition_index, 20) = 0",
        "INSERT INTO batch_attempts (step_execution_id, attempt, node_id, claimed_time, end_time, outcome, message, "
        "seconds) SELECT step_execution_id, 1, 'node-lost', claimed_time, end_time, 'NODE_LOST', 'gone', 0.5 FROM "
        f"batch_partitions {mine} AND attempt = 2",
        f"UPDATE batch_step_execution SET status = 'COMPLETED' WHERE step_execution_id = {step}",
        f"UPDATE batch_job_execution SET status = 'COMPLETED' WHERE job_execution_id = {job}",
        f"UPDATE batch_job_coordination SET status = 'COMPLETED' WHERE job_execution_id = {job}",
    )

    results = text(
        "INSERT INTO batch_results (step_execution_id, attempt, claim_token, size, body, errors, seconds, mac) "
        "SELECT step_execution_id, attempt, 0, 200, :body, '[]', :seconds, :mac FROM batch_partitions "
        f"{mine} AND status = 'COMPLETED'"
    )

    def work(connection: Any) -> None:
        for statement in statements:
            connection.exec_driver_sql(statement)
        connection.execute(results, {"body": bytes(200), "seconds": struct.pack("d", 0.25), "mac": bytes(32)})
        found = connection.exec_driver_sql(f"SELECT step_execution_id, attempt FROM batch_partitions {mine}").all()
        for phase in ("CLAIMED", "COMPLETED"):
            for start in range(0, len(found), EVENT_MEMBERS):
                members = " ".join(f"{one}:{attempt}" for one, attempt in found[start : start + EVENT_MEMBERS])
                connection.exec_driver_sql(
                    "INSERT INTO batch_events (event_time, phase, job_execution_id, step_execution_id, node_id, "
                    f"members) SELECT last_updated, '{phase}', {job}, {step}, 'node-1', '{members}' "
                    f"FROM batch_step_execution WHERE step_execution_id = {step}"
                )

    store.database.write(work, patience=600)


def asked(url: str, question: str) -> dict[str, float]:
    """One question in a fresh process: seconds from the call to the frame, and the process' peak memory."""
    done = subprocess.run(
        [sys.executable, __file__, "--ask", question, "--url", url], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise AssertionError(done.stderr)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def ask(url: str, question: str) -> None:
    """The child's part: everything is imported, nothing has been read yet."""
    import duckdb  # noqa: F401
    import pandas as pd  # noqa: F401

    import nbcluster.query  # noqa: F401

    with nb.connect(url) as cluster:
        began, worked = time.perf_counter(), time.process_time()
        answer = cluster.sql(question)
        seconds, processor = time.perf_counter() - began, time.process_time() - worked
    if not len(answer):
        raise AssertionError("there is no answer")
    peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    print(json.dumps({"seconds": seconds, "processor": processor, "peak": int(peak.split()[1]) / 1024}))


@contextlib.contextmanager
def database(system: str, folder: Path, server: PostgresServer | None) -> Iterator[str]:
    if server is None:
        yield f"sqlite:///{Path(tempfile.mkdtemp(dir=folder)) / 'cluster.db'}"
        return
    url = server.fresh_database()
    yield url
    server.drop_database(url)


def measure(url: str, system: str, options: argparse.Namespace, questions: Sequence[str]) -> list[dict[str, Any]]:
    store = open_store(url, initialize="always")
    try:
        store.nodes.register(a_new_node("node-1"))
        say(f"{system}: {options.partitions:,} partitions of history", quiet=options.json)
        fill(store, options.partitions)
        if system == "postgresql":  # what its autovacuum does some time after such a load
            store.database.single(lambda connection: connection.exec_driver_sql("VACUUM ANALYZE"))
    finally:
        store.close()
    samples: dict[str, list[float]] = {}
    for turn in range(options.rounds):
        say(f"{system}: round {turn + 1} of {options.rounds}", quiet=options.json)
        for name in questions:
            found = asked(url, QUESTIONS[name])
            samples.setdefault(f"{name}, s", []).append(found["seconds"])
            samples.setdefault(f"{name}, s of this process' processor", []).append(found["processor"])
            samples.setdefault(f"{name}, peak MB", []).append(found["peak"])
    return [{"database": system, "figure": figure, **summary(values)} for figure, values in samples.items()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--partitions", type=int, default=1_000_000)
    parser.add_argument("--databases", nargs="+", default=["sqlite", "postgresql"], choices=["sqlite", "postgresql"])
    parser.add_argument("--questions", nargs="+", default=list(QUESTIONS), choices=list(QUESTIONS))
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--ask", help=argparse.SUPPRESS)
    parser.add_argument("--url", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.ask:
        ask(options.url, options.ask)
        return
    with surroundings() as folder, contextlib.ExitStack() as stack:
        os.environ["NBCLUSTER_KEY"] = "5a" * 32
        server = stack.enter_context(postgres_server()) if "postgresql" in options.databases else None
        report = machine_and_versions("sql", str(__doc__), server) | {
            "settings": {"partitions": options.partitions, "rounds": options.rounds}
        }
        report["figures"] = []
        for system in options.databases:
            with database(system, folder, server if system == "postgresql" else None) as url:
                report["figures"] += measure(url, system, options, options.questions)
    print(json.dumps(report, indent=2) if options.json else text_of(report))


if __name__ == "__main__":
    main()
