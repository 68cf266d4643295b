"""What the live view sends to the front end, and what it leaves as it is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import ipywidgets
import pytest

from nbcluster.notebook import widget_view
from nbcluster.notebook.model import View, view_of
from nbcluster.notebook.render import JOB
from nbcluster.notebook.widget_view import Widgets
from nbcluster.shown import ErrorGroup, JobSnapshot
from tests.unit.test_notebook_model import HOSTILE, a_snapshot

BAD_DATE = ErrorGroup("ValueError", "bad date", 1, 3, 31, "Traceback ...\nValueError: bad date")
NO_FILE = ErrorGroup("OSError", "no file", 1, 5, 51, "Traceback ...\nOSError: no file")


class Output:
    """Takes what would be displayed."""

    def __init__(self, shown: Any) -> None:
        self.shown = [shown]

    def update(self, shown: Any, raw: bool) -> None:
        self.shown.append(shown)


@pytest.fixture
def outputs(monkeypatch: pytest.MonkeyPatch) -> list[Output]:
    made: list[Output] = []

    def display(shown: Any, raw: bool, display_id: bool) -> Output:
        made.append(Output(shown))
        return made[-1]

    monkeypatch.setattr(widget_view, "display", display)
    return made


class Front:
    """A front end: every change of a widget, in order."""

    def __init__(self, skin: Widgets[View]) -> None:
        self.changes: list[tuple[Any, str]] = []
        self.skin = skin

    def show(self, **changes: Any) -> list[str]:
        """Update the view; gives the HTML that was sent."""
        before = len(self.changes)
        self.skin.update(view_of(a_snapshot(**changes)))
        self.watch()
        return [widget.value for widget, name in self.changes[before:] if name == "value"]

    def watch(self) -> None:
        for widget in widgets_of(self.skin):
            widget.unobserve_all()
            widget.observe(lambda change: self.changes.append((change["owner"], change["name"])))


def widgets_of(skin: Widgets[View]) -> Iterator[Any]:
    """Every widget of the view, from top to bottom."""

    def walk(widget: Any) -> Iterator[Any]:
        yield widget
        for child in getattr(widget, "children", ()):
            yield from walk(child)

    yield from walk(skin._box)


def shown(skin: Widgets[View]) -> str:
    """All HTML that takes room."""
    return "\n".join(
        widget.value
        for widget in widgets_of(skin)
        if isinstance(widget, ipywidgets.HTML) and widget_view._NOTHING not in widget._dom_classes
    )


def holding(skin: Widgets[View], text: str) -> Any:
    """The one widget with that text."""
    (found,) = (one for one in widgets_of(skin) if isinstance(one, ipywidgets.HTML) and text in one.value)
    return found


@pytest.fixture
def front(outputs: list[Output]) -> Front:
    skin = Widgets(JOB)
    skin.begin(view_of(a_snapshot(errors=(BAD_DATE,), log_tail="hello", log_partition=4)))
    front = Front(skin)
    front.watch()
    return front


SAME: dict[str, Any] = {"errors": (BAD_DATE,), "log_tail": "hello", "log_partition": 4}


def test_nothing_is_sent_when_nothing_changed(front: Front) -> None:
    assert front.show(**SAME) == []
    assert front.changes == []


def test_time_that_goes_by_is_no_change_to_send_each_time(front: Front) -> None:
    sent = [len(front.show(**SAME, elapsed=5.0 + look / 2)) for look in range(120)]
    assert sum(sent) == 11  # every five seconds in the first minute
    assert [len(front.show(**SAME, elapsed=65.0 + look / 2)) for look in range(100)] == [0] * 100


def test_only_what_changed_is_sent(front: Front) -> None:
    (head,) = front.show(**SAME, rate=900.0)
    assert "900/s" in head


def test_a_count_that_grows_leaves_the_traceback_alone(front: Front) -> None:
    traceback = holding(front.skin, "Traceback")
    (sent,) = front.show(**SAME | {"errors": (replace(BAD_DATE, count=7),)})
    assert "7 \N{MULTIPLICATION SIGN} ValueError: bad date" in sent
    assert "Traceback" not in sent
    assert holding(front.skin, "Traceback") is traceback


def test_a_traceback_that_somebody_may_read_is_not_exchanged(front: Front) -> None:
    earlier = replace(BAD_DATE, count=2, first_partition=1, first_item=11, traceback="Traceback of partition 1")
    front.show(**SAME | {"errors": (earlier,)})
    assert "first in partition 1" in shown(front.skin)
    assert "traceback, partition 3" in shown(front.skin)
    assert "Traceback of partition 1" not in shown(front.skin)


def test_another_error_comes_after_those_that_are_there(front: Front) -> None:
    known = list(widgets_of(front.skin))
    front.show(**SAME | {"errors": (replace(NO_FILE, count=9), BAD_DATE)})
    kept = [widget for widget in widgets_of(front.skin) if widget in known]
    assert kept == known
    text = shown(front.skin)
    assert text.index("ValueError") < text.index("OSError")


def test_an_error_that_is_not_shown_any_more_takes_no_room(front: Front) -> None:
    front.show(**SAME | {"errors": (NO_FILE,)})
    assert "ValueError" not in shown(front.skin)
    front.show(**SAME | {"errors": ()})
    assert "Errors" not in shown(front.skin)
    front.show(**SAME)
    assert "ValueError" in shown(front.skin)


def test_output_changes_below_a_fold_that_stays(front: Front) -> None:
    (sent,) = front.show(**SAME | {"log_tail": "more", "log_partition": 7})
    assert "more" in sent
    assert "partition 7" in sent
    assert "<details" not in sent


def test_what_is_long_scrolls_in_an_element_that_stays(front: Front) -> None:
    for text in ('aria-label="Nodes"', "hello"):
        assert holding(front.skin, text).layout.overflow == "auto"
        assert holding(front.skin, text).layout.max_height.endswith("px")


def test_the_state_is_announced_when_it_changes_and_figures_are_not(front: Front) -> None:
    announced = holding(front.skin, 'role="status"')
    assert "collatz: running" in announced.value
    assert announced.value not in front.show(**SAME, items_done=5_000)
    assert "collatz: paused" in "".join(front.show(**SAME, paused=True))


def test_foreign_text_is_text(outputs: list[Output]) -> None:
    skin = Widgets(JOB)
    error = ErrorGroup(HOSTILE, HOSTILE, 1, 0, 0, HOSTILE)
    skin.begin(view_of(a_snapshot(name=HOSTILE, errors=(error,), log_tail=HOSTILE, obstacles=(HOSTILE,))))
    assert "<img" not in shown(skin)
    assert "<script" not in shown(skin)


class Buttons:
    """Controls that remember what they were told."""

    def __init__(self) -> None:
        self.widget = ipywidgets.HBox()
        self.told: list[str] = []

    def update(self, view: View) -> None:
        self.told.append(view.word)

    def stays(self, view: View) -> bool:
        return False

    def close(self) -> None:
        self.told.append("closed")


def test_controls_stand_below_the_headline_and_go_with_the_view(outputs: list[Output]) -> None:
    controls = Buttons()
    skin = Widgets(JOB, controls)
    snapshot: JobSnapshot = a_snapshot()
    skin.begin(view_of(snapshot))
    assert skin._box.children[2] is controls.widget
    assert "collatz" in skin._box.children[1].value
    skin.update(view_of(replace(snapshot, paused=True)))
    skin.end(view_of(snapshot))
    assert controls.told == ["running", "paused", "closed"]


def test_at_the_end_html_takes_the_place_of_the_widgets(outputs: list[Output], front: Front) -> None:
    everything = list(widgets_of(front.skin))
    front.skin.end(view_of(a_snapshot()))
    line, view = outputs
    assert "nbcluster-view" in line.shown[-1]["text/html"]
    assert line.shown[-1]["text/plain"] == "collatz: STARTED, 4120 of 10000 items"
    assert view.shown[-1] == {"text/html": ""}
    assert all(widget.comm is None for widget in everything)
