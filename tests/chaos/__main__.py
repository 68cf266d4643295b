"""``python -m tests.chaos``: every fault on both databases, one line each, with the seed that repeats it."""

from __future__ import annotations

import argparse
import contextlib
import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tests.chaos import faults
from tests.chaos.run import Run, run_fault
from tests.chaos.server import OwnServer, own_server
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
    chosen = [
        one
        for one in faults.load().values()
        if (not options.only or any(word in one.name for word in options.only)) and (one.smoke or not options.smoke)
    ]
    if options.list:
        for one in chosen:
            print(f"{one.name:32} {','.join(one.databases):18} {one.title}")
        return 0
    first = options.seed or secrets.randbelow(10**6) + 1
    begin = time.monotonic()
    runs: list[Run] = []
    with surroundings(), contextlib.ExitStack() as stack:
        server = start_server(stack, options.database)
        for seed in range(first, first + options.seeds):
            print(f"seed {seed}  (repeat with --seed {seed})", flush=True)
            for one in chosen:
                runs += run_everywhere(one, options, seed, server)
    report(runs, time.monotonic() - begin)
    return 0 if all(run.good for run in runs) else 1


def start_server(stack: contextlib.ExitStack, database: str | None) -> OwnServer | None:
    if database == faults.SQLITE:
        return None
    try:
        return stack.enter_context(own_server())
    except NoPostgres as reason:
        print(f"no PostgreSQL: {reason}", flush=True)
        return None


def run_everywhere(
    one: faults.Fault, options: argparse.Namespace, seed: int, server: OwnServer | None
) -> Iterator[Run]:
    for database in one.databases:
        if options.database not in (None, database) or (database == faults.POSTGRESQL and server is None):
            continue
        if missing := one.missing():
            print(f"{one.name:32} {database:10} left out: {missing}", flush=True)
            continue
        run = run_fault(one, database, seed, server, lambda text: print(text, flush=True), options.keep)
        print(run.line(), flush=True)
        yield run


def report(runs: list[Run], seconds: float) -> None:
    bad = [run for run in runs if not run.good]
    print(f"\n{len(runs)} runs, {len(bad)} bad, {seconds:.0f} s")
    for run in bad:
        print(f"  {run.line()}")
        print(f"    repeat: python -m tests.chaos --only {run.fault} --database {run.database} --seed {run.seed}")


if __name__ == "__main__":
    raise SystemExit(main())
