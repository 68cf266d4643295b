"""Large arguments on their way: stored before the job that refers to them, and removed when none comes of it."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from nbcluster import payload
from nbcluster.errors import DatabaseError, DatabaseUnreachable
from nbcluster.records import Reference, Signed
from nbcluster.signing import LARGE_ARGUMENTS, Signer
from nbcluster.store import Store

_AT_ONCE = 2
"""Large arguments that are stored at the same time."""


class Sent:
    """What was stored for one job.  Leaving it removes all that, unless ``keep`` was called."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._references: list[Reference] = []

    def send(self, several: Sequence[payload.Packed | None], at: str | None) -> list[str | None]:
        """Store those of these arguments that are large, equal ones once; gives the reference to each."""
        limit = self.store.transport.large
        large = [packed for packed in several if packed is not None and packed.size > limit]
        if not large:
            return [None] * len(several)
        with ThreadPoolExecutor(_AT_ONCE, "nbcluster-send") as pool:
            try:
                different = {one.digest: one for one in pool.map(_hashed, large)}
                stored = pool.map(lambda packed: self._send(packed, at), different.values())
                names = dict(zip(different, stored, strict=True))
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
        return [None if one is None or one.size <= limit else names[one.digest] for one in several]

    def _send(self, packed: payload.Packed, at: str | None) -> str:
        name = self.store.transport.put(packed, at)
        self._references.append(Reference(name, at, packed.size))
        return name

    def keep(self) -> None:
        """A row refers to them now."""
        self._references = []

    def __enter__(self) -> Sent:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None and issubclass(kind, DatabaseUnreachable):
            return  # the job may have been stored all the same
        for reference in self._references:
            with contextlib.suppress(DatabaseError, OSError):  # the sweep removes what cannot be removed now
                self.store.transport.drop(reference)


def _hashed(packed: payload.Packed) -> payload.Packed:
    """The same, with its digest worked out in this thread."""
    assert packed.digest
    return packed


def signed(signer: Signer, packed: payload.Packed | None, reference: str | None, *identity: object) -> Signed | None:
    """The arguments of a partition as they go into its row; of large ones only their signature does."""
    if packed is None:
        return None
    if reference is not None:
        return Signed(b"", signer.sign(LARGE_ARGUMENTS, *identity, body=packed.digest))
    body = packed.body()
    return Signed(body, signer.sign("arguments", *identity, body=body))
