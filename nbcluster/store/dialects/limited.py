"""A connection to PostgreSQL on which no call waits for ever.

A server or a network that accepts and never answers keeps a call of libpq waiting for
minutes, whatever time-outs it was given.  Here the waiting itself is limited: when
the server has been silent for ``patience`` seconds the connection is closed and the
call fails like one whose connection broke.  What keeps moving may take as long as it
takes: a large value counts by what is sent or received, not as a whole.
"""

from __future__ import annotations

import time
from collections.abc import Generator
from typing import Any

import psycopg

PATIENCE = 10.0
"""Seconds of silence after which a call is given up."""

SESSION = (
    # A process that stops in the middle of a transaction holds its row locks no longer than this.
    "SET idle_in_transaction_session_timeout = '10s'",
    # Ends before PATIENCE does, so that the server gives up too; it is tried again on the same connection.
    "SET lock_timeout = '8s'",
    # What nobody waits for any more ends on the server too.
    "SET statement_timeout = '150s'",
)


class DeadlineExceeded(psycopg.OperationalError):
    """The server did not answer in time; whether it did what it was asked is not known."""


class LimitedConnection(psycopg.Connection[Any]):
    """A psycopg connection whose every wait is limited."""

    patience = PATIENCE

    def wait(self, gen: Any, *args: Any, **options: Any) -> Any:
        """Run one exchange with the server.  Raises DeadlineExceeded, and the connection is closed then."""
        try:
            return super().wait(_limited(gen, self.patience), *args, **options)
        except DeadlineExceeded:
            self.pgconn.finish()
            raise


def _limited(gen: Any, patience: float) -> Generator[Any, Any, Any]:
    """``gen`` again, until nothing has moved for ``patience`` seconds."""
    try:
        awaited = next(gen)
        end = time.monotonic() + patience
        while True:
            ready = yield awaited
            if ready:
                end = time.monotonic() + patience
            elif time.monotonic() > end:
                raise DeadlineExceeded(f"the server has not answered for {patience:g} s")
            awaited = gen.send(ready)
    except StopIteration as stop:
        return stop.value


def prepare(connection: psycopg.Connection[Any]) -> None:
    """Set the limits that the server keeps, once for each session."""
    with connection.cursor() as cursor:
        cursor.execute("; ".join(SESSION))
    connection.commit()
