"""What a function returns becomes rows of a table, each exactly once."""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Iterator
from typing import Any

import pandas as pd
import pytest
from sqlalchemy import create_engine, text

import nbcluster as nb
from tests.cluster.conftest import Lab

Pair = namedtuple("Pair", ["n", "square"])


class UsersTables:
    """The cluster's database as its user sees it."""

    def __init__(self, url: str) -> None:
        self.engine = create_engine(url.replace("postgresql://", "postgresql+psycopg://"))

    def run(self, statement: str) -> None:
        with self.engine.begin() as connection:
            connection.execute(text(statement))

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        with self.engine.connect() as connection:
            return [tuple(row) for row in connection.execute(text(statement))]


@pytest.fixture
def tables(shared_lab: Lab) -> Iterator[UsersTables]:
    """The user's tables; those called t or t2 are dropped again."""
    found = UsersTables(shared_lab.url)
    yield found
    for name in ("t", "t2"):
        found.run(f"DROP TABLE IF EXISTS {name}")
    found.engine.dispose()


def a_dict(n: int) -> dict[str, int]:
    return {"n": n, "square": n * n}


def a_series(n: int) -> Any:
    return pd.Series({"n": n, "square": n * n})


def a_frame(n: int) -> Any:
    return pd.DataFrame({"n": [n], "square": [n * n]})


def an_indexed_frame(n: int) -> Any:
    return pd.DataFrame({"square": [n * n]}, index=pd.Index([n], name="n"))


def a_list(n: int) -> list[dict[str, int]]:
    return [{"n": n, "square": n * n}]


def a_named_tuple(n: int) -> Any:
    return Pair(n, n * n)


SQUARES = [(n, n * n) for n in range(10)]


@pytest.mark.parametrize("function", [a_dict, a_series, a_frame, an_indexed_frame, a_list, a_named_tuple])
def test_rows_of_every_shape_are_in_the_table_and_the_results_count_them(
    cluster: Any, tables: UsersTables, function: Any
) -> None:
    job = cluster.map(function, range(10), chunk=3, into="t")
    assert job.results() == [1] * 10
    assert tables.rows("SELECT n, square FROM t ORDER BY n") == SQUARES


def test_none_is_no_row_and_a_frame_is_as_many_as_it_has(cluster: Any, tables: UsersTables) -> None:
    def rows(n: int) -> Any:
        return None if n % 2 else pd.DataFrame({"n": range(n)})

    assert cluster.map(rows, range(5), chunk=2, into="t").results() == [0, 0, 2, 0, 4]
    assert tables.rows("SELECT n FROM t ORDER BY n") == [(0,), (0,), (1,), (1,), (2,), (3,)]


def test_every_way_to_fan_out_writes_into_a_table(cluster: Any, tables: UsersTables) -> None:
    assert cluster.starmap(lambda a, b: {"n": a + b}, [(1, 2), (3, 4)], into="t").results() == [1, 1]
    into = {"into": "t", "if_exists": "append"}
    parts = cluster.map_partitions(lambda part: [{"n": n} for n in part], nb.ranges(10, 15), partitions=1, **into)
    assert parts.results() == [5]
    assert cluster.call(lambda: {"n": 100}, **into).result() == 1
    steps = cluster.pipeline().map("first", lambda n: n * 1000, [1, 2]).map("second", lambda n: {"n": n}, **into)
    assert steps.run().results() == [1, 1]
    assert [n for (n,) in tables.rows("SELECT n FROM t ORDER BY n")] == [3, 7, 10, 11, 12, 13, 14, 100, 1000, 2000]
