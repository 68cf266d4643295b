"""Whatever happens to a large value on its way, the worker gets an answer."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from nbcluster.depot.spool import Spool
from nbcluster.errors import DatabaseError, DatabaseUnreachable, SignatureError, ValueLost, ValueNotStored
from nbcluster.lifecycle import ExitCode
from nbcluster.node import porter
from nbcluster.node.calls import Call, Filed, Outcome, Stored
from nbcluster.node.porter import Porter
from nbcluster.records import Reference
from nbcluster.store.transport import Sealed
from tests.builders import a_claim, a_step_to_run, an_outcome
from tests.waiting import wait_until


class Ways:
    """In place of the transport: does what it is told to, one answer after the other."""

    def __init__(self) -> None:
        self.answers: list[Any] = []
        self.asked: list[Any] = []
        self.dropped: list[Reference] = []

    def _answer(self, *asked: Any) -> Any:
        self.asked.append(asked)
        answer = self.answers.pop(0)
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def take_in(self, file: Any, at: str | None) -> Any:
        return self._answer(file, at)

    def bring(self, sealed: Sealed) -> Any:
        return self._answer(sealed)

    def drop(self, reference: Reference) -> None:
        self.dropped.append(self._answer(reference))

    def sweep(self) -> Any:
        return self._answer("sweep")


@pytest.fixture
def ways() -> Ways:
    return Ways()


@pytest.fixture
def told() -> threading.Event:
    return threading.Event()


@pytest.fixture
def carrying(ways: Ways, told: threading.Event, monkeypatch: pytest.MonkeyPatch) -> Iterator[Porter]:
    monkeypatch.setattr(porter, "_AGAIN", 0.001)
    made = Porter(ways, told.set)  # type: ignore[arg-type]
    yield made
    made.stop()


@pytest.fixture
def left(tmp_path: Path) -> Iterator[Outcome]:
    """An outcome whose values a child left in a file."""
    spool = Spool(tmp_path)
    file = spool.file()
    file.path.write_bytes(b"values")
    claim = a_claim(step=a_step_to_run(values_at="file:///share"), items=3)
    yield an_outcome(claim, blobs=(Filed(file, 6, b"d" * 32), b"[]", b"seconds"))
    spool.close()


def one(taken: Callable[[], list[Any]], told: threading.Event) -> Any:
    assert told.wait(10)
    (found,) = taken()
    return found


def test_an_outcome_comes_back_with_a_reference(
    ways: Ways, carrying: Porter, left: Outcome, told: threading.Event
) -> None:
    ways.answers = ["file:name"]
    carrying.deliver(left)
    outcome = one(carrying.take_outcomes, told)
    assert outcome.blobs == (Stored(Reference("file:name", "file:///share", 6), b"d" * 32), b"[]", b"seconds")
    assert outcome.head == left.head
    assert carrying.take_outcomes() == []


def test_while_the_database_is_away_it_is_tried_again(
    ways: Ways, carrying: Porter, left: Outcome, told: threading.Event
) -> None:
    ways.answers = [DatabaseUnreachable("away"), DatabaseUnreachable("away"), "own:name"]
    carrying.deliver(left)
    assert isinstance(one(carrying.take_outcomes, told).blobs[0], Stored)
    assert len(ways.asked) == 3


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (ValueNotStored("no room there"), "no room there"),
        (DatabaseError("it refused a statement"), "it refused a statement"),
        (OSError(28, "No space left on device"), "a large value could not be carried by this node: No space left"),
        (RuntimeError("odd"), "a large value could not be carried by this node: RuntimeError: odd"),
    ],
    ids=["no room", "refused", "disk", "anything"],
)
def test_values_that_find_no_place_fail_their_partition(
    ways: Ways, carrying: Porter, left: Outcome, told: threading.Event, error: Exception, message: str
) -> None:
    ways.answers = [error]
    carrying.deliver(left)
    outcome = one(carrying.take_outcomes, told)
    assert outcome.blobs == ()
    assert (outcome.head["exit_code"], outcome.head["failed"]) == ("FAILED", 3)
    assert outcome.head["message"].startswith(message)


def sealed(name: str = "own:x") -> Sealed:
    return Sealed(Reference(name), lambda _digest: None)


def test_a_call_comes_back_with_its_inputs(ways: Ways, carrying: Porter, told: threading.Event) -> None:
    ways.answers = [Path("first"), Path("second")]
    carrying.fetch(Call(a_claim(), b"function", (b"small", sealed()), (sealed(), b"[]", b"")))
    call, error = one(carrying.take_calls, told)
    assert error is None
    assert (call.inputs, call.kept) == ((b"small", Path("first")), (Path("second"), b"[]", b""))
    assert not call.sealed


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (SignatureError(), ExitCode.BAD_SIGNATURE),
        (ValueLost("gone"), ExitCode.FAILED),
        (OSError(28, "No space left on device"), ExitCode.FAILED),
        (RuntimeError("odd"), ExitCode.FAILED),
    ],
    ids=["altered", "gone", "disk", "anything"],
)
def test_inputs_that_cannot_be_had_are_told(
    ways: Ways, carrying: Porter, told: threading.Event, error: Exception, code: ExitCode
) -> None:
    ways.answers = [error]
    carrying.fetch(Call(a_claim(index=7), b"function", (sealed(),)))
    call, why = one(carrying.take_calls, told)
    assert call.claim.index == 7
    assert porter.refusal(why) is code


def test_what_goes_wrong_at_the_side_ends_no_thread(ways: Ways, carrying: Porter, told: threading.Event) -> None:
    ways.answers = [RuntimeError("odd"), DatabaseError("refused"), OSError("no"), OSError("no"), Path("first")]
    carrying.sweep()
    carrying.sweep()
    carrying.drop(Reference("file:x"))
    carrying.drop(Reference("file:y"))
    wait_until(lambda: len(ways.asked) == 4, message="that all were tried")
    carrying.fetch(Call(a_claim(), b"function", (sealed(),)))
    assert one(carrying.take_calls, told)[1] is None


def test_a_file_that_was_delivered_is_let_go(
    ways: Ways, carrying: Porter, told: threading.Event, tmp_path: Path
) -> None:
    spool = Spool(tmp_path)
    file = spool.file()
    path = file.path
    path.write_bytes(b"values")
    ways.answers = ["own:name"]
    carrying.deliver(an_outcome(a_claim(), blobs=(Filed(file, 6, b"d" * 32), b"[]", b"")))
    del file
    one(carrying.take_outcomes, told)
    ways.asked.clear()

    def gone() -> bool:
        gc.collect()
        return not path.exists()

    wait_until(gone, message="the end of the file")
    spool.close()
