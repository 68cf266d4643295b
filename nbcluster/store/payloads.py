"""Bytes by content: stored once, in chunks that every database and packet size can carry.

What its owner replaces and deletes is stored under a name of its own, so that nobody else refers to it.
"""

from __future__ import annotations

import hashlib

from sqlalchemy import Connection, delete, select, text

from nbcluster.store.engine import Database
from nbcluster.store.tables import payloads

# Two who store the same bytes at once both find them there afterwards, and neither fails.
_INSERT = text(
    f"INSERT INTO {payloads.name} (payload_id, chunk, body) VALUES (:payload_id, :chunk, :body) ON CONFLICT DO NOTHING"
)

_EVERY = 1 << 30
"""More chunks than a value has."""

CHUNK = 1 << 20
INLINE = 32 << 10
"""Values up to this size travel in their own row; larger ones by reference."""


def payload_id(body: bytes) -> str:
    """The name of these bytes: their SHA-256."""
    return hashlib.sha256(body).hexdigest()


def put(connection: Connection, body: bytes) -> str:
    """Store ``body`` unless it is there already; gives its id."""
    name = payload_id(body)
    there = select(payloads.c.chunk).where(payloads.c.payload_id == name).limit(1)
    # Held until our reference to it is committed: whoever deletes the last other one waits, and then sees ours.
    there = there.with_for_update(read=True, key_share=True)
    if connection.execute(there).first() is None:
        _write(connection, name, body)
    return name


def put_own(connection: Connection, name: str, body: bytes) -> str:
    """Store ``body`` under a random name that nobody else uses; gives the name."""
    _write(connection, name, body)
    return name


def drop_own(connection: Connection, name: str) -> None:
    """Delete what ``put_own`` stored."""
    connection.execute(delete(payloads).where(payloads.c.payload_id == name))


def _write(connection: Connection, name: str, body: bytes) -> None:
    for start in range(0, max(len(body), 1), CHUNK):
        row = {"payload_id": name, "chunk": start // CHUNK, "body": body[start : start + CHUNK]}
        connection.execute(_INSERT, row)


def get_large(database: Database, name: str) -> bytes | None:
    """The same as ``get`` in a transaction of its own, the fastest way for many megabytes."""
    read = database.dialect.read_chunks
    chunks = database.read(lambda connection: read(connection, payloads, name, 0, _EVERY))
    return b"".join(chunks) if chunks else None


def get(connection: Connection, name: str) -> bytes | None:
    """The bytes of that id; None when they are gone."""
    chunks = connection.execute(
        select(payloads.c.body).where(payloads.c.payload_id == name).order_by(payloads.c.chunk)
    ).scalars()
    found = [bytes(chunk) for chunk in chunks]
    return b"".join(found) if found else None
