"""``nbcluster-node``: options, settings, services, signals; composes the process."""

from __future__ import annotations

import argparse
import fcntl
import logging
import os
import sys
from collections.abc import Callable
from typing import NoReturn

from nbcluster import __version__
from nbcluster.config import Settings, load_settings, setting_names, usable_cores
from nbcluster.errors import NBClusterError, UsageError
from nbcluster.node.executor import Executor

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
    "large_value",
    "spool",
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
    except NBClusterError as error:
        print(f"nbcluster-node: {error}", file=sys.stderr)
        return error.exit_code
    try:
        return _run(settings)
    except NBClusterError as error:
        print(f"nbcluster-node: {error}", file=sys.stderr)
        return error.exit_code
    finally:
        if held is not None:
            os.close(held)


def _run(settings: Settings) -> int:
    """Start the children, and while they start, load what talks to the database."""
    wakes: list[Callable[[], None]] = []

    def ended() -> None:
        for wake in wakes:
            wake()

    threads = max(1, usable_cores() // settings.slots)
    executor = Executor(settings.slots, settings.interrupt_grace, threads, ended)
    executor.start()
    try:
        from nbcluster.cli.serving import serve

        return serve(settings, executor, wakes.append)
    finally:
        executor.stop()


def _hold_lock(path: str | None) -> int | None:
    """Hold a lock for as long as this process lives, so that its starter can tell."""
    if path is None:
        return None
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return descriptor


if __name__ == "__main__":
    raise SystemExit(main())
