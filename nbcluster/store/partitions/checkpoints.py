"""What an attempt leaves for the next one: an object that the function saved, and the items that are done.

Keyed by what stays the same when a job is resumed.  Bodies are signed by their writer and
not opened here.
"""

from __future__ import annotations

import secrets
import struct
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import BindParameter, Connection, bindparam, delete, insert, select, update

from nbcluster.depot.names import FILE
from nbcluster.lifecycle import PartitionStatus
from nbcluster.records import Claim, Reference, Result, Signed
from nbcluster.signing import Signer
from nbcluster.store import payloads
from nbcluster.store.engine import Database
from nbcluster.store.partitions.claim import owned, still
from nbcluster.store.tables import checkpoints, partitions

USER, ITEMS = "user", "items"
"""What the function saved itself; the outcome of a retried attempt, whose good items are not computed again."""

_LENGTHS = struct.Struct("!QQ")

_MINE: tuple[BindParameter[Any], ...] = (bindparam("its_uid"), bindparam("its_step"), bindparam("its_index"))
_KEYED = (
    (checkpoints.c.job_uid == _MINE[0])
    & (checkpoints.c.step_name == _MINE[1])
    & (checkpoints.c.partition_index == _MINE[2])
)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Something that an attempt left, still closed."""

    kind: str
    attempt: int
    signed: Signed
    reference: Reference | None = None
    """Where the values of an attempt are that are too large for this; the body holds what belongs to them."""


def sign(signer: Signer, claim: Claim, kind: str, body: bytes) -> Signed:
    """``body`` as a checkpoint of this claim's partition."""
    return Signed(body, signer.sign("checkpoint", *_identity(claim), kind, claim.attempt, body=body))


def check(signer: Signer, claim: Claim, checkpoint: Checkpoint) -> bytes:
    """The body of a checkpoint of this claim's partition.  Raises SignatureError when it was altered."""
    signed = checkpoint.signed
    identity = (*_identity(claim), checkpoint.kind, checkpoint.attempt)
    signer.check(signed.mac, "checkpoint", *identity, body=signed.body)
    return signed.body


def sign_items(signer: Signer, claim: Claim, result: Result) -> Result:
    """The outcome of an attempt, signed as what is kept of it for the next one."""
    body = pack_items(result.values, result.errors, result.seconds) + result.digest
    return replace(result, mac=sign(signer, claim, ITEMS, body).mac)


def check_items(signer: Signer, claim: Claim, checkpoint: Checkpoint, digest: bytes) -> None:
    """Raises SignatureError unless these are the large values, with that SHA-256, of this checkpoint."""
    signed = checkpoint.signed
    check(signer, claim, replace(checkpoint, signed=Signed(signed.body + digest, signed.mac)))


def pack_items(values: bytes, errors: str, seconds: bytes) -> bytes:
    """The outcome of an attempt as one body."""
    text = errors.encode()
    return b"".join((_LENGTHS.pack(len(text), len(seconds)), text, seconds, values))


def unpack_items(body: bytes) -> tuple[bytes, bytes, bytes]:
    """Values, errors (JSON) and seconds of an attempt."""
    text, seconds = _LENGTHS.unpack_from(body)
    end = _LENGTHS.size + text
    return body[end + seconds :], body[_LENGTHS.size : end], body[end : end + seconds]


class Checkpoints:
    """``batch_checkpoints``."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._dialect = database.dialect
        self._delete = delete(checkpoints).where(_KEYED)
        self._insert = insert(checkpoints).values(saved_time=self._dialect.now())

    def read(self, claim: Claim) -> list[Checkpoint]:
        """What earlier attempts of a claim's partition left."""
        statement = select(checkpoints).where(_KEYED)

        def work(connection: Connection) -> list[Checkpoint]:
            return [
                _checkpoint(connection, row, claim.step.values_at)
                for row in connection.execute(statement, _key(claim)).all()
            ]

        return self._database.read(work)

    def save(self, saves: Sequence[tuple[Claim, Signed]]) -> list[bool]:
        """Keep what functions saved, each in place of what was saved before; tells which claims still hold."""

        def work(connection: Connection) -> list[bool]:
            return [self._save(connection, claim, signed) for claim, signed in saves]

        return self._database.write(work)

    def _save(self, connection: Connection, claim: Claim, signed: Signed) -> bool:
        statement = (
            update(partitions)
            .where(*owned(claim), still(PartitionStatus.CLAIMED))
            .values(has_checkpoint=1, last_updated=self._dialect.now())
        )
        mine = bool(connection.execute(statement).rowcount)
        if mine:
            self._replace(connection, claim, USER, signed)
        return mine

    def keep_items(self, connection: Connection, kept: Sequence[tuple[Claim, Result]]) -> None:
        """Keep the outcomes of retried attempts.  In the transaction that made their partitions PENDING."""
        for claim, result in kept:
            body = pack_items(result.values, result.errors, result.seconds)
            self._replace(connection, claim, ITEMS, Signed(body, result.mac), result.reference)
        self._mark(connection, [claim.partition_id for claim, _ in kept], 1)

    def drop(self, connection: Connection, claims: Sequence[Claim]) -> None:
        """Forget what was left for partitions that are COMPLETED now, in the transaction that made them so."""
        for claim in claims:
            self._remove(connection, claim, (USER, ITEMS))
        self._mark(connection, [claim.partition_id for claim in claims], 0)

    def _mark(self, connection: Connection, partition_ids: Sequence[int], has: int) -> None:
        statement = update(partitions).where(self._dialect.among(partitions.c.step_execution_id, "ids"))
        connection.execute(statement.values(has_checkpoint=has), {"ids": self._dialect.listed(partition_ids)})

    def _replace(
        self, connection: Connection, claim: Claim, kind: str, signed: Signed, reference: Reference | None = None
    ) -> None:
        self._remove(connection, claim, (kind,))
        inline = reference is not None or len(signed.body) <= payloads.INLINE
        if reference is not None:
            payload: str | None = reference.name
        else:
            payload = None if inline else payloads.put_own(connection, secrets.token_hex(32), signed.body)
        row = {
            "job_uid": claim.step.uid,
            "step_name": claim.step.name,
            "partition_index": claim.index,
            "kind": kind,
            "attempt": claim.attempt,
            "body": signed.body if inline else None,
            "payload_id": payload,
            "mac": signed.mac,
        }
        connection.execute(self._insert, row)

    def _remove(self, connection: Connection, claim: Claim, kinds: Sequence[str]) -> None:
        statement = self._delete.where(checkpoints.c.kind.in_(kinds)).returning(checkpoints.c.payload_id)
        for name in connection.execute(statement, _key(claim)).scalars().all():
            if name is not None and not name.startswith(FILE):  # an unused file is found by the transport's sweep
                payloads.drop_own(connection, name)


def _identity(claim: Claim) -> tuple[object, ...]:
    return claim.step.uid, claim.step.name, claim.index


def _key(claim: Claim) -> dict[str, Any]:
    return {"its_uid": claim.step.uid, "its_step": claim.step.name, "its_index": claim.index}


def _checkpoint(connection: Connection, row: Any, at: str | None) -> Checkpoint:
    if row.payload_id is not None and row.body is not None:
        reference = Reference(row.payload_id, at)
        return Checkpoint(row.kind, row.attempt, Signed(bytes(row.body), bytes(row.mac)), reference)
    body = bytes(row.body) if row.body is not None else payloads.get(connection, row.payload_id) or b""
    return Checkpoint(row.kind, row.attempt, Signed(body, bytes(row.mac)))
