"""From a URL to transactions: connections, retries, and the one door where database errors become ours."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

from sqlalchemy import URL, Connection, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from nbcluster.errors import ConfigError, DatabaseUnreachable
from nbcluster.store.dialects import dialect_for
from nbcluster.store.dialects.base import Dialect

T = TypeVar("T")

BULK = 120.0
"""Seconds for one statement about everything that a job has, however large it is."""

_TRIES = 12
_RECONNECT_FOR = 8.0
"""Seconds after which a call whose connection broke is not tried again: whoever waits is told."""

_FIRST_PAUSE = 0.005


class Database:
    """Transactions on one database.  Safe to use from several threads."""

    def __init__(self, url: str, pool_size: int = 2) -> None:
        self.dialect: Dialect = dialect_for(_parse(url))
        self.engine = self.dialect.make_engine(pool_size)
        self._reading = self.engine.execution_options(**self.dialect.reading)
        self.closed = False
        self.interruptions = 0
        """How many transactions ended without anybody knowing how: their connection broke."""
        self.after_commit: Callable[[Iterable[str]], None] = lambda _topics: None

    @property
    def url(self) -> str:
        """The URL as it may be shown: without its password."""
        return self.dialect.url.render_as_string(hide_password=True)

    def is_at(self, url: str) -> bool:
        """Whether ``url`` leads to this very database.  Raises ConfigError for what is no URL."""
        here, there = self.dialect.url, _parse(url)
        if here.get_backend_name() != there.get_backend_name():
            return False
        if self.dialect.file is not None:
            return bool(there.database) and self.dialect.file == Path(str(there.database)).absolute()
        places = [(one.host, one.port or self.dialect.port, one.database) for one in (here, there)]
        return places[0] == places[1]

    def write(self, work: Callable[[Connection], T], *, patience: float | None = None) -> T:
        """Run ``work`` in a write transaction; again, from its start, after a passing refusal.

        ``patience`` is how many seconds the database may take for one statement, when that is more than usual.

        ``work`` must bear being run again: deadlocks, serialization failures, a locked
        file and lost connections are retried here and never shown.
        """
        return self._run(work, writes=True, patience=patience)

    def read(self, work: Callable[[Connection], T], *, patience: float | None = None) -> T:
        """Run ``work``, which only reads."""
        return self._run(work, writes=False, patience=patience)

    def single(self, work: Callable[[Connection], T]) -> T:
        """Run ``work``, which executes one statement that may write: a transaction by itself, in one round trip.

        It must bear being run again, as with ``write``.
        """
        return self._run(work, writes=False)

    def announce(self, connection: Connection, topics: Iterable[str]) -> None:
        """Wake the listeners of ``topics`` once this transaction has committed."""
        if not self.dialect.announce(connection, topics):
            connection.info.setdefault("topics", set()).update(topics)

    def _run(self, work: Callable[[Connection], T], *, writes: bool, patience: float | None = None) -> T:
        began = time.monotonic()
        for tried in range(1, _TRIES + 1):
            try:
                self.dialect.check_place()
                with (self.engine if writes else self._reading).connect() as connection:
                    self.dialect.limit(connection, patience)
                    connection.info.pop("topics", None)
                    if writes:
                        self.dialect.begin_write(connection)
                    result = work(connection)
                    if writes:
                        connection.commit()
                    topics = connection.info.pop("topics", None)
                if topics:
                    self.after_commit(topics)
                return result
            except DBAPIError as error:
                broken = self.dialect.leads_nowhere(error)
                if broken:
                    self.interruptions += 1
                    self.engine.dispose()
                tired = tried == _TRIES or (broken and time.monotonic() - began > _RECONNECT_FOR)
                if tired or not self.dialect.is_transient(error):
                    raise self.dialect.translate(error) from error
            except PoolTimeout as error:
                raise DatabaseUnreachable(f"{self.url}: no free connection within 30 s") from error
            time.sleep(_FIRST_PAUSE * 2 ** min(tried, 6) * random.uniform(0.5, 1.5))
        raise AssertionError("unreachable")

    def close(self) -> None:
        """Close every connection."""
        self.closed = True
        self.engine.dispose()


def _parse(url: str) -> URL:
    try:
        return make_url(url)
    except (ArgumentError, ValueError) as error:
        raise ConfigError(
            f"{url.rsplit('@', maxsplit=1)[-1]!r} is no database URL; "
            "write sqlite:///path/to/cluster.db or postgresql+psycopg://user@host/database"
        ) from error
