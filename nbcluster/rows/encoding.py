"""Rows as bytes: what PostgreSQL's COPY reads, or JSON.  Neither side opens a pickle."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from nbcluster.errors import InputError, TooLarge
from nbcluster.rows import kinds
from nbcluster.rows.plain import Plain
from nbcluster.rows.shaping import Shape

COPY, AS_JSON = "copy", "json"
"""Text for PostgreSQL's COPY; a line for each block, with a JSON list of columns."""


@dataclass(frozen=True, slots=True)
class Encoded:
    """The rows of a partition: (name, kind) of each column, how many rows, and their bytes."""

    columns: tuple[tuple[str, str], ...]
    count: int
    body: bytes


def encode(shape: Shape, form: str, limit: int) -> Encoded:
    """The bytes of these rows.  Raises InputError naming a column, or TooLarge above ``limit`` bytes."""
    block_of = _FORMS[form]
    found: list[dict[str, None]] = [{} for _ in shape.names]
    parts: list[bytes] = []
    size = 0
    for block in shape.blocks():
        for seen, (kind, _) in zip(found, block, strict=True):
            seen[kind] = None
        parts.append(block_of(shape.names, block))
        size += len(parts[-1])
        if size > limit:
            raise TooLarge("the rows are larger than max_result; make the partitions smaller, or raise max_result")
    together = [kinds.together(name, seen) for name, seen in zip(shape.names, found, strict=True)]
    return Encoded(tuple(zip(shape.names, together, strict=True)), sum(shape.counts), b"".join(parts))


# --- COPY ------------------------------------------------------------------------------

_SPECIAL = re.compile(r"[\\\t\n\r]")
_ESCAPED = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})
_NOTHING = "\\N"


def _copy_block(names: Sequence[str], block: Sequence[Plain]) -> bytes:
    columns = [_written(kind, values) for kind, values in block]
    lines = "\n".join(map("\t".join, zip(*columns, strict=True)))
    return _as_bytes(f"{lines}\n" if block[0][1] else "", names, block)


def _written(kind: str, values: list[Any]) -> list[str]:
    write = _WRITERS.get(kind, str)
    if None not in values:
        return list(map(write, values))
    return [_NOTHING if one is None else write(one) for one in values]


def _escaped(text: str) -> str:
    return text.translate(_ESCAPED) if _SPECIAL.search(text) else text


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


def json_blocks(body: bytes, columns: Sequence[tuple[str, str]]) -> Iterator[list[tuple[Any, ...]]]:
    """The rows again, block by block, as tuples."""
    packed = [place for place, (_, kind) in enumerate(columns) if kind == kinds.BYTES]
    start = 0
    while start < len(body):
        end = body.index(b"\n", start) + 1
        block = json.loads(body[start:end])
        for place in packed:
            block[place] = [None if one is None else base64.b64decode(one) for one in block[place]]
        yield list(zip(*block, strict=True))
        start = end


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
