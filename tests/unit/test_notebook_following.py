"""The live view and the waiting cell, with a job that does what it is told."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from nbcluster.errors import DatabaseUnreachable, JobFailed, JobStopped
from nbcluster.notebook import following
from nbcluster.notebook.dashboard import LiveView, of_job, pause_after
from nbcluster.notebook.model import View
from nbcluster.shown import JobSnapshot
from tests.unit.test_notebook_model import a_snapshot, completed


class Recorder:
    """A skin that remembers what it was asked to show."""

    live = True

    def __init__(self) -> None:
        self.begun: list[View] = []
        self.updates: list[View] = []
        self.ends: list[View] = []
        self.updated = threading.Event()

    def begin(self, view: View) -> None:
        self.begun.append(view)

    def update(self, view: View) -> None:
        self.updates.append(view)
        self.updated.set()

    def end(self, view: View) -> None:
        self.ends.append(view)


class FakeHandle:
    """A job whose state the test sets."""

    id = 7
    name = "collatz"

    def __init__(self, now: JobSnapshot, on_wait: Callable[[], None] = lambda: None) -> None:
        self.now: JobSnapshot | Exception = now
        self.on_wait = on_wait
        self.cancelled = 0
        self.listeners: list[Callable[[], None]] = []

    def snapshot(self) -> JobSnapshot:
        if isinstance(self.now, Exception):
            raise self.now
        return self.now

    def subscribe(self, callback: Callable[[], None]) -> Callable[[], None]:
        self.listeners.append(callback)
        return lambda: self.listeners.remove(callback)

    def wait(self) -> None:
        self.on_wait()

    def cancel(self, wait: bool = True) -> None:
        self.cancelled += 1
        self.now = completed(status="STOPPED", items_failed=9_000)

    def failure(self, called: str) -> str:
        return "collatz: 1 of 10000 items failed\n  1 x ValueError: bad"

    def changed(self) -> None:
        for listener in self.listeners:
            listener()


def interrupt() -> None:
    raise KeyboardInterrupt


@pytest.fixture
def skin(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    recorder = Recorder()
    monkeypatch.setattr(following, "skin_for", lambda way, drawing, controls=None: recorder)
    monkeypatch.setattr(following, "kernel_is_ending", lambda shell: shell.ending)
    return recorder


def follow(handle: FakeHandle, *, collect: bool = False, ending: bool = False) -> None:
    shell: Any = SimpleNamespace(colors="NoColor", ending=ending)
    following.follow(handle, "auto", shell, variable="c", collect=collect)  # type: ignore[arg-type]


def drawn(error: BaseException) -> str:
    return "\n".join(error._render_traceback_())  # type: ignore[attr-defined]


def test_a_job_that_completes_ends_the_cell_quietly(skin: Recorder) -> None:
    handle = FakeHandle(a_snapshot())
    handle.on_wait = lambda: setattr(handle, "now", completed())
    follow(handle)
    assert [view.word for view in skin.begun] == ["running"]
    assert [view.word for view in skin.ends] == ["completed"]
    assert handle.listeners == []


def test_a_failed_job_raises_one_short_error(skin: Recorder) -> None:
    with pytest.raises(JobFailed) as caught:
        follow(FakeHandle(completed(status="FAILED", items_failed=1)))
    assert drawn(caught.value) == (
        "JobFailed: collatz: 1 of 10000 items failed\n  1 x ValueError: bad\n"
        "See c.errors(); everything else is in c.frame()"
    )
    assert len(skin.ends) == 1


def test_collected_errors_raise_nothing(skin: Recorder) -> None:
    follow(FakeHandle(completed(status="FAILED", items_failed=1)), collect=True)
    assert len(skin.ends) == 1


def test_a_job_that_somebody_stopped(skin: Recorder) -> None:
    for collect in (False, True):
        with pytest.raises(JobStopped, match=r"c\.resume\(\)"):
            follow(FakeHandle(completed(status="STOPPED", items_failed=1)), collect=collect)


def test_the_stop_button_stops_the_job_and_says_how_to_go_on(skin: Recorder) -> None:
    handle = FakeHandle(a_snapshot(), interrupt)
    with pytest.raises(KeyboardInterrupt) as caught:
        follow(handle)
    assert handle.cancelled == 1
    assert drawn(caught.value) == (
        "KeyboardInterrupt: collatz: stopped; 1,000 of 10,000 items are finished and kept. "
        "To go on: c.resume() or %nbcluster resume collatz"
    )
    assert [view.word for view in skin.ends] == ["stopped"]


def test_the_second_stop_leaves_at_once(skin: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    handle = FakeHandle(a_snapshot(), interrupt)
    monkeypatch.setattr(handle, "cancel", lambda wait: interrupt())
    with pytest.raises(KeyboardInterrupt, match="left while it stops; look at it again with %nbcluster attach collatz"):
        follow(handle)
    assert len(skin.ends) == 1


def test_the_end_of_the_kernel_stops_nothing(skin: Recorder) -> None:
    handle = FakeHandle(a_snapshot(), interrupt)
    with pytest.raises(KeyboardInterrupt, match="goes on without it"):
        follow(handle, ending=True)
    assert handle.cancelled == 0
    assert skin.ends[0].obstacles == (skin.ends[0].remnant,)


def test_a_view_is_refreshed_when_something_changed(skin: Recorder) -> None:
    handle = FakeHandle(a_snapshot())
    view = LiveView(of_job(handle), skin, interval=0.01)  # type: ignore[arg-type]
    view.start()
    handle.now = a_snapshot(items_done=5_000)
    handle.changed()
    assert skin.updated.wait(5)
    assert skin.updates[-1].sentence.startswith("5,000 of 10,000 items")
    view.finish()
    view.finish()
    assert len(skin.ends) == 1


def test_a_view_ends_with_its_job(skin: Recorder) -> None:
    handle = FakeHandle(a_snapshot())
    view = LiveView(of_job(handle), skin, interval=3600)  # type: ignore[arg-type]
    view.start()
    handle.now = completed()
    handle.changed()
    view.refresh()
    assert [ended.word for ended in skin.ends] == ["completed"]
    handle.changed()
    view.refresh()
    assert len(skin.ends) == 1


@pytest.mark.parametrize(("cost", "pause"), [(0.0, 0.5), (0.01, 0.5), (0.1, 2.0), (3.0, 5.0)])
def test_where_a_look_takes_long_there_are_few(cost: float, pause: float) -> None:
    assert pause_after(cost, interval=0.5) == pause


def test_a_view_outlives_its_database(skin: Recorder) -> None:
    handle = FakeHandle(a_snapshot())
    view = LiveView(of_job(handle), skin, interval=3600)  # type: ignore[arg-type]
    view.start()
    handle.now = DatabaseUnreachable("nobody answers")
    handle.changed()
    view.refresh()
    assert skin.updates[-1].obstacles == ("This view cannot be refreshed: nobody answers",)
    handle.now = a_snapshot(items_done=9_000)
    handle.changed()
    view.refresh()
    assert skin.updates[-1].obstacles == ()
    view.finish()


def test_without_waiting_a_view_that_cannot_stay_alive_shows_the_moment(skin: Recorder) -> None:
    skin.live = False
    following.show(FakeHandle(a_snapshot()), "auto", SimpleNamespace())  # type: ignore[arg-type]
    assert [view.word for view in skin.ends] == ["running"]
    assert skin.begun == []
