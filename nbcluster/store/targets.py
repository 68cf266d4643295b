"""Rows of the user's, written in the transaction that makes their partition COMPLETED."""

from __future__ import annotations

import contextlib
import json
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

from sqlalchemy import Connection, insert, update
from sqlalchemy.exc import DBAPIError

from nbcluster.errors import DatabaseError, InputError
from nbcluster.records import Finish, TableRows
from nbcluster.rows import making
from nbcluster.rows.target import split_name
from nbcluster.store.engine import Database
from nbcluster.store.tables import targets

_KEPT = 64
"""Targets whose columns are remembered: a node writes into few at a time."""

_MANY = 1_000_000
"""Bytes of rows from which triggers and checks may take their time."""

_Key = tuple[str, str]


class TableRefused(DatabaseError):
    """A table does not take the rows of a partition, or a statement of its function: nothing of it was written."""


class Targets:
    """``batch_targets``, and the tables that it names."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._dialect = database.dialect
        self._known: OrderedDict[_Key, list[making.TableColumn]] = OrderedDict()

    def create(self, connection: Connection, uid: str, step: str, table: str, if_exists: str) -> None:
        """Note where a new step writes.  Raises InputError when the table is there and must not be."""
        name = split_name(table)
        if if_exists == "fail" and making.exists(connection, name):
            raise InputError(
                f"there is a table {table} already; if_exists='append' (--if-exists append) adds rows to it, "
                "'replace' drops it first"
            )
        connection.execute(
            insert(targets).values(job_uid=uid, step_name=step, table_name=table, if_exists=if_exists, made=0)
        )

    def write(self, connection: Connection, finishes: Iterable[Finish]) -> None:
        """Write the rows of partitions that this transaction has just made COMPLETED.

        Raises TableRefused, naming the column, and DBAPIError for what may pass.
        """
        having = sorted((finish for finish in finishes if finish.rows is not None), key=_target)
        for _, group in groupby(having, _target):
            together = list(group)
            table = together[0].claim.step.into_table
            try:
                with self._refusing(f"table {table} refused the rows, and none of its partition were written"):
                    self._write(connection, together)
            except InputError as error:
                self.forget(together)
                raise TableRefused(f"{error}; no row of its partition was written") from error
            except TableRefused:
                self.forget(together)
                raise

    def execute(self, connection: Connection, finishes: Iterable[Finish]) -> None:
        """Execute the statements of partitions that this transaction has just made COMPLETED; raises as ``write``."""
        having = [finish for finish in finishes if finish.statements]
        if having:
            self._dialect.limit_statements(connection)
        for finish in having:
            for statement in finish.statements:
                refused = "its statement was refused, and nothing of its partition was written"
                with self._refusing(refused, f" ({statement.sql:.200})"):
                    self._dialect.execute(connection, statement)

    @contextlib.contextmanager
    def _refusing(self, sentence: str, more: str = "") -> Iterator[None]:
        """What the database refuses for good is TableRefused, with its words; so is what a child made up."""
        try:
            yield
        except (InputError, DatabaseError):
            raise
        except DBAPIError as error:
            if self._dialect.is_transient(error) or self._dialect.leads_nowhere(error):
                raise
            raise TableRefused(f"{sentence}: {self._dialect.said(error)}{more}") from error
        except (ValueError, TypeError, LookupError, ArithmeticError, OSError) as error:
            raise TableRefused(f"{sentence}: {type(error).__name__}: {error}{more}") from error

    def forget(self, finishes: Iterable[Finish]) -> None:
        """Look at these tables anew before the next rows: somebody may have changed them."""
        for finish in finishes:
            self._known.pop((finish.claim.step.uid, finish.claim.step.name), None)

    def _write(self, connection: Connection, together: Sequence[Finish]) -> None:
        rows = _rows(together[0])
        if not rows.columns:
            return
        columns = self._ready(connection, together[0], rows)
        table = str(together[0].claim.step.into_table)
        bodies = [_rows(finish).body for finish in together if _rows(finish).count]
        loosely = self._dialect.name in making.LOOSE
        names = making.check(table, columns, rows.columns, loosely=loosely, empty=not bodies)
        self._dialect.insert_rows(connection, split_name(table), rows.columns, names, bodies)

    def _ready(self, connection: Connection, finish: Finish, rows: TableRows) -> list[making.TableColumn]:
        """The columns of the table, which the first partition makes."""
        step = finish.claim.step
        key = (step.uid, step.name)
        if key in self._known:
            self._known.move_to_end(key)
            return self._known[key]
        name = split_name(step.into_table)
        if self._is_first(connection, key, rows):
            self._make(connection, key, rows)
            # Not remembered: another partition may yet spoil this transaction, and the table with it.
            return making.columns_of(connection, name)
        if not making.exists(connection, name):
            raise InputError(f"table {step.into_table}, into which the job writes, was dropped meanwhile")
        self._known[key] = making.columns_of(connection, name)
        while len(self._known) > _KEPT:
            self._known.popitem(last=False)
        return self._known[key]

    def _is_first(self, connection: Connection, key: _Key, rows: TableRows) -> bool:
        """Whether nobody has made the table ready; who has not committed yet is waited for."""
        statement = (
            update(targets)
            .where(targets.c.job_uid == key[0], targets.c.step_name == key[1], targets.c.made == 0)
            .values(made=1, columns=json.dumps(rows.columns))
        )
        return bool(connection.execute(statement).rowcount)

    def _make(self, connection: Connection, key: _Key, rows: TableRows) -> None:
        row = connection.execute(
            targets.select().where(targets.c.job_uid == key[0], targets.c.step_name == key[1])
        ).one()
        name = split_name(row.table_name)
        self._dialect.lock_name(connection, row.table_name)  # of two jobs that make it, the second finds it
        there = making.exists(connection, name)
        if there and row.if_exists == "fail":
            raise InputError(
                f"there is a table {row.table_name} by now, which was not there when the job was submitted; "
                "if_exists='append' (--if-exists append) adds rows to it, 'replace' drops it first"
            )
        if there and row.if_exists == "replace":
            making.drop(connection, name)
        if not there or row.if_exists == "replace":
            making.make(connection, name, rows.columns)


def may_take_long(finish: Finish) -> bool:
    """Whether the database may be silent for more than some seconds over what this partition writes."""
    many = finish.rows is not None and (not isinstance(finish.rows.body, bytes) or len(finish.rows.body) > _MANY)
    return bool(finish.statements) or many


def _rows(finish: Finish) -> TableRows:
    assert finish.rows is not None
    return finish.rows


def _target(finish: Finish) -> tuple[str, str, Sequence[tuple[str, str]]]:
    step = finish.claim.step
    return step.uid, step.name, _rows(finish).columns
