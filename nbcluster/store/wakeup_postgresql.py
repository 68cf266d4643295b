"""Wake-ups by LISTEN and NOTIFY: one connection a process, for all of its topics."""

from __future__ import annotations

import contextlib
import logging
import select
import socket
import time
from collections.abc import Iterable
from typing import Any

import psycopg

from nbcluster.store.engine import Database
from nbcluster.store.wakeup import Wakeup

log = logging.getLogger(__name__)

_RECONNECT_PAUSE = 0.2
_PROBE_EVERY = 30.0


class PostgresWakeup(Wakeup):
    """LISTEN on one connection of its own; NOTIFY goes with the announcing transaction."""

    def __init__(self, database: Database) -> None:
        super().__init__()
        url = database.dialect.url.set(drivername="postgresql")
        self._conninfo = url.render_as_string(hide_password=False)
        self._listening: set[str] = set()
        self._heard: set[str] = set()
        self._kept: list[str] = []
        self._run: set[str] = set()
        self._changed_reader, self._changed_writer = socket.socketpair()
        self._changed_reader.setblocking(False)

    def announce(self, topics: Iterable[str]) -> None:
        pass  # the dialect's announce inside the transaction did it

    def _topics_changed(self) -> None:
        with contextlib.suppress(OSError):
            self._changed_writer.send(b"x")

    def keep(self, statement: str) -> None:
        self._kept.append(statement)
        self._start()
        self._topics_changed()

    def close(self) -> None:
        super().close()
        self._changed_writer.close()
        self._changed_reader.close()

    def _listen(self) -> None:
        while not self._stopping:
            try:
                with psycopg.connect(
                    self._conninfo, autocommit=True, connect_timeout=5, application_name="nbcluster-listen"
                ) as connection:
                    self._listening, self._run = set(), set()
                    self.sessions += 1
                    # Those that arrive while LISTEN runs come through the handler.
                    connection.add_notify_handler(lambda note: self._heard.add(note.channel))
                    self._adjust(connection)
                    self._tell()
                    self._turns(connection)
            except (psycopg.Error, OSError) as error:
                if not self._stopping:
                    log.debug("listener lost its connection (%s); polling until it is back", error)
                    time.sleep(_RECONNECT_PAUSE)

    def _turns(self, connection: psycopg.Connection[Any]) -> None:
        while not self._stopping:
            server, ours = connection.fileno(), self._changed_reader.fileno()
            ready, _, _ = select.select([server, ours], [], [], _PROBE_EVERY)
            if ours in ready:
                with contextlib.suppress(BlockingIOError):
                    self._changed_reader.recv(4096)
                self._adjust(connection)
            if not ready:
                connection.execute("SELECT 1")  # a dead connection shows itself only when it is used
            connection.pgconn.consume_input()
            while note := connection.pgconn.notifies():
                self._heard.add(note.relname.decode())
            self._tell()

    def _tell(self) -> None:
        heard, self._heard = self._heard, set()
        for topic in heard:
            self._call(topic)

    def _adjust(self, connection: psycopg.Connection[Any]) -> None:
        with self._lock:
            wanted = set(self._callbacks)
        # Names are made by node_topic, job_topic and WORK: letters, digits and underscores only.
        new = wanted - self._listening
        for topic in new:
            connection.execute(f'LISTEN "{topic}"'.encode())
        # What happened before LISTEN took hold was not heard: let the subscribers look once.
        self._heard |= new
        for topic in self._listening - wanted:
            connection.execute(f'UNLISTEN "{topic}"'.encode())
        self._listening = wanted
        for statement in set(self._kept) - self._run:
            connection.execute(statement.encode())
            self._run.add(statement)
