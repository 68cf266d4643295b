"""What a function returns becomes rows of a table, each exactly once."""

from __future__ import annotations

from collections import namedtuple
from typing import Any

import pandas as pd
import pytest

import nbcluster as nb
from tests.cluster.tables import SQUARES, UsersTables, outcome_of

Pair = namedtuple("Pair", ["n", "square"])


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


# --- the table ----------------------------------------------------------------------------------


def test_a_table_that_is_there_is_refused_before_anything_is_stored(cluster: Any, tables: UsersTables) -> None:
    tables.run("CREATE TABLE t (n INTEGER)")
    jobs = len(cluster.jobs(all=True))
    with pytest.raises(nb.InputError, match="there is a table t already; if_exists='append'"):
        cluster.map(a_dict, range(3), into="t")
    assert len(cluster.jobs(all=True)) == jobs


def test_replace_drops_what_was_there(cluster: Any, tables: UsersTables) -> None:
    tables.run("CREATE TABLE t (other TEXT)")
    cluster.map(a_dict, range(10), into="t", if_exists="replace").results()
    cluster.map(a_dict, range(10), into="t", if_exists="replace").results()
    assert tables.rows("SELECT n, square FROM t ORDER BY n") == SQUARES


def test_append_adds_to_a_table_of_ones_own_whatever_the_order_of_its_columns(
    cluster: Any, tables: UsersTables
) -> None:
    tables.run("CREATE TABLE t (square INTEGER, told VARCHAR(10) DEFAULT 'yes', n INTEGER NOT NULL PRIMARY KEY)")
    tables.run("INSERT INTO t (n) VALUES (-1)")
    cluster.map(a_dict, range(10), into="t", if_exists="append").results()
    assert tables.rows("SELECT n, square, told FROM t WHERE n >= 0 ORDER BY n") == [(*one, "yes") for one in SQUARES]
    assert tables.rows("SELECT n FROM t WHERE n < 0") == [(-1,)]


def test_a_name_in_quotes_and_names_of_columns_are_taken_as_they_are(cluster: Any, tables: UsersTables) -> None:
    odd = 'my "odd" table'
    columns = ["select", 'a"b', "50%", "Ä ö", ":x"]
    quoted = '"my ""odd"" table"'
    try:
        cluster.map(lambda n: dict.fromkeys(columns, n), range(2), into=quoted).results()
        found = pd.read_sql_table(odd, tables.engine)
        assert found.columns.tolist() == columns
        assert sorted(found["50%"]) == [0, 1]
    finally:
        tables.run(f"DROP TABLE IF EXISTS {quoted}")


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"into": "batch_nodes"}, "is kept for nbcluster's own tables"),
        ({"into": 'x."Batch_nodes"'}, "is kept for nbcluster's own tables"),
        ({"into": "sqlite_master"}, "belongs to the database itself"),
        ({"into": "a.b.c"}, "cannot name a table"),
        ({"into": ""}, "cannot name a table"),
        ({"into": 5}, "into must be the name of a table, not int"),
        ({"into": "x" * 64}, "is longer than 63 bytes"),
        ({"into": "t", "if_exists": "overwrite"}, "must be one of append, replace, fail"),
        ({"if_exists": "append"}, "if_exists= belongs to into="),
        ({"into": "postgresql://u:secret@h/d"}, "into is a URL; write into=nb.table"),
    ],
)
def test_an_option_that_makes_no_sense_is_refused_in_one_sentence(
    cluster: Any, options: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(nb.InputError, match=sentence) as refused:
        cluster.map(a_dict, range(3), **options)
    assert "secret" not in str(refused.value)


# --- rows that do not fit -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("odd", "sentence"),
    [
        ({"n": 3, "cube": 27}, "table t has no column 'cube'; it has n, square"),
        (
            {"n": "three", "square": 9},
            "column 'n' of table t takes whole numbers, and these are text; give it one type",
        ),
        (
            {"n": 3.5, "square": 9},
            "column 'n' of table t takes whole numbers, and these are numbers with fractions; give it one type",
        ),
        (
            {"n": [3], "square": 9},
            "column 'n' of table t takes whole numbers, and these are lists or dicts; give it one type",
        ),
    ],
)
def test_rows_that_differ_from_the_table_fail_their_partition_and_no_other(
    cluster: Any, tables: UsersTables, odd: dict[str, Any], sentence: str
) -> None:
    tables.run("CREATE TABLE t (n INTEGER, square INTEGER)")

    def rows(n: int) -> dict[str, Any]:
        return odd if n == 3 else {"n": n, "square": n * n}

    job = cluster.map(rows, range(10), chunk=1, into="t", if_exists="append")
    assert outcome_of(job) == {3: f"{sentence}; no row of its partition was written"}
    assert tables.rows("SELECT n, square FROM t ORDER BY n") == [one for one in SQUARES if one[0] != 3]
    assert [error.partition for error in job.errors().itertuples()] == [3]


def test_a_column_that_every_row_needs_is_missed_by_name(cluster: Any, tables: UsersTables) -> None:
    tables.run("CREATE TABLE t (n INTEGER, name VARCHAR(20) NOT NULL)")
    job = cluster.map(lambda n: {"n": n}, range(1), into="t", if_exists="append")
    assert "table t needs a column 'name' in every row, and these rows have none" in outcome_of(job)[0]
    assert tables.rows("SELECT n FROM t") == []


def test_what_the_database_refuses_fails_its_partition_in_the_databases_words(
    cluster: Any, tables: UsersTables
) -> None:
    tables.run("CREATE TABLE t (n INTEGER PRIMARY KEY, square INTEGER CHECK (square < 50))")
    job = cluster.map(a_dict, range(10), chunk=2, into="t", if_exists="append")
    told = outcome_of(job)
    assert sorted(told) == [4]  # its items are 8 and 9
    assert "table t refused the rows, and none of its partition were written" in told[4]
    assert "constraint" in told[4].lower()
    assert tables.rows("SELECT n, square FROM t ORDER BY n") == SQUARES[:8]


@pytest.mark.parametrize(
    ("odd", "sentence"),
    [
        (7, "a value of type int has no rows; with into= return a DataFrame"),
        ((1, 2), "a tuple has no names for its columns"),
        ([[1]], "a list of lists has no names"),
        ({1: 2}, "column 1 has no name that a table could use"),
        (pd.DataFrame([[1, 2]], columns=["n", "n"]), "the frame has two columns 'n'"),
        (pd.Series([1, 2], index=["n", "n"]), "this one has two values of the same label"),
        ({"n": "\ud800"}, "column 'n' holds text that is no Unicode"),
        ({"n": object()}, "column 'n' holds a value of type object, which no column of a table takes"),
        ([{"n": 1}, {"n": "one"}], "column 'n' holds whole numbers and text"),
    ],
)
def test_a_value_without_rows_fails_its_partition_which_writes_nothing(
    cluster: Any, tables: UsersTables, odd: Any, sentence: str
) -> None:
    tables.run("CREATE TABLE t (n INTEGER)")
    into = {"into": "t", "if_exists": "append"}
    job = cluster.map(lambda n: odd if n == 1 else None if n == 0 else {"n": n}, range(4), chunk=2, retries=2, **into)
    told = outcome_of(job)
    assert list(told) == [0]
    assert sentence in told[0]
    assert "no row of" in told[0]
    assert tables.rows("SELECT n FROM t ORDER BY n") == [(2,), (3,)]
    assert job.partitions()["attempt"].tolist() == [1, 1]  # what is no row now is none at the next attempt


# --- attempts -----------------------------------------------------------------------------------


def test_a_partition_of_which_an_item_failed_writes_nothing_and_resume_writes_the_rest_once(
    cluster: Any, tables: UsersTables, tmp_path: Any
) -> None:
    mark = tmp_path / "mended"

    def rows(n: int) -> dict[str, int]:
        if n == 5 and not mark.exists():
            raise ValueError("five")
        return {"n": n, "square": n * n}

    job = cluster.map(rows, range(10), chunk=2, into="t")
    assert outcome_of(job) == {2: "ValueError: five"}
    assert tables.rows("SELECT n, square FROM t ORDER BY n") == [one for one in SQUARES if one[0] not in (4, 5)]
    mark.touch()
    job.resume().results()
    assert tables.rows("SELECT n, square FROM t ORDER BY n") == SQUARES


def test_items_that_a_retry_does_not_compute_again_are_in_the_table_too(
    cluster: Any, tables: UsersTables, tmp_path: Any
) -> None:
    def rows(n: int) -> dict[str, int]:
        if n == 5 and nb.current().attempt == 1:
            raise ValueError("five")
        (tmp_path / f"{n}.{nb.current().attempt}").touch()
        return {"n": n, "square": n * n}

    job = cluster.map(rows, range(10), partitions=1, into="t", retries=1, retry_wait=0)
    assert job.results() == [1] * 10
    assert tables.rows("SELECT n, square FROM t ORDER BY n") == SQUARES
    assert sorted(file.name for file in tmp_path.iterdir()) == sorted([f"{n}.1" for n in range(10) if n != 5] + ["5.2"])


def test_a_complete_partition_is_not_run_again_for_its_rows_would_be_there_twice(
    cluster: Any, tables: UsersTables
) -> None:
    job = cluster.map(a_dict, range(10), chunk=5, into="t").wait()
    with pytest.raises(nb.InputError, match="partition 1 is COMPLETED and its rows are in table t"):
        job.retry(1)
    assert tables.rows("SELECT n, square FROM t ORDER BY n") == SQUARES


def test_a_job_of_another_table_is_another_job(cluster: Any, tables: UsersTables) -> None:
    first = cluster.map(a_dict, range(10), into="t", name="named")
    first.wait()
    assert cluster.map(a_dict, range(10), into="t", name="named").id == first.id  # and t is no obstacle to it
    other = cluster.map(a_dict, range(10), into="t2", name="named")
    assert other.id != first.id
    other.results()
    assert tables.rows("SELECT n, square FROM t ORDER BY n") == SQUARES
    assert tables.rows("SELECT n, square FROM t2 ORDER BY n") == SQUARES
