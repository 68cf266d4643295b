"""Storing what ``nc.share`` is given, and reading it in a process that is no node's."""

from __future__ import annotations

from typing import Any

from nbcluster import payload
from nbcluster.errors import CannotPickle, InputError, SignatureError
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


def remove_called(store: Store, called: str) -> None:
    """Remove the one whose id begins like this.  Raises InputError when there is none, or several."""
    found = [row.shared_id for row in store.shared.all() if called and row.shared_id.startswith(str(called))]
    if len(found) != 1:
        begins = f"{len(found)} shared values have ids that begin"
        which = begins if found else "there is no shared value whose id begins"
        raise InputError(f"{which} with {str(called)[:64]!r}; nc.shares() lists them")
    remove(store, found[0])


def fetch(store: Store, shared_id: str) -> payload.Body | None:
    """Its bytes, checked; None when it is not there.  Raises SignatureError or ValueLost."""
    row = store.shared.find(shared_id)
    return None if row is None else store.transport.open(sealed(store.signer, row))
