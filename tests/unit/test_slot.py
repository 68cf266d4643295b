from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbcluster.node.slot import Output, child_environment

# --- what a partition printed --------------------------------------------------------------------


def printed(limit: int, *pieces: bytes) -> bytes:
    output = Output(limit)
    for piece in pieces:
        output.add(piece)
    return output.take()


def test_short_output_is_kept_whole() -> None:
    assert printed(100, b"hello\n", b"", b"world\n") == b"hello\nworld\n"


def test_of_long_output_the_beginning_and_the_end_are_kept_and_the_gap_is_told() -> None:
    text = b"".join(b"%04d " % number for number in range(1000))
    kept = printed(100, text)
    assert kept == text[:50] + b"\n... 4900 bytes left out ...\n" + text[-50:]


@given(st.integers(0, 300), st.lists(st.text("ab", max_size=120), max_size=20))
def test_never_more_than_the_limit_is_kept_however_it_comes(limit: int, pieces: list[str]) -> None:
    whole, kept = "".join(pieces), printed(limit, *(piece.encode() for piece in pieces)).decode()
    if len(whole) <= limit // 2 * 2:
        assert kept == whole
        return
    head, gap, tail = kept.partition("\n... ")
    number, _, tail = tail.partition(" bytes left out ...\n")
    assert gap
    assert len(head) + len(tail) <= limit
    assert len(head) + int(number) + len(tail) == len(whole)
    assert whole.startswith(head)
    assert whole.endswith(tail)


def test_while_output_goes_on_no_more_memory_is_held() -> None:
    output = Output(1000)
    for _ in range(1000):
        output.add(b"x" * 65_536)
        assert len(output._head) + output._tail_size <= 1000 + 65_536


def test_taking_empties_it() -> None:
    output = Output(10)
    output.add(b"x" * 100)
    output.take()
    output.add(b"next")
    assert output.take() == b"next"
    assert output.limit == 10


# --- what a child may see ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "secret",
    ["NBCLUSTER_URL", "NBCLUSTER_KEY", "NBCLUSTER_KEY_FILE", "PGPASSWORD", "PGPASSFILE", "PGHOST", "DATABASE_URL"],
)
def test_a_child_sees_no_database_and_no_key(secret: str) -> None:
    seen = child_environment({secret: "hidden", "PATH": "/bin"}, threads=1)
    assert secret not in seen
    assert "hidden" not in seen.values()
    assert seen["PATH"] == "/bin"


def test_a_child_uses_no_more_threads_than_its_share_unless_told() -> None:
    seen = child_environment({"OMP_NUM_THREADS": "7"}, threads=2)
    assert seen["OMP_NUM_THREADS"] == "7"
    assert {seen[name] for name in ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")} == {"2"}


def test_what_a_child_prints_is_not_held_back() -> None:
    assert child_environment({}, threads=1)["PYTHONUNBUFFERED"] == "1"


def test_the_environment_that_is_given_stays_as_it_is() -> None:
    environ = {"NBCLUSTER_KEY": "hidden"}
    child_environment(environ, threads=1)
    assert environ == {"NBCLUSTER_KEY": "hidden"}
