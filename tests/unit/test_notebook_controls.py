"""What a view offers in each state, and what its buttons do with a click."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from nbcluster.errors import InputError
from nbcluster.notebook import controls as module
from nbcluster.notebook import offers
from nbcluster.notebook.controls import Buttons
from nbcluster.notebook.model import View, view_of
from nbcluster.notebook.offers import Action
from tests.unit.test_notebook_model import a_snapshot, completed
from tests.waiting import wait_until

RUNNING = view_of(a_snapshot())
PAUSED = view_of(a_snapshot(paused=True))
STOPPING = view_of(a_snapshot(stop_requested=True))
FAILED = view_of(completed(status="FAILED", items_failed=1))
STOPPED = view_of(completed(status="STOPPED", items_failed=1))
COMPLETED = view_of(completed())


def labels(view: View, *, detach: bool = True) -> list[str]:
    return [action.label for action in offers.offers(view, detach=detach) if action]


@pytest.mark.parametrize(
    ("view", "offered"),
    [
        (RUNNING, ["Pause", "Cancel", "Detach"]),
        (PAUSED, ["Resume", "Cancel", "Detach"]),
        (STOPPING, ["Stop now", "Detach"]),
        (FAILED, ["Retry failed"]),
        (STOPPED, ["Resume"]),
        (COMPLETED, []),
    ],
)
def test_only_what_makes_sense_is_offered(view: View, offered: list[str]) -> None:
    assert labels(view) == offered


def test_an_awaiting_cell_offers_no_detach() -> None:
    assert labels(RUNNING, detach=False) == ["Pause", "Cancel"]


class Acts:
    """Remembers what was asked for; may be told to fail or to wait."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.answer: Callable[[], str] = lambda: "done"

    def __call__(self, action: Action) -> str:
        self.asked.append(action.label)
        return self.answer()


@pytest.fixture
def acts() -> Acts:
    return Acts()


def shown(buttons: Buttons) -> list[str]:
    *widgets, _ = buttons.widget.children
    return [one.description for one in widgets if one.layout.display != "none"]


def said(buttons: Buttons) -> str:
    return str(buttons.widget.children[-1].value)


def click(buttons: Buttons, label: str) -> None:
    next(one for one in buttons.widget.children[:-1] if one.description == label).click()


def test_a_click_acts_once_and_says_what_it_did(acts: Acts) -> None:
    buttons = Buttons(acts)
    buttons.update(RUNNING)
    gate = threading.Event()
    acts.answer = lambda: "slept" if gate.wait(10) else "late"
    click(buttons, "Pause")
    assert "pausing ..." in said(buttons)
    assert all(one.disabled for one in buttons.widget.children[:-1])
    click(buttons, "Pause")
    gate.set()
    wait_until(lambda: "slept" in said(buttons))
    assert acts.asked == ["Pause"]
    assert not buttons.widget.children[0].disabled


def test_cancel_asks_once_more(acts: Acts) -> None:
    buttons = Buttons(acts)
    buttons.update(RUNNING)
    click(buttons, "Cancel")
    assert shown(buttons) == ["Pause", "Cancel: sure?", "Detach"]
    assert acts.asked == []
    click(buttons, "Cancel: sure?")
    wait_until(lambda: "done" in said(buttons))
    assert acts.asked == ["Cancel: sure?"]


def test_the_question_is_withdrawn_after_a_while(acts: Acts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_ARMED", 0.0)
    buttons = Buttons(acts)
    buttons.update(RUNNING)
    click(buttons, "Cancel")
    buttons.update(RUNNING)
    assert shown(buttons) == ["Pause", "Cancel", "Detach"]
    click(buttons, "Cancel")
    assert acts.asked == []


def test_what_cannot_be_done_is_said_in_one_sentence_and_escaped(acts: Acts) -> None:
    def refuse() -> str:
        raise InputError("<b> cannot be paused: it is COMPLETED")

    acts.answer = refuse
    buttons = Buttons(acts)
    buttons.update(RUNNING)
    click(buttons, "Pause")
    wait_until(lambda: "&lt;b&gt; cannot be paused: it is COMPLETED" in said(buttons))


def test_an_unexpected_error_is_said_and_logged(acts: Acts, caplog: pytest.LogCaptureFixture) -> None:
    def fail() -> str:
        raise ZeroDivisionError("oh")

    acts.answer = fail
    buttons = Buttons(acts)
    buttons.update(RUNNING)
    click(buttons, "Pause")
    wait_until(lambda: "this did not work: ZeroDivisionError: oh" in said(buttons))
    assert "Traceback" in caplog.text


def test_what_can_be_done_after_the_end_stays(acts: Acts) -> None:
    buttons = Buttons(acts)
    assert [buttons.stays(view) for view in (RUNNING, FAILED, STOPPED, COMPLETED)] == [False, True, True, False]
