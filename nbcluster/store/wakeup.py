"""Push instead of polling: who is woken by what.

A topic is a short name.  Its listeners are woken after the announcing
transaction has committed; a wake-up is a hint and may be lost, so everybody who
waits also polls, rarely.  PostgreSQL carries topics by LISTEN/NOTIFY on one
connection a process.  Processes that share an embedded file send each other
datagrams through sockets in a folder beside it, which costs no polling at all.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import socket
import threading
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from nbcluster.store.engine import Database

log = logging.getLogger(__name__)

WORK = "nbcluster_work"
"""There is work for any node, or a job is to stop."""

MASTERS = "nbcluster_masters"
"""A process left that may have been master of jobs."""

_LONGEST_UNIX_PATH = 100
_SOCKET = ".sock"


def node_topic(node_id: str) -> str:
    """Work for this node.  Hashed: a channel's name is limited to 63 plain characters."""
    return f"nbcluster_n_{hashlib.sha256(node_id.encode()).hexdigest()[:24]}"


def control_topic(node_id: str) -> str:
    """Something about this node itself: it is to drain."""
    return f"nbcluster_c_{hashlib.sha256(node_id.encode()).hexdigest()[:24]}"


def job_topic(job_id: int) -> str:
    """Something about this job changed."""
    return f"nbcluster_j_{job_id}"


class Wakeup(ABC):
    """Topics and who is to be called.  Callbacks run in the listening thread and must be quick."""

    def __init__(self) -> None:
        self._callbacks: defaultdict[str, list[Callable[[], None]]] = defaultdict(list)
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._stopping = False
        self.sessions = 0
        """How often the listening session was opened anew; 0 where there is no such thing."""

    @property
    @abstractmethod
    def alive(self) -> bool:
        """Whether announcements arrive at present, as far as this process can tell."""

    def keep(self, statement: str, changed: Callable[[], None]) -> None:  # noqa: B027 -- only a session can hold something
        """Run ``statement`` in the listening session, now and whenever that is opened anew.

        It is run again until what it selects is true.  ``changed`` is called when what is
        kept was got or lost.
        """

    def doubt(self) -> None:  # noqa: B027 -- only a session can be half dead
        """Something was found that should have been announced: see whether announcements still arrive."""

    @property
    def holding(self) -> bool:
        """Whether the listening session holds all that it is to keep."""
        return False

    def subscribe(self, topic: str, callback: Callable[[], None]) -> Callable[[], None]:
        """Call ``callback`` whenever ``topic`` is announced; gives the function that ends it."""
        with self._lock:
            self._callbacks[topic].append(callback)
        self._start()
        self._topics_changed()

        def unsubscribe() -> None:
            with self._lock:
                if callback in self._callbacks.get(topic, ()):
                    self._callbacks[topic].remove(callback)
                if not self._callbacks.get(topic):
                    self._callbacks.pop(topic, None)
            self._topics_changed()

        return unsubscribe

    def _start(self) -> None:
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._listen, name="nbcluster-listener", daemon=True)
                self._thread.start()

    @abstractmethod
    def announce(self, topics: Iterable[str]) -> None:
        """Wake the listeners of ``topics``; after the commit, where the database does not do it itself."""

    @abstractmethod
    def _listen(self) -> None: ...

    @abstractmethod
    def _topics_changed(self) -> None: ...

    def close(self) -> None:
        """Stop listening."""
        self._stopping = True
        self._topics_changed()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(2.0)

    def _call(self, topic: str) -> None:
        with self._lock:
            callbacks = list(self._callbacks.get(topic, ()))
        for callback in callbacks:
            try:
                callback()
            except Exception:
                log.exception("a wake-up callback failed")


class FileWakeup(Wakeup):
    """Datagrams between the processes that share an embedded file."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self._folder = file.with_name(file.name + ".wake")
        self._name = f"{os.getpid()}-{os.urandom(6).hex()}{_SOCKET}"
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._sender = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._sender.setblocking(False)
        self._bound = False

    @property
    def alive(self) -> bool:
        return self._bound and not self._stopping

    def announce(self, topics: Iterable[str]) -> None:
        message = "\n".join(topics).encode()
        if not message:
            return
        try:
            names = os.listdir(self._folder)
        except OSError:
            return
        for name in names:
            if not name.endswith(_SOCKET):
                continue
            try:
                with self._address(name) as address:
                    self._sender.sendto(message, address)
            except (ConnectionRefusedError, FileNotFoundError):
                # Its process was killed: nobody will ever listen there again.
                with contextlib.suppress(FileNotFoundError):
                    (self._folder / name).unlink()
            except OSError as error:  # the commit stands, and a wake-up is only a hint: it may be lost
                log.debug("%s was not woken: %s", name, error)  # most often it has enough of them waiting

    @contextlib.contextmanager
    def _address(self, name: str) -> Iterator[str]:
        path = str(self._folder / name)
        if len(path) <= _LONGEST_UNIX_PATH:
            yield path
            return
        # The address of a socket holds 107 bytes; through a descriptor any folder is near.
        descriptor = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            yield f"/proc/self/fd/{descriptor}/{name}"
        finally:
            os.close(descriptor)

    def _bind(self) -> None:
        try:
            self._folder.mkdir(mode=0o700, exist_ok=True)
            with self._address(self._name) as address:
                self._socket.bind(address)
        except OSError as error:
            log.info("no push beside this database (%s); polling instead", error)
            return
        self._bound = True

    def subscribe(self, topic: str, callback: Callable[[], None]) -> Callable[[], None]:
        with self._lock:
            if not self._bound:
                self._bind()
        return super().subscribe(topic, callback)

    def _listen(self) -> None:
        if not self._bound:
            return
        while not self._stopping:
            try:
                topics = set(self._socket.recv(65536).decode().split("\n"))
            except OSError:
                return
            for topic in topics:
                self._call(topic)

    def _topics_changed(self) -> None:
        if self._stopping and self._bound:
            with contextlib.suppress(OSError), self._address(self._name) as address:
                self._sender.sendto(b"", address)

    def close(self) -> None:
        super().close()
        self._socket.close()
        self._sender.close()
        if self._bound:
            with contextlib.suppress(OSError):
                (self._folder / self._name).unlink()


def wakeup_for(database: Database) -> Wakeup:
    """The push that this database can do."""
    file = database.dialect.file
    if file is not None:
        return FileWakeup(file)
    from nbcluster.store.wakeup_postgresql import PostgresWakeup  # the driver costs an embedded user's start nothing

    return PostgresWakeup(database)
