#!/usr/bin/env python3
"""Rows per second into a table: ``map(..., into=)`` against the database's own fastest way, in the same round.

The bare way has its rows ready (COPY: as bytes; SQLite: as tuples) and writes them from one process in one
transaction; ``into`` computes the frames in children, checks, carries and commits them partition by partition.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pandas as pd
from _harness import Benchmark, Samples, run
from sqlalchemy import create_engine, text

import nbcluster as nb

PARTITIONS, EACH = 20, 50_000


def frame(part: int) -> Any:
    """Five columns: whole numbers, floats, text, times, truth."""
    numbers = np.arange(part * EACH, (part + 1) * EACH)
    return pd.DataFrame(
        {
            "n": numbers,
            "half": numbers / 7,
            "name": np.char.add("row ", numbers.astype(str)),
            "at": np.datetime64("2024-01-01", "us") + numbers.astype("timedelta64[s]"),
            "even": numbers % 2 == 0,
        }
    )


def measure(cluster: nb.Cluster) -> Samples:
    """One round: rows by ``into``, rows by the bare way; each row is there."""
    engine = create_engine(cluster.store.database.dialect.url)
    cluster.map(frame, range(2), chunk=1, into="warm").results()
    began = time.perf_counter()
    written = sum(cluster.map(frame, range(PARTITIONS), chunk=1, into="rows_by_into").results())
    into = time.perf_counter() - began
    began = time.perf_counter()
    parts = cluster.map(frame, range(PARTITIONS), chunk=1).results()
    fetched = time.perf_counter() - began
    with engine.begin() as connection:
        connection.execute(text(f"CREATE TABLE rows_bare ({_columns(engine.dialect.name)})"))
    bare = _bare_copy(engine, parts) if engine.dialect.name == "postgresql" else _bare_inserts(engine, parts)
    with engine.begin() as connection:
        counts = [
            connection.scalar(text(f"SELECT count(DISTINCT n) FROM {name}")) for name in ("rows_by_into", "rows_bare")
        ]
    engine.dispose()
    assert counts == [PARTITIONS * EACH] * 2, counts
    assert written == PARTITIONS * EACH
    return {
        "into= [rows/s]": [written / into],
        "bare COPY or executemany [rows/s]": [written / bare],
        "into= against bare [%]": [100 * bare / into],
        "the same frames as results, read by the kernel [rows/s]": [written / fetched],
    }


def _columns(system: str) -> str:
    times = "TIMESTAMP" if system == "postgresql" else "DATETIME"
    return f"n BIGINT, half DOUBLE PRECISION, name TEXT, at {times}, even BOOLEAN"


def _bare_copy(engine: Any, parts: list[Any]) -> float:
    ready = [part.to_csv(index=False, header=False, date_format="%Y-%m-%d %H:%M:%S").encode() for part in parts]
    with engine.begin() as connection:
        driver = connection.connection.driver_connection
        began = time.perf_counter()
        with driver.cursor().copy("COPY rows_bare FROM STDIN (FORMAT csv)") as copy:
            for body in ready:
                copy.write(body)
        connection.commit()
        return time.perf_counter() - began


def _bare_inserts(engine: Any, parts: list[Any]) -> float:
    ready = [list(part.assign(at=part["at"].astype(str)).itertuples(index=False, name=None)) for part in parts]
    with engine.begin() as connection:
        driver = connection.connection.driver_connection
        began = time.perf_counter()
        for rows in ready:
            driver.executemany("INSERT INTO rows_bare VALUES (?, ?, ?, ?, ?)", rows)
        connection.commit()
        return time.perf_counter() - began


if __name__ == "__main__":
    run(Benchmark("into", __doc__ or "", measure, rounds=3))
