"""Values that travel apart from their rows: as chunks in the database, or as files beside it or elsewhere."""

from __future__ import annotations

import gc
import hashlib
import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from nbcluster import payload
from nbcluster.depot.names import FILE, OWN, new_name
from nbcluster.errors import SignatureError, ValueLost
from nbcluster.records import Claim, Finish, Reference, Result
from nbcluster.store import Store
from nbcluster.store.partitions import checkpoints
from nbcluster.store.streams import CHUNK, Streams
from nbcluster.store.transport import Sealed
from tests.builders import a_new_partition, a_result, completed
from tests.store.acts import change, count, statements_of, submit, take

FRESH_DATABASE = True  # and a fresh folder beside it


def noise(size: int) -> bytes:
    return random.Random(size).randbytes(size)


def streams(store: Store) -> Streams:
    return Streams(store.database)


def chunked(body: bytes) -> Iterator[bytes]:
    return payload.packed(body).chunks(CHUNK)


def sealed(name: str, body: bytes, at: str | None = None) -> Sealed:
    """To be read as what has this body."""

    def check(digest: bytes) -> None:
        if digest != hashlib.sha256(body).digest():
            raise SignatureError

    return Sealed(Reference(name, at, len(body)), check)


@pytest.fixture(params=["as the database says", "a folder"])
def at(request: pytest.FixtureRequest, tmp_path: Path) -> str | None:
    return None if request.param == "as the database says" else f"file://{tmp_path}"


def left(store: Store, tmp_path: Path) -> list[object]:
    """Every value that is stored anywhere."""
    gc.collect()
    file = store.database.dialect.file
    places = {tmp_path, file.parent if file else tmp_path}
    files = [path for place in places for path in place.rglob("*") if path.is_file() and path.suffix != ".lock"]
    rows = count(store, "batch_payloads", "payload_id LIKE 'own:%'")
    return [path for path in files if not path.name.startswith("cluster.db")] + [None] * rows


# --- chunks --------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, CHUNK, CHUNK + 1, 8 * CHUNK, 17 * CHUNK + 3])
@pytest.mark.parametrize("kind", ["noise", "zeros"])
def test_a_value_comes_back_from_its_chunks(store: Store, size: int, kind: str) -> None:
    body = noise(size) if kind == "noise" else bytes(size)
    name = streams(store).write(chunked(body))
    assert b"".join(streams(store).read(name)) == body
    assert count(store, "batch_payloads", "payload_id = :name", name=name) == -(-size // CHUNK)
    streams(store).drop([name])
    assert count(store, "batch_payloads", "payload_id = :name", name=name) == 0


def test_chunks_are_compressed_where_that_pays(store: Store) -> None:
    name = streams(store).write([noise(CHUNK), bytes(CHUNK), noise(CHUNK)])
    lengths = [
        row[0]
        for row in store.database.read(
            lambda connection: connection.exec_driver_sql(
                f"SELECT length(body) FROM batch_payloads WHERE payload_id = '{name}' ORDER BY chunk"
            ).all()
        )
    ]
    assert lengths[0] == lengths[2] == CHUNK + 1
    assert lengths[1] < 1000


def test_no_transaction_lasts_as_long_as_the_transfer(store: Store) -> None:
    asked = statements_of(store, lambda: streams(store).write(chunked(noise(40 * CHUNK))))
    assert len([one for one in asked if one[0].startswith("DELETE")]) == 5  # one in each transaction


def test_chunks_whose_commit_was_not_heard_of_are_written_once(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    body, plain = noise(3 * CHUNK), store.database.write

    def twice(work: Any, **options: Any) -> Any:
        plain(work, **options)
        return plain(work, **options)

    monkeypatch.setattr(store.database, "write", twice)
    assert b"".join(streams(store).read(streams(store).write(chunked(body)))) == body


def test_a_transfer_that_breaks_off_leaves_nothing(store: Store) -> None:
    def broken() -> Iterator[bytes]:
        yield from [noise(CHUNK)] * 20
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        streams(store).write(broken())
    assert count(store, "batch_payloads") == 0


def test_a_value_that_is_gone_or_spoilt_is_told(store: Store) -> None:
    with pytest.raises(ValueLost, match="not in the database any more"):
        list(streams(store).read(OWN + new_name()))
    name = streams(store).write([bytes(CHUNK)])
    change(store, "UPDATE batch_payloads SET body = :body WHERE payload_id = :name", body=b"\1nonsense", name=name)
    with pytest.raises(ValueLost, match="was altered"):
        list(streams(store).read(name))


def test_a_chunk_that_would_fill_the_memory_is_refused(store: Store) -> None:
    import zstandard

    name = streams(store).write([bytes(CHUNK)])
    bomb = b"\1" + zstandard.compress(bytes(100 * CHUNK))
    change(store, "UPDATE batch_payloads SET body = :body WHERE payload_id = :name", body=bomb, name=name)
    with pytest.raises(ValueLost, match="was altered"):
        list(streams(store).read(name))


# --- wherever they are ---------------------------------------------------------------------------


def test_a_value_is_stored_and_read_and_dropped(store: Store, at: str | None, tmp_path: Path) -> None:
    packed = payload.pack([b"x" * 10**6, noise(2 * 10**6)])
    name = store.transport.put(packed, at)
    assert name.startswith(FILE if at or store.database.dialect.file else OWN)
    one = sealed(name, packed.body(), at)
    assert payload.load(store.transport.open(one)) == [b"x" * 10**6, noise(2 * 10**6)]
    file = store.transport.bring(one)
    assert Path(file).read_bytes() == packed.body()
    store.transport.drop(one.reference)
    del file
    assert left(store, tmp_path) == []


def test_what_a_child_left_is_taken_in(store: Store, at: str | None, tmp_path: Path) -> None:
    room, body = store.transport.room(at), noise(3 * CHUNK + 5)
    room.path.write_bytes(body)
    name = store.transport.take_in(room, at)
    del room
    assert bytes(store.transport.open(sealed(name, body, at))) == body
    store.transport.drop(Reference(name, at))
    assert left(store, tmp_path) == []


def test_what_was_altered_is_not_opened(store: Store, at: str | None, tmp_path: Path) -> None:
    body = noise(3 * CHUNK)
    name = store.transport.put(payload.packed(body), at)
    if name.startswith(OWN):
        change(store, "DELETE FROM batch_payloads WHERE payload_id = :name AND chunk = 2", name=name)
    else:
        (file,) = left(store, tmp_path)
        assert isinstance(file, Path)
        file.write_bytes(body[:-1] + b"x")
    for read in (store.transport.open, store.transport.bring):
        with pytest.raises(SignatureError):
            read(sealed(name, body, at))


def test_a_reference_leads_nowhere_else(store: Store, at: str | None, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    for name in ("file:../secret", f"file:{tmp_path}/secret", "file:"):
        if at is not None or store.database.dialect.file is not None:
            with pytest.raises(ValueLost, match="was altered"):
                store.transport.open(sealed(name, b"secret", at))
        store.transport.drop(Reference(name, at))
    assert (tmp_path / "secret").exists()


# --- rows that refer to them ---------------------------------------------------------------------


def large_result(store: Store, claim: Claim, body: bytes) -> Result:
    at = claim.step.values_at
    reference = Reference(store.transport.put(payload.packed(body), at), at, len(body))
    plain = a_result(b"")
    return replace(plain, reference=reference, digest=hashlib.sha256(body).digest())


def test_a_result_refers_to_its_values(store: Store) -> None:
    step = submit(store, 1)
    (claim,) = take(store, step)
    body = noise(2 * CHUNK)
    result = large_result(store, claim, body)
    assert store.finishes.finish([completed(claim, result=result)]) == {claim.partition_id}
    (read,) = store.outcomes.read(step.step_execution_id, [0], arguments=True)
    assert read.result is not None
    assert (read.result.values, read.result.reference) == (b"", result.reference)
    assert read.arguments_reference is None


def test_arguments_are_referred_to(store: Store) -> None:
    name = store.transport.put(payload.packed(noise(2 * CHUNK)), None)
    step = submit(store, [replace(a_new_partition(0, b""), arguments_payload=name)])
    (claim,) = take(store, step)
    assert (claim.arguments_payload, claim.arguments and claim.arguments.body) == (name, b"")
    store.finishes.finish([completed(claim)])
    (read,) = store.outcomes.read(step.step_execution_id, [0], arguments=True)
    assert read.arguments_reference == Reference(name)


def test_a_retried_attempt_keeps_its_large_values(store: Store) -> None:
    from nbcluster.lifecycle import PartitionStatus

    step = submit(store, 1)
    (claim,) = take(store, step)
    body = noise(2 * CHUNK)
    result = checkpoints.sign_items(store.signer, claim, large_result(store, claim, body))
    store.finishes.finish([Finish(claim, PartitionStatus.PENDING, erred=True, result=result)])
    (again,) = take(store, step)
    (kept,) = store.checkpoints.read(again)
    assert result.reference is not None
    assert kept.reference == Reference(result.reference.name)
    checkpoints.check_items(store.signer, again, kept, hashlib.sha256(body).digest())
    with pytest.raises(SignatureError):
        checkpoints.check_items(store.signer, again, kept, hashlib.sha256(b"other").digest())
    store.finishes.finish([completed(again)])
    assert count(store, "batch_payloads", "payload_id LIKE 'own:%'") == 0


# --- what nobody refers to -----------------------------------------------------------------------


def test_the_sweep_removes_what_is_old_and_nobody_refers_to(store: Store, at: str | None, tmp_path: Path) -> None:
    step = submit(store, 1)
    (claim,) = take(store, replace(step, values_at=at))
    change(store, "UPDATE batch_step_execution SET values_at = :at", at=at)
    result = large_result(store, claim, noise(CHUNK))
    store.finishes.finish([completed(claim, result=result)])
    for _ in range(3):
        store.transport.put(payload.packed(noise(CHUNK)), at)
    assert len(left(store, tmp_path)) == 4
    assert store.transport.sweep() == 0
    assert store.transport.sweep(older_than=-10) == 3
    assert len(left(store, tmp_path)) == 1
    assert result.reference is not None
    assert bytes(store.transport.open(sealed(result.reference.name, noise(CHUNK), at))) == noise(CHUNK)
    store.transport.drop(result.reference)
