"""How far a child is, in memory that the node shares with it."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from nbcluster.node.board import Board, make_board


@pytest.fixture
def boards() -> Iterator[tuple[Board, Board]]:
    """The node's view, and the child's."""
    ours, descriptor = make_board()
    yield ours, Board(descriptor)
    os.close(descriptor)


def test_the_last_word_is_what_is_read(boards: tuple[Board, Board]) -> None:
    node, child = boards
    assert node.read(7) is None
    child.write(7, 0.25, "reading")
    child.write(7, 0.5, "")
    child.write(7, 0.75, "wörks \N{SNAKE}")
    assert node.read(7) == (0.75, "wörks \N{SNAKE}")


def test_it_is_about_one_call(boards: tuple[Board, Board]) -> None:
    node, child = boards
    child.write(7, 0.5, "x")
    assert node.read(8) is None
    node.clear()
    assert node.read(7) is None


@pytest.mark.parametrize("message", ["x" * 10_000, "\N{SNAKE}" * 10_000, "\ud800\0", "\0" * 300])
def test_any_message_becomes_a_short_text_that_every_database_takes(boards: tuple[Board, Board], message: str) -> None:
    node, child = boards
    child.write(-1, 1.0, message)
    found = node.read(-1)
    assert found is not None
    assert 0 < len(found[1]) <= 200
    assert "\0" not in found[1]
    found[1].encode()


@pytest.mark.parametrize("place", [0, 4, 12, 20, 22])
def test_what_is_half_written_is_not_believed(boards: tuple[Board, Board], place: int) -> None:
    node, child = boards
    child.write(7, 0.5, "reading")
    child._memory[place] ^= 0xFF
    assert node.read(7) is None


def test_a_forked_process_writes_too(boards: tuple[Board, Board]) -> None:
    node, child = boards
    process = os.fork()
    if not process:
        child.write(7, 0.5, "from the fork")
        os._exit(0)
    os.waitpid(process, 0)
    assert node.read(7) == (0.5, "from the fork")
