"""Rows of the user's commit with the state of their partition, and only there."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

import nbcluster as nb
from nbcluster.records import Claim, Finish, StepToRun, TableRows
from nbcluster.rows.encoding import encode
from nbcluster.rows.shaping import shape
from nbcluster.statements import Statement
from nbcluster.store import Store
from nbcluster.store.targets import TableRefused
from tests.builders import a_new_step, completed, failed
from tests.store.acts import at_once, change, count, lose, register, rows, run, statements_of, statuses, submit, take
from tests.store.conftest import OpenStore

LARGE = 10**9


@pytest.fixture(autouse=True)
def _no_table(store: Store) -> Iterator[None]:
    """Neither before nor after."""
    yield
    change(store, "DROP TABLE IF EXISTS t")


def writing(store: Store, partitions: int = 1, if_exists: str = "fail", **changes: Any) -> StepToRun:
    return submit(store, partitions, step=a_new_step(into_table="t", if_exists=if_exists), **changes)


def with_rows(store: Store, *values: dict[str, Any], **changes: Any) -> Any:
    """How a claim ends whose partition writes these rows; by default one with its index."""

    def finish(claim: Claim) -> Finish:
        encoded = encode(shape(values or [{"n": claim.index}]), store.database.dialect.rows_form, LARGE)
        return completed(claim, rows=TableRows(encoded.columns, encoded.count, encoded.body), **changes)

    return finish


def numbers(store: Store) -> list[Any]:
    return [n for (n,) in rows(store, "SELECT n FROM t ORDER BY n")]


def test_rows_are_there_when_their_partition_is_complete(store: Store) -> None:
    step = writing(store, 3)
    assert rows(store, "SELECT table_name, if_exists, made FROM batch_targets") == [("t", "fail", 0)]
    run(store, step, how=with_rows(store))
    assert numbers(store) == [0, 1, 2]
    assert rows(store, "SELECT made, columns FROM batch_targets") == [(1, '[["n", "int"]]')]


def test_an_outcome_that_is_refused_writes_no_row(store: Store) -> None:
    register(store, "a-1", "b-1")
    step = writing(store)
    late = take(store, step, "a-1")
    lose(store, "a-1")
    run(store, step, "b-1", how=with_rows(store, {"n": 2}))
    assert store.finishes.finish([with_rows(store, {"n": 1})(claim) for claim in late]) == set()
    assert numbers(store) == [2]


def test_an_outcome_that_is_recorded_twice_writes_its_rows_once(store: Store) -> None:
    """The answer to its COMMIT was lost, so it is recorded again."""
    claims = run(store, writing(store), how=with_rows(store))
    assert store.finishes.finish([with_rows(store)(claim) for claim in claims]) == {claims[0].partition_id}
    assert numbers(store) == [0]


def test_what_fails_writes_no_row(store: Store) -> None:
    run(store, writing(store), how=failed)
    assert count(store, "batch_targets", "made = 0") == 1
    with pytest.raises(nb.DatabaseError):
        numbers(store)


def test_two_stores_that_come_first_make_one_table(open_another: OpenStore) -> None:
    first, second = open_another(), open_another()
    step = writing(first, 40)
    halves = [take(first, step, "a-1", limit=20), take(first, step, "b-1", limit=20)]
    pairs = zip((first, second), halves, strict=True)
    at_once(*(lambda s=s, h=h: s.finishes.finish([with_rows(s)(claim) for claim in h]) for s, h in pairs))
    assert numbers(first) == list(range(40))


def test_two_jobs_that_come_first_make_one_table(open_another: OpenStore) -> None:
    first, second = open_another(), open_another()
    works = []
    for store in (first, second):
        claims = take(store, writing(store, 20, "append"))
        works.append(lambda s=store, c=claims: s.finishes.finish([with_rows(s)(claim) for claim in c]))
    at_once(*works)
    assert numbers(first) == sorted([*range(20)] * 2)


def test_a_table_that_was_made_in_a_transaction_that_failed_is_made_by_the_next(store: Store) -> None:
    step = writing(store, 2)
    good, bad = take(store, step)
    spoilt = with_rows(store, {"n": 1}, statements=(Statement("INSERT INTO missing VALUES (1)", ({},)),))
    with pytest.raises(TableRefused, match="its statement was refused"):
        store.finishes.finish([with_rows(store)(good), spoilt(bad)])
    assert statuses(store, step) == ["CLAIMED", "CLAIMED"]
    assert count(store, "batch_targets", "made = 0") == 1
    assert store.finishes.finish([with_rows(store)(good)]) == {good.partition_id}
    assert numbers(store) == [0]


def test_a_table_that_came_after_submission_is_no_less_refused(store: Store) -> None:
    step = writing(store)
    change(store, "CREATE TABLE t (n INTEGER)")
    (claim,) = take(store, step)
    with pytest.raises(TableRefused, match="there is a table t by now"):
        store.finishes.finish([with_rows(store)(claim)])
    assert numbers(store) == []


def test_replace_drops_the_table_with_the_first_rows_and_never_again(store: Store) -> None:
    change(store, "CREATE TABLE t (other INTEGER)")
    change(store, "INSERT INTO t VALUES (7)")
    step = writing(store, 3, "replace")
    assert rows(store, "SELECT other FROM t") == [(7,)]
    for claim in take(store, step):
        store.finishes.finish([with_rows(store)(claim)])
    assert numbers(store) == [0, 1, 2]


def test_the_tables_columns_are_looked_up_once_and_anew_when_it_was_changed(store: Store) -> None:
    step = writing(store, 5)
    first, second, third, fourth, fifth = (with_rows(store)(claim) for claim in take(store, step))
    store.finishes.finish([first])
    store.finishes.finish([second])
    plain = len(statements_of(store, lambda: store.finishes.finish([third])))
    other = submit(store)
    without = [completed(claim) for claim in take(store, other)]
    assert plain == len(statements_of(store, lambda: store.finishes.finish(without)))  # the rows are past what counts
    change(store, "ALTER TABLE t RENAME COLUMN n TO m")
    with pytest.raises(TableRefused):
        store.finishes.finish([fourth])
    with pytest.raises(TableRefused, match="table t has no column 'n'; it has m"):
        store.finishes.finish([fifth])
    change(store, "DROP TABLE t")
    with pytest.raises(TableRefused, match="table t, into which the job writes, was dropped meanwhile"):
        store.finishes.finish([fifth])
    assert statuses(store, step) == ["COMPLETED"] * 3 + ["CLAIMED"] * 2


def test_a_table_that_must_not_be_there_is_refused_with_the_whole_job(store: Store) -> None:
    change(store, "CREATE TABLE t (n INTEGER)")
    with pytest.raises(nb.InputError, match="there is a table t already"):
        writing(store)
    assert count(store, "batch_job_execution") == 0
    assert count(store, "batch_targets") == 0


def test_a_view_is_as_much_in_the_way_as_a_table(store: Store) -> None:
    change(store, "CREATE VIEW t AS SELECT 1 AS n")
    try:
        with pytest.raises(nb.InputError, match="there is a table t already"):
            writing(store)
    finally:
        change(store, "DROP VIEW t")


@pytest.mark.needs("login")  # a file has one schema
def test_another_schema_is_another_table(store: Store) -> None:
    change(store, "CREATE SCHEMA lab")
    try:
        step = submit(store, 1, step=a_new_step(into_table='"lab"."T 1"'))
        run(store, step, how=with_rows(store))
        assert rows(store, 'SELECT n FROM lab."T 1"') == [(0,)]
        with pytest.raises(nb.InputError, match=r'there is a table lab."T 1" already'):
            submit(store, 1, step=a_new_step(into_table='lab."T 1"'))
    finally:
        change(store, "DROP SCHEMA lab CASCADE")


def test_rows_of_every_kind_are_made_into_columns_that_take_them_again(store: Store) -> None:
    from datetime import UTC, date, datetime, time, timedelta
    from decimal import Decimal
    from uuid import UUID

    row = {
        "a": True, "b": -(2**63), "c": 1.5, "d": Decimal("12345678901234.5"), "e": "ü\t\\N", "f": b"\0\xff",
        "g": date(2024, 2, 29), "h": datetime(2024, 2, 29, 1, 2, 3, 4, UTC).replace(tzinfo=None),
        "i": datetime(2024, 2, 29, 1, 2, 3, 4, UTC), "j": time(8, 30), "k": timedelta(minutes=1.5), "l": UUID(int=1),
        "m": {"x": [1, "ü"]}, "n": None, "o": 2**63, "p": float("inf"), "q": 3.0,
    }  # fmt: skip
    step = writing(store, 2)
    for claim in take(store, step):  # made by the first, checked by the second
        store.finishes.finish([with_rows(store, row)(claim)])
    assert count(store, "t") == 2
    (read, again) = rows(store, "SELECT a, b, c, d, e, f, j, n, o, p, q FROM t")
    assert read == again
    assert [read[0], read[1], read[2], float(read[3]), read[4], bytes(read[5]), str(read[6])[:5]] == [
        True, -(2**63), 1.5, 12345678901234.5, "ü\t\\N", b"\0\xff", "08:30",
    ]  # fmt: skip
    assert [read[7], float(read[8]), read[9], read[10]] == [None, 2.0**63, float("inf"), 3.0]


def test_statements_are_executed_in_order_after_the_rows_of_all(store: Store) -> None:
    step = writing(store, 2)
    here = (
        Statement("UPDATE t SET n = n + :more", ({"more": 10}, {"more": 100})),
        Statement("INSERT INTO t VALUES (:n), (:n)", ({"n": -1},)),
    )
    first, second = take(store, step)
    store.finishes.finish([with_rows(store, statements=here)(first), with_rows(store)(second)])
    assert numbers(store) == [-1, -1, 110, 111]


@pytest.mark.parametrize("body", [b"[1]\n", b"[[1],[2]]\n", b"nonsense\n", b"a\tb\n", b"\xff\n", b"x\n"])
def test_rows_that_a_child_made_up_are_refused_and_no_more(store: Store, body: bytes) -> None:
    step = writing(store, 2)
    good, bad = take(store, step)
    store.finishes.finish([with_rows(store)(good)])
    with pytest.raises(TableRefused, match="table t refused the rows, and none of its partition were written"):
        store.finishes.finish([completed(bad, rows=TableRows((("n", "int"),), 1, body))])
    assert numbers(store) == [0]


def test_a_value_that_the_driver_cannot_bind_is_refused_and_no_more(store: Store) -> None:
    (claim,) = take(store, writing(store))
    impossible = (Statement("INSERT INTO t VALUES (:n)", ({"n": 2**70},)),)
    with pytest.raises(TableRefused, match="its statement was refused"):
        store.finishes.finish([with_rows(store, statements=impossible)(claim)])
    assert statuses(store, claim.step) == ["CLAIMED"]


def test_statements_of_an_outcome_that_is_refused_are_not_executed(store: Store) -> None:
    change(store, "CREATE TABLE t (n INTEGER)")
    register(store, "a-1", "b-1")
    step = submit(store)
    late = take(store, step, "a-1")
    lose(store, "a-1")
    run(store, step, "b-1")
    insert = (Statement("INSERT INTO t VALUES (:n)", ({"n": 1},)),)
    assert store.finishes.finish([completed(claim, statements=insert) for claim in late]) == set()
    assert numbers(store) == []


@pytest.mark.parametrize("number", [1, 199, 200, 201, 400, 20_001])
def test_every_number_of_rows_is_there_in_order(store: Store, number: int) -> None:
    run(store, writing(store), how=with_rows(store, *({"n": n, "text": str(n)} for n in range(number))))
    assert numbers(store) == list(range(number))
    assert count(store, "t", "CAST(n AS VARCHAR(9)) = text") == number


@pytest.mark.needs("login")  # a file's statements end by themselves
def test_a_statement_ends_before_its_connection_is_given_up(store: Store) -> None:
    """A connection that is silent for two minutes is closed, and what it did tried again, for ever."""
    change(store, "CREATE TABLE t (n VARCHAR(9))")
    asking = (Statement("INSERT INTO t SELECT current_setting('statement_timeout')", ({},)),)
    run(store, submit(store), how=lambda claim: completed(claim, statements=asking))
    assert numbers(store) == ["100s"]
    assert rows(store, "SELECT current_setting('statement_timeout')") == [("150s",)]
