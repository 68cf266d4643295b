from __future__ import annotations

import os
import stat
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbcluster.errors import ConfigError, SignatureError
from nbcluster.signing import (
    Signer,
    embedded_key,
    make_shared_key,
    shared_key,
    shared_key_path,
)
from tests.builders import a_signer, result_body

KEY = b"k" * 32
BODY = b"the pickled arguments"
PLACE = ("arguments", "uid-1", "map", 3, 1, 99)


@pytest.fixture(autouse=True)
def own_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.delenv("NBCLUSTER_KEY", raising=False)


def refused(check: Callable[[], None]) -> bool:
    try:
        check()
    except SignatureError:
        return True
    return False


# --- what a signature binds ----------------------------------------------------------------------


def test_what_was_signed_is_accepted() -> None:
    mac = a_signer().sign(*PLACE, body=BODY)
    a_signer().check(mac, *PLACE, body=BODY)


@pytest.mark.parametrize(
    "place",
    [
        ("result", "uid-1", "map", 3, 1, 99),
        ("arguments", "uid-2", "map", 3, 1, 99),
        ("arguments", "uid-1", "reduce", 3, 1, 99),
        ("arguments", "uid-1", "map", 4, 1, 99),
        ("arguments", "uid-1", "map", 3, 2, 99),
        ("arguments", "uid-1", "map", 3, 1, 98),
        ("arguments", "uid-1", "map", 31, 99),
        ("arguments", "uid-1", "map", 3, 199),
        ("arguments", "uid-1ma", "p", 3, 1, 99),
        ("arguments", "uid-1", "map", 3, 1),
        ("arguments", "uid-1", "map", 3, 1, 99, ""),
        ("arguments",),
    ],
    ids=[
        "another kind", "another job", "another step", "another partition", "a later attempt", "another claim",
        "fields run together", "other fields run together", "text moved over", "a field fewer", "a field more",
        "no place at all",
    ],
)  # fmt: skip
def test_bytes_moved_to_another_place_are_refused(place: tuple[Any, ...]) -> None:
    mac = a_signer().sign(*PLACE, body=BODY)
    with pytest.raises(SignatureError, match=f"the stored {place[0]} is not signed with this cluster's key"):
        a_signer().check(mac, *place, body=BODY)


@pytest.mark.parametrize(
    "other", [a_signer("another cluster"), a_signer(key=b"K" * 32)], ids=["another cluster", "another key"]
)
def test_bytes_of_another_cluster_are_refused(other: Signer) -> None:
    with pytest.raises(SignatureError):
        a_signer().check(other.sign(*PLACE, body=BODY), *PLACE, body=BODY)


def test_one_altered_bit_of_the_body_is_noticed() -> None:
    mac = a_signer().sign(*PLACE, body=BODY)
    for place in range(8 * len(BODY)):
        altered = bytearray(BODY)
        altered[place // 8] ^= 1 << place % 8
        assert refused(lambda body=bytes(altered): a_signer().check(mac, *PLACE, body=body))  # type: ignore[misc]


def test_one_altered_bit_of_the_signature_is_noticed() -> None:
    mac = a_signer().sign(*PLACE, body=BODY)
    for place in range(8 * len(mac)):
        altered = bytearray(mac)
        altered[place // 8] ^= 1 << place % 8
        assert refused(lambda other=bytes(altered): a_signer().check(other, *PLACE, body=BODY))  # type: ignore[misc]


@pytest.mark.parametrize("mac", [b"", b"\0" * 32, b"x"])
def test_a_missing_or_short_signature_is_refused(mac: bytes) -> None:
    with pytest.raises(SignatureError):
        a_signer().check(mac, *PLACE, body=BODY)


@pytest.mark.parametrize("body", [BODY[:-1], BODY + b"\0", b""])
def test_a_cut_or_longer_body_is_refused(body: bytes) -> None:
    mac = a_signer().sign(*PLACE, body=BODY)
    with pytest.raises(SignatureError):
        a_signer().check(mac, *PLACE, body=body)


@given(st.lists(st.text(), max_size=4), st.lists(st.text(), max_size=4), st.binary(max_size=20), st.binary(max_size=20))
def test_only_the_same_place_and_body_have_the_same_signature(
    place: list[str], other_place: list[str], body: bytes, other_body: bytes
) -> None:
    same = (place, body) == (other_place, other_body)
    one = a_signer().sign("kind", *place, body=body)
    assert (one == a_signer().sign("kind", *other_place, body=other_body)) is same


def test_the_parts_of_a_result_cannot_be_exchanged() -> None:
    assert result_body(b"ab", "c", b"d") != result_body(b"a", "bc", b"d")
    assert result_body(b"a", "", b"b") != result_body(b"b", "", b"a")


def test_what_marks_a_key_differs_between_keys_and_gives_nothing_away() -> None:
    assert a_signer().mark == a_signer().mark
    assert a_signer().mark != a_signer(key=b"K" * 32).mark
    assert KEY.hex() not in a_signer().mark


# --- where keys live -----------------------------------------------------------------------------


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_an_embedded_database_makes_its_key_once(tmp_path: Path) -> None:
    first = embedded_key(tmp_path / "cluster.db")
    assert len(first) == 32
    assert embedded_key(tmp_path / "cluster.db") == first
    assert embedded_key(tmp_path / "other.db") != first


def test_the_key_of_an_embedded_database_is_for_its_owner_only(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        embedded_key(tmp_path / "cluster.db")
    finally:
        os.umask(before)
    assert mode(tmp_path / "cluster.db.key") == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["cluster.db.key"]


def test_those_who_make_the_key_at_once_get_the_same(tmp_path: Path) -> None:
    for turn in range(20):
        barrier = threading.Barrier(4)

        def make(path: Path, barrier: threading.Barrier) -> bytes:
            barrier.wait()
            return embedded_key(path)

        with ThreadPoolExecutor(4) as makers:
            making = [makers.submit(make, tmp_path / f"{turn}.db", barrier) for _ in range(4)]
        assert len({one.result() for one in making}) == 1
    assert len(list(tmp_path.glob("*.db.key*"))) == 20


def test_a_shared_key_is_made_in_the_users_own_folder() -> None:
    path = make_shared_key("cluster-1")
    assert path == shared_key_path("cluster-1")
    assert (mode(path), mode(path.parent)) == (0o600, 0o700)
    assert shared_key("cluster-1") == bytes.fromhex(path.read_text())


def test_making_a_shared_key_again_keeps_it() -> None:
    make_shared_key("cluster-1")
    first = shared_key("cluster-1")
    make_shared_key("cluster-1")
    assert shared_key("cluster-1") == first


def test_a_named_file_beats_the_environment_and_that_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_shared_key("cluster-1")
    monkeypatch.setenv("NBCLUSTER_KEY", "22" * 32)
    named = tmp_path / "named.key"
    named.write_text("33" * 32 + "\n")
    named.chmod(0o600)
    assert shared_key("cluster-1", str(named)) == b"\x33" * 32
    assert shared_key("cluster-1") == b"\x22" * 32
    monkeypatch.delenv("NBCLUSTER_KEY")
    assert shared_key("cluster-1") == bytes.fromhex(shared_key_path("cluster-1").read_text())


def test_without_any_key_the_sentence_says_what_to_copy_where() -> None:
    with pytest.raises(ConfigError, match=r"copy cluster-1\.key from the machine where 'nbcluster init' ran to .*keys"):
        shared_key("cluster-1")


@pytest.mark.parametrize("open_to", [0o640, 0o604, 0o660, 0o644, 0o610, 0o601])
def test_a_key_that_others_may_read_is_refused_with_the_cure(tmp_path: Path, open_to: int) -> None:
    embedded_key(tmp_path / "cluster.db")
    path = tmp_path / "cluster.db.key"
    path.chmod(open_to)
    with pytest.raises(ConfigError) as raised:
        embedded_key(tmp_path / "cluster.db")
    assert str(raised.value) == f"the key file {path} is open to other users; run: chmod 600 {path}"


def test_a_key_that_is_a_link_is_refused(tmp_path: Path) -> None:
    embedded_key(tmp_path / "cluster.db")
    (tmp_path / "other.db.key").symlink_to(tmp_path / "cluster.db.key")
    with pytest.raises(ConfigError, match=r"the key file .*other\.db\.key cannot be read"):
        embedded_key(tmp_path / "other.db")


def test_a_folder_is_no_key_file(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir(mode=0o700)
    with pytest.raises(ConfigError, match=r"the key file .*folder cannot be read: Is a directory"):
        shared_key("cluster-1", str(tmp_path / "folder"))


def test_a_named_key_file_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"the key file .*none cannot be read: No such file"):
        shared_key("cluster-1", str(tmp_path / "none"))


@pytest.mark.parametrize("text", ["", "secret passphrase", "ab" * 31, "zz" * 32, "\xff" * 64])
def test_a_key_that_is_too_short_or_no_key_is_refused_and_not_shown(
    tmp_path: Path, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "bad.key"
    path.write_text(text)
    path.chmod(0o600)
    with pytest.raises(ConfigError) as raised:
        shared_key("cluster-1", str(path))
    assert str(raised.value) == f"{path} holds no key of 32 bytes in hexadecimal"
    if text:
        monkeypatch.setenv("NBCLUSTER_KEY", text)
        with pytest.raises(ConfigError, match=r"^NBCLUSTER_KEY holds no key of 32 bytes in hexadecimal$"):
            shared_key("cluster-1")
