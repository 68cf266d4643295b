#!/usr/bin/env python3
"""What a refresh of the live view costs a Jupyter kernel, and how much it sends to the front end."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from _harness import machine_and_versions, say, summary, surroundings, text_of
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import KernelManager

from nbcluster.store import Store, open_store
from tests.builders import a_new_job, a_new_node, a_new_partition
from tests.postgres import PostgresServer, postgres_server

SIZES = (1, 10_000, 100_000)
NODES, SLOTS, DONE, FAILED_EVERY = 8, 4, 0.6, 97
REFRESHES, WARM_UP, ENDED_BETWEEN = 30, 2, 40

SET_UP = """
import json, sys, time
import nbcluster as nb
from nbcluster.notebook.dashboard import of_job
from nbcluster.notebook.front_end import WIDGET
from nbcluster.notebook.render import JOB
from nbcluster.notebook.skins import skin_for

subject = of_job(nb.connect({url!r}).job("collatz"))
skin = skin_for(WIDGET, JOB)
skin.begin(subject.look())

def refresh():
    wall, cpu = time.perf_counter(), time.process_time()
    skin.update(subject.look())
    wall = time.perf_counter() - wall
    time.sleep(0.05)  # the thread that sends has its share
    print(json.dumps([1e3 * (time.process_time() - cpu), 1e3 * wall]))
"""


# --- a job in the middle ------------------------------------------------------------------------------


class Job:
    """A job of so many partitions, more than half of them done, which goes on as the benchmark says."""

    def __init__(self, store: Store, size: int) -> None:
        self._store = store
        self._size = size
        for number in range(NODES):
            store.nodes.register(a_new_node(f"lab-{number}", slots=SLOTS))
        parts = [a_new_partition(index, arguments=b"printed a line\n" * 20, items=10) for index in range(size)]
        self._step = store.jobs.create(a_new_job(parts, name="collatz")).step_execution_id
        self._ended = self._told = 0
        self._act("UPDATE batch_job_execution SET create_time = {earlier}")
        self.go_on(int(size * DONE))

    def go_on(self, ended: int = ENDED_BETWEEN) -> None:
        """So many more partitions end, some of them fail; the next ones run, and every node beats."""
        first, last = self._ended, min(self._ended + ended, self._size - 1)
        self._ended = last
        self._told += 1
        mine = f"master_step_execution_id = {self._step}"
        new = f"{mine} AND partition_index >= {first} AND partition_index < {last}"
        failed = f"{new} AND mod(partition_index, {FAILED_EVERY}) = 3"
        self._act(
            f"UPDATE batch_partitions SET status = 'COMPLETED', exit_code = 'COMPLETED', attempt = 1, seconds = 0.5, "
            f"assigned_node = 'lab-' || mod(partition_index, {NODES}), claimed_time = last_updated, end_time = {{now}} "
            f"WHERE {new}",
            f"UPDATE batch_partitions SET status = 'FAILED', exit_code = 'FAILED', failed_items = 1, exit_message = "
            f"'ValueError: bad date ' || mod(partition_index, 7) WHERE {failed}",
            f"INSERT INTO batch_results (step_execution_id, attempt, claim_token, size, errors, seconds, mac) SELECT "
            f"step_execution_id, 1, 0, 9, '{_ERROR}', arguments, arguments FROM batch_partitions WHERE {failed}",
            f"INSERT INTO batch_logs SELECT step_execution_id, 1, arguments FROM batch_partitions WHERE {new} "
            "AND mod(partition_index, 5) = 0",
            f"UPDATE batch_partitions SET status = 'CLAIMED', attempt = 1, claimed_time = {{earlier}}, progress = 0.5, "
            f"assigned_node = 'lab-' || mod(partition_index, {NODES}), progress_message = 'reading file {self._told}' "
            f"WHERE {mine} AND partition_index >= {last} AND partition_index < {last + NODES * SLOTS}",
            "UPDATE batch_nodes SET last_updated_time = {now}",
        )

    def rest(self) -> None:
        """The job has been paused for an hour."""
        self._act(
            "UPDATE batch_job_execution SET paused = 1",
            "UPDATE batch_partitions SET status = 'PENDING', assigned_node = NULL WHERE status = 'CLAIMED'",
            "UPDATE batch_partitions SET end_time = {earlier} WHERE end_time IS NOT NULL",
        )

    def _act(self, *statements: str) -> None:
        embedded = self._store.database.dialect.file is not None
        now = "CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER) * 1000" if embedded else "clock_timestamp()"
        earlier = f"{now} - 3600000000" if embedded else f"{now} - interval '1 hour'"
        made = [one.format(now=now, earlier=earlier) for one in statements]
        self._store.database.write(lambda connection: [connection.exec_driver_sql(one) for one in made], patience=600)


_TRACEBACK = "Traceback (most recent call last):\n" + 'File "cell", line 3, in collatz\n' * 12 + "ValueError: bad date"
# Braces are for str.format.
_ERROR = json.dumps(
    [{"item": 1, "type": "ValueError", "message": "bad date", "traceback": _TRACEBACK}]
).replace("{", "{{").replace("}", "}}")  # fmt: skip


# --- a kernel with a front end ------------------------------------------------------------------------


@contextlib.contextmanager
def kernel() -> Iterator[BlockingKernelClient]:
    """A Jupyter kernel, and what listens to it."""
    manager = KernelManager(kernel_name="python3")
    manager.start_kernel(env=os.environ | {"PYTHONPATH": str(Path(__file__).resolve().parent.parent)})
    client = manager.blocking_client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=120)
        yield client
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def run(client: BlockingKernelClient, code: str) -> tuple[str, list[int]]:
    """Run a cell; gives what it printed, and the sizes of the messages for its widgets."""
    request = client.execute(code)
    printed, sizes = "", []
    while True:
        message = client.get_iopub_msg(timeout=300)
        if message["parent_header"].get("msg_id") != request:
            continue
        kind, content = message["msg_type"], message["content"]
        if kind == "error":
            raise RuntimeError("\n".join(content["traceback"]))
        if kind == "stream":
            printed += content["text"]
        elif kind.startswith("comm_"):
            sizes.append(len(json.dumps(content)))
        elif kind == "status" and content["execution_state"] == "idle":
            return printed, sizes


def measured(url: str, size: int, refreshes: int) -> Iterator[tuple[str, list[float]]]:
    """Refreshes of a running job that changed each time, and of a paused one."""
    with contextlib.closing(open_store(url, initialize="always")) as store, kernel() as client:
        job = Job(store, size)
        _, sent = run(client, SET_UP.format(url=url))
        yield "first display, KB", [sum(sent) / 1e3]
        yield from looks(client, "running", refreshes, job.go_on)
        job.rest()
    with kernel() as client:
        run(client, SET_UP.format(url=url))
        yield from looks(client, "paused", refreshes, lambda: None)


def looks(
    client: BlockingKernelClient, what: str, refreshes: int, between: Callable[[], None]
) -> Iterator[tuple[str, list[float]]]:
    found: dict[str, list[float]] = {}
    for turn in range(refreshes + WARM_UP):
        between()
        printed, sent = run(client, "refresh()")
        cpu, wall = json.loads(printed)
        if turn >= WARM_UP:
            figures = {"CPU, ms": cpu, "wall, ms": wall, "messages": len(sent), "KB": sum(sent) / 1e3}
            for figure, value in figures.items():
                found.setdefault(f"{what}, {figure}", []).append(value)
    yield from found.items()


# --- the report ---------------------------------------------------------------------------------------


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--partitions", type=int, nargs="+", default=list(SIZES))
    parser.add_argument("--refreshes", type=int, default=REFRESHES)
    parser.add_argument("--databases", nargs="+", default=["sqlite", "postgresql"], choices=["sqlite", "postgresql"])
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(surroundings())
        server = stack.enter_context(postgres_server()) if "postgresql" in options.databases else None
        report = _report(options.refreshes, server)
        report["figures"] = []
        for system in options.databases:
            for size in options.partitions:
                say(f"{system}: {size:,} partitions", quiet=options.json)
                with _database(system, folder, server) as url:
                    for name, values in measured(url, size, options.refreshes):
                        figure = f"{size:,} partition{'s' if size > 1 else ''}: {name}"
                        report["figures"].append({"database": system, "figure": figure, **summary(values)})
    print(json.dumps(report, indent=2) if options.json else text_of(report))


@contextlib.contextmanager
def _database(system: str, folder: Path, server: PostgresServer | None) -> Iterator[str]:
    if system == "sqlite" or server is None:
        yield f"sqlite:///{Path(tempfile.mkdtemp(dir=folder)) / 'cluster.db'}"
        return
    url = server.fresh_database()
    yield url
    server.drop_database(url)


def _report(refreshes: int, server: PostgresServer | None) -> dict[str, Any]:
    return machine_and_versions("refresh", str(__doc__), server) | {
        "settings": {
            "refreshes": refreshes,
            "nodes": NODES,
            "slots_per_node": SLOTS,
            "partitions_that_end_between": ENDED_BETWEEN,
            "failed": f"1 of {FAILED_EVERY}, in 7 groups",
        },
    }


if __name__ == "__main__":
    main()
