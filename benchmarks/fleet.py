#!/usr/bin/env python3
"""What a large fleet that waits costs the database, beside what its bare heartbeats would cost."""

from __future__ import annotations

import argparse
import contextlib
import json
import multiprocessing
import os
import random
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

from _harness import machine_and_versions, say, summary, surroundings, text_of

from nbcluster.config import Settings
from nbcluster.member import Member
from nbcluster.newjob import NewJob
from nbcluster.node.loop import WorkerLoop
from nbcluster.node.worker import Worker
from nbcluster.store import Store, open_store
from nbcluster.store.wakeup import WORK, node_topic
from tests.builders import a_new_job, a_new_step
from tests.postgres import postgres_server

PROCESSES, MEMBERS, JOBS, PARTITIONS = 2, 200, 20, 50
SETTLE, SECONDS = 15.0, 30.0


# --- the load ---------------------------------------------------------------------------------------


class NoChildren:
    """An executor whose slot is free: the node looks for work and finds none that it may run."""

    ready = 1
    ended = 0

    def running(self) -> list[Any]:
        return []

    take_outcomes = take_saves = take_needs = progress = running

    def submit(self, *_: Any) -> None:
        raise AssertionError("a member claimed what it may not run")


def one_member(url: str, name: str) -> tuple[Store, Member, WorkerLoop]:
    """A node without children: it beats, watches the others, and looks for work."""
    store = open_store(url, pool_size=2)
    settings = Settings(url=url)
    member = Member(store, settings, slots=1, prefix=name)
    executor: Any = NoChildren()
    worker = Worker(store, executor, member.heartbeat.node, member.heartbeat.in_touch)
    loop = WorkerLoop(worker, member.poll_pause)
    store.wakeup.subscribe(WORK, loop.announced)
    store.wakeup.subscribe(node_topic(member.node_id), loop.announced)
    member.start()
    loop.start()
    return store, member, loop


def members(url: str, count: int, ready: Any, stop: Event) -> None:
    """A process with so many members."""
    running = [one_member(url, f"node{secrets.token_hex(3)}") for _ in range(count)]
    ready.release()
    stop.wait()
    for _, _, loop in running:
        loop.stop()
    for store, member, _ in running:
        member.leave()
        store.close()


def bare(url: str, count: int, ready: Any, stop: Event) -> None:
    """A process with so many connections that do nothing but one UPDATE and COMMIT for each heartbeat."""
    threads = [threading.Thread(target=bare_heartbeat, args=(url, stop)) for _ in range(count)]
    for thread in threads:
        thread.start()
    ready.release()
    for thread in threads:
        thread.join()


def bare_heartbeat(url: str, stop: Event) -> None:
    import psycopg

    interval = Settings().heartbeat_interval
    name = f"bare-{secrets.token_hex(6)}"
    with psycopg.connect(url.replace("+psycopg", "", 1)) as connection:
        connection.execute(
            "INSERT INTO batch_nodes (node_id, created_time, last_updated_time, status) "
            "VALUES (%s, clock_timestamp(), clock_timestamp(), 'ACTIVE')",
            [name],
        )
        connection.commit()
        while not stop.wait(interval * random.uniform(0.9, 1.1)):
            connection.execute(
                "UPDATE batch_nodes SET last_updated_time = clock_timestamp(), current_load = %s WHERE node_id = %s",
                [0, name],
            )
            connection.commit()
        connection.execute("DELETE FROM batch_nodes WHERE node_id = %s", [name])


@contextlib.contextmanager
def fleet(work: Callable[..., None], url: str) -> Iterator[None]:
    """The fleet's processes, from the moment on when all of them are ready."""
    context = multiprocessing.get_context("spawn")
    ready, stop = context.Semaphore(0), context.Event()
    started = [context.Process(target=work, args=(url, MEMBERS // PROCESSES, ready, stop)) for _ in range(PROCESSES)]
    for process in started:
        process.start()
    try:
        for _ in started:
            if not ready.acquire(timeout=300):
                raise RuntimeError("the fleet does not start")
        yield
    finally:
        stop.set()
        for process in started:
            process.join(120)
            process.kill()


def waiting_job(master: str) -> NewJob:
    """A job that no member may run: its work waits."""
    return replace(a_new_job(PARTITIONS, step=a_new_step(require=("nowhere",)), master_node_id=master))


# --- the figures -------------------------------------------------------------------------------------


def cpu_seconds(server: int) -> float:
    """CPU time of every process of the server until now."""
    total = 0
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            if server in (parent, int(folder.name)):
                total += int((folder / "schedstat").read_text().split()[0])  # in nanoseconds; ticks are too coarse
    return total / 1e9


def postmaster(url: str) -> int:
    import psycopg

    with psycopg.connect(url.replace("+psycopg", "", 1)) as connection:
        backend = connection.info.backend_pid
        return int(Path(f"/proc/{backend}/stat").read_text().rpartition(")")[2].split()[1])


def transactions(store: Store) -> int:
    statement = "SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = current_database()"
    return int(store.database.read(lambda connection: connection.exec_driver_sql(statement).scalar_one()))


def measured(store: Store, server: int) -> dict[str, float]:
    """CPU and transactions over some time."""
    time.sleep(SETTLE)
    cpu, count, began = cpu_seconds(server), transactions(store), time.monotonic()
    time.sleep(SECONDS)
    took = time.monotonic() - began
    return {
        "cpu % of a core": 100 * (cpu_seconds(server) - cpu) / took,
        "transactions/s": (transactions(store) - count) / took,
    }


def one_round(url: str) -> dict[str, float]:
    store = open_store(url, initialize="always")
    try:
        server = postmaster(url)
        with fleet(bare, url):
            alone = measured(store, server)
        with fleet(members, url):
            masters = [node.node_id for node in store.nodes.all()][:JOBS]
            for master in masters:
                store.jobs.create(waiting_job(master))
            whole = measured(store, server)
            lost = store.database.read(
                lambda connection: connection.exec_driver_sql(
                    "SELECT count(*) FROM batch_events WHERE phase IN ('NODE_UNREACHABLE', 'TAKEN_OVER')"
                ).scalar_one()
            )
        if lost:
            raise AssertionError(f"{lost} members were thought lost")
    finally:
        store.close()
    figures = {f"bare heartbeats: {name}": value for name, value in alone.items()}
    figures |= {f"fleet: {name}": value for name, value in whole.items()}
    return figures | {"fleet CPU / bare heartbeats' CPU": whole["cpu % of a core"] / alone["cpu % of a core"]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    os.environ["NBCLUSTER_TEST_POSTGRES_CONNECTIONS"] = str(4 * MEMBERS)
    collected: dict[str, list[float]] = {}
    with surroundings(), postgres_server() as server:
        os.environ["NBCLUSTER_KEY"] = "5a" * 32
        report = machine_and_versions("fleet", str(__doc__), server) | {
            "settings": {
                "members": MEMBERS,
                "processes": PROCESSES,
                "jobs": JOBS,
                "seconds": SECONDS,
                "rounds": options.rounds,
                "heartbeat_interval_s": Settings().heartbeat_interval,
            }
        }
        for turn in range(options.rounds):
            say(f"round {turn + 1} of {options.rounds}", quiet=options.json)
            url = server.fresh_database()
            for name, value in one_round(url).items():
                collected.setdefault(name, []).append(value)
            server.drop_database(url)
    report["figures"] = [{"database": "postgresql", "figure": n, **summary(v)} for n, v in collected.items()]
    print(json.dumps(report, indent=2) if options.json else text_of(report))


if __name__ == "__main__":
    main()
