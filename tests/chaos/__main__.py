"""``python -m tests.chaos``: every fault on both databases, one line each, with the seed that repeats it."""

from __future__ import annotations

import argparse
import contextlib
import os
import queue
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from tests.chaos import faults
from tests.chaos.run import run_fault
from tests.chaos.server import ROOT, OwnServer, own_server
from tests.conftest import RUN
from tests.postgres import NoPostgres


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    made.add_argument("--only", action="append", default=[], metavar="NAME", help="faults whose name contains this")
    made.add_argument("--database", choices=faults.EVERYWHERE, help="only this database")
    made.add_argument("--seed", type=int, default=int(os.environ.get("NBCLUSTER_CHAOS_SEED", "0")) or None)
    made.add_argument("--seeds", type=int, default=1, metavar="N", help="run with N seeds, one after the other")
    made.add_argument("--smoke", action="store_true", help="only the faults of the quick tier")
    made.add_argument("--list", action="store_true", help="print the faults and end")
    made.add_argument("--lane", choices=faults.EVERYWHERE, help=argparse.SUPPRESS)
    made.add_argument("--part", choices=("faults", "figures"), help=argparse.SUPPRESS)
    made.add_argument("--keep", type=Path, metavar="FOLDER", help="keep the files of the runs that fail")
    return made


@contextlib.contextmanager
def surroundings() -> Iterator[None]:
    """A home of their own for all processes, and the mark by which those that are left behind are found."""
    home = Path(tempfile.mkdtemp(prefix="nbcluster-home-"))
    for name in [one for one in os.environ if one.startswith("NBCLUSTER_") and not one.startswith("NBCLUSTER_TEST_")]:
        del os.environ[name]
    os.environ["HOME"] = str(home)
    for name, folder in {"STATE": "state", "CONFIG": "config", "DATA": "data"}.items():
        os.environ[f"XDG_{name}_HOME"] = str(home / folder)
    os.environ[RUN] = secrets.token_hex(8)
    try:
        yield
    finally:
        shutil.rmtree(home, ignore_errors=True)


def main(argv: list[str] | None = None) -> int:
    options = parser().parse_args(argv)
    if options.list:
        for one in chosen(options):
            print(f"{one.name:32} {','.join(one.databases):18} {one.title}")
        return 0
    options.seed = options.seed or secrets.randbelow(10**6) + 1
    begin = time.monotonic()
    bad: list[str] = []
    number = 0
    for seed in range(options.seed, options.seed + options.seeds):
        print(f"seed {seed}  (repeat with --seed {seed})", flush=True)
        for lanes in plan(options, seed):
            for line in together(lanes):
                print(line, flush=True)
                number += " invariants " in line
                if " VIOLATED " in line or " ERROR " in line:
                    bad.append(
                        f"{line[:150]}\n    repeat: python -m tests.chaos --only {line.split()[0]} --seed {seed}"
                    )
    print(f"\n{number} runs, {len(bad)} bad, {time.monotonic() - begin:.0f} s", *bad, sep="\n  ", flush=True)
    return 1 if bad or not number else 0


def chosen(options: argparse.Namespace) -> list[faults.Fault]:
    wanted = options.only or [""]
    return [
        one
        for one in faults.load().values()
        if any(word in one.name for word in wanted)
        and (one.smoke or not options.smoke)
        and options.part in (None, "figures" if one.alone else "faults")
    ]


def plan(options: argparse.Namespace, seed: int) -> list[list[list[str]]]:
    """What runs after each other, each a list of commands that run at the same time.

    Most of a fault's time is waiting for a threshold, so the databases share the machine;
    what measures comes last and alone.
    """
    common = ["--seed", str(seed), *(word for one in options.only for word in ("--only", one))]
    common += ["--smoke"] if options.smoke else []
    common += ["--keep", str(options.keep)] if options.keep else []
    databases = [options.database] if options.database else list(faults.EVERYWHERE)
    lanes = [[*common, "--lane", database, "--part", "faults"] for database in databases]
    return [lanes, *([[*common, "--lane", database, "--part", "figures"]] for database in databases)]


def together(lanes: list[list[str]]) -> Iterator[str]:
    """The lines that these print, as they come."""
    lines: queue.Queue[str | None] = queue.Queue()
    processes = [
        subprocess.Popen([sys.executable, "-m", "tests.chaos", *lane], stdout=subprocess.PIPE, text=True, cwd=ROOT)
        for lane in lanes
    ]

    def relay(process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            lines.put(line.rstrip("\n"))
        if process.wait():
            lines.put(f"a lane ended with exit code {process.returncode}: ERROR ")
        lines.put(None)

    for process in processes:
        threading.Thread(target=relay, args=(process,), daemon=True).start()
    try:
        for _ in processes:
            while (line := lines.get()) is not None:
                yield line
    finally:
        for process in processes:
            process.terminate()
            process.wait()


def lane(options: argparse.Namespace) -> int:
    """One database's share, in this process."""
    mine = [one for one in chosen(options) if options.lane in one.databases]
    if not mine:
        return 0
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    with surroundings(), contextlib.ExitStack() as stack:
        server = start_server(stack, options.lane)
        if server is None and options.lane == faults.POSTGRESQL:
            return 0
        for one in mine:
            if missing := one.missing():
                print(f"{one.name:32} {options.lane:10} left out: {missing}", flush=True)
                continue
            run = run_fault(one, options.lane, options.seed, server, lambda text: print(text, flush=True), options.keep)
            print(run.line(), flush=True)
    return 0


def start_server(stack: contextlib.ExitStack, database: str | None) -> OwnServer | None:
    if database == faults.SQLITE:
        return None
    try:
        return stack.enter_context(own_server())
    except NoPostgres as reason:
        print(f"no PostgreSQL: {reason}", flush=True)
        return None


if __name__ == "__main__":
    given = parser().parse_args()
    raise SystemExit(lane(given) if given.lane else main())
