"""What node and child say to each other: a small JSON head and raw bytes.

No pickle is opened on the node's side: a child runs strangers' code, and so may
say anything.  A frame is ``head length, number of blobs, blob lengths, head, blobs``.  A blob that is a file
is empty in it; the head says under ``files`` where it lies.
"""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Iterator, Sequence
from typing import Any

_FIXED = struct.Struct("!II")
_LENGTH = struct.Struct("!Q")

MODULES, FUNCTION, RUN, SAVED = "modules", "function", "run", "saved"
"""Node to child: here are modules; here is a function, that may need some of those; run this partition; what you asked
for is done (or not: why)."""

KEPT_FUNCTIONS = 8
"""Functions, and archives of modules, that a child keeps; the oldest goes first, on both sides alike."""

READY, OUTCOME, SAVE, NEED = "ready", "outcome", "save", "need"
"""Child to node: I am up; this is how it ended; store this for the next attempt; where does this shared value lie?"""


Blob = bytes | os.PathLike[str]


def encode(head: dict[str, Any], blobs: Sequence[Blob] = ()) -> list[bytes]:
    """A frame as buffers to send one after the other; large blobs are not copied, and of files only told."""
    files = {place: os.fspath(blob) for place, blob in enumerate(blobs) if not isinstance(blob, bytes)}
    if files:
        return _encoded(head | {"files": files}, [blob if isinstance(blob, bytes) else b"" for blob in blobs])
    return _encoded(head, blobs)  # type: ignore[arg-type]  # none of them is a file


def _encoded(head: dict[str, Any], blobs: Sequence[bytes]) -> list[bytes]:
    text = json.dumps(head, separators=(",", ":")).encode()
    lengths = b"".join(_LENGTH.pack(len(blob)) for blob in blobs)
    return [_FIXED.pack(len(text), len(blobs)) + lengths + text, *(blob for blob in blobs if blob)]


class Decoder:
    """Cuts a stream of bytes into frames."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[tuple[dict[str, Any], list[bytes]]]:
        """The frames that are complete now."""
        self._buffer += data
        while True:
            frame = self._cut()
            if frame is None:
                return
            yield frame

    def _cut(self) -> tuple[dict[str, Any], list[bytes]] | None:
        if len(self._buffer) < _FIXED.size:
            return None
        size, count = _FIXED.unpack_from(self._buffer)
        start = _FIXED.size + count * _LENGTH.size
        if len(self._buffer) < start + size:
            return None
        lengths = [_LENGTH.unpack_from(self._buffer, _FIXED.size + n * _LENGTH.size)[0] for n in range(count)]
        if len(self._buffer) < start + size + sum(lengths):
            return None
        head = json.loads(self._buffer[start : start + size])
        blobs, at = [], start + size
        for length in lengths:
            blobs.append(bytes(self._buffer[at : at + length]))
            at += length
        del self._buffer[:at]
        return head, blobs
