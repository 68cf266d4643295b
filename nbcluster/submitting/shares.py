"""Storing what ``nc.share`` is given, and reading it in a process that is no node's."""

from __future__ import annotations

from typing import Any

from nbcluster import payload
from nbcluster.errors import CannotPickle, SignatureError
from nbcluster.payload.captures import reason, type_name
from nbcluster.records import Reference
from nbcluster.sharing import Shared
from nbcluster.signing import check_shared, sign_shared
from nbcluster.store import Store
from nbcluster.store.shared import SharedRow, sealed
from nbcluster.submitting.storing import user_name


def share(store: Store, value: Any) -> Shared:
    """Store ``value`` unless it is stored already.  Raises CannotPickle or ValueNotStored."""
    try:
        packed = payload.pack(value)
    except Exception as error:
        kind = type_name(value)
        raise CannotPickle(f"this {kind} cannot be shared: it cannot be pickled ({reason(error)})") from error
    new = not _is_there(store, packed.digest.hex()) and _stored(store, packed)
    return Shared.made(packed, value, lambda shared_id: remove(store, shared_id), new=new)


def _is_there(store: Store, shared_id: str) -> bool:
    """Whether an equal value is stored; one that was altered is removed."""
    row = store.shared.find(shared_id)
    if row is None:
        return False
    try:
        check_shared(store.signer, row.mac, shared_id, row.size)
    except SignatureError:
        remove(store, shared_id)
        return False
    return True


def _stored(store: Store, packed: payload.Packed) -> bool:
    """Store it; gives whether nobody else shared an equal value at the same time."""
    shared_id = packed.digest.hex()
    reference = store.transport.put(packed, None)
    mac = sign_shared(store.signer, shared_id, packed.size)
    entered = store.shared.enter(SharedRow(shared_id, user_name(), packed.size, reference, mac))
    if entered.reference == reference:
        return True
    store.transport.drop(Reference(reference))
    return False


def remove(store: Store, shared_id: str) -> bool:
    """Remove it with its bytes; gives whether it was there."""
    reference = store.shared.remove(shared_id)
    if reference is not None:
        store.transport.drop(Reference(reference))
    return reference is not None


def fetch(store: Store, shared_id: str) -> payload.Body | None:
    """Its bytes, checked; None when it is not there.  Raises SignatureError or ValueLost."""
    row = store.shared.find(shared_id)
    return None if row is None else store.transport.open(sealed(store.signer, row))
