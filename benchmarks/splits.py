#!/usr/bin/env python3
"""How long the kernel looks before large inputs are split, and how quickly a part is read."""

from __future__ import annotations

import argparse
import contextlib
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import sqlalchemy as sa
from _harness import machine_and_versions, say, summary, surroundings, text_of

import nbcluster as nb
from nbcluster.partitioners.choosing import cut
from tests.postgres import PostgresServer, postgres_server

CSV_BYTES = 300_000_000
ROWS = 1_000_000
PER_PART = 50_000
LINES = {
    "plain": b"12345,abcdef,2013-01-01,3.14159\n",
    "quoted": b'12345,"abc, def","x ""y""\nz",3.14159\n',
}


def csv_file(folder: Path, line: bytes) -> Path:
    path = folder / "large.csv"
    with path.open("wb") as file:
        file.write(b"a,b,c,d\n")
        for _ in range(CSV_BYTES // (len(line) * 10_000)):
            file.write(line * 10_000)
    return path


def parquet_file(folder: Path) -> Path:
    path = folder / "large.parquet"
    with duckdb.connect() as duck:
        query = f"SELECT range AS id, hash(range)::VARCHAR AS name, random() AS score FROM range({ROWS * 5})"
        duck.execute(f"COPY ({query}) TO '{path}' (FORMAT parquet, ROW_GROUP_SIZE 100000)")
    return path


@contextlib.contextmanager
def table(system: str, folder: Path, server: PostgresServer) -> Iterator[str]:
    """The URL of a database with a table of a million rows and an index on their key."""
    url = f"sqlite:///{folder}/data.db" if system == "sqlite" else server.fresh_database()
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE flights (id BIGINT PRIMARY KEY, name TEXT, score DOUBLE PRECISION)")
        rows = ({"id": n * 7919 % 10_000_019, "name": f"flight {n}", "score": n / 7} for n in range(ROWS))
        connection.execute(sa.text("INSERT INTO flights VALUES (:id, :name, :score)"), list(rows))
    try:
        yield url
    finally:
        if system != "sqlite":
            server.drop_database(url)


def measured(source: nb.Partitioner, rounds: int, samples: dict[str, list[float]], what: str) -> int:
    """Seconds to split and to read the part in the middle; gives how many parts there are."""
    for _ in range(rounds):
        seconds, parts = timed(lambda: cut(source, nb.Nodes(2)))
        samples.setdefault(f"{what}: split, s", []).append(seconds)
        seconds, _frame = timed(parts[len(parts) // 2].value.read)
        samples.setdefault(f"{what}: read a part, s", []).append(seconds)
    return len(parts)


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    began = time.perf_counter()
    result = work()
    return time.perf_counter() - began, result


def measure(
    folder: Path, server: PostgresServer, rounds: int, *, quiet: bool
) -> Iterator[tuple[str, str, list[float]]]:
    for kind, line in LINES.items():
        say(f"CSV, {kind}", quiet=quiet)
        samples: dict[str, list[float]] = {}
        path = csv_file(folder, line)
        parts = measured(nb.csv(path, "16MB"), rounds, samples, f"{kind} CSV of {CSV_BYTES // 10**6} MB")
        assert parts == -(-path.stat().st_size // 16_000_000)
        path.unlink()
        yield from (("files", name, values) for name, values in samples.items())
    say("Parquet", quiet=quiet)
    samples = {}
    measured(nb.parquet(parquet_file(folder), per="row_group"), rounds, samples, f"Parquet of {ROWS * 5:,} rows")
    yield from (("files", name, values) for name, values in samples.items())
    for system in ("sqlite", "postgresql"):
        say(f"keys, {system}", quiet=quiet)
        samples = {}
        with table(system, folder, server) as url:
            source = nb.keys(url, "flights", "id", rows=PER_PART)
            assert measured(source, rounds, samples, f"table of {ROWS:,} rows") == ROWS // PER_PART
        yield from ((system, name, values) for name, values in samples.items())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    with surroundings() as folder, postgres_server() as server:
        report = machine_and_versions("splits", str(__doc__), server) | {
            "settings": {"csv_bytes": CSV_BYTES, "rows": ROWS, "rows_per_part": PER_PART, "rounds": options.rounds}
        }
        report["figures"] = [
            {"database": system, "figure": name, **summary(values)}
            for system, name, values in measure(folder, server, options.rounds, quiet=options.json)
        ]
    print(json.dumps(report, indent=2) if options.json else text_of(report))


if __name__ == "__main__":
    main()
