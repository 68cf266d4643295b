"""A cluster to do harm to: real nodes, real kernels, a database of its own, and witnesses of all that happens."""

from __future__ import annotations

import contextlib
import json
import random
import re
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cloudpickle
from sqlalchemy import make_url

import nbcluster as nb
from tests.chaos import hostility, workload
from tests.chaos.history import Harm, History, Note, Submission
from tests.chaos.leftovers import end_in_good_order, left_behind
from tests.chaos.network import Link
from tests.chaos.reading import NOTED, ROWS, read_notes, read_tables
from tests.chaos.server import ROOT, OwnServer
from tests.chaos.watching import IdleWatch
from tests.cluster.database import Tables, prepare
from tests.cluster.nodes import NodeProcess, OneProcess, settings_environment
from tests.waiting import wait_until

SETTINGS = {
    # A lost node is noticed in three to four seconds, by six missed beats.
    "heartbeat_interval": "500ms",
    "unreachable_node_threshold": "3s",
    "node_cleanup_threshold": "8s",
    "orphaned_tasks_polling_interval": "500ms",
    "orphaned_master_scan_interval": "2s",
    "task_polling_interval": "500ms",
    "interrupt_grace": "500ms",
}
THRESHOLD = 3.0
DEFAULTS: dict[str, object] = dict.fromkeys(SETTINGS, "")
"""Settings that leave everything as a user finds it."""

LOSS = frozenset({"loss"})
CRASH = frozenset({"crash"})
BOTH = LOSS | CRASH

_KERNEL = re.compile(r"I am (\S+)")


class Kernel(OneProcess):
    """A process that runs what a notebook's kernel would run."""

    @property
    def ids(self) -> tuple[str, ...]:
        return tuple(_KERNEL.findall(self.said()))

    def says(self, text: str, timeout: float = 60.0) -> None:
        """Wait until it has said so."""
        wait_until(lambda: text in self.said() or not self.running, timeout, self.said)
        assert text in self.said(), self.said()


Process = NodeProcess | Kernel


@dataclass(slots=True)
class Strike:
    """One harm, while it is being done; ``nodes`` are found when the ids of its victims are known."""

    name: str
    victims: tuple[Process, ...]
    excuses: frozenset[str]
    aftermath: float
    start: float = field(default_factory=time.time)
    end: float | None = None

    def over(self) -> None:
        self.end = time.time()

    def told(self) -> Harm:
        nodes = tuple(one for victim in self.victims for one in victim.ids)
        return Harm(self.name, nodes, self.start, self.end, self.excuses, self.aftermath)


class ChaosLab:
    """One database, the processes on it, and the record of what was done to them."""

    def __init__(
        self,
        url: str,
        folder: Path,
        *,
        seed: int,
        server: OwnServer | None = None,
        settings: dict[str, object] | None = None,
    ) -> None:
        self.url, self.folder, self.seed, self.server = url, folder, seed, server
        self.random = random.Random(seed)
        self.settings = {name: value for name, value in (SETTINGS | (settings or {})).items() if value != ""}
        self.effects = folder / "effects"
        self.strikes: list[Strike] = []
        self.submissions: dict[str, Submission] = {}
        self.nodes: list[NodeProcess] = []
        self.figures: dict[str, float | int | str] = {}
        self._everybody: list[Process] = []
        self._clusters: list[Any] = []
        self._links: list[Link] = []
        for module in (workload, hostility):
            cloudpickle.register_pickle_by_value(module)
        prepare(url)
        self.tables = Tables(url)
        self.idle = IdleWatch(self)

    @property
    def sqlite(self) -> bool:
        return self.server is None

    # --- processes ----------------------------------------------------------------------

    def start_node(self, slots: int = 2, *, link: Link | None = None, module: str = "nbcluster",
                   environ: dict[str, str] | None = None, **settings: object) -> NodeProcess:  # fmt: skip
        """Start a node and do not wait."""
        log = self.folder / f"node{len(self._everybody)}.log"
        chosen = self.settings | settings
        node = NodeProcess(self.through(link), slots, log, self.folder, chosen, module=module, environ=environ)
        self._everybody.append(node)
        self.nodes.append(node)
        return node

    def start_nodes(self, count: int, slots: int = 2, **options: Any) -> list[NodeProcess]:
        """Start nodes and wait until they have registered."""
        started = [self.start_node(slots, **options) for _ in range(count)]
        return [node.ready() for node in started]

    def kernel(
        self, name: str, partitions: int, *, link: Link | None = None, module: str = "tests.chaos.kernel",
        environ: dict[str, str] | None = None, promised: bool = True, **asked: Any,
    ) -> Kernel:  # fmt: skip
        """A process that submits a job of squares; with ``promised`` it must come into being."""
        asked |= {"name": name, "partitions": partitions, "effects": str(self.effects)}
        environment = settings_environment(self.through(link), self.settings) | {"PYTHONPATH": str(ROOT)}
        log = self.folder / f"kernel{len(self._everybody)}.log"
        command = [sys.executable, "-m", module, json.dumps(asked)]
        kernel = Kernel(command, log, environment | (environ or {}), self.folder)
        self._everybody.append(kernel)
        expected = [n * n for n in range(partitions)]
        self.submissions[name] = Submission(name, partitions, returned=promised, expected=expected)
        return kernel

    def link(self) -> Link:
        """A way to the database that can be broken.  PostgreSQL only."""
        server = make_url(self.url)
        assert server.host
        self._links.append(Link(server.host, server.port or 5432, self.seed + len(self._links)))
        return self._links[-1]

    def through(self, link: Link | None) -> str:
        if link is None:
            return self.url
        through = make_url(self.url).set(host="127.0.0.1", port=link.port)
        return through.render_as_string(hide_password=False)

    def gone(self, node: NodeProcess) -> None:
        """It is not expected to serve any more."""
        self.nodes.remove(node)

    # --- work -----------------------------------------------------------------------------

    def connect(self, **settings: object) -> Any:
        """A connection of this process, as a kernel."""
        cluster = nb.connect(self.url, **(self.settings | settings))
        self._clusters.append(cluster)
        return cluster

    def submit(
        self,
        cluster: Any,
        name: str,
        partitions: int,
        *,
        seconds: float = 0.0,
        gate: bool = False,
        body: Any = None,
        expected: list[Any] | None = None,
        hostile: frozenset[int] = frozenset(),
        **options: Any,
    ) -> Any:
        """Submit squares (or ``body``) with notes, one partition for each number."""
        body = body or workload.square(seconds, self.gate if gate else None)
        right = [n * n for n in range(partitions)] if expected is None else expected
        self.submissions[name] = Submission(name, partitions, expected=right, hostile=hostile)
        function = workload.noting(self.effects, name, "map", body)
        return cluster.map(function, range(partitions), chunk=1, name=name, **options)

    def submit_rows(self, cluster: Any, name: str, partitions: int, *, seconds: float, **options: Any) -> Any:
        """Submit partitions that write three rows each into the user's table, and one by a statement."""
        if not any(asked.rows for asked in self.submissions.values()):
            columns = "job VARCHAR(50), part INTEGER, attempt INTEGER, number INTEGER"
            self.tables.change(f"CREATE TABLE {NOTED} ({columns})")
        body, rows = workload.writing(name, NOTED, seconds), workload.ROWS_EACH
        job = self.submit(
            cluster, name, partitions, body=body, expected=[rows] * partitions, into=ROWS, if_exists="append", **options
        )
        self.submissions[name].rows = rows
        return job

    @property
    def gate(self) -> Path:
        return self.folder / "gate"

    def open_gate(self) -> None:
        self.gate.touch()

    def notes(self, event: str = "BEGIN", job: str | None = None) -> list[Note]:
        return [n for n in read_notes(self.effects) if n.event == event and job in (None, n.job)]

    def wait_for_begins(self, number: int, node: NodeProcess | None = None, timeout: float = 60.0) -> list[Note]:
        """Until so many partitions have begun (on ``node``)."""

        def begun() -> list[Note]:
            found = [note for note in self.notes() if node is None or note.node in node.ids]
            return found if len(found) >= number else []

        return wait_until(begun, timeout, f"{number} begins", 0.05)

    # --- harm -------------------------------------------------------------------------------

    def strike(self, name: str, *victims: Process, excuses: frozenset[str] = LOSS, aftermath: float = 2.0) -> Strike:
        """Put a harm on record, before it is done; call ``over()`` when its cause has ended."""
        self.strikes.append(Strike(name, victims, excuses, aftermath))
        return self.strikes[-1]

    @contextlib.contextmanager
    def striking(self, name: str, *victims: Process, **options: Any) -> Iterator[Strike]:
        strike = self.strike(name, *victims, **options)
        yield strike
        strike.over()

    # --- the end ------------------------------------------------------------------------------

    def settle(self, timeout: float = 120.0) -> None:
        """Wait until every job that was stored has ended."""
        open_jobs = "SELECT count(*) FROM batch_job_execution WHERE status NOT IN ('COMPLETED', 'FAILED', 'STOPPED')"
        self.idle.start()
        try:
            wait_until(lambda: self.tables.value(open_jobs) == 0, timeout, self._standing, 0.1)
        finally:
            self.idle.stop()

    def _standing(self) -> str:
        rows = self.tables.rows(
            "SELECT job_execution_id, status, assigned_node, count(*) FROM batch_partitions GROUP BY 1, 2, 3 ORDER BY 1"
        )
        return f"the end of every job: {[tuple(row) for row in rows]}"

    def read_values(self) -> None:
        """What a kernel reads of each job that has ended, signatures checked, without any link."""
        with nb.connect(self.url, **self.settings) as cluster:
            for asked in self.submissions.values():
                if asked.expected is None or not self.tables.count("batch_job_instance", "job_name = :n", n=asked.name):
                    continue
                job = cluster.job(asked.name)
                try:
                    if job.done():
                        _read(job, asked)
                except nb.NBClusterError as error:
                    asked.unreadable = str(error)

    def finish(self, *, read: bool = True) -> History:
        """End everything and give the history: tables and values before, leftovers after."""
        if read:
            self.read_values()
        history = read_tables(self.url)
        history.notes = read_notes(self.effects)
        history.submissions = list(self.submissions.values())
        history.idle = self.idle.found()
        history.leftovers.exit_codes = end_in_good_order([one for one in self._everybody if one.running])
        self.close()
        left_behind(self, history.leftovers)
        history.harms = [strike.told() for strike in self.strikes]
        history.logs = {one.log.name: one.said() for one in self._everybody}
        history.aliases = {one.log.name: one.ids for one in self._everybody}
        return history

    def close(self) -> None:
        """Nothing of ours goes on, whatever state it is in."""
        self.idle.stop()
        clusters, self._clusters = self._clusters, []
        for cluster in clusters:
            cluster.close()
        for link in self._links:
            link.restore()
        for process in self._everybody:
            process.end()
        for link in self._links:
            link.cut()

    @property
    def own_ids(self) -> set[str]:
        """Ids of this process's own connections."""
        return {cluster.node_id for cluster in self._clusters}


def _read(job: Any, asked: Submission) -> None:
    if job.state == "COMPLETED":
        asked.read = job.results()
        return
    frame = job.frame()
    good = frame["error"].isna().tolist()
    asked.expected = [one if fine else None for fine, one in zip(good, asked.expected or [], strict=True)]
    asked.read = [one if fine else None for fine, one in zip(good, frame["value"].tolist(), strict=True)]


def log_of(lab: ChaosLab) -> str:
    """All that the processes said, for whoever looks into a failure."""
    return "\n".join(
        f"--- {path.name}\n{path.read_text(errors='replace')[-6000:]}" for path in lab.folder.glob("*.log")
    )


__all__ = ["BOTH", "CRASH", "DEFAULTS", "LOSS", "ChaosLab", "Kernel", "Strike", "log_of"]
