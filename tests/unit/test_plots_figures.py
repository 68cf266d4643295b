"""Every picture can be drawn of every kind of job, and shows itself without pyplot."""

from __future__ import annotations

import struct
import sys
import warnings
from typing import Any

import pytest
from matplotlib.figure import Figure

from nbcluster.errors import InputError
from nbcluster.frames import Timeline, timeline_frame
from nbcluster.plots import figures, gantt
from nbcluster.plots.paper import Picture
from nbcluster.plots.runs import Story
from nbcluster.spans import Execution, Span
from nbcluster.timeline import Moment
from tests.unit.test_plots_curves import LOST, a_story, an_execution, span
from tests.unit.test_timeline import at


def many(number: int, nodes: int = 4, **changes: Any) -> list[Span]:
    return [
        span(place, place / 100, place / 100 + 0.04 * nodes, node=f"n{place % nodes}-x", **changes)
        for place in range(number)
    ]


STORIES = {
    "nothing": a_story(state="STARTED", length=2.0, partitions=5),
    "stopped before it began": a_story(state="STOPPED", length=2.0, partitions=5, unbegun=(1.0,) * 5),
    "one": a_story(span(0, 0, 1)),
    "of no length": a_story(span(0, 0, 0)),
    "begun only": a_story(span(0, 0.5, None, outcome="RUNNING", final=False), state="STARTED", length=3.0),
    "all failed": a_story(*(span(place, 0, 1, outcome="FAILED") for place in range(3)), state="FAILED"),
    "lost": a_story(*LOST),
    "all carried over": a_story(partitions=4, carried=4, length=1.0),
    "of several steps": a_story(*many(30), *many(12, step="score"), span(0, 1, 1.2, step="report")),
    "with dollars": a_story(span(0, 0, 1, node="$n$_{-1")),
    "thousands": a_story(*many(4000), *many(40, outcome="RETRIED", final=False, attempt=0)),
    "hundreds of nodes": a_story(*many(900, nodes=300)),
    "with every fate": a_story(
        *(span(place, place, place + 1, outcome=outcome, attempt=place) for place, outcome in enumerate(
            ("COMPLETED", "FAILED", "RETRIED", "CRASHED", "NODE_LOST", "HANDED_BACK", "RUNNING")
        ))
    ),
}  # fmt: skip


def size_of(png: bytes) -> tuple[int, int]:
    """Width and height in pixels, from the header of a PNG."""
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    width, height = struct.unpack(">II", png[16:24])
    return width, height


# The overview holds the Gantt chart, the states and the lengths; what is left is the throughput.
@pytest.mark.parametrize("kind", [None, "throughput"], ids=["overview", "throughput"])
@pytest.mark.parametrize("story", STORIES.values(), ids=STORIES)
def test_any_job_can_be_drawn(story: Story, kind: str | None) -> None:
    draw(story, kind)


@pytest.mark.parametrize("kind", ["gantt", "durations"])
@pytest.mark.parametrize("name", ["nothing", "of several steps", "with every fate"])
def test_panels_can_stand_alone(name: str, kind: str) -> None:
    draw(STORIES[name], kind)


def draw(story: Story, kind: str | None) -> None:
    """Draw a picture, strictly, and check that it is one."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        picture = figures.of_story(kind, story)
        data, metadata = picture._repr_mimebundle_()
    assert isinstance(picture, Figure)
    assert picture.caption.startswith("collatz: ")
    # Twice as many pixels as it takes up on the page.
    shown = metadata["image/png"]
    assert size_of(data["image/png"]) == (2 * shown["width"], 2 * shown["height"])


@pytest.mark.parametrize(
    "executions", [[], [an_execution(1, 2, 3.0)], [an_execution(1, 1, 9.0), an_execution(2, 4, 3.0)]]
)
def test_runs_can_be_compared_in_a_picture(executions: list[Execution]) -> None:
    picture = figures.of_executions("fit", executions)
    assert size_of(picture.png())[0] > 0
    assert picture.caption.startswith("fit: ")


def test_very_many_attempts_are_drawn_as_rows_and_few_as_bars() -> None:
    assert gantt.chart(STORIES["thousands"]).seats is None
    assert gantt.chart(STORIES["hundreds of nodes"]).seats is None
    assert gantt.chart(STORIES["lost"]).seats is not None


def test_a_picture_says_what_it_is_and_nothing_that_changes() -> None:
    assert repr(figures.of_story("gantt", STORIES["lost"])) == "<Picture gantt of collatz>"


def test_an_unknown_picture_is_refused_with_those_there_are() -> None:
    with pytest.raises(InputError, match="there is no picture 'pie'; there are overview, gantt, throughput, durations"):
        figures.of_story("pie", STORIES["one"])


def test_the_readers_own_style_changes_no_picture() -> None:
    from matplotlib import style

    plain = figures.of_story("gantt", STORIES["lost"]).png()
    with style.context("dark_background"):
        assert figures.of_story("gantt", STORIES["lost"]).png() == plain


def test_drawing_leaves_no_figure_behind_in_pyplot() -> None:
    figures.of_story(None, STORIES["lost"]).png()
    pyplot = sys.modules.get("matplotlib.pyplot")
    assert pyplot is None or pyplot.get_fignums() == []


# --- a timeline shows itself -------------------------------------------------------------------------


def a_timeline() -> Timeline:
    moments = [
        Moment(at(0), "RECEIVED", None, None, None, "kernel-1", 0.0),
        Moment(at(1), "CLAIMED", "map", 0, 1, "alpha-1", 1.0),
        Moment(at(1), "STARTED", "map", 0, 1, "alpha-1", 1.0),
        Moment(at(1), "CLAIMED", "map", 1, 1, "beta-1", 1.0),
        Moment(at(3), "COMPLETED", "map", 0, 1, "alpha-1", 3.0),
        Moment(at(4), "MOVED", "map", 1, 1, "beta-1", 4.0),
        Moment(at(5), "CLAIMED", "map", 1, 2, "alpha-1", 5.0),
        Moment(at(5), "STARTED", "map", 1, 2, "alpha-1", 5.0),
        Moment(at(6), "COMPLETED", "map", 1, 2, "alpha-1", 6.0),
        Moment(at(6), "COMPLETION_DETECTED", None, None, None, None, 6.0),
    ]
    return timeline_frame(moments, "collatz")


def test_the_picture_of_a_timeline_tells_the_same_story() -> None:
    picture = a_timeline().plot()
    assert isinstance(picture, Picture)
    assert (
        picture.caption == "collatz: 2 partitions on 2 nodes in 6 s; beta was lost and 1 partition ran again elsewhere"
    )


def test_a_timeline_shows_a_picture_with_words_over_a_short_table() -> None:
    shown = a_timeline()._repr_html_()
    assert shown is not None
    assert shown.startswith('<img src="data:image/png;base64,')
    assert 'alt="collatz: 2 partitions on 2 nodes in 6 s;' in shown
    assert "<table" in shown
    assert shown.count("<tr") == 10


def test_a_part_of_a_timeline_is_one_too_and_other_frames_are_plain() -> None:
    timeline = a_timeline()
    part = timeline[timeline["node"] == "alpha-1"]
    assert part.plot().caption.startswith("collatz: 2 partitions on 1 node")
    other = timeline[["phase", "seconds"]]._repr_html_()
    assert other is not None
    assert "<img" not in other
    empty = timeline[timeline["node"] == "nobody"]._repr_html_()
    assert empty is not None
    assert "<img" not in empty


def test_a_part_that_holds_only_some_moments_of_an_attempt_can_be_drawn() -> None:
    timeline = a_timeline()
    for phase in ("CLAIMED", "STARTED", "COMPLETED"):
        assert isinstance(timeline[timeline["phase"] == phase].plot(), Picture)


def test_a_timeline_is_a_frame_in_every_other_way() -> None:
    timeline = a_timeline()
    assert timeline.groupby("phase").size()["COMPLETED"] == 2
    assert list(timeline.merge(timeline, on="phase").columns)[:2] == ["time_x", "phase"]
    axes = timeline.plot.scatter(x="seconds", y="attempt")
    assert axes.get_xlabel() == "seconds"
    import matplotlib.pyplot as plt

    plt.close(axes.figure)
