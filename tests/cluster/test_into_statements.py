"""Statements of a function commit with its partition, or not at all."""

from __future__ import annotations

from typing import Any

import nbcluster as nb
from tests.cluster.tables import SQUARES, UsersTables, outcome_of


def a_dict(n: int) -> dict[str, int]:
    return {"n": n, "square": n * n}


def test_statements_commit_with_their_partition_after_its_rows(cluster: Any, tables: UsersTables) -> None:
    tables.run("CREATE TABLE t2 (n INTEGER PRIMARY KEY, seen TIMESTAMP, told VARCHAR(20), share NUMERIC)")

    def rows(n: int) -> dict[str, int]:
        from datetime import datetime
        from decimal import Decimal

        here = nb.current().connection
        seen = datetime(2024, 2, 29, 8, n)  # noqa: DTZ001
        here.execute(
            "INSERT INTO t2 VALUES (:n, :seen, '100% :n', :share)", {"n": n, "seen": seen, "share": Decimal("0.5")}
        )
        here.executemany("UPDATE t SET square = -square WHERE n = :n", [{"n": n}, {"n": -1}])
        here.execute("DELETE FROM t2 WHERE n = 3")
        return {"n": n, "square": n * n}

    cluster.map(rows, range(10), chunk=3, into="t").results()
    assert tables.rows("SELECT n, square FROM t ORDER BY n") == [(n, -square) for n, square in SQUARES]
    found = tables.rows("SELECT n, CAST(seen AS VARCHAR), told, share FROM t2 ORDER BY n")
    assert [(n, seen[:16], told, float(share)) for n, seen, told, share in found] == [
        (n, f"2024-02-29 08:0{n}", "100% :n", 0.5) for n in range(10) if n != 3
    ]


def test_a_statement_that_the_database_refuses_fails_its_partition_alone(cluster: Any, tables: UsersTables) -> None:
    tables.run("CREATE TABLE t2 (n INTEGER PRIMARY KEY)")

    def note(n: int) -> dict[str, int]:
        nb.current().connection.execute("INSERT INTO t2 VALUES (:n)", {"n": 1 if n == 2 else n})
        return {"n": n, "square": n * n}

    told = outcome_of(cluster.map(note, range(3), chunk=1, into="t"))
    refused = next(iter(told))  # which of the two came first is chance
    assert refused in (1, 2)
    assert "its statement was refused, and nothing of its partition was written: " in told[refused]
    assert "INSERT INTO t2 VALUES (:n)" in told[refused]
    assert tables.rows("SELECT n FROM t2 ORDER BY n") == [(0,), (1,)]
    assert tables.rows("SELECT n, square FROM t ORDER BY n") == [one for one in SQUARES[:3] if one[0] != refused]


def test_statements_of_an_attempt_that_failed_are_not_executed_and_those_of_the_next_all_are(
    cluster: Any, tables: UsersTables
) -> None:
    tables.run("CREATE TABLE t2 (n INTEGER PRIMARY KEY, attempt INTEGER)")

    def note(n: int) -> int:
        here = nb.current()
        here.connection.execute("INSERT INTO t2 VALUES (:n, :attempt)", {"n": n, "attempt": here.attempt})
        if n == 3 and here.attempt == 1:
            raise ValueError("three")
        return n

    assert cluster.map(note, range(5), partitions=1, retries=1, retry_wait=0).results() == list(range(5))
    assert tables.rows("SELECT n, attempt FROM t2 ORDER BY n") == [(n, 2) for n in range(5)]


def test_save_after_a_statement_is_refused_for_the_next_attempt_would_miss_it(
    cluster: Any, tables: UsersTables
) -> None:
    tables.run("CREATE TABLE t2 (n INTEGER)")

    def note(n: int) -> None:
        nb.current().connection.execute("INSERT INTO t2 VALUES (:n)", {"n": n})
        nb.current().save(n)

    assert "save() comes before connection.execute()" in outcome_of(cluster.map(note, range(1)))[0]
    assert tables.rows("SELECT n FROM t2") == []


def test_a_replay_checks_statements_and_rows_and_writes_nothing(cluster: Any, tables: UsersTables) -> None:
    tables.run("CREATE TABLE t2 (n INTEGER)")

    def rows(n: int) -> dict[str, int]:
        nb.current().connection.execute("INSERT INTO t2 VALUES (:n)", {"n": n})
        return {"n": n}

    job = cluster.map(rows, range(2), partitions=1, into="t").wait()
    assert job.replay(0) == [{"n": 0}, {"n": 1}]
    assert tables.rows("SELECT n FROM t2 ORDER BY n") == tables.rows("SELECT n FROM t ORDER BY n") == [(0,), (1,)]
