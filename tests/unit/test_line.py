"""What a running partition says to its node, with a node that the test plays."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import nbcluster as nb
from nbcluster import payload
from nbcluster.errors import CannotPickle, InputError, JobError, PayloadError, TooLarge, UsageError
from nbcluster.node import wire
from nbcluster.node.board import Board, make_board
from nbcluster.node.interrupt import Interrupt
from nbcluster.node.line import ChildLine, Link
from nbcluster.running import Current, set_current
from tests.waiting import wait_until

CALL = 7


class Node:
    """The other end of the link: keeps what it hears, answers as it is told."""

    def __init__(self, connection: socket.socket, board: Board) -> None:
        self.socket, self.board = connection, board
        self.heard: list[tuple[dict[str, Any], list[bytes]]] = []
        self.listens = threading.Event()
        self.listens.set()
        self.answers: Callable[[int], list[dict[str, Any]]] = lambda number: [{"number": number, "error": ""}]
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        decoder = wire.Decoder()
        while self.listens.wait(10) and (data := self.socket.recv(1 << 16)):
            for head, blobs in decoder.feed(data):
                self.heard.append((head, blobs))
                for answer in self.answers(head.get("number", 0)):
                    self.say({"type": wire.SAVED} | answer)

    def say(self, head: dict[str, Any]) -> None:
        for part in wire.encode(head):
            self.socket.sendall(part)

    def close(self) -> None:
        self.socket.shutdown(socket.SHUT_RDWR)
        self._thread.join(10)
        self.socket.close()


class Partition:
    """A running partition."""

    def __init__(self, link: Link, board: Board, interrupt: Interrupt) -> None:
        self.link, self.board, self.interrupt = link, board, interrupt
        self.begin()

    def begin(self, checkpoint: Any = None, limit: int = 10**6) -> Current:
        saved = None if checkpoint is None else payload.dump(checkpoint)
        self.line = ChildLine(self.link, self.board, self.interrupt, CALL, limit, saved)
        set_current(Current("j", 0, "k", 1, "a-1", True, "uid/map/0"), self.line)
        self.interrupt.arm()
        return nb.current()


@pytest.fixture
def ends() -> Iterator[tuple[Node, Partition]]:
    before = signal.getsignal(signal.SIGINT)
    ours, theirs = socket.socketpair()
    board, descriptor = make_board()
    node, interrupt = Node(ours, board), Interrupt()
    yield node, Partition(Link(theirs, interrupt), Board(descriptor), interrupt)
    interrupt.armed = False
    set_current(None)
    node.close()
    theirs.close()
    os.close(descriptor)
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def node(ends: tuple[Node, Partition]) -> Node:
    return ends[0]


@pytest.fixture
def partition(ends: tuple[Node, Partition]) -> Partition:
    return ends[1]


# --- save ----------------------------------------------------------------------------------------


def test_what_is_saved_reaches_the_node_before_save_returns(node: Node, partition: Partition) -> None:
    partition.begin().save({"epoch": 3})
    ((head, blobs),) = node.heard
    assert (head["type"], head["call"]) == (wire.SAVE, CALL)
    assert payload.load(blobs[0]) == {"epoch": 3}


def test_a_complaint_of_the_node_is_raised(node: Node, partition: Partition) -> None:
    node.answers = lambda number: [{"number": number, "error": "it belongs to another node"}]
    with pytest.raises(JobError, match=r"^it belongs to another node$"):
        partition.begin().save(1)


def test_what_cannot_be_saved_is_told_at_once(node: Node, partition: Partition) -> None:
    here = partition.begin(limit=1000)
    with pytest.raises(TooLarge, match=r"^the checkpoint \(bytes\) is larger than max_result \(1 kB\); write it to"):
        here.save(b"x" * 2000)
    with pytest.raises(CannotPickle, match=r"^the checkpoint \(.*lock\) cannot be pickled"):
        here.save(threading.Lock())
    assert node.heard == []


def test_an_interrupt_ends_the_waiting_and_the_late_answer_belongs_to_nobody(node: Node, partition: Partition) -> None:
    waiting = threading.Event()

    def no_answer(_number: int) -> list[dict[str, Any]]:
        waiting.set()
        return []

    node.answers = no_answer
    threading.Thread(target=lambda: waiting.wait(10) and os.kill(os.getpid(), signal.SIGINT)).start()
    here = partition.begin()
    with pytest.raises(KeyboardInterrupt):
        here.save("first")
    assert here.cancelled
    node.answers = lambda number: [{"number": number - 1, "error": "late"}, {"number": number, "error": ""}]
    here.save("last words")
    assert [payload.load(blobs[0]) for _, blobs in node.heard] == ["first", "last words"]


def test_an_interrupt_while_a_frame_goes_out_does_not_tear_it_apart(node: Node, partition: Partition) -> None:
    here = partition.begin(limit=10**8)
    value = bytes(20_000_000)  # more than any buffer of the socket
    node.listens.clear()

    def interrupt() -> None:
        wait_until(partition.link._sending.locked)
        os.kill(os.getpid(), signal.SIGINT)
        wait_until(lambda: here.cancelled)
        node.listens.set()

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        here.save(value)
    thread.join(10)
    here.save("after")
    assert [len(blobs[0]) for _, blobs in node.heard[:-1]] == [len(payload.dump(value))]
    assert payload.load(node.heard[-1][1][0]) == "after"


def test_several_threads_may_save(node: Node, partition: Partition) -> None:
    here = partition.begin()
    threads = [threading.Thread(target=here.save, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
        assert not thread.is_alive()
    assert sorted(payload.load(blobs[0]) for _, blobs in node.heard) == list(range(8))


def test_a_forked_process_may_not_save(node: Node, partition: Partition) -> None:
    here = partition.begin()
    reader, writer = os.pipe()
    process = os.fork()
    if not process:
        try:
            here.save(1)
        except UsageError as error:
            os.write(writer, str(error).encode())
        os._exit(0)
    os.waitpid(process, 0)
    assert b"not in one that was forked" in os.read(reader, 1000)
    os.close(reader)
    os.close(writer)
    assert node.heard == []


# --- checkpoint, progress, cancelled -------------------------------------------------------------


def test_the_first_attempt_finds_no_checkpoint(partition: Partition) -> None:
    assert partition.begin().checkpoint is None


def test_a_later_one_finds_what_was_saved_and_not_what_it_saves_itself(partition: Partition) -> None:
    here = partition.begin(checkpoint=[1, 2])
    here.save([1, 2, 3])
    assert here.checkpoint == [1, 2]


def test_a_checkpoint_that_cannot_be_rebuilt_is_told(partition: Partition) -> None:
    here = partition.begin()
    partition.line._checkpoint = b"nonsense"
    with pytest.raises(PayloadError, match=r"^the checkpoint cannot be rebuilt here"):
        here.checkpoint  # noqa: B018


@pytest.mark.parametrize(("told", "shown"), [(0.4, 0.4), (-1, 0.0), (7, 1.0), (True, 1.0), ("0.5", 0.5)])
def test_progress_is_a_fraction(node: Node, partition: Partition, told: Any, shown: float) -> None:
    partition.begin().progress(told, "reading")
    assert node.board.read(CALL) == (shown, "reading")


@pytest.mark.parametrize("told", [float("nan"), None, "half", [1]])
def test_what_is_no_fraction_is_refused(node: Node, partition: Partition, told: Any) -> None:
    with pytest.raises(InputError, match=r"progress\(\) takes a fraction from 0\.0 to 1\.0, not "):
        partition.begin().progress(told)
    assert node.board.read(CALL) is None


def test_outside_of_a_node_progress_goes_nowhere_and_nothing_can_be_saved() -> None:
    here = Current("j", 0, "k", 1, "a-1", True)
    here.progress(0.5)
    assert (here.cancelled, here.checkpoint) == (False, None)
    with pytest.raises(UsageError, match="only inside a function that runs on a node"):
        here.save(1)


def test_whoever_was_interrupted_knows(partition: Partition) -> None:
    here = partition.begin()
    assert not here.cancelled
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)
    assert here.cancelled
    assert not partition.begin().cancelled
