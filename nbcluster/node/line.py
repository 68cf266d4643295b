"""The child's end of the link: frames out, frames in, and what a running partition says meanwhile."""

from __future__ import annotations

import os
import select
import socket
import threading
from collections.abc import Iterator, Sequence
from typing import Any

from nbcluster import payload
from nbcluster.errors import JobError, UsageError, ValueLost
from nbcluster.node import wire
from nbcluster.node.board import Board
from nbcluster.node.interrupt import Interrupt
from nbcluster.statements import Recorder

_GLANCE = 1.0
"""Seconds after which a waiting thread looks whether its partition is still the one that runs."""


class Link:
    """The socket to the node.  Several threads may send; whole frames go out."""

    def __init__(self, connection: socket.socket, interrupt: Interrupt) -> None:
        self._socket = connection
        self._interrupt = interrupt
        self._decoder = wire.Decoder()
        self._sending = threading.Lock()
        self._answers: dict[int, dict[str, Any]] = {}
        self._number = 0

    def send(self, head: dict[str, Any], blobs: Sequence[bytes] = ()) -> None:
        """Send a frame, whatever interrupts."""
        with self._interrupt.deferred(), self._sending:
            for part in wire.encode(head, blobs):
                self._socket.sendall(part)

    def frames(self) -> Iterator[tuple[dict[str, Any], list[bytes]]]:
        """What the node asks for, until it closes the link."""
        while data := self._socket.recv(1 << 20):
            for head, blobs in self._decoder.feed(data):
                if head["type"] != wire.SAVED:  # the answer to one who did not wait for it
                    yield head, blobs

    def ask(self, head: dict[str, Any], blobs: Sequence[bytes], line: ChildLine) -> dict[str, Any]:
        """Ask for something and wait until it is done; gives the answer, whose ``error`` is a complaint or empty.

        An interrupt ends the waiting.
        """
        self._number += 1
        number = self._number
        self.send(head | {"number": number}, blobs)
        while number not in self._answers:
            readable = select.select([self._socket], [], [], _GLANCE)[0]
            if line.ended:
                raise UsageError("a thread asked its node for something when its partition had ended")
            if readable:
                with self._interrupt.deferred():
                    self._hear()
        return self._answers.pop(number)

    def _hear(self) -> None:
        data = self._socket.recv(1 << 20)
        if not data:
            os._exit(1)  # the node is gone
        for head, _ in self._decoder.feed(data):
            self._answers[head["number"]] = head


class ChildLine:
    """What one running partition tells its node, and what it got from earlier attempts."""

    def __init__(
        self, link: Link, board: Board, interrupt: Interrupt, call: int, limit: int, checkpoint: bytes | None
    ) -> None:
        self._link = link
        self._board = board
        self._interrupt = interrupt
        self._call = call
        self._limit = limit
        self._checkpoint = checkpoint
        self._process = os.getpid()
        self._one_at_a_time = threading.Lock()
        self.ended = False
        self.connection = Recorder(limit)

    @property
    def cancelled(self) -> bool:
        """Whether the node told it to stop."""
        return self._interrupt.received

    @property
    def checkpoint(self) -> Any:
        """What an earlier attempt saved."""
        return None if self._checkpoint is None else payload.unpack(self._checkpoint, "the checkpoint")

    def progress(self, fraction: float, message: str) -> None:
        """Write it where the node looks."""
        self._board.write(self._call, fraction, message)

    def save(self, value: Any) -> None:
        """Have the node store ``value``."""
        self._only_here("save()")
        body = payload.pack_checkpoint(value, self._limit)
        with self._one_at_a_time:
            answer = self._link.ask({"type": wire.SAVE, "call": self._call}, [body], self)
        if answer["error"]:
            raise JobError(answer["error"])

    def shared(self, shared_id: str) -> str:
        """The file with a shared value.  Waits until the node has it."""
        self._only_here("the first use of a shared value")
        with self._one_at_a_time:
            answer = self._link.ask({"type": wire.NEED, "call": self._call, "id": shared_id}, [], self)
        if answer["error"]:
            raise ValueLost(answer["error"])
        return str(answer["path"])

    def _only_here(self, what: str) -> None:
        if os.getpid() != self._process:
            raise UsageError(f"{what} works in the process that the node started, not in one that was forked from it")
