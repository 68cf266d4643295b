"""Seeing a death before the heartbeat tells: a hint that the operating system or the server gives.

A process holds something that nobody but its end can take from it: a lock on a file
beside an embedded database, or an advisory lock of its listening session on
PostgreSQL.  While it does, it says so in ``batch_nodes.watched``.  When that is free
again although ``watched`` says otherwise, the process is gone and its work is moved at
once.  A process that only lost its session says that with its next beat, at once.  No
correctness rests on it: the attempt fence stays the guarantee, and whoever gives no
such sign (a frozen or cut-off process) is found by its silence.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Set
from pathlib import Path

from sqlalchemy import ColumnElement, literal_column, true

from nbcluster.store.engine import Database
from nbcluster.store.wakeup import Wakeup

_LOCK_CLASS = 7116923


class Presence(ABC):
    """Who is surely gone."""

    def __init__(self) -> None:
        self.on_change: Callable[[], None] = lambda: None
        """Called when the sign of life was got or lost, from another thread."""

    @abstractmethod
    def hold(self, node_id: str) -> None:
        """Show that this process lives, under this id, for as long as it does."""

    @property
    @abstractmethod
    def holding(self) -> bool:
        """Whether the sign of life is held now."""

    @abstractmethod
    def doubted(self) -> ColumnElement[bool]:
        """Of the rows of ``batch_nodes`` that say they hold their sign, those for which ``vanished`` must be asked."""

    @abstractmethod
    def vanished(self, me: str, doubted: Set[str]) -> set[str]:
        """Those of the ``doubted`` that held their sign of life and do no longer."""

    @property
    def in_doubt(self) -> bool:
        """Whether another look soon would tell more."""
        return False

    @abstractmethod
    def close(self) -> None:
        """Let go."""


class FilePresence(Presence):
    """A locked file for each process, in the folder beside the database."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self._folder = file.with_name(file.name + ".wake")
        self._held: dict[Path, int] = {}

    def _path(self, node_id: str) -> Path:
        return self._folder / f"{hashlib.sha256(node_id.encode()).hexdigest()[:24]}.alive"

    def hold(self, node_id: str) -> None:
        path = self._path(node_id)
        with contextlib.suppress(OSError):  # a folder that cannot be written leaves the heartbeat to tell
            self._folder.mkdir(mode=0o700, exist_ok=True)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._held[path] = descriptor

    @property
    def holding(self) -> bool:
        return bool(self._held)

    def doubted(self) -> ColumnElement[bool]:
        return true()  # the database knows nothing of files: all of them are looked at

    def vanished(self, me: str, doubted: Set[str]) -> set[str]:
        return {node_id for node_id in doubted - {me} if self._is_free(self._path(node_id))}

    def _is_free(self, path: Path) -> bool:
        try:
            descriptor = os.open(path, os.O_RDWR)
        except OSError:
            return False  # it left in good order
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        finally:
            os.close(descriptor)
        path.unlink(missing_ok=True)
        return True

    def close(self) -> None:
        for path, descriptor in self._held.items():
            path.unlink(missing_ok=True)
            os.close(descriptor)
        self._held.clear()


# The first four bytes of the id's SHA-256, as pg_locks shows the second key of an advisory lock.
_KEY = "('x' || left(encode(sha256(convert_to(batch_nodes.node_id, 'UTF8')), 'hex'), 8))::bit(32)::bigint"
_HELD = (
    f"SELECT objid::bigint FROM pg_locks WHERE locktype = 'advisory' AND classid = {_LOCK_CLASS} AND objsubid = 2 "
    "AND granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
)


class SessionPresence(Presence):
    """An advisory lock of the listening session, seen by everybody in ``pg_locks``."""

    def __init__(self, wakeup: Wakeup) -> None:
        super().__init__()
        self._wakeup = wakeup
        self._unknown: set[str] = set()
        self._missing: set[str] = set()
        self._session = 0

    @staticmethod
    def _key(node_id: str) -> int:
        return int.from_bytes(hashlib.sha256(node_id.encode()).digest()[:4], "big", signed=True)

    def hold(self, node_id: str) -> None:
        # Tried, not waited for: a listener that came back may find its old session's lock not yet released.
        statement = f"SELECT pg_try_advisory_lock({_LOCK_CLASS}, {self._key(node_id)})"
        self._wakeup.keep(statement, self._changed)

    def _changed(self) -> None:
        self.on_change()

    @property
    def holding(self) -> bool:
        return self._wakeup.holding

    def doubted(self) -> ColumnElement[bool]:
        return literal_column(f"{_KEY} NOT IN ({_HELD})").is_(true())

    def vanished(self, me: str, doubted: Set[str]) -> set[str]:
        # Who was itself cut off, or saw the server restart, knows nothing of the others' sessions: those that are
        # missing when its own begins may have broken with its last one, and are left for their silence to tell.
        if self._session != self._wakeup.sessions or not self.holding or me in doubted:
            self._session = self._wakeup.sessions if self.holding and me not in doubted else 0
            self._unknown = set(doubted)
            self._missing.clear()
            return set()
        self._unknown.intersection_update(doubted)
        absent = set(doubted) - self._unknown
        # Twice in a row: the moment between a session's end and the beat that tells of it was no death.
        gone = absent & self._missing
        self._missing = absent - gone
        self._unknown |= gone  # told once
        return gone

    @property
    def in_doubt(self) -> bool:
        return bool(self._missing)

    def close(self) -> None:
        self.on_change = lambda: None


def presence_for(database: Database, wakeup: Wakeup) -> Presence:
    """The sign of life that this database can carry."""
    file = database.dialect.file
    return FilePresence(file) if file is not None else SessionPresence(wakeup)
