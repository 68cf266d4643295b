"""Signatures: who wrote a payload, and for what place.

Whoever can write the tables could otherwise run code on every node, so each
stored payload carries an HMAC-SHA256 over its bytes and its identity (kind,
cluster, job, partition, attempt ...).  It is checked on the complete bytes
before anything is unpickled.  Knows no database; keys are 32 random bytes.

An embedded database keeps its key in a file beside it; a shared one's key is
made by ``nbcluster init`` and found by ``NBCLUSTER_KEY_FILE`` (or the setting
``key_file``), ``NBCLUSTER_KEY`` (hexadecimal), or the user's own key folder.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import os
import secrets
import stat
from pathlib import Path

from nbcluster.cachedresult import CachedResult
from nbcluster.config import config_directory
from nbcluster.errors import ConfigError, SignatureError
from nbcluster.records import StoredResult

_CONTEXT = b"nbcluster/1\0"
_KEY_BYTES = 32


class Signer:
    """Signs and checks payloads of one cluster with one key."""

    def __init__(self, cluster_id: str, key: bytes) -> None:
        self.cluster_id = cluster_id
        self._base = hmac.new(key, _CONTEXT + _field(cluster_id), hashlib.sha256)

    @property
    def mark(self) -> str:
        """What tells this key from others and gives nothing of it away."""
        return self.sign("mark", body=b"").hex()[:32]

    def sign(self, kind: str, *identity: object, body: bytes) -> bytes:
        """The code that binds ``body`` to ``kind`` and ``identity``."""
        code = self._base.copy()
        code.update(_field(kind) + b"".join(_field(str(part)) for part in identity))
        code.update(len(body).to_bytes(8, "big"))
        code.update(body)
        return code.digest()

    def check(self, mac: bytes, kind: str, *identity: object, body: bytes) -> None:
        """Raise SignatureError unless ``mac`` was made for exactly this."""
        if not hmac.compare_digest(mac, self.sign(kind, *identity, body=body)):
            raise SignatureError(
                f"the stored {kind} is not signed with this cluster's key: it was altered, or written by "
                "somebody with another key; it was not opened"
            )


LARGE_ARGUMENTS = "large arguments"
"""What is signed of arguments that are stored apart from their row: their digest."""


def result_digests(values: bytes, errors: str, seconds: bytes) -> bytes:
    """The bytes a result's signature covers: digests of its parts, so that none can be exchanged.

    ``values`` is the SHA-256 of the values.
    """
    digest = hashlib.sha256
    return values + digest(errors.encode()).digest() + digest(seconds).digest()


def check_result(signer: Signer, uid: str, step_name: str, stored: StoredResult, values: bytes | None = None) -> None:
    """Raise SignatureError unless the result was made by this attempt, or by one that it may be taken over from.

    ``values`` is the SHA-256 of values that are stored apart from their row.
    """
    assert stored.result is not None
    result = stored.result
    assert (values is None) == (result.reference is None)
    signer.check(
        result.mac,
        "result",
        *_maker(signer, uid, step_name, stored),
        body=result_digests(values or hashlib.sha256(result.values).digest(), result.errors, result.seconds),
    )


def _maker(signer: Signer, uid: str, step_name: str, stored: StoredResult) -> tuple[object, ...]:
    """The attempt that must have made a result: the partition's own, or one of another job that computed the same.

    The kernel that submitted this partition signed what it computes, the node that ran the other
    signed that this is what it computed: whoever has the tables alone can join no two others.
    """
    mine, taken = (uid, step_name, stored.index), stored.taken_over
    if taken is None or (taken.uid, taken.step_name, taken.index) == mine:
        return (*mine, stored.attempt, stored.token)
    check_key(signer, taken.key_mac, *mine, key=taken.key)
    maker = (taken.uid, taken.step_name, taken.index, stored.attempt, stored.token)
    signer.check(taken.mac, "cache entry", *maker, body=taken.key.encode())
    return maker


def sign_key(signer: Signer, uid: str, step_name: str, index: int, *, key: str) -> bytes:
    """What proves that this partition computes what ``key`` stands for."""
    return signer.sign("cache key", uid, step_name, index, body=key.encode())


def check_key(signer: Signer, mac: bytes, uid: str, step_name: str, index: int, *, key: str) -> None:
    """Raise SignatureError unless a kernel said that this partition computes what ``key`` stands for."""
    signer.check(mac, "cache key", uid, step_name, index, body=key.encode())


def sign_cached(signer: Signer, uid: str, step_name: str, index: int, attempt: int, token: int, *, key: str) -> bytes:
    """What proves that this attempt computed what ``key`` stands for."""
    return signer.sign("cache entry", uid, step_name, index, attempt, token, body=key.encode())


def is_genuine(signer: Signer, cached: CachedResult) -> bool:
    """Whether a node said that this result is what its key stands for."""
    maker = (cached.uid, cached.step_name, cached.index, cached.attempt, cached.token)
    return hmac.compare_digest(cached.mac, sign_cached(signer, *maker, key=cached.key))


def sign_shared(signer: Signer, shared_id: str, size: int) -> bytes:
    """What proves that somebody with the key shared the bytes of this SHA-256."""
    return signer.sign("shared value", shared_id, size, body=b"")


def check_shared(signer: Signer, mac: bytes, shared_id: str, size: int) -> None:
    """Raise SignatureError unless somebody with the key shared the bytes of this SHA-256."""
    signer.check(mac, "shared value", shared_id, size, body=b"")


def _field(text: str) -> bytes:
    data = text.encode("utf-8", "surrogatepass")
    return len(data).to_bytes(4, "big") + data


def embedded_key(database: Path) -> bytes:
    """The key of an embedded database, from a file beside it that is made on first use."""
    path = database.with_name(database.name + ".key")
    if not path.exists():
        _write_key(path)
    return _read_key(path)


def shared_key_path(cluster_id: str) -> Path:
    """Where this user keeps the key of a shared database."""
    return config_directory() / "keys" / f"{cluster_id}.key"


def make_shared_key(cluster_id: str) -> Path:
    """Write a new key for a shared database into the user's key folder (0600)."""
    path = shared_key_path(cluster_id)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    _write_key(path)
    return path


def make_missing_key(cluster_id: str, key_file: str = "") -> None:
    """Make the key of a database that was just created, unless one is named or there."""
    if not (key_file or os.environ.get("NBCLUSTER_KEY") or shared_key_path(cluster_id).exists()):
        make_shared_key(cluster_id)


def shared_key(cluster_id: str, key_file: str = "") -> bytes:
    """The key of a shared database: from ``key_file``, ``NBCLUSTER_KEY`` or the user's key folder."""
    if key_file:
        return _read_key(Path(key_file))
    if os.environ.get("NBCLUSTER_KEY"):
        return _parse_key(os.environ["NBCLUSTER_KEY"], "NBCLUSTER_KEY")
    path = shared_key_path(cluster_id)
    if not path.exists():
        raise ConfigError(
            f"this cluster's key is not on this machine: copy {path.name} from the machine where "
            f"'nbcluster init' ran to {path}, or name it with NBCLUSTER_KEY_FILE"
        )
    return _read_key(path)


def _write_key(path: Path) -> None:
    """A new key at ``path``, complete or not at all; one that is there already wins."""
    draft = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(secrets.token_bytes(_KEY_BYTES).hex().encode())
        with contextlib.suppress(FileExistsError):
            os.link(draft, path)
    finally:
        os.unlink(draft)


def _read_key(path: Path) -> bytes:
    # O_NOFOLLOW and the mode check: a key that others can read or exchange proves nothing.
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0))
        with open(descriptor, "rb") as file:
            mode = os.fstat(file.fileno())
            text = file.read(1000)
    except OSError as error:
        raise ConfigError(f"the key file {path} cannot be read: {error.strerror}") from error
    if os.name == "posix" and stat.S_IMODE(mode.st_mode) & 0o077:
        raise ConfigError(f"the key file {path} is open to other users; run: chmod 600 {path}")
    return _parse_key(text.decode("ascii", "replace"), str(path))


def _parse_key(text: str, origin: str) -> bytes:
    try:
        key = bytes.fromhex(text.strip())
    except ValueError:
        key = b""
    if len(key) < _KEY_BYTES:
        raise ConfigError(f"{origin} holds no key of {_KEY_BYTES} bytes in hexadecimal")
    return key
