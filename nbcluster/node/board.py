"""Memory that a node shares with a child: the child writes how far it is, the node looks when it likes.

Nobody waits for anybody, however often is written, and the last word is always there.  What
is read while it is written has a wrong checksum and is not believed.
"""

from __future__ import annotations

import mmap
import os
import struct
import tempfile
import zlib

_SIZE = 1024
_CHECKSUM = struct.Struct("!I")
_RECORD = struct.Struct("!qdH")
MESSAGE = 200
"""Characters of a message that are kept."""


class Board:
    """One record: which call it is about, the fraction that is done, a message."""

    def __init__(self, descriptor: int) -> None:
        self._memory = mmap.mmap(descriptor, _SIZE)

    def write(self, call: int, fraction: float, message: str) -> None:
        """Replace the record.  Works in processes that the child forked, too."""
        text = message[:MESSAGE].encode("utf-8", "replace")
        body = _RECORD.pack(call, fraction, len(text)) + text
        record = _CHECKSUM.pack(zlib.crc32(body)) + body
        self._memory[: len(record)] = record

    def read(self, call: int) -> tuple[float, str] | None:
        """What was written last about ``call``: fraction and message; None when there is nothing, or nonsense."""
        record = self._memory[:]
        body = record[_CHECKSUM.size :]
        told, fraction, length = _RECORD.unpack_from(body)
        end = _RECORD.size + length
        if told != call or _CHECKSUM.unpack_from(record)[0] != zlib.crc32(body[:end]) or not 0.0 <= fraction <= 1.0:
            return None
        text = body[_RECORD.size : end].decode("utf-8", "replace")
        return fraction, text.replace("\0", "\\0")[:MESSAGE]

    def clear(self) -> None:
        """Forget the record: another call begins."""
        self._memory[: _CHECKSUM.size + _RECORD.size] = bytes(_CHECKSUM.size + _RECORD.size)


def make_board() -> tuple[Board, int]:
    """A board, and the descriptor by which a child opens it; the caller closes that."""
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("nbcluster-board")
    else:
        with tempfile.TemporaryFile() as file:
            descriptor = os.dup(file.fileno())
    try:
        os.write(descriptor, bytes(_SIZE))  # written, not only sized: a full disk must not become a bus error later
        return Board(descriptor), descriptor
    except BaseException:
        os.close(descriptor)
        raise
