"""Seeing a death before the heartbeat tells: a hint that the operating system or the server gives.

A process holds something that nobody but its end can take from it: a lock on a file
beside an embedded database, or an advisory lock of its listening session on
PostgreSQL.  When that is free again, the process is gone and its work is moved at
once.  No correctness rests on it: the attempt fence stays the guarantee, and whoever
gives no such sign (a frozen or cut-off process) is found by its silence.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
from abc import ABC, abstractmethod
from collections.abc import Iterable
from pathlib import Path

from sqlalchemy import text

from nbcluster.store.engine import Database
from nbcluster.store.wakeup import Wakeup

_LOCK_CLASS = 7116923


class Presence(ABC):
    """Who is surely gone."""

    @abstractmethod
    def hold(self, node_id: str) -> None:
        """Show that this process lives, under this id, for as long as it does."""

    @abstractmethod
    def vanished(self, me: str, others: Iterable[str]) -> set[str]:
        """Those of ``others`` that held their sign of life and do no longer."""

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

    def vanished(self, me: str, others: Iterable[str]) -> set[str]:
        return {node_id for node_id in others if self._is_free(self._path(node_id))}

    def _is_free(self, path: Path) -> bool:
        try:
            descriptor = os.open(path, os.O_RDWR)
        except OSError:
            return False  # it never held one, or left in good order
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


class SessionPresence(Presence):
    """An advisory lock of the listening session, seen by everybody in ``pg_locks``."""

    def __init__(self, database: Database, wakeup: Wakeup) -> None:
        self._database = database
        self._wakeup = wakeup
        self._seen: set[str] = set()
        self._missing: set[str] = set()
        self._session = 0

    @staticmethod
    def _key(node_id: str) -> int:
        return int.from_bytes(hashlib.sha256(node_id.encode()).digest()[:4], "big", signed=True)

    def hold(self, node_id: str) -> None:
        # Tried, not waited for: a listener that came back may find its old session's lock not yet released.
        self._wakeup.keep(f"SELECT pg_try_advisory_lock({_LOCK_CLASS}, {self._key(node_id)})")

    def vanished(self, me: str, others: Iterable[str]) -> set[str]:
        held = self._database.read(
            lambda connection: set(
                connection.execute(
                    text(
                        "SELECT objid::bigint FROM pg_locks WHERE locktype = 'advisory' AND classid = :kind "
                        "AND objsubid = 2 AND granted "
                        "AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
                    ),
                    {"kind": _LOCK_CLASS},
                ).scalars()
            )
        )
        # Who was itself cut off, or saw the server restart, knows nothing of the others' sessions.
        if self._session != self._wakeup.sessions or self._key(me) % 2**32 not in held:
            self._session = self._wakeup.sessions
            self._seen.clear()
            self._missing.clear()
            return set()
        present = {node_id for node_id in others if self._key(node_id) % 2**32 in held}
        absent = (self._seen & set(others)) - present
        # Twice in a row: a session that broke and came back at once was no death.
        gone = absent & self._missing
        self._missing = absent
        # Told once: who goes on without its session is found by its silence, or not at all.
        self._seen = (self._seen & set(others) | present) - gone
        return gone

    @property
    def in_doubt(self) -> bool:
        return bool(self._missing)

    def close(self) -> None:
        self._seen.clear()


def presence_for(database: Database, wakeup: Wakeup) -> Presence:
    """The sign of life that this database can carry."""
    file = database.dialect.file
    return FilePresence(file) if file is not None else SessionPresence(database, wakeup)
