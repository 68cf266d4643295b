"""``nbcluster-node``: options, settings, services, signals; composes the process."""

from __future__ import annotations

import argparse
import fcntl
import logging
import math
import os
import signal
import sys
import threading
import time
from types import FrameType
from typing import NoReturn

from nbcluster import __version__
from nbcluster.config import Settings, load_settings, setting_names, usable_cores
from nbcluster.errors import NBClusterError, UsageError
from nbcluster.member import PYTHON, Member
from nbcluster.node.executor import Executor
from nbcluster.node.loop import WorkerLoop
from nbcluster.node.worker import Worker
from nbcluster.store import Store, open_store
from nbcluster.store.wakeup import WORK, control_topic, node_topic

log = logging.getLogger("nbcluster.node")

_GAVE_UP = 75
_OPTIONS = (
    "url",
    "slots",
    "heartbeat_interval",
    "unreachable_node_threshold",
    "node_cleanup_threshold",
    "task_polling_interval",
    "node_id_prefix",
    "host_identifier",
    "shutdown_grace",
    "database_patience",
    "key_file",
)


class _Parser(argparse.ArgumentParser):
    """argparse, with complaints of one sentence."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}; {self.prog} --help lists the options")


def parser() -> argparse.ArgumentParser:
    """The options, named like the settings."""
    made = _Parser(
        prog="nbcluster-node",
        description="Run a node: claim partitions from the database, execute them in child processes, record results.",
        epilog="Every option can also be given as NBCLUSTER_<OPTION> in the environment. "
        "Ctrl-C or SIGTERM hands the work back and leaves; a second one leaves at once.",
        allow_abbrev=False,
    )
    docs = setting_names()
    for name in _OPTIONS:
        made.add_argument(f"--{name.replace('_', '-')}", dest=name, metavar="VALUE", help=docs[name])
    made.add_argument("--label", dest="labels", action="append", metavar="LABEL", help=docs["labels"] + "; repeatable")
    made.add_argument("--concurrency-limit-per-node", dest="slots", metavar="VALUE", help=argparse.SUPPRESS)
    made.add_argument("--lock-file", help=argparse.SUPPRESS)
    made.add_argument("-V", "--version", action="version", version=f"nbcluster {__version__}")
    return made


def main(argv: list[str] | None = None) -> int:
    """Run a node until it is told to stop; gives the exit code."""
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(message)s")
    try:
        options = vars(parser().parse_args(argv))
        lock_file = options.pop("lock_file")
        settings = load_settings(options)
        held = _hold_lock(lock_file)
        store = open_store(settings.url, initialize=settings.initialize_schema, key_file=settings.key_file, pool_size=2)
    except NBClusterError as error:
        print(f"nbcluster-node: {error}", file=sys.stderr)
        return error.exit_code
    try:
        return NodeProcess(store, settings).run()
    except NBClusterError as error:
        print(f"nbcluster-node: {error}", file=sys.stderr)
        return error.exit_code
    finally:
        store.close()
        if held is not None:
            os.close(held)


def _hold_lock(path: str | None) -> int | None:
    """Hold a lock for as long as this process lives, so that its starter can tell."""
    if path is None:
        return None
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return descriptor


class NodeProcess:
    """A node from its registration to its orderly end."""

    def __init__(self, store: Store, settings: Settings) -> None:
        self._store = store
        self._settings = settings
        self._signals = 0
        self._draining = False
        self._told = threading.Event()
        threads = max(1, usable_cores() // settings.slots)
        self._executor = Executor(settings.slots, settings.interrupt_grace, threads, self._ended)
        self._member = Member(
            store,
            settings,
            slots=settings.slots,
            prefix=settings.node_id_prefix,
            busy=self._busy,
            moved=self._moved,
            drain=self._drain,
        )
        self._worker = Worker(store, self._executor, self._member.heartbeat.node, self._member.heartbeat.in_touch)
        self._loop = WorkerLoop(self._worker, self._member.poll_pause, store.wakeup.doubt)

    def _ended(self) -> None:
        self._loop.wake()

    def _busy(self) -> int:
        return self._worker.busy

    def _moved(self, node_id: str) -> None:
        self._worker.moved(node_id)
        self._loop.wake()
        self._listen()

    def _drain(self) -> None:
        self._draining = True
        self._told.set()

    def _announced(self) -> None:
        self._loop.announced()
        self._member.stir()

    def _listen(self) -> None:
        self._store.wakeup.subscribe(node_topic(self._member.node_id), self._announced)
        self._store.wakeup.subscribe(control_topic(self._member.node_id), self._member.beat_now)

    def run(self) -> int:
        """Serve until a signal, or until the database has been away for too long."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._on_signal)
        self._executor.start()
        self._store.wakeup.subscribe(WORK, self._announced)
        self._listen()
        self._member.start()
        self._loop.start()
        log.info(
            "%s is ready: %d slots, Python %s, %s; a lost node's work moves within %.0f s",
            self._member.node_id, self._settings.slots, PYTHON, self._store.url, self._settings.failover_time,
        )  # fmt: skip
        while not self._told.wait(1.0):
            if self._member.without_database > self._settings.database_patience:
                log.error("no database for %.0f s: giving up", self._settings.database_patience)
                self._executor.stop()
                return _GAVE_UP
        return self._leave()

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        self._signals += 1
        self._told.set()

    def _leave(self) -> int:
        """Claim nothing, hand back what has not begun, finish or hand back what runs, then go."""
        log.info("%s is told to stop: handing back its work", self._member.node_id)
        self._worker.draining = self._member.heartbeat.draining = True
        self._member.stop_watching()
        try:
            self._store.nodes.drain(self._member.node_id)
            self._worker.hand_back_queued()
            if self._draining:
                # Nobody waits for a node that was told to drain: what runs may take its time, unless a signal comes.
                self._wait_until_idle(math.inf, signals=1)
            self._wait_until_idle(self._settings.shutdown_grace)
            if self._worker.held:
                self._worker.hand_back_all()
                self._wait_until_idle(self._settings.interrupt_grace + 5.0, patient=True)
        finally:
            self._loop.stop()
            self._executor.stop()
            self._member.leave()
        log.info("%s has left", self._member.node_id)
        return 0

    def _wait_until_idle(self, seconds: float, *, signals: int = 2, patient: bool = False) -> None:
        """Until nothing is held; ends early when so many ``signals`` have come, unless ``patient``."""
        deadline = time.monotonic() + seconds
        given_up = self._settings.database_patience
        while self._worker.held and time.monotonic() < deadline and (patient or self._signals < signals):
            if self._member.without_database > given_up:
                return
            time.sleep(0.02)


if __name__ == "__main__":
    raise SystemExit(main())
