#!/usr/bin/env python3
"""Whether claims stay as fast when the tables hold millions of finished partitions."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from _harness import machine_and_versions, say, summary, surroundings, text_of

from nbcluster.store import Store, open_store
from tests.builders import a_new_job, a_new_node, completed
from tests.postgres import PostgresServer, postgres_server

FINISHED = 2_000_000
JOB_OF_HISTORY = 100_000
"""Partitions of one job of the history."""

WAITING, BATCH, SINGLES = 5_000, 100, 300
LARGEST_LOSS = 0.2


def fill(store: Store, partitions: int) -> None:
    """A history of jobs that are done, with results, attempts and events, as they would have left it."""
    pattern = store.jobs.create(a_new_job(JOB_OF_HISTORY))
    step = next(s for s in store.jobs.started_steps() if s.step_execution_id == pattern.step_execution_id)
    claims = store.claims.claim(step, "node-1", 1, free=True, steal=False)
    store.finishes.finish([completed(claim) for claim in claims])
    finish_by_hand(store, pattern.step_execution_id, already=1)
    for _ in range(partitions // JOB_OF_HISTORY - 1):
        finish_by_hand(store, store.jobs.create(a_new_job(JOB_OF_HISTORY)).step_execution_id)


def finish_by_hand(store: Store, step: int, already: int = 0) -> None:
    """What a million commits would do, in a few statements."""
    statements = (
        "UPDATE batch_partitions SET status = 'COMPLETED', exit_code = 'COMPLETED', assigned_node = 'node-1', "
        f"attempt = 1, end_time = last_updated WHERE master_step_execution_id = {step}",
        "INSERT INTO batch_results (step_execution_id, attempt, claim_token, size, body, errors, seconds, mac) "
        "SELECT step_execution_id, 1, 0, 9, arguments, '[]', arguments, arguments FROM batch_partitions "
        f"WHERE master_step_execution_id = {step} AND partition_index >= {already}",
        "INSERT INTO batch_events (event_time, phase, step_execution_id, members) SELECT last_updated, 'COMPLETED', "
        f"{step}, partition_key FROM batch_partitions WHERE master_step_execution_id = {step} "
        "AND mod(partition_index, 100) = 0",
        f"UPDATE batch_step_execution SET status = 'COMPLETED' WHERE step_execution_id = {step}",
        "UPDATE batch_job_execution SET status = 'COMPLETED' WHERE status = 'STARTED'",
        "UPDATE batch_job_coordination SET status = 'COMPLETED' WHERE status = 'STARTED'",
    )
    store.database.write(lambda connection: [connection.exec_driver_sql(one) for one in statements], patience=600)


def measured(store: Store) -> dict[str, list[float]]:
    """Claims one by one, then many at once, each finished afterwards."""
    submitted = store.jobs.create(a_new_job(WAITING + SINGLES))
    step = next(s for s in store.jobs.started_steps() if s.step_execution_id == submitted.step_execution_id)
    milliseconds = []
    for _ in range(SINGLES):
        began = time.perf_counter()
        claims = store.claims.claim(step, "node-1", 1, free=True, steal=False)
        milliseconds.append((time.perf_counter() - began) * 1000)
        store.finishes.finish([completed(claim) for claim in claims])
    claimed, spent = 0, 0.0
    while True:
        began = time.perf_counter()
        claims = store.claims.claim(step, "node-1", BATCH, free=True, steal=False)
        spent += time.perf_counter() - began
        if not claims:
            break
        claimed += len(claims)
        store.finishes.finish([completed(claim) for claim in claims])
    if claimed != WAITING:
        raise AssertionError(f"{claimed} of {WAITING} were claimed")
    store.advancing.advance(submitted.job_execution_id, 1)
    return {"claim of one, ms": milliseconds[20:], "claims/s by hundreds": [claimed / spent]}


@contextlib.contextmanager
def database(system: str, folder: Path, server: PostgresServer | None) -> Iterator[Store]:
    if server is None:
        url = f"sqlite:///{Path(tempfile.mkdtemp(dir=folder)) / 'cluster.db'}"
    else:
        url = server.fresh_database()
    store = open_store(url, initialize="always")
    try:
        store.nodes.register(a_new_node("node-1"))
        yield store
    finally:
        store.close()
        if server is not None:
            server.drop_database(url)


def measure(system: str, folder: Path, server: PostgresServer | None, rounds: int, *, quiet: bool) -> list[Any]:
    """An empty database and one with a history, in turn."""
    samples: dict[str, dict[str, list[float]]] = {"empty": {}, "with history": {}}
    with database(system, folder, server) as empty, database(system, folder, server) as full:
        say(f"{system}: {FINISHED:,} partitions of history", quiet=quiet)
        fill(full, FINISHED)
        for turn in range(rounds):
            order = [("empty", empty), ("with history", full)]
            for name, store in order if turn % 2 == 0 else reversed(order):
                say(f"{system}: round {turn + 1} of {rounds}, {name}", quiet=quiet)
                for figure, values in measured(store).items():
                    samples[name].setdefault(figure, []).extend(values)
    figures = [
        {"database": system, "figure": f"{name}: {figure}", **summary(values)}
        for name, found in samples.items()
        for figure, values in found.items()
    ]
    ratio = figures[3]["median"] / figures[1]["median"]
    slower = figures[2]["median"] / figures[0]["median"]
    figures.append({"database": system, "figure": "claims/s, history to empty", **summary([ratio])})
    figures.append({"database": system, "figure": "claim of one, history to empty", **summary([slower])})
    if ratio < 1 - LARGEST_LOSS or slower > 1 / (1 - LARGEST_LOSS):
        say(f"{system}: a history of {FINISHED:,} costs more than {LARGEST_LOSS:.0%}", quiet=False)
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--databases", nargs="+", default=["sqlite", "postgresql"], choices=["sqlite", "postgresql"])
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    with surroundings() as folder, contextlib.ExitStack() as stack:
        os.environ["NBCLUSTER_KEY"] = "5a" * 32
        server = stack.enter_context(postgres_server()) if "postgresql" in options.databases else None
        report = machine_and_versions("history", str(__doc__), server) | {
            "settings": {"finished": FINISHED, "waiting": WAITING, "batch": BATCH, "rounds": options.rounds}
        }
        report["figures"] = [
            figure
            for system in options.databases
            for figure in measure(
                system, folder, server if system == "postgresql" else None, options.rounds, quiet=options.json
            )
        ]
    print(json.dumps(report, indent=2) if options.json else text_of(report))


if __name__ == "__main__":
    main()
