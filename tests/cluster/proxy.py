"""A TCP proxy before the database: cuts connections, swallows or delays what passes, loses the answers to COMMITs."""

from __future__ import annotations

import contextlib
import re
import socket
import threading
import time

_PREPARED = re.compile(rb"(_pg3_\d+)\0([A-Z][^\0]*)\0")
_NAMED = re.compile(rb"_pg3_\d+")


class Proxy:
    """Forwards connections to a server until it is told otherwise."""

    def __init__(self, host: str, port: int) -> None:
        self._server = (host, port)
        self._lock = threading.Lock()
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._listener: socket.socket | None = None
        self.port = 0
        self._lost_after: bytes | None = None
        self._passing = threading.Event()
        self._seconds = 0.0
        self.restore()

    def lose_answer(self, after: str) -> None:
        """Reset the next connection that commits a statement containing ``after``, once the server has done it."""
        self._lost_after = after.encode()

    @property
    def lost(self) -> bool:
        """Whether the answer has been lost by now."""
        return self._lost_after is None

    def delay(self, seconds: float) -> None:
        """From now on let every answer arrive so much later; 0 ends it."""
        self._seconds = seconds

    def black_hole(self) -> None:
        """Accept connections and keep them open, and let nothing through in either direction.

        What was sent meanwhile arrives after ``restore``, as TCP would send it again: also the
        COMMIT of a client that has given up by then.
        """
        self._passing.clear()

    def restore(self) -> None:
        """Accept connections (again), at the same port, and let everything pass."""
        self._passing.set()
        if self._listener is not None:
            return
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", self.port))
        listener.listen(50)
        self.port = listener.getsockname()[1]
        self._listener = listener
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()

    def cut(self) -> None:
        """Refuse new connections and reset those that are open, whatever was held back in them."""
        listener, self._listener = self._listener, None
        if listener is not None:
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()
        with self._lock:
            pairs, self._pairs = self._pairs, []
        for pair in pairs:
            close(*pair)
        self._passing.set()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(self._server, timeout=10)
            except OSError:  # the server is away: so is this way to it
                close(client)
                continue
            server.settimeout(None)
            if self._listener is not listener:
                close(client, server)
                return
            with self._lock:
                self._pairs.append((client, server))
            muted = threading.Event()
            for pump in (self._to_server, self._to_client):
                threading.Thread(target=pump, args=(client, server, muted), daemon=True).start()

    def _to_server(self, client: socket.socket, server: socket.socket, muted: threading.Event) -> None:
        prepared: dict[bytes, bytes] = {}
        ran, inside = b"", False
        with contextlib.suppress(OSError):
            while data := client.recv(1 << 16):
                prepared.update(_PREPARED.findall(data))
                ran += data + b"".join(prepared.get(name, b"") for name in _NAMED.findall(data))
                inside = (inside or b"BEGIN" in data) and b"COMMIT\0" not in data and b"ROLLBACK\0" not in data
                if not inside:  # a COMMIT, or a statement that is a transaction by itself
                    with self._lock:
                        if self._lost_after is not None and self._lost_after in ran:
                            self._lost_after = None
                            muted.set()
                    ran = b""
                self._passing.wait()
                server.sendall(data)
        self._passing.wait()
        close(client, server)

    def _to_client(self, client: socket.socket, server: socket.socket, muted: threading.Event) -> None:
        with contextlib.suppress(OSError):
            while data := server.recv(1 << 16):
                if muted.is_set():
                    break  # it was committed, and nobody will hear of it
                time.sleep(self._seconds)
                self._passing.wait()
                client.sendall(data)
        close(client, server)


def close(*sockets: socket.socket) -> None:
    for one in sockets:
        with contextlib.suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)
        one.close()
