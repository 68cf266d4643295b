"""What ``nb.current().connection`` takes down, and what of it a node reads."""

from __future__ import annotations

import multiprocessing
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import numpy as np
import pandas as pd
import pytest
from sqlalchemy import text

import nbcluster as nb
from nbcluster.running import Current, set_current
from nbcluster.statements import OURS, Recorder, Statement, checked, loose, read_statements, rendered
from nbcluster.store.tables import metadata

LARGE = 10**6
MORNING = datetime(2024, 2, 29, 8, 30, 1, 5, tzinfo=UTC)


def test_every_table_of_ours_is_known_to_be_ours() -> None:
    assert set(metadata.tables) == OURS


@pytest.mark.parametrize(
    ("sql", "names"),
    [
        ("INSERT INTO t VALUES (:a, :b, :a)", {"a", "b"}),
        ("  update t set n = n + 1 ; ", set()),
        ("INSERT INTO t VALUES (':a', \":b\", 'it''s :c', '12:30') -- :d\n/* :e; */", set()),
        ("INSERT INTO t VALUES (:a::text, $$:b;$$, $x$ :c $$ $x$, E'\\':d')", {"a"}),
        ("WITH x AS (SELECT 1) INSERT INTO t SELECT * FROM x", set()),
        ("CREATE TABLE batch_sizes (batch_size INTEGER)", set()),
        ("INSERT INTO t VALUES ('batch_nodes')", set()),
        ("MERGE INTO t USING s ON t.n = s.n WHEN MATCHED THEN DELETE", set()),
    ],
)
def test_the_parameters_of_a_statement(sql: str, names: set[str]) -> None:
    assert checked(sql) == names


@pytest.mark.parametrize(
    ("sql", "sentence"),
    [
        ("SELECT 1", "it can read nothing through them: SELECT 1"),
        ("WITH x AS (SELECT 1) SELECT * FROM x", "it can read nothing"),
        ("COMMIT", "a statement begins with INSERT, .* or WITH: COMMIT"),
        ("DROP TABLE t", "a statement begins with"),
        ("", "a statement begins with"),
        ("-- INSERT", "a statement begins with"),
        ("INSERT INTO t VALUES (1); DELETE FROM t", "give one statement at a time"),
        ("DELETE FROM batch_nodes", "batch_nodes is nbcluster's own table"),
        ('DELETE FROM public."BATCH_nodes"', "batch_nodes is nbcluster's own table"),
        ("INSERT INTO t SELECT * FROM Batch_Results", "batch_results is nbcluster's own table"),
        ("INSERT INTO t VALUES ('open)", "a quote or comment has no end at position 22"),
        ("INSERT INTO t /* open", "a quote or comment has no end"),
        (5, "a statement is text with :name for its parameters, not int"),
    ],
)
def test_a_statement_that_may_not_be_executed(sql: Any, sentence: str) -> None:
    with pytest.raises(nb.InputError, match=sentence):
        checked(sql)
    with pytest.raises(nb.InputError, match=sentence):
        Recorder(LARGE).execute(sql)


def test_a_statement_is_written_for_a_driver_with_its_texts_as_they_are() -> None:
    sql = "INSERT INTO t VALUES (:b, ':a', :a::text, '%') -- :c"
    assert rendered(sql, lambda _name: "?") == ("INSERT INTO t VALUES (?, ':a', ?::text, '%') -- :c", ["b", "a"])


@pytest.mark.parametrize(
    ("given", "read"),
    [
        (None, None),
        (True, True),
        (2**70, 2**70),
        (1.5, 1.5),
        (float("inf"), float("inf")),
        (float("nan"), None),
        ("ü\0\ud800", "ü\0\ud800"),
        (b"\0\xff", b"\0\xff"),
        (MORNING, MORNING),
        (MORNING.date(), date(2024, 2, 29)),
        (time(8, 30), time(8, 30)),
        (timedelta(seconds=1.5), timedelta(seconds=1.5)),
        (Decimal("1.10"), Decimal("1.10")),
        (UUID(int=1), UUID(int=1)),
        (np.int64(3), 3),
        (np.float32(0.5), 0.5),
        (np.bool_(True), True),
        (pd.Timestamp(MORNING) + pd.Timedelta(7, "ns"), MORNING),
        (pd.NaT, None),
        (pd.NA, None),
    ],
)
def test_a_value_travels_as_what_it_is(given: Any, read: Any) -> None:
    recorder = Recorder(LARGE)
    recorder.execute("INSERT INTO t VALUES (:x)", {"x": given})
    (statement,) = read_statements(recorder.close())
    assert statement == Statement("INSERT INTO t VALUES (:x)", ({"x": read},))
    assert type(statement.rows[0]["x"]) is type(read)


def test_a_database_without_types_for_times_gets_text_and_seconds() -> None:
    told = [loose(one) for one in (MORNING, MORNING.date(), timedelta(seconds=90), Decimal("1.10"), 5, b"x", None)]
    assert told == ["2024-02-29 08:30:01.000005+00:00", "2024-02-29", 90.0, "1.10", 5, b"x", None]


@pytest.mark.parametrize(
    ("parameters", "sentence"),
    [
        ({}, "parameter :n has no value: INSERT INTO t"),
        ({"n": 1, "m": 2}, "parameter :m is not in the statement"),
        ({"n": [1]}, "parameter :n is of type list, which no database takes"),
        ({"n": object()}, "parameter :n is of type object"),
        ([1], "parameters are a dict of names to values, not int"),
        ((1,), "parameters are a dict of names to values, not tuple"),
    ],
)
def test_parameters_that_do_not_fit_are_refused_at_once(parameters: Any, sentence: str) -> None:
    recorder = Recorder(LARGE)
    with pytest.raises(nb.InputError, match=sentence):
        recorder.execute("INSERT INTO t VALUES (:n)", parameters)
    assert len(recorder) == 0


def test_statements_of_sqlalchemy_and_lists_of_parameters_are_taken_too() -> None:
    recorder = Recorder(10**6)
    recorder.execute(text("INSERT INTO seen VALUES (:n)"), [{"n": 1}, {"n": 2}])
    (statement,) = read_statements(recorder.close())
    assert (statement.sql, statement.rows) == ("INSERT INTO seen VALUES (:n)", ({"n": 1}, {"n": 2}))


def test_executemany_takes_down_all_rows_and_nothing_for_none() -> None:
    recorder = Recorder(LARGE)
    recorder.executemany("INSERT INTO t VALUES (:n)", ({"n": n} for n in range(3)))
    recorder.executemany("INSERT INTO t VALUES (:n)", [])
    assert read_statements(recorder.close()) == (
        Statement("INSERT INTO t VALUES (:n)", ({"n": 0}, {"n": 1}, {"n": 2})),
    )


def test_more_than_a_result_may_be_is_refused() -> None:
    recorder = Recorder(1000)
    with pytest.raises(nb.TooLarge, match="larger than max_result"):
        recorder.executemany("INSERT INTO t VALUES (:n)", [{"n": "x" * 600}] * 2)


def test_a_thread_of_a_partition_that_has_ended_is_told_so() -> None:
    recorder = Recorder(LARGE)
    recorder.close()
    with pytest.raises(nb.UsageError, match="whose partition has ended"):
        recorder.execute("DELETE FROM t")


def _executed_elsewhere(recorder: Recorder, queue: Any) -> None:
    try:
        recorder.execute("DELETE FROM t")
    except nb.UsageError as error:
        queue.put(str(error))


def test_a_forked_process_is_told_that_its_statements_would_be_lost() -> None:
    forking = multiprocessing.get_context("fork")
    queue = forking.Queue()
    process = forking.Process(target=_executed_elsewhere, args=(Recorder(LARGE), queue))
    process.start()
    assert "not in one forked from it" in queue.get(timeout=30)
    process.join(30)


def test_outside_of_a_partition_there_is_no_connection() -> None:
    here = Current("job", 0, "0", 1, "node", transferable=True)
    set_current(here, None)
    try:
        with pytest.raises(nb.UsageError, match="connection takes statements only inside a function"):
            _ = nb.current().connection
    finally:
        set_current(None)


@pytest.mark.parametrize("body", [b"", b"1", b'[["SELECT 1", [{}]]]', b'[["DELETE FROM t", [{"x": {"odd": 1}}]]]'])
def test_what_a_child_made_up_is_no_statement(body: bytes) -> None:
    with pytest.raises((ValueError, TypeError, KeyError)):
        read_statements(body)
