"""Values as bytes: small ones plain pickles, large buffers beside the pickle and never copied."""

from __future__ import annotations

import hashlib
import mmap
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbcluster.payload import framing
from nbcluster.payload.framing import OUT_OF_BAND, load, pack
from nbcluster.payload.pickling import OverLimit, dump

MB = 10**6


@pytest.mark.parametrize(
    "value",
    [1, "text", [1, 2], {"a": np.arange(10)}, np.zeros(OUT_OF_BAND // 8 - 1), pd.DataFrame({"n": [1, 2]}), lambda: 3],
    ids=["number", "text", "list", "small array", "array below the bound", "frame", "function"],
)
def test_what_holds_no_large_buffer_is_a_plain_pickle(value: Any) -> None:
    assert pack(value).body() == dump(value)


def test_a_pickle_of_an_earlier_version_is_read() -> None:
    assert load(pickle.dumps({"a": 1}, protocol=4)) == {"a": 1}


VALUES: dict[str, Any] = {
    "array": np.arange(MB, dtype="int32"),
    "two arrays": [np.ones(MB), "between", np.arange(30_000.0)],
    "a column-major array": np.asfortranarray(np.arange(400_000.0).reshape(400, 1000)),
    "every other element": np.arange(400_000.0)[::2],
    "an array of no bytes": [np.zeros((0, 5)), np.ones(MB)],
    "bytes": b"x" * 3 * MB,
    "bytearray": bytearray(b"y" * 3 * MB),
    "text": "ä" * MB,
    "frame": pd.DataFrame({"n": np.arange(200_000), "x": np.ones(200_000), "s": ["a"] * 200_000}),
}


@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES.keys())
def test_large_values_come_back(value: Any) -> None:
    packed = pack(value)
    body = packed.body()
    assert len(body) == packed.size
    assert packed.digest == hashlib.sha256(body).digest()
    same(load(body), value)
    same(load(bytearray(body)), value)
    same(packed.load(), value)


def same(one: Any, other: Any) -> None:
    if isinstance(other, list):
        assert len(one) == len(other)
        for a, b in zip(one, other, strict=True):
            same(a, b)
    elif isinstance(other, pd.DataFrame):
        pd.testing.assert_frame_equal(one, other)
    elif isinstance(other, np.ndarray):
        np.testing.assert_array_equal(one, other)
        assert one.dtype == other.dtype
    else:
        assert one == other


def test_large_buffers_are_not_copied_when_packed() -> None:
    array, text = np.zeros(MB), b"x" * MB
    packed = pack([array, text])
    assert any(isinstance(piece, memoryview) and np.shares_memory(np.asarray(piece), array) for piece in packed.pieces)
    assert any(piece is text for piece in packed.pieces)


def test_arrays_are_views_of_memory_that_may_be_written_to() -> None:
    body = bytearray(pack(np.zeros(MB)).body())
    array = load(body)
    assert np.shares_memory(array, np.frombuffer(body, dtype="uint8"))
    array[0] = 1


def test_arrays_of_bytes_are_copies_or_on_request_read_only_views() -> None:
    body = pack(np.zeros(MB)).body()
    copied = load(body)
    copied[0] = 1
    view = load(body, own=False)
    assert np.shares_memory(view, np.frombuffer(body, dtype="uint8"))
    assert not view.flags.writeable
    assert view[0] == 0


def test_an_array_that_was_read_only_stays_so() -> None:
    array = np.zeros(MB)
    array.flags.writeable = False
    assert not load(bytearray(pack(array).body())).flags.writeable


def test_a_mapped_file_is_changed_by_nobody(tmp_path: Path) -> None:
    path = tmp_path / "value"
    with path.open("wb") as file:
        digest = pack(pd.DataFrame({"n": np.arange(MB)})).write(file.write)
    with path.open("rb") as file:
        frame = load(memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)))
    frame.loc[0, "n"] = 17
    assert frame["n"].sum() == MB * (MB - 1) // 2 + 17
    assert hashlib.sha256(path.read_bytes()).digest() == digest


def test_buffers_lie_at_multiples_of_64_bytes() -> None:
    body = pack([np.full(10_001, 7.0), np.full(MB, 8.0)]).body()
    assert body.index(np.full(100, 7.0).tobytes()) % 64 == 0
    assert body.index(np.full(100, 8.0).tobytes()) % 64 == 0


@pytest.mark.parametrize("limit", [100_000, 8 * MB])
def test_a_limit_counts_the_buffers_too(limit: int) -> None:
    with pytest.raises(OverLimit):
        pack([np.zeros(MB)], limit)
    with pytest.raises(OverLimit):
        pack([b"x" * 9 * MB], limit)
    assert pack([np.zeros(MB)], 9 * MB).size > 8 * MB


@pytest.mark.parametrize("cut", [10, 21, 200, 4 * MB, 8 * MB])
def test_a_frame_that_was_cut_is_refused(cut: int) -> None:
    body = pack(np.zeros(MB)).body()
    with pytest.raises(Exception, match=r"truncated|requires a buffer|ran out|EOF"):
        load(body[:cut])


@given(
    st.lists(st.binary(max_size=300) | st.integers(0, 70_000).map(bytes), max_size=5),
    st.sampled_from([1, 64, 1000, 1 << 16]),
)
def test_chunks_put_together_are_the_bytes(blobs: list[bytes], size: int) -> None:
    packed = framing.Packed(tuple(blobs), sum(map(len, blobs)), tuple(blobs))
    chunks = list(packed.chunks(size))
    assert b"".join(chunks) == packed.body()
    assert all(len(chunk) == size for chunk in chunks[:-1])
    assert all(chunks)
