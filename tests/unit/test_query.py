"""From a query to what DuckDB is given, and from values to texts."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pytest

from nbcluster.errors import InputError
from nbcluster.query.statement import bindable, check, parsed
from nbcluster.query.values import text_of
from nbcluster.query.wanted import of_plan
from nbcluster.store.asking import PARTITIONS
from nbcluster.store.stepnames import Condition, Wanted


@pytest.mark.parametrize(
    ("query", "text", "names"),
    [
        ("SELECT :a", "SELECT $a", {"a"}),
        ("SELECT $a + :b, :a", "SELECT $a + $b, $a", {"a", "b"}),
        ("SELECT x=:a", "SELECT x=$a", {"a"}),
        ("SELECT ':a' || $a", "SELECT ':a' || $a", {"a"}),
        ("SELECT 'it''s :a'", "SELECT 'it''s :a'", set()),
        ('SELECT ":a" FROM t', 'SELECT ":a" FROM t', set()),
        ("SELECT x::INT", "SELECT x::INT", set()),
        ("SELECT :a::INT", "SELECT $a::INT", {"a"}),
        ("SELECT 1 -- :a\n, :b", "SELECT 1 -- :a\n, $b", {"b"}),
        ("SELECT /* :a */ :b", "SELECT /* :a */ $b", {"b"}),
        ("SELECT $$:a$$, $tag$:b$tag$", "SELECT $$:a$$, $tag$:b$tag$", set()),
        ("SELECT {'k':v}, l[1:n]", "SELECT {'k':v}, l[1:n]", set()),
    ],
)
def test_parameters_are_found_where_they_are_no_part_of_something_else(query: str, text: str, names: set[str]) -> None:
    found = parsed(query)
    assert (found.text, found.parameters) == (text, names)
    assert len(found.text) == len(query)


# --- only questions --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ("WITH x AS (COPY (SELECT 1) TO 'out.csv') SELECT * FROM x", "SQL: COPY is refused"),
        ("SELECT (WITH x AS (COPY (SELECT 1) TO 'out.csv') SELECT count(*) FROM x)", "SQL: COPY is refused"),
        ("WITH x AS (INSERT INTO t VALUES (1) RETURNING *) SELECT * FROM x", "SQL: INSERT is refused"),
        ("WITH x AS (DELETE FROM t RETURNING *) FROM x", "SQL: DELETE is refused"),
        ("WITH x AS (UPDATE t SET a = 1 RETURNING *) FROM x", "SQL: UPDATE is refused"),
        ("EXPLAIN ANALYZE COPY (SELECT 1) TO 'out.csv'", "SQL: only questions"),
        ("/* a */ EXPLAIN (FORMAT JSON) CREATE TABLE t AS SELECT 1", "SQL: only questions"),
        ("FROM enable_logging('QueryLog', storage='file', storage_path='out')", r"SQL: enable_logging\(\) is refused"),
        ("SELECT * FROM enable_profiling('json', save_location='out')", r"SQL: enable_profiling\(\) is refused"),
        ("FROM json_execute_serialized_sql('{}')", r"SQL: json_execute_serialized_sql\(\) is refused"),
        ("FROM query('SELECT 1')", r"SQL: query\(\) is refused"),
        ("SET threads = 1", "SQL: SET is refused"),
        ("ATTACH 'x.db'", "SQL: ATTACH is refused"),
        ("INSTALL httpfs", "SQL: LOAD is refused"),
        ("EXPORT DATABASE 'x'", "SQL: EXPORT is refused"),
        ("CALL force_checkpoint()", "SQL: CALL is refused"),
        ("PRAGMA database_size", "SQL: PRAGMA is refused"),
        ("CREATE TABLE t AS SELECT 1", "SQL: CREATE is refused"),
    ],
)
def test_what_would_do_more_than_ask_is_refused_before_it_is_planned(query: str, sentence: str) -> None:
    with duckdb.connect(":memory:") as connection, pytest.raises(InputError, match=sentence):
        check(connection, parsed(query))


@pytest.mark.parametrize(
    "query",
    [
        "SELECT 1", "VALUES (1)", "FROM t", "TABLE t", "SUMMARIZE t", "DESCRIBE t", "SHOW TABLES",
        "WITH a AS MATERIALIZED (SELECT 1) FROM a UNION BY NAME SELECT 2 AS b",
        "WITH RECURSIVE r AS (SELECT 1 a UNION ALL SELECT a + 1 FROM r WHERE a < 3) FROM r",
        "PIVOT t ON a IN (1, 2) USING count(*)", "UNPIVOT t ON a", "FROM t ASOF JOIN s ON t.a >= s.a",
        "EXPLAIN ANALYZE SELECT :x", "FROM read_csv('a.csv')", "FROM 'a.parquet'", "FROM range(3), unnest([1]) u(v)",
        "SELECT copy, delete FROM (SELECT 'COPY t TO x' AS copy, 1 AS delete)",
    ],
)  # fmt: skip
def test_what_only_asks_is_let_through(query: str) -> None:
    with duckdb.connect(":memory:") as connection:
        check(connection, parsed(query))


# --- what a plan needs -----------------------------------------------------------------------------


def needed(query: str, **parameters: Any) -> Wanted | None:
    """What is needed of a table of partitions."""
    with duckdb.connect(":memory:") as connection:
        connection.execute("SET disabled_optimizers = 'statistics_propagation'")
        connection.execute(
            "CREATE TABLE partitions (job BIGINT, name VARCHAR, state VARCHAR, node VARCHAR, seconds DOUBLE)"
        )
        plan = connection.execute(f"EXPLAIN (FORMAT JSON) {query}", parameters).fetchall()[0][1]
    return of_plan(plan, {"partitions": [name for name in PARTITIONS if name in _NAMES]})["partitions"]


_NAMES = ("job", "name", "state", "node", "seconds")


@pytest.mark.parametrize(
    ("query", "columns"),
    [
        ("SELECT state, avg(seconds) FROM partitions GROUP BY 1", {"state", "seconds"}),
        ("SELECT count(*) FROM partitions", set()),
        ("SELECT count(*) FROM (SELECT * FROM partitions)", set()),
        ("SELECT COLUMNS('s.*') FROM partitions", {"state", "seconds"}),
        ("SELECT p FROM partitions p", set(_NAMES)),
        ("FROM partitions", set(_NAMES)),
        ("SUMMARIZE partitions", set(_NAMES)),
        ("SELECT a.seconds FROM partitions a JOIN partitions b USING (job) WHERE b.node IS NULL",
         {"seconds", "job", "node"}),
        ("SELECT 1 FROM partitions ORDER BY name", {"name"}),
    ],
)  # fmt: skip
def test_the_columns_that_a_question_needs_are_those_of_its_plan(query: str, columns: set[str]) -> None:
    found = needed(query)
    assert found is not None
    assert found.columns == columns


@pytest.mark.parametrize(
    ("query", "conditions"),
    [
        ("SELECT seconds FROM partitions WHERE job = 3", {("job", "=", 3)}),
        ("SELECT seconds FROM partitions WHERE job = $j", {("job", "=", 7)}),
        ("SELECT seconds FROM partitions WHERE job BETWEEN 3 AND 9 AND state = 'FAILED'",
         {("job", ">=", 3), ("job", "<=", 9), ("state", "=", "FAILED")}),
        ("SELECT seconds FROM partitions WHERE name = 'it''s = 5 AND job = 3'",
         {("name", "=", "it's = 5 AND job = 3")}),
        ("SELECT seconds FROM partitions WHERE job = 3 OR state = 'FAILED'", set()),
        ("SELECT seconds FROM partitions WHERE NOT (job = 3)", set()),
        ("SELECT seconds FROM partitions WHERE seconds > 1.5", set()),
        ("SELECT a.seconds FROM partitions a, partitions b WHERE a.job = 3 AND b.job = 4", set()),
    ],
)  # fmt: skip
def test_plain_comparisons_become_conditions_and_nothing_else(query: str, conditions: set[tuple[Any, ...]]) -> None:
    found = needed(query, **({"j": 7} if "$j" in query else {}))
    assert found is not None
    assert set(found.conditions) == {Condition(*one) for one in conditions}
    assert {column for column, _, _ in conditions} - {"job"} <= found.columns | {"name", "state"}


def test_a_table_that_the_plan_has_no_use_for_is_not_needed() -> None:
    assert needed("SELECT state FROM partitions WHERE false") is None
    assert needed("DESCRIBE partitions") is None


def test_a_plan_that_reads_a_table_in_an_unknown_way_needs_all_of_it() -> None:
    plan = '[{"name": "FETCH", "extra_info": {"From": "partitions"}, "children": []}]'
    assert of_plan(plan, {"partitions": _NAMES}) == {"partitions": Wanted(frozenset(_NAMES))}


@pytest.mark.parametrize(
    ("value", "plain"),
    [(np.int64(3), 3), (np.float32(0.5), 0.5), (np.array([1, 2]), [1, 2]), (pd.Series(["a"]), ["a"]), ("a", "a"),
     ([1], [1]), (None, None)],
)  # fmt: skip
def test_parameters_are_given_as_plain_values(value: Any, plain: Any) -> None:
    assert bindable(value) == plain


# --- values ----------------------------------------------------------------------------------------


class Odd:
    def __repr__(self) -> str:
        return "<odd>"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, None),
        ("plain", "plain"),
        (12, "12"),
        (True, "true"),
        ({"a": [1, 2.5]}, '{"a": [1, 2.5]}'),
        (np.int64(3), "3"),
        (np.array([1, 2]), "[1, 2]"),
        (datetime(2026, 1, 2, tzinfo=UTC), '"2026-01-02T00:00:00+00:00"'),
        (pd.DataFrame({"a": [1]}), '{"a": {"0": 1}}'),
        ({"a": Odd()}, '{"a": "<odd>"}'),
        ({(1, 2): 3}, "{(1, 2): 3}"),
    ],
)
def test_values_are_texts_or_json(value: Any, text: str | None) -> None:
    assert text_of(value) == text


def test_a_value_without_end_is_cut() -> None:
    assert len(text_of("x" * 1_000_000) or "") == 100_000
