"""Wake-ups by LISTEN and NOTIFY: one connection a process, for all of its topics."""

from __future__ import annotations

import contextlib
import logging
import select
import socket
import time
from collections.abc import Callable, Iterable
from typing import Any

import psycopg

from nbcluster.store.dialects.limited import LimitedConnection
from nbcluster.store.engine import Database
from nbcluster.store.wakeup import Wakeup

log = logging.getLogger(__name__)

_RECONNECT_PAUSE = 0.2
_LONGEST_PAUSE = 5.0
_PROBE_EVERY = 30.0
_AGAIN = 0.5
"""Seconds until something that could not be held is tried again."""

_PATIENCE = 3.0
"""Seconds of silence after which the session is given up: its statements do next to nothing."""


def _readable(descriptors: Iterable[int], timeout: float) -> set[int]:
    """Those that have something to read, within ``timeout`` seconds."""
    poll = select.poll()
    for descriptor in descriptors:
        poll.register(descriptor, select.POLLIN)
    return {descriptor for descriptor, _ in poll.poll(timeout * 1000)}


class PostgresWakeup(Wakeup):
    """LISTEN on one connection of its own; NOTIFY goes with the announcing transaction."""

    def __init__(self, database: Database) -> None:
        super().__init__()
        url = database.dialect.url.set(drivername="postgresql")
        self._conninfo = url.render_as_string(hide_password=False)
        self._listening: set[str] = set()
        self._heard: set[str] = set()
        self._kept: dict[str, Callable[[], None]] = {}
        self._held: set[str] = set()
        self._alive = False
        self._doubted = False
        self._changed_reader, self._changed_writer = socket.socketpair()
        self._changed_reader.setblocking(False)

    @property
    def alive(self) -> bool:
        return self._alive and not self._stopping

    @property
    def holding(self) -> bool:
        return self.alive and bool(self._kept) and self._held >= set(self._kept)

    def announce(self, topics: Iterable[str]) -> None:
        pass  # the dialect's announce inside the transaction did it

    def _topics_changed(self) -> None:
        with contextlib.suppress(OSError):
            self._changed_writer.send(b"x")

    def keep(self, statement: str, changed: Callable[[], None]) -> None:
        with self._lock:
            self._kept[statement] = changed
        self._start()
        self._topics_changed()

    def doubt(self) -> None:
        self._doubted = True
        self._topics_changed()

    def close(self) -> None:
        super().close()
        self._changed_writer.close()
        self._changed_reader.close()

    def _listen(self) -> None:
        failures = 0
        while not self._stopping:
            try:
                with LimitedConnection.connect(
                    self._conninfo, autocommit=True, connect_timeout=5, application_name="nbcluster-listen"
                ) as connection:
                    connection.patience = _PATIENCE
                    failures = 0
                    self._session(connection)
            except (psycopg.Error, OSError) as error:
                if not self._stopping:
                    log.debug("listener lost its connection (%s); polling until it is back", error)
            finally:
                self._lost()
            if not self._stopping:
                failures += 1
                time.sleep(min(_LONGEST_PAUSE, _RECONNECT_PAUSE * failures))

    def _session(self, connection: LimitedConnection) -> None:
        """Listen until the connection breaks or there is nobody left to wake."""
        self._listening, self._held = set(), set()
        self.sessions += 1
        # Those that arrive while LISTEN runs come through the handler.
        connection.add_notify_handler(lambda note: self._heard.add(note.channel))
        self._adjust(connection)
        self._alive = True
        self._tell_holders()
        self._tell()
        self._turns(connection)

    def _lost(self) -> None:
        was_alive, self._alive = self._alive, False
        if was_alive:
            self._tell_holders()

    def _turns(self, connection: LimitedConnection) -> None:
        probed = time.monotonic()
        while not self._stopping:
            server, ours = connection.fileno(), self._changed_reader.fileno()
            ready = _readable([server, ours], _PROBE_EVERY if self._holds_all() else _AGAIN)
            if ours in ready:
                with contextlib.suppress(BlockingIOError):
                    self._changed_reader.recv(4096)
            if ours in ready or not self._holds_all():
                before = self._holds_all()
                self._adjust(connection)
                if self._holds_all() != before:
                    self._tell_holders()
            if self._doubted or time.monotonic() - probed >= _PROBE_EVERY:
                self._doubted = False
                connection.execute("")  # a dead connection shows itself only when it is used
                probed = time.monotonic()
            connection.pgconn.consume_input()
            while note := connection.pgconn.notifies():
                self._heard.add(note.relname.decode())
            self._tell()

    def _holds_all(self) -> bool:
        return self._held >= set(self._kept)

    def _tell_holders(self) -> None:
        with self._lock:
            callbacks = list(self._kept.values())
        for callback in callbacks:
            callback()

    def _tell(self) -> None:
        heard, self._heard = self._heard, set()
        for topic in heard:
            self._call(topic)

    def _adjust(self, connection: psycopg.Connection[Any]) -> None:
        with self._lock:
            wanted, kept = set(self._callbacks), set(self._kept)
        # Names are made by node_topic, job_topic and WORK: letters, digits and underscores only.
        new = wanted - self._listening
        for topic in new:
            connection.execute(f'LISTEN "{topic}"'.encode())
        # What happened before LISTEN took hold was not heard: let the subscribers look once.
        self._heard |= new
        for topic in self._listening - wanted:
            connection.execute(f'UNLISTEN "{topic}"'.encode())
        self._listening = wanted
        for statement in kept - self._held:
            row = connection.execute(statement.encode()).fetchone()
            if row is not None and row[0]:
                self._held.add(statement)
