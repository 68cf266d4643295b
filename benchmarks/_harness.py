"""What the benchmarks share: fresh clusters on both databases in turn, the machine, and the statistics.

A round is one fresh database with its own local nodes, warmed up, measured once and removed.  The databases take
turns (A B, B A, A B ...), so that a change of the machine's load meets both.  Nothing is asserted about time;
that the results are right is.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import shutil
import sqlite3
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import nbcluster as nb
from nbcluster.cli.setup import initialize
from nbcluster.config import Settings, usable_cores
from tests.postgres import NoPostgres, PostgresServer, postgres_server

NODES, SLOTS = 2, 1

Samples = dict[str, list[float]]
"""For each figure, named with its unit, what was measured in a round."""


@dataclass(frozen=True)
class Benchmark:
    """One benchmark: ``measure`` takes a cluster whose nodes are ready and gives the samples of a round."""

    name: str
    about: str
    measure: Callable[[nb.Cluster], Samples]
    rounds: int


@contextlib.contextmanager
def surroundings() -> Iterator[Path]:
    """State, keys and SQLite files in a temporary directory; the settings of the user's shell do not count."""
    folder = Path(tempfile.mkdtemp(prefix="nbcluster-bench-"))
    for name in [name for name in os.environ if name.startswith("NBCLUSTER_") and "_TEST_" not in name]:
        del os.environ[name]
    os.environ |= {"XDG_STATE_HOME": str(folder / "state"), "XDG_CONFIG_HOME": str(folder / "config")}
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def fresh_cluster(system: str, folder: Path, server: PostgresServer | None) -> Iterator[nb.Cluster]:
    """An empty database with its nodes, for one round."""
    with contextlib.ExitStack() as stack:
        if server is not None and system == "postgresql":
            url = server.fresh_database()
            stack.callback(server.drop_database, url)
        else:
            file = Path(tempfile.mkdtemp(dir=folder)) / "cluster.db"
            url = f"sqlite:///{file}"
        initialize(url, new_key=False)
        cluster = stack.enter_context(nb.connect(url))
        stack.callback(cluster.down)
        cluster.up(NODES, slots=SLOTS)
        yield cluster


def run(benchmark: Benchmark) -> None:
    """Measure on both databases and print the figures."""
    options = _options(benchmark)
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(surroundings())
        server = _server(stack) if "postgresql" in options.databases else None
        systems = [name for name in options.databases if name == "sqlite" or server is not None]
        report = _report(benchmark, options.rounds, server)
        collected: dict[str, Samples] = {system: {} for system in systems}
        for turn in range(options.rounds):
            for system in systems if turn % 2 == 0 else reversed(systems):
                say(f"round {turn + 1} of {options.rounds}: {system}", quiet=options.json)
                with fresh_cluster(system, folder, server) as cluster:
                    for figure, values in benchmark.measure(cluster).items():
                        collected[system].setdefault(figure, []).extend(values)
    report["figures"] = [
        {"database": system, "figure": figure, **summary(values)}
        for system in systems
        for figure, values in collected[system].items()
    ]
    print(json.dumps(report, indent=2) if options.json else text_of(report))


def _options(benchmark: Benchmark) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=benchmark.about)
    parser.add_argument(
        "--rounds", type=int, default=benchmark.rounds, help="rounds per database (default: %(default)s)"
    )
    parser.add_argument("--databases", nargs="+", default=["sqlite", "postgresql"], choices=["sqlite", "postgresql"])
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    return parser.parse_args()


def _server(stack: contextlib.ExitStack) -> PostgresServer | None:
    try:
        return stack.enter_context(postgres_server())
    except NoPostgres as reason:
        print(f"without PostgreSQL: {reason}", file=sys.stderr)
        return None


def say(text: str, *, quiet: bool) -> None:
    """Tell how far it is."""
    if not quiet:
        print(text, file=sys.stderr, flush=True)


# --- what is reported -----------------------------------------------------------------------------


def summary(values: Sequence[float]) -> dict[str, float]:
    """Median and spread."""
    ordered = sorted(values)
    low, middle, high = statistics.quantiles(ordered, n=4, method="inclusive") if len(ordered) > 1 else ordered * 3
    found = {"median": middle, "q1": low, "q3": high, "min": ordered[0], "max": ordered[-1]}
    found["p95"] = ordered[min(len(ordered) - 1, int(0.95 * len(ordered)))]
    return {name: float(f"{value:.4g}") for name, value in found.items()} | {"samples": len(ordered)}


def machine_and_versions(name: str, about: str, server: PostgresServer | None) -> dict[str, Any]:
    """What a figure means nothing without."""
    packages = ("nbcluster", "SQLAlchemy", "psycopg", "cloudpickle")
    return {
        "benchmark": name,
        "about": about,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {
            "processor": _processor(),
            "usable_cores": usable_cores(),
            "system": f"{platform.system()} {platform.release()} {platform.machine()}",
            "load_before": round(os.getloadavg()[0], 2),
        },
        "versions": {"Python": platform.python_version(), "SQLite": sqlite3.sqlite_version}
        | ({"PostgreSQL": _server_version(server)} if server is not None else {})
        | {name: version(name) for name in packages},
    }


def _report(benchmark: Benchmark, rounds: int, server: PostgresServer | None) -> dict[str, Any]:
    settings = Settings()
    return machine_and_versions(benchmark.name, benchmark.about, server) | {
        "settings": {
            "nodes": NODES,
            "slots_per_node": SLOTS,
            "rounds": rounds,
            "heartbeat_interval_s": settings.heartbeat_interval,
            "task_polling_interval_s": settings.task_polling_interval,
        },
    }


def _processor() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _server_version(server: PostgresServer) -> str:
    import psycopg

    with psycopg.connect(server.url.replace("postgresql+psycopg://", "postgresql://", 1)) as connection:
        return str(connection.info.server_version // 10000)


def text_of(report: dict[str, Any]) -> str:
    """The report as a table."""
    lines = [f"\n{report['benchmark']}: {report['about']}", ""]
    lines += [
        f"  {part}: " + ", ".join(f"{name} {value}" for name, value in report[part].items())
        for part in ("machine", "versions", "settings")
    ]
    lines += [f"  date: {report['date']}", ""]
    heading = ("database", "figure", "median", "q1", "q3", "min", "max", "p95", "samples")
    rows = [heading, *([str(figure[name]) for name in heading] for figure in report["figures"])]
    widths = [max(len(row[place]) for row in rows) for place in range(len(heading))]
    for row in rows:
        cells = [cell.ljust(width) if place < 2 else cell.rjust(width)
                 for place, (cell, width) in enumerate(zip(row, widths, strict=True))]  # fmt: skip
        lines.append("  " + "  ".join(cells))
    return "\n".join(lines)
