"""A node's way to the database, with everything that can go wrong on it."""

from __future__ import annotations

import contextlib
import random
import re
import socket
import threading
from collections import Counter

from tests.cluster.proxy import Proxy, close

_PREPARED = re.compile(rb"(_pg3_\d+)\0([A-Z][^\0]*)\0")
_NAMED = re.compile(rb"_pg3_\d+")

CLAIM, RECORD, BEAT = "claimed_time=", "failed_items=", "current_load="
"""What only the statements of a claim, of a recorded outcome and of a heartbeat contain."""


class Link(Proxy):
    """A proxy that loses a share of the COMMITs and breaks in the middle of chosen transactions."""

    def __init__(self, host: str, port: int, seed: int = 0) -> None:
        self._random = random.Random(seed)
        self._share = 0.0
        self._breaks: Counter[tuple[bytes, bool]] = Counter()
        self.lost_answers = 0
        self.broken = 0
        super().__init__(host, port)

    def lose_answers(self, share: float) -> None:
        """From now on reset this share of the connections that COMMIT, once the server has done it."""
        self._share = share

    def break_in(self, statement: str, times: int = 1, *, before_commit: bool = False) -> None:
        """Reset the next connections that send ``statement``: at once, or when their COMMIT is on its way."""
        self._breaks[statement.encode(), before_commit] += times

    @property
    def to_break(self) -> int:
        """Breaks that are still to come."""
        return sum(self._breaks.values())

    def _to_server(self, client: socket.socket, server: socket.socket, muted: threading.Event) -> None:
        prepared: dict[bytes, bytes] = {}
        ran = b""
        with contextlib.suppress(OSError):
            while data := client.recv(1 << 16):
                prepared.update(_PREPARED.findall(data))
                ran += data + b"".join(prepared.get(name, b"") for name in _NAMED.findall(data))
                commits = b"COMMIT\0" in data
                if self._is_to_break(ran, commits):
                    break
                if commits:
                    if self._random.random() < self._share:
                        self.lost_answers += 1
                        muted.set()
                    ran = b""
                self._passing.wait()
                server.sendall(data)
        self._passing.wait()
        close(client, server)

    def _is_to_break(self, ran: bytes, commits: bool) -> bool:
        with self._lock:
            for (statement, before_commit), left in self._breaks.items():
                if left and statement in ran and before_commit == commits:
                    self._breaks[statement, before_commit] -= 1
                    self.broken += 1
                    return True
        return False
