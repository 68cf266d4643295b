"""Rows as bytes: what PostgreSQL's COPY reads, or JSON.  Neither side opens a pickle."""

from __future__ import annotations

import base64
import io
import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import IO, Any

from nbcluster.errors import InputError, TooLarge
from nbcluster.rows import kinds
from nbcluster.rows.plain import Plain
from nbcluster.rows.shaping import Shape

COPY, AS_JSON = "copy", "json"
"""Text for PostgreSQL's COPY; a line for each block, with a JSON list of columns."""

Body = bytes | os.PathLike[str]
"""Rows: themselves, or the file that they are in."""


@dataclass(frozen=True, slots=True)
class Encoded:
    """The rows of a partition: (name, kind) of each column, how many rows, and their bytes.

    ``filed`` is how many bytes went into a file instead; None when ``body`` has them all.
    """

    columns: tuple[tuple[str, str], ...]
    count: int
    body: bytes
    filed: int | None = None


def encode(shape: Shape, form: str, limit: int, room: str | None = None, large: int = 0) -> Encoded:
    """The bytes of these rows; those of more than ``large`` bytes go into the file ``room``, if there is one.

    Raises InputError naming a column, TooLarge above ``limit`` bytes, and OSError when the file cannot be written.
    """
    block_of = _FORMS[form]
    found: list[dict[str, None]] = [{} for _ in shape.names]
    with _Kept(room, large) as kept:
        for block in shape.blocks():
            for seen, (kind, _) in zip(found, block, strict=True):
                seen[kind] = None
            kept.add(block_of(shape.names, block))
            if kept.size > limit:
                raise TooLarge("the rows are larger than max_result; make the partitions smaller, or raise max_result")
        together = [kinds.together(name, seen) for name, seen in zip(shape.names, found, strict=True)]
        columns = tuple(zip(shape.names, together, strict=True))
        return Encoded(columns, sum(shape.counts), kept.body(), kept.size if kept.filed else None)


class _Kept:
    """Bytes in memory, and in a file from ``large`` bytes on.  The file goes when the block ends with an error."""

    def __init__(self, room: str | None, large: int) -> None:
        self._room = room
        self._large = large
        self._parts: list[bytes] = []
        self._file: IO[bytes] | None = None
        self.size = 0

    @property
    def filed(self) -> bool:
        """Whether the bytes are in the file."""
        return self._file is not None

    def add(self, part: bytes) -> None:
        """One more piece."""
        self._parts.append(part)
        self.size += len(part)
        if self._room is not None and self.size > self._large:
            if self._file is None:
                self._file = open(os.open(self._room, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")  # noqa: SIM115
            self._file.writelines(self._parts)
            self._parts.clear()

    def body(self) -> bytes:
        """What is in memory; nothing, when all is in the file."""
        if self._file is not None:
            self._file.flush()
        return b"".join(self._parts)

    def __enter__(self) -> _Kept:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if self._file is not None and self._room is not None:
            try:
                self._file.close()
            finally:
                if kind is not None:
                    os.unlink(self._room)


def opened(body: Body) -> IO[bytes]:
    """The bytes of rows, to be read from their beginning."""
    return io.BytesIO(body) if isinstance(body, bytes) else open(body, "rb")


# --- COPY ------------------------------------------------------------------------------

_SPECIAL = "\\\t\n\r"
_ESCAPED = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})
_NOTHING = "\\N"


def _copy_block(names: Sequence[str], block: Sequence[Plain]) -> bytes:
    columns = [_written(kind, values) for kind, values in block]
    lines = "\n".join(map("\t".join, zip(*columns, strict=True)))
    return _as_bytes(f"{lines}\n" if block[0][1] else "", names, block)


def _written(kind: str, values: list[Any]) -> list[str]:
    write = _WRITERS.get(kind, str)
    whole = None not in values
    if write is _escaped and not _needs_escapes("".join(values if whole else filter(None, values))):
        return values if whole else [_NOTHING if one is None else one for one in values]
    if whole:
        return list(map(write, values))
    return [_NOTHING if one is None else write(one) for one in values]


def _escaped(text: str) -> str:
    return text.translate(_ESCAPED)


def _needs_escapes(text: str) -> bool:
    return any(letter in text for letter in _SPECIAL)


_WRITERS: dict[str, Callable[[Any], str]] = {
    kinds.FLOAT: repr,
    kinds.TEXT: _escaped,
    kinds.JSON: _escaped,
    kinds.BYTES: lambda value: f"\\\\x{value.hex()}",
    kinds.SPAN: lambda value: f"{value:.6f}",
}


# --- JSON ------------------------------------------------------------------------------


def _json_block(names: Sequence[str], block: Sequence[Plain]) -> bytes:
    columns = [list(map(_in_base64, values)) if kind == kinds.BYTES else values for kind, values in block]
    return _as_bytes(json.dumps(columns, ensure_ascii=False, separators=(",", ":")) + "\n", names, block)


def _in_base64(value: bytes | None) -> str | None:
    return None if value is None else base64.b64encode(value).decode()


def json_blocks(body: Body, columns: Sequence[tuple[str, str]]) -> Iterator[list[tuple[Any, ...]]]:
    """The rows again, block by block, as tuples."""
    packed = [place for place, (_, kind) in enumerate(columns) if kind == kinds.BYTES]
    with opened(body) as lines:
        for line in lines:
            block = json.loads(line)
            for place in packed:
                block[place] = [None if one is None else base64.b64decode(one) for one in block[place]]
            yield list(zip(*block, strict=True))


_FORMS: dict[str, Callable[[Sequence[str], Sequence[Plain]], bytes]] = {COPY: _copy_block, AS_JSON: _json_block}


def _as_bytes(text: str, names: Sequence[str], block: Sequence[Plain]) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        for name, (_, values) in zip(names, block, strict=True):
            for value in values:
                if isinstance(value, str) and any("\ud800" <= letter <= "\udfff" for letter in value):
                    raise InputError(f"column {name!r} holds text that is no Unicode: {value!r:.60}") from None
        raise
