"""One slot of a node: a child process, its link, its output, and how it is killed."""

from __future__ import annotations

import contextlib
import math
import os
import signal
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Mapping
from typing import Any

from nbcluster.depot.spool import SpoolFile
from nbcluster.node import wire
from nbcluster.node.board import make_board
from nbcluster.node.calls import Call, Filed, in_file, with_file

_SECRETS = ("NBCLUSTER_", "PG", "DATABASE_URL", "MYSQL_", "MARIADB_")
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")
_START = "import sys; from nbcluster.node.child import main; main(*map(int, sys.argv[1:]))"
_PEAK_UNIT = 1 if sys.platform == "darwin" else 1024


def child_environment(environ: Mapping[str, str], threads: int) -> dict[str, str]:
    """What a child may see: no database, no key, and no more numeric threads than its share of the cores."""
    kept = {
        name: value
        for name, value in environ.items()
        if not name.startswith(_SECRETS) or name == "PGTZ" or name == "NBCLUSTER_TEST_RUN"
    }
    for name in _THREADS:
        kept.setdefault(name, str(threads))
    return kept | {"PYTHONUNBUFFERED": "1"}


def _place(call: Call) -> tuple[str | None, bool]:
    """What calls share whose large values may lie in the same file."""
    return call.claim.step.values_at, call.claim.step.into_table is None


_LAST_MOMENT = 0.2
"""Seconds in which a child that closed its link may end by itself."""

_READS = 64
"""Pieces of output that are read in one go: who prints without end must not keep the others waiting."""


class Output:
    """What a partition printed: its beginning and its end, up to ``limit`` bytes together."""

    def __init__(self, limit: int = 1_000_000) -> None:
        self.limit = limit
        self._clear()

    def _clear(self) -> None:
        self._head = bytearray()
        self._tail: deque[bytes] = deque()
        self._tail_size = 0
        self._left_out = 0

    def add(self, data: bytes) -> None:
        """Keep what fits."""
        room = self.limit // 2 - len(self._head)
        if room > 0:
            self._head += data[:room]
            data = data[room:]
        if data:
            self._tail.append(data)
            self._tail_size += len(data)
            while self._tail_size - len(self._tail[0]) > self.limit // 2:
                dropped = self._tail.popleft()
                self._tail_size -= len(dropped)
                self._left_out += len(dropped)

    def take(self) -> bytes:
        """All that was kept; empty again afterwards."""
        tail = b"".join(self._tail)
        excess = max(0, len(tail) - self.limit // 2)  # the oldest piece is kept whole until here
        tail = tail[excess:]
        self._left_out += excess
        gap = f"\n... {self._left_out} bytes left out ...\n".encode() if self._left_out else b""
        text = bytes(self._head) + gap + tail
        self._clear()
        return text


class Slot:
    """A child process and the two descriptors that lead to it.  Used by the executor's thread only."""

    def __init__(self, number: int, threads: int) -> None:
        self.number = number
        self.ready = False
        self.lingered = False
        self.peak = 0
        self.loaded: dict[str, None] = {}
        self._rooms: dict[tuple[str | None, bool], SpoolFile] = {}
        self.bundles: dict[str, None] = {}
        self.output = Output()
        self.decoder = wire.Decoder()
        self._unsent: deque[memoryview] = deque()
        self.board, board_end = make_board()
        ours, theirs = socket.socketpair()
        self.output_fd, output_end = os.pipe()
        try:
            self.process = subprocess.Popen(
                [sys.executable, "-c", _START, str(theirs.fileno()), str(board_end), str(os.getpid())],
                stdin=subprocess.DEVNULL,
                stdout=output_end,
                stderr=output_end,
                pass_fds=(theirs.fileno(), board_end),
                env=child_environment(os.environ, threads),
                start_new_session=True,  # the terminal's Ctrl-C is for the node; and the whole group can be killed
            )
        except BaseException:
            ours.close()
            os.close(self.output_fd)
            raise
        finally:
            theirs.close()
            os.close(output_end)
            os.close(board_end)
        ours.setblocking(False)
        os.set_blocking(self.output_fd, False)
        self.link = ours

    def give(self, call: Call) -> None:
        """Send the function of a call, and the modules that came with it, unless the child has them."""
        if call.function_key in self.loaded:
            return
        bundle = call.claim.step.bundle_id if call.modules is not None else None
        if bundle is not None and call.modules is not None and bundle not in self.bundles:
            self.send({"type": wire.MODULES, "id": bundle}, (call.modules,))
            _remember(self.bundles, bundle)
        self.send({"type": wire.FUNCTION, "id": call.function_key, "modules": bundle}, (call.function,))
        _remember(self.loaded, call.function_key)

    def room(self, call: Call) -> str | None:
        """Where the child may leave large values; one that was not used is there for the next call."""
        where = _place(call)
        if where not in self._rooms:
            made = call.room()
            if made is None:
                return None
            self._rooms[where] = made
        return str(self._rooms[where].path)

    def collect(self, call: Call, head: dict[str, Any], blobs: list[bytes]) -> tuple[bytes | Filed, ...]:
        """The blobs of an outcome, with the file that the child left.  Raises like ``with_file``."""
        if not in_file(head):
            return tuple(blobs)
        return with_file(head, blobs, self._rooms.pop(_place(call), None))

    @property
    def wants_to_send(self) -> bool:
        """Whether bytes wait for the link to take them."""
        return bool(self._unsent)

    def send(self, head: dict[str, object], blobs: tuple[wire.Blob, ...] = ()) -> None:
        """Send a frame, as much as the link takes now; the rest by ``flush``."""
        self._unsent.extend(memoryview(part) for part in wire.encode(head, blobs))
        self.flush()

    def flush(self) -> None:
        """Send what waits, as far as the link takes it."""
        while self._unsent:
            part = self._unsent.popleft()
            try:
                sent = self.link.send(part)
            except BlockingIOError:
                sent = 0
            except (BrokenPipeError, ConnectionResetError):
                self._unsent.clear()  # it died; its end is noticed on the reading side
                return
            if sent < len(part):
                self._unsent.appendleft(part[sent:])
                return

    def read_output(self) -> bool:
        """Take what the child printed so far, or much of it; False when its end is closed."""
        for _ in range(_READS):
            try:
                data = os.read(self.output_fd, 1 << 16)
            except BlockingIOError:
                return True
            if not data:
                return False
            self.output.add(data)
        return True

    def interrupt(self) -> None:
        """SIGINT to the child: its user code sees KeyboardInterrupt."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.process.pid, signal.SIGINT)  # it is not reaped before bury(): the id is still its own

    def kill(self) -> None:
        """End the child and everything it started."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)

    def bury(self) -> int:
        """Reap the child and close its descriptors; gives its return code (negative: the signal)."""
        if not self._reap(_LAST_MOMENT):  # killed while it ends by itself, it would not say why it ended
            self.lingered = True
            self.kill()
            self._reap(None)
        else:
            self.kill()  # what it started
        self.read_output()
        self.link.close()
        os.close(self.output_fd)
        assert self.process.returncode is not None
        return self.process.returncode

    def _reap(self, seconds: float | None) -> bool:
        """Take the end of the child, and what memory it used, within ``seconds``; None waits until it has ended."""
        deadline = math.inf if seconds is None else time.monotonic() + seconds
        pause = 0.0005
        while True:
            pid, status, usage = os.wait4(self.process.pid, 0 if seconds is None else os.WNOHANG)
            if pid:
                self.process.returncode = os.waitstatus_to_exitcode(status)
                self.peak = usage.ru_maxrss * _PEAK_UNIT
                return True
            if time.monotonic() >= deadline:
                return False
            time.sleep(pause)
            pause = min(2 * pause, 0.02)


def _remember(known: dict[str, None], name: str) -> None:
    """Note that the child has this; it forgets its oldest in the same way."""
    while len(known) >= wire.KEPT_FUNCTIONS:
        known.pop(next(iter(known)))
    known[name] = None
