"""Values as bytes without a second copy of what is large in them.

Small values are plain pickles.  What a value holds in large buffers (arrays, the columns of a
frame) stays where it is: ``pack`` gives the pieces that make up the bytes, and ``load`` makes
arrays that are views of what it is given, which may be a mapped file.

A frame is ``magic, number of buffers, length of the pickle, lengths of the buffers, the pickle,
the buffers``, each buffer at a multiple of 64 bytes.  A pickle begins with other bytes than the magic.
"""

from __future__ import annotations

import hashlib
import pickle
import struct
from collections.abc import Callable, Iterator
from typing import Any

from nbcluster.payload import pickling

Piece = bytes | memoryview
"""Part of a value's bytes; a view lies on the value itself."""
Body = bytes | bytearray | memoryview
"""All bytes of a value; of a mapped file, a view of it."""

MAGIC = b"\x93NBFRAME"
_HEAD = struct.Struct("<8sIQ")
_LENGTH = struct.Struct("<Q")
_ALIGNED = 64
OUT_OF_BAND = 64 << 10
"""Buffers of fewer bytes are copied into the pickle."""


class Packed:
    """The bytes of a value in pieces.  They lie on the value: it must not change while they are used.

    ``size`` is that of all ``pieces`` together, in bytes; ``stream`` is the pickle by itself.
    """

    __slots__ = ("_digest", "buffers", "pieces", "size", "stream")

    def __init__(
        self, pieces: tuple[Piece, ...], size: int, stream: tuple[Piece, ...], buffers: tuple[memoryview, ...] = ()
    ) -> None:
        self.pieces = pieces
        self.size = size
        self.stream = stream
        self.buffers = buffers
        self._digest = b""

    @property
    def digest(self) -> bytes:
        """The SHA-256 of the bytes; worked out once."""
        if not self._digest:
            code = hashlib.sha256()
            for piece in self.pieces:
                code.update(piece)
            self._digest = code.digest()
        return self._digest

    def body(self) -> bytes:
        """The bytes in one piece: a copy, unless there is one piece only."""
        if len(self.pieces) == 1 and isinstance(self.pieces[0], bytes):
            return self.pieces[0]
        return b"".join(self.pieces)

    def write(self, write: Callable[[Piece], object]) -> bytes:
        """Hand each piece to ``write``; gives the SHA-256 of all of them."""
        for piece in self.pieces:
            write(piece)
        return self.digest

    def chunks(self, size: int) -> Iterator[bytes]:
        """The bytes in portions of ``size``; only the last may be shorter."""
        rest = bytearray()
        for piece in self.pieces:
            view = memoryview(piece)
            for start in range(0, len(view), size):
                rest += view[start : start + size]
                if len(rest) >= size:
                    yield bytes(rest[:size])
                    del rest[:size]
        if rest:
            yield bytes(rest)

    def load(self) -> Any:
        """What a reader would get, on this value's own memory.  Raises whatever rebuilding raises."""
        return pickle.loads(b"".join(self.stream), buffers=self.buffers)


def packed(body: bytes) -> Packed:
    """Bytes that are packed already."""
    return Packed((body,), len(body), (body,))


def pack(value: Any, limit: int | None = None) -> Packed:
    """Pickle ``value``; its large buffers are not copied.

    Raises OverLimit above ``limit`` bytes, and whatever the value's own pickling raises.
    """
    if pickling.is_plain(value):
        return packed(pickling.dump_plain(value, limit))
    buffers: list[memoryview] = []
    pieces = pickling.pieces_of(value, limit, _collecting(buffers, limit))
    if not buffers and len(pieces) == 1:
        return packed(pieces[0])
    size = sum(map(len, pieces))
    if not buffers:
        return Packed(pieces, size, pieces)
    framed = tuple(_framed(pieces, size, buffers))
    total = sum(len(piece) for piece in framed)
    if limit is not None and total > limit:
        raise pickling.OverLimit
    return Packed(framed, total, pieces, tuple(buffers))


def _collecting(found: list[memoryview], limit: int | None) -> Callable[[pickle.PickleBuffer], bool]:
    """Takes large buffers out of the pickle; gives whether a buffer stays in it."""
    kept = 0

    def collect(buffer: pickle.PickleBuffer) -> bool:
        nonlocal kept
        try:
            view = buffer.raw()
        except BufferError:  # scattered over the memory
            return True
        if len(view) < OUT_OF_BAND:
            return True
        kept += len(view)
        if limit is not None and kept > limit:
            raise pickling.OverLimit
        found.append(view)
        return False

    return collect


def _framed(stream: tuple[Piece, ...], size: int, buffers: list[memoryview]) -> Iterator[Piece]:
    lengths = b"".join(_LENGTH.pack(len(buffer)) for buffer in buffers)
    head = _HEAD.pack(MAGIC, len(buffers), size) + lengths
    yield head
    yield from stream
    at = len(head) + size
    for buffer in buffers:
        if at % _ALIGNED:
            yield bytes(_ALIGNED - at % _ALIGNED)
            at = _aligned(at)
        yield buffer
        at += len(buffer)


def _aligned(at: int) -> int:
    return -(-at // _ALIGNED) * _ALIGNED


def load(body: Body, *, own: bool = True) -> Any:
    """The value behind checked bytes; its large arrays are views of ``body`` where that may be written to.

    Of bytes that may not be written to they are copies; with ``own=False`` read-only views.
    Raises whatever rebuilding raises.
    """
    if body[: len(MAGIC)] != MAGIC:
        return pickle.loads(body)
    view = memoryview(body)
    _, count, size = _HEAD.unpack_from(view)
    start = _HEAD.size + count * _LENGTH.size
    at, buffers = start + size, []
    for number in range(count):
        (length,) = _LENGTH.unpack_from(view, _HEAD.size + number * _LENGTH.size)
        at = _aligned(at)
        if at + length > len(view):
            raise pickle.UnpicklingError("pickle data was truncated")
        part = view[at : at + length]
        buffers.append(bytearray(part) if own and part.readonly else part)
        at += length
    return pickle.loads(view[start : start + size], buffers=buffers)
