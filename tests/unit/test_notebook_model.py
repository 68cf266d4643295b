"""What the view of a job says, from plain snapshots."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from html.parser import HTMLParser
from typing import Any

import pytest

from nbcluster.notebook import render
from nbcluster.notebook.model import summary, view_of, way_on
from nbcluster.notebook.style import block
from nbcluster.shown import ErrorGroup, JobSnapshot, NodeView, RunningView, StepPart, StepView

HOSTILE = "<img src=x onerror=alert(1)><script>alert(2)</script>\"'&\x1b[31mred\x1b[0m\u202egnp.exe\x00"


def a_node_view(node_id: str = "lab-1", **changes: Any) -> NodeView:
    plain = NodeView(node_id, "lab", "ACTIVE", "host", 1, 2, 1, 0.5, 0.4, "3.11", "0.1.0", 3)
    return replace(plain, **changes)


def a_snapshot(**changes: Any) -> JobSnapshot:
    plain = JobSnapshot(
        job_id=7,
        name="collatz",
        user="ada",
        status="STARTED",
        stop_requested=False,
        created=datetime(2024, 1, 1, 12, tzinfo=UTC),
        ended=None,
        elapsed=5.0,
        strategy="round_robin",
        transferable=True,
        python="3.11",
        partitions={"PENDING": 5, "CLAIMED": 2, "COMPLETED": 3, "FAILED": 0},
        items=10_000,
        items_done=4_120,
        items_failed=0,
        grid="cccrr.....",
        nodes=(a_node_view(),),
        errors=(),
        obstacles=(),
        log_tail="",
        rate=824.0,
    )
    return replace(plain, **changes)


def completed(**changes: Any) -> JobSnapshot:
    partitions = {"PENDING": 0, "CLAIMED": 0, "COMPLETED": 10, "FAILED": 0}
    plain = a_snapshot(status="COMPLETED", items_done=10_000, partitions=partitions, grid="c" * 10)
    return replace(plain, **changes)


@pytest.mark.parametrize(
    ("snapshot", "headline"),
    [
        (a_snapshot(), "collatz: running, 4,120 of 10,000 items, 824/s, about 7 s left"),
        (a_snapshot(items_failed=2), "collatz: running, 4,120 of 10,000 items, 2 failed, 824/s, about 7 s left"),
        (a_snapshot(rate=1.0), "collatz: running, 4,120 of 10,000 items, 1/s, about 1 h 38 min left"),
        (a_snapshot(rate=0.1), "collatz: running, 4,120 of 10,000 items, 6/min, about 16 h 20 min left"),
        (a_snapshot(rate=None), "collatz: running, 4,120 of 10,000 items"),
        (a_snapshot(paused=True), "collatz: paused, 4,120 of 10,000 items"),
        (
            a_snapshot(items_done=0, rate=None, partitions={"PENDING": 10, "CLAIMED": 0, "COMPLETED": 0, "FAILED": 0}),
            "collatz: waiting, 0 of 10,000 items",
        ),
        (a_snapshot(items_done=0, rate=None), "collatz: running, 0 of 10,000 items"),
        (a_snapshot(stop_requested=True), "collatz: stopping, 4,120 of 10,000 items"),
        (completed(), "collatz: completed, 10,000 items in 5.0 s"),
        (completed(items=1, items_done=1), "collatz: completed, 1 item in 5.0 s"),
        (completed(status="FAILED", items_failed=7), "collatz: failed, 9,993 of 10,000 items in 5.0 s, 7 failed"),
        (completed(status="STOPPED", items_failed=70), "collatz: stopped, 9,930 of 10,000 items in 5.0 s"),
    ],
)
def test_the_headline_says_it_all(snapshot: JobSnapshot, headline: str) -> None:
    assert view_of(snapshot).headline == headline


def test_a_single_partition_says_how_far_it_is() -> None:
    alone = a_snapshot(items=1, items_done=0, grid="r", rate=None, running=(RunningView(0, "lab-1", 9.0, 0.62, ""),))
    assert view_of(alone).headline == "collatz: running, 0 of 1 item, 62% of it"


def test_the_summary_is_the_same_everywhere() -> None:
    assert summary(completed()) == "collatz: COMPLETED, 10000 of 10000 items"
    assert summary(completed(status="FAILED", items_failed=1)) == "collatz: FAILED, 9999 of 10000 items"
    assert summary(completed(elapsed=99.0, job_id=1, user="bob")) == summary(completed())


def test_segments_are_the_states_that_there_are() -> None:
    view = view_of(a_snapshot())
    assert [(s.letter, s.word, s.count, s.share) for s in view.segments] == [
        ("c", "completed", 3, 0.3),
        ("r", "running", 2, 0.2),
        (".", "pending", 5, 0.5),
    ]
    assert [cell.letter for cell in view.cells] == list("cccrr.....")


def test_partitions_that_were_stopped_did_not_fail() -> None:
    partitions = {"PENDING": 0, "CLAIMED": 0, "COMPLETED": 3, "FAILED": 7}
    view = view_of(completed(status="STOPPED", partitions=partitions, cancelled=6, grid="cccfssssss"))
    shown = [(s.letter, s.word, s.count) for s in view.segments]
    assert shown == [("c", "completed", 3), ("f", "failed", 1), ("s", "stopped", 6)]


def test_an_empty_job_is_done() -> None:
    nothing = dict.fromkeys(("PENDING", "CLAIMED", "COMPLETED", "FAILED"), 0)
    view = view_of(completed(items=0, items_done=0, partitions=nothing, grid=""))
    assert view.done_share == 1.0
    assert view.headline == "collatz: completed, 0 items in 5.0 s"
    assert render.partition_map(view) == ""
    assert "0 partitions" in render.page(view)


def test_errors_are_counted_and_placed() -> None:
    group = ErrorGroup("ValueError", "bad date", 7, 3, 31, "Traceback ...\nValueError: bad date\n")
    line = view_of(a_snapshot(errors=(group,))).errors[0]
    assert line.headline == "7 \N{MULTIPLICATION SIGN} ValueError: bad date"
    assert line.place == "first in partition 3 (item 31)"
    assert line.traceback == "Traceback ...\nValueError: bad date"


def test_an_error_without_words() -> None:
    group = ErrorGroup("KeyError", "", 1, 0, 0, "")
    assert view_of(a_snapshot(errors=(group,))).errors[0].headline == "1 \N{MULTIPLICATION SIGN} KeyError"


def test_obstacles_are_over_when_the_job_is() -> None:
    assert view_of(a_snapshot(obstacles=("No node is alive.",))).obstacles == ("No node is alive.",)
    assert view_of(completed(obstacles=("No node is alive.",))).obstacles == ()


def test_the_way_on() -> None:
    stopped = completed(status="STOPPED", items_failed=9_000)
    assert way_on(stopped, "c") == (
        "collatz: stopped; 1,000 of 10,000 items are finished and kept. "
        "To go on: c.resume() or %nbcluster resume collatz"
    )
    assert way_on(replace(stopped, name="my job")).endswith('To go on: %nbcluster resume "my job"')
    assert "had ended before" in way_on(completed())


class Elements(HTMLParser):
    """Collects what a browser would make of the HTML."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data: str) -> None:
        self.text += data


def hostile_snapshot() -> JobSnapshot:
    return a_snapshot(
        name=HOSTILE,
        user=HOSTILE,
        strategy=HOSTILE,
        python=HOSTILE,
        grid="cr.f",
        nodes=(a_node_view(HOSTILE, name=HOSTILE, status=HOSTILE, host=HOSTILE, python=HOSTILE, version=HOSTILE),),
        errors=(ErrorGroup(HOSTILE, HOSTILE, 1, 0, 0, HOSTILE),),
        obstacles=(HOSTILE,),
        log_tail=HOSTILE,
    )


def test_hostile_text_stays_text() -> None:
    view = view_of(hostile_snapshot())
    page = Elements()
    page.feed(render.page(view) + render.remnant(view))
    assert page.tags <= {
        *("style", "div", "span", "b", "i", "table", "thead", "tbody", "tr", "th", "td"),
        *("details", "summary", "pre", "code"),
    }
    assert page.attributes <= {
        *("class", "style", "role", "scope", "aria-label", "aria-hidden"),
        *("aria-valuemin", "aria-valuemax", "aria-valuenow", "aria-valuetext"),
    }
    assert page.text.count("<img src=x onerror=alert(1)><script>alert(2)</script>") >= 8
    assert "\x1b" not in page.text
    assert "\u202e" not in page.text


def test_every_part_can_be_read_aloud() -> None:
    page = render.page(view_of(a_snapshot(errors=(ErrorGroup("E", "m", 1, 0, 0, "t"),))))
    assert 'aria-label="Job collatz"' in page
    assert 'role="progressbar" aria-valuemin="0" aria-valuemax="100" aria-valuenow="41"' in page
    assert 'role="img" aria-label="Partition map: 3 completed, 2 running, 5 pending"' in page
    assert 'aria-label="Nodes"' in page
    assert '<th scope="col">node<' in page


def test_equal_content_is_drawn_equally() -> None:
    assert render.page(view_of(a_snapshot())) == render.page(view_of(a_snapshot()))
    assert block("") == ""


def test_a_paused_job_says_so_until_it_is_stopped() -> None:
    assert view_of(a_snapshot(paused=True)).word == "paused"
    assert view_of(a_snapshot(paused=True, stop_requested=True)).word == "stopping"


def test_the_steps_stand_in_one_line() -> None:
    steps = (
        StepView("prepare", "LOCAL", "COMPLETED", False),
        StepView("load", "PARTITIONED", "STARTED", False, 3, 10),
        StepView("score", "PARTITIONED", "CREATED", False),
        StepView("on_failure", "ON_FAILURE", "STOPPED", True),
    )
    line = view_of(a_snapshot(steps=steps)).steps
    assert line == "prepare completed → load 3 of 10 → score waits → on_failure not run"
    assert line in render.page(view_of(a_snapshot(steps=steps)))


@pytest.mark.parametrize(
    ("snapshot", "line", "effect"),
    [
        (a_snapshot(), "%nbcluster attach collatz", "shows how it goes on, in any notebook; this is how it was at"),
        (completed(), "%nbcluster attach collatz", "brings its results back, in any notebook"),
        (completed(status="STOPPED"), "%nbcluster resume collatz", "goes on with what is left"),
        (completed(status="FAILED"), "%nbcluster retry collatz", "runs what failed once more, and keeps the rest"),
        (completed(name="two words"), '%nbcluster attach "two words"', "brings its results back, in any notebook"),
    ],
)
def test_a_saved_view_says_what_to_type(snapshot: JobSnapshot, line: str, effect: str) -> None:
    view = view_of(snapshot)
    assert view.way_back[0] == line
    assert view.way_back[1].startswith(effect)
    page = Elements()
    page.feed(render.page(view))
    assert f"{line} {effect}" in page.text


def test_without_its_style_sheet_a_view_is_still_to_be_read() -> None:
    page = Elements()
    error = ErrorGroup("ValueError", "bad date", 7, 3, 31, "Traceback ...")
    page.feed(render.page(view_of(a_snapshot(errors=(error,), log_tail="item 4", log_partition=2))))
    for words in (
        "collatz running 4,120 of 10,000 items, 824/s, about 7 s left",
        " 3 completed,  2 running,  5 pending of 10 partitions",
        "7 \N{MULTIPLICATION SIGN} ValueError: bad date, first in partition 3 (item 31)",
        "Output of partition 2, last lines",
    ):
        assert words in page.text
    assert "RRRR" not in render.page(view_of(a_snapshot(grid="r" * 400)))


def test_a_job_that_goes_on_is_said_to_since_roughly_when() -> None:
    def facts(**changes: Any) -> str:
        return view_of(a_snapshot(**changes)).facts.partition(" started")[0]

    assert facts(elapsed=2.0) == "just begun \N{MIDDLE DOT}"
    assert facts(elapsed=14.9) == "10 s elapsed \N{MIDDLE DOT}"
    assert facts(elapsed=200.0) == facts(elapsed=239.0) == "3 min elapsed \N{MIDDLE DOT}"
    assert "20" in view_of(a_snapshot(elapsed=200_000.0)).facts  # the day, when it is another one


def test_a_job_of_several_steps_tells_of_the_one_that_runs() -> None:
    steps = (
        StepView("load", "PARTITIONED", "STARTED", False, 3, 10, 2),
        StepView("sum", "AGGREGATE", "CREATED", False),
    )
    part = StepPart("load", 60, 12, 1)
    waiting = a_snapshot(items=1, items_done=0, partitions={"PENDING": 1}, steps=steps, told=part, rate=4.0)
    view = view_of(waiting)
    assert view.headline == "collatz: running, load 12 of 60 items, 1 failed, 4/s, about 12 s left of this step"
    assert view.map_label == "10 partitions of step load"
    assert view.done_share == 0.2
    assert view.summary == "collatz: STARTED, 0 of 1 item"
    ended = replace(waiting, status="FAILED", told=replace(part, items_done=60))
    assert view_of(ended).headline == "collatz: failed, load 59 of 60 items in 5.0 s, 1 failed"


def test_what_a_partition_says_of_its_progress_is_shown_and_escaped() -> None:
    running = (
        RunningView(3, "lab-1", 12.2, 0.4, HOSTILE),
        RunningView(4, "lab-2", 9.0, None, ""),
        RunningView(5, "lab-2", 1.0, 0.9, "short"),
    )
    view = view_of(a_snapshot(running=running))
    assert len(view.running) == 1
    assert view.running[0][:4] == ("3", "40%", "10 s", "lab-1")
    assert view.running[0][4].startswith("<img")
    assert "<img" not in render.steps(view)
    assert view_of(completed(running=running)).running == ()


def test_the_facts_tell_what_came_from_the_cache() -> None:
    assert view_of(a_snapshot(cached="3 of 10")).facts.endswith("3 of 10 partitions from the cache")
    assert "cache" not in view_of(a_snapshot()).facts
