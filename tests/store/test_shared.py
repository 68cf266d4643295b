"""Large inputs by their content: entered once, whoever shares them, and gone with their bytes."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from nbcluster import payload
from nbcluster.errors import SignatureError
from nbcluster.records import Reference
from nbcluster.signing import sign_shared
from nbcluster.store import Store
from nbcluster.store.shared import SharedRow, sealed
from nbcluster.submitting import shares
from tests.store.acts import at_once, change, count
from tests.store.conftest import OpenStore

VALUE = np.arange(100_000)
ID = payload.pack(VALUE).digest.hex()


@pytest.fixture(autouse=True)
def _nothing_left_of_other_tests(store: Store) -> None:
    store.transport.sweep(older_than=-10)


def a_row(store: Store, reference: str = "own:elsewhere", shared_id: str = ID) -> SharedRow:
    return SharedRow(shared_id, "ada", 800_000, reference, sign_shared(store.signer, shared_id, 800_000))


def opened(store: Store) -> bytes | None:
    """Its bytes as another process reads them."""
    body = shares.fetch(store, ID)
    return None if body is None else bytes(body)


def test_what_is_shared_is_found_and_read_back(store: Store) -> None:
    assert store.shared.find(ID) is None
    shared = shares.share(store, VALUE)
    assert shared.id == ID
    row = store.shared.find(ID)
    assert row is not None
    assert row.size == shared.size
    body = opened(store)
    assert body is not None
    assert hashlib.sha256(body).hexdigest() == ID
    np.testing.assert_array_equal(payload.load(body), VALUE)


def test_who_enters_an_equal_one_gets_the_one_that_is_there(store: Store) -> None:
    first = store.shared.enter(a_row(store, "own:first"))
    second = store.shared.enter(a_row(store, "own:second"))
    assert (first.reference, second.reference) == ("own:first", "own:first")


def test_two_who_share_at_once_leave_one_copy(store: Store, open_another: OpenStore) -> None:
    other = open_another()
    at_once(lambda: shares.share(store, VALUE), lambda: shares.share(other, VALUE))
    assert count(store, "batch_shared") == 1
    assert opened(store) is not None
    assert shares.remove(other, ID)
    assert (count(store, "batch_shared"), count(store, "batch_payloads")) == (0, 0)
    folder = store.transport.folder(None)
    assert folder is None or list(folder.names()) == []


def test_a_sweep_leaves_what_is_shared(store: Store) -> None:
    shares.share(store, VALUE)
    forgotten = store.transport.put(payload.pack(VALUE), None)
    assert store.transport.sweep(older_than=-10) == 1
    assert opened(store) is not None
    store.transport.drop(Reference(forgotten))


def test_the_ids_that_there_are(store: Store) -> None:
    others = ["a" * 64, "b" * 64]
    for one in others:
        store.shared.enter(a_row(store, shared_id=one))
    assert store.shared.existing([*others, ID]) == set(others)
    assert store.shared.existing([]) == set()


def test_removing_gives_what_is_left_to_be_deleted(store: Store) -> None:
    store.shared.enter(a_row(store, "own:first"))
    assert store.shared.remove(ID) == "own:first"
    assert store.shared.remove(ID) is None


def test_other_bytes_and_other_signatures_are_refused(store: Store) -> None:
    shares.share(store, VALUE)
    row = store.shared.find(ID)
    assert row is not None
    check = sealed(store.signer, row).check
    check(bytes.fromhex(ID))
    with pytest.raises(SignatureError, match=f"the shared value {ID[:8]} was altered; it was not opened"):
        check(bytes(32))
    change(store, "UPDATE batch_shared SET size = size + 1")
    with pytest.raises(SignatureError, match="the stored shared value is not signed with this cluster's key"):
        shares.fetch(store, ID)
    # Whoever shares it again makes it good.
    shares.share(store, VALUE)
    assert opened(store) is not None
