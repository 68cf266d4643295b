from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbcluster.node.wire import Decoder, encode

Frame = tuple[dict[str, Any], list[bytes]]

FRAMES: list[Frame] = [
    ({"type": "ready"}, []),
    ({"type": "run", "call": 1}, [b"", b"arguments", b"\0" * 300]),
    ({"type": "outcome", "message": "bäd \ud800 \0"}, [b"x"]),
]


def stream(frames: Sequence[Frame]) -> bytes:
    return b"".join(part for head, blobs in frames for part in encode(head, blobs))


def test_frames_come_back_as_they_went() -> None:
    assert list(Decoder().feed(stream(FRAMES))) == FRAMES


def test_a_stream_may_be_cut_at_every_byte() -> None:
    data = stream(FRAMES)
    for place in range(len(data) + 1):
        decoder = Decoder()
        assert [*decoder.feed(data[:place]), *decoder.feed(data[place:])] == FRAMES


def test_a_stream_may_come_byte_by_byte() -> None:
    decoder = Decoder()
    assert [frame for byte in stream(FRAMES) for frame in decoder.feed(bytes([byte]))] == FRAMES


def test_a_frame_is_given_only_when_it_is_complete() -> None:
    decoder, data = Decoder(), stream(FRAMES[1:2])
    assert list(decoder.feed(data[:-1])) == []
    assert list(decoder.feed(data[-1:])) == FRAMES[1:2]


@given(
    st.lists(
        st.tuples(st.dictionaries(st.text(), st.integers() | st.text() | st.none()), st.lists(st.binary(max_size=50)))
    ),
    st.integers(1, 40),
)
def test_any_frames_cut_anyhow_come_back(frames: list[Frame], size: int) -> None:
    decoder, data = Decoder(), stream(frames)
    pieces = [data[start : start + size] for start in range(0, len(data), size)]
    assert [frame for piece in pieces for frame in decoder.feed(piece)] == frames


def test_large_blobs_are_not_copied_to_be_sent() -> None:
    blob = b"x" * 10_000_000
    assert encode({}, [blob])[-1] is blob


def test_of_files_only_the_place_is_told(tmp_path: Path) -> None:
    frame = b"".join(encode({"type": "run"}, [b"small", tmp_path / "large", b"last"]))
    head = {"type": "run", "files": {"1": str(tmp_path / "large")}}
    assert list(Decoder().feed(frame)) == [(head, [b"small", b"", b"last"])]


@pytest.mark.parametrize("head", [b"nonsense", b"{", b"\xff"])
def test_a_head_that_is_no_json_is_a_value_error(head: bytes) -> None:
    data = len(head).to_bytes(4, "big") + (0).to_bytes(4, "big") + head
    with pytest.raises(ValueError):  # noqa: PT011 -- whatever kind: the executor replaces the child
        list(Decoder().feed(data))
