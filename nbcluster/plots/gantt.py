"""Who did what when: a bar for each attempt, or how busy each node was when there are too many for bars."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.patches import Patch

from nbcluster.plots.curves import load, moved
from nbcluster.plots.facts import TIMES, lasting, node_names
from nbcluster.plots.lanes import Seats, seats_of
from nbcluster.plots.paper import BAND, INK, MARKS, PALE, STEPS, above_row, nothing, row_of, seconds_axis
from nbcluster.plots.runs import Fate, Flags, Floats, Runs, Story

_MOST_BARS = 3000
_MOST_LANES = 110
_MOST_ROWS = 60
"""Rows of the overview of many nodes; beyond that several nodes share one."""

_MOST_ARROWS = 40
_MOST_MARKS = 1500
_ROOMY = 22.0
"""Lanes up to which each gets the height of a line of text."""

_BETWEEN = 0.7
"""The gap between nodes, in lanes."""

_BUSY = LinearSegmentedColormap.from_list("busy", ["#f1f4f7", "#b5d6ec", STEPS[0]])
_TROUBLE = (Fate.FAILED, Fate.RETRIED, Fate.CRASHED, Fate.LOST, Fate.STOPPED)


@dataclass(frozen=True)
class Chart:
    """What the panel will hold: bars in lanes, or rows of how busy nodes were."""

    story: Story
    seats: Seats | None

    @property
    def rows(self) -> float:
        """Its height in lanes."""
        nodes = len(self.story.runs.nodes)
        if self.seats is None:
            return 1.6 * min(nodes, _MOST_ROWS)
        return float(self.seats.lanes.sum()) + _BETWEEN * nodes

    @property
    def kinds(self) -> list[tuple[Fate, int]]:
        """Which kinds of attempts there are: completed ones with the place of their step, others with -1."""
        runs = self.story.runs
        found = [(Fate.COMPLETED, int(step)) for step in np.unique(runs.step[runs.fate == Fate.COMPLETED])]
        return found + [(fate, -1) for fate in sorted(self.story.fates) if fate is not Fate.COMPLETED]

    @property
    def above(self) -> float:
        """Points between panel and title: room for the line that tells what colours mean."""
        if self.seats is None:
            return above_row(len(set(_TROUBLE) & set(self.story.fates)))
        return above_row(len(self.kinds) if len(self.kinds) > 1 else 0)

    def height(self, least: float = 2.2, most: float = 9.0) -> float:
        """A good height of the picture in inches."""
        low = max(0.0, self.rows - _ROOMY)
        return float(np.clip(1.5 + 0.21 * (self.rows - low) + 0.13 * low, least, most))


def chart(story: Story) -> Chart:
    """Choose bars where they can be told apart."""
    runs = story.runs
    if not len(runs) or len(runs) > _MOST_BARS or len(runs.nodes) > _MOST_LANES:
        return Chart(story, None)
    seats = seats_of(runs, story.slots)
    return Chart(story, seats if seats.lanes.sum() <= _MOST_LANES else None)


def draw(axes: Axes, drawn: Chart) -> None:
    """The panel, without its title."""
    story = drawn.story
    if not len(story.runs):
        nothing(axes, "no partition has begun yet" if story.going_on else "no partition was begun")
        return
    if drawn.seats is None:
        _draw_rows(axes, story)
    else:
        _draw_bars(axes, story, drawn.seats, drawn.kinds)
    seconds_axis(axes, story.length)
    axes.spines["left"].set_visible(False)
    axes.grid(axis="x")


# --- bars ----------------------------------------------------------------------------------------


def _draw_bars(axes: Axes, story: Story, seats: Seats, kinds: list[tuple[Fate, int]]) -> None:
    runs = story.runs
    tops = np.r_[0.0, np.cumsum(seats.lanes + _BETWEEN)]
    for place, lanes in enumerate(seats.lanes):
        axes.axhspan(tops[place] - 0.12, tops[place] + lanes + 0.12, color=BAND, zorder=0, linewidth=0)
    low = tops[runs.node] + seats.lane
    for fate, step in kinds:
        _bars(axes, runs, seats, low, fate, step)
    _arrows(axes, runs, seats, low)
    _numbers(axes, story, seats, low)
    axes.set_ylim(tops[-1] - _BETWEEN + 0.2, -0.2)
    axes.set_yticks(tops[:-1] + seats.lanes / 2, node_names(runs.nodes))
    axes.tick_params(axis="y", labelcolor=INK)
    if len(kinds) > 1:
        _legend(axes, runs, kinds)


def _bars(axes: Axes, runs: Runs, seats: Seats, low: Floats, fate: Fate, step: int) -> None:
    """The bars of one kind."""
    chosen = (runs.fate == fate) & ((runs.step == step) | (step == -1))
    axes.add_collection(
        PolyCollection(
            _rectangles(seats.begin[chosen], seats.end[chosen], low[chosen]),
            facecolors=_colour(fate, step),
            edgecolors="white",
            linewidths=0.5 if len(runs) < 600 else 0.2,
            hatch=MARKS[fate].hatch or None,
            zorder=2 if fate in (Fate.COMPLETED, Fate.RUNNING) else 3,
        ),
        autolim=False,
    )


def _colour(fate: Fate, step: int) -> str:
    return MARKS[fate].colour if step < 0 else STEPS[step % len(STEPS)]


def _rectangles(begin: Floats, end: Floats, low: Floats) -> Any:
    top, bottom = low + 0.06, low + 0.94
    return np.stack([np.c_[begin, top], np.c_[begin, bottom], np.c_[end, bottom], np.c_[end, top]], axis=1)


def _arrows(axes: Axes, runs: Runs, seats: Seats, low: Floats) -> None:
    """From where a partition was lost to where it ran again, and when the loss was noticed."""
    found = moved(runs)
    for one in found[:_MOST_ARROWS]:
        axes.annotate(
            "", (seats.begin[one.after], low[one.after] + 0.5), (seats.end[one.lost], low[one.lost] + 0.5), zorder=7,
            arrowprops={"arrowstyle": "-|>", "color": INK, "linewidth": 1.1, "shrinkA": 0, "shrinkB": 0,
                        "mutation_scale": 9, "connectionstyle": "arc3,rad=-0.15"},
        )  # fmt: skip
    for node in np.unique(runs.node[runs.fate == Fate.LOST]):
        _loss(axes, runs, seats, low, int(node), sum(int(runs.node[one.lost]) == node for one in found))


def _loss(axes: Axes, runs: Runs, seats: Seats, low: Floats, node: int, again: int) -> None:
    """Words behind the last bar of a lost node, where its lanes are empty from then on."""
    mine = runs.node == node
    when = float(runs.end[mine & (runs.fate == Fate.LOST)].max())
    if (seats.begin[mine] > when).any():
        return  # it came back: its lanes go on
    told = f"lost, noticed at {lasting(when)}" + (f"; {again} ran again elsewhere" if again else "")
    middle = (float(low[mine].min()) + float(low[mine].max()) + 1.0) / 2
    near_the_end = when > 0.68 * float(runs.end.max())
    axes.annotate(
        told, (when, middle), (-7 if near_the_end else 12, 0), textcoords="offset points", color=INK, fontsize=9,
        va="center", ha="right" if near_the_end else "left", zorder=6, annotation_clip=False,
        bbox={"facecolor": BAND, "edgecolor": "none", "pad": 1.5, "alpha": 0.9},
    )  # fmt: skip


def _numbers(axes: Axes, story: Story, seats: Seats, low: Floats) -> None:
    """The partition's number on each bar that is wide enough for it."""
    runs = story.runs
    if len(runs) > 500 or seats.lanes.sum() > 40:
        return
    width = 0.0095 * max(story.length, 1e-3)  # of a digit
    for place in range(len(runs)):
        text = str(runs.partition[place])
        if seats.end[place] - seats.begin[place] > width * (len(text) + 0.6):
            fate = Fate(int(runs.fate[place]))
            ground = {"facecolor": MARKS[fate].colour, "edgecolor": "none", "pad": 1.2} if MARKS[fate].hatch else None
            axes.text(
                (seats.begin[place] + seats.end[place]) / 2, low[place] + 0.53, text, ha="center", va="center",
                fontsize=7.5, color=INK if fate in (Fate.RUNNING, Fate.RETRIED) else "white", zorder=4,
                fontweight="bold", bbox=ground,
            )  # fmt: skip


def _legend(axes: Axes, runs: Runs, kinds: list[tuple[Fate, int]]) -> None:
    """What colours and hatches mean; a picture of one kind needs no words."""
    several = len(runs.steps) > 1
    handles = [
        Patch(
            facecolor=_colour(fate, step),
            hatch=MARKS[fate].hatch or None,
            edgecolor="white",
            label=runs.steps[step] if several and step >= 0 else MARKS[fate].word,
        )
        for fate, step in kinds
    ]
    row_of(axes, handles)


# --- rows of how busy nodes were -------------------------------------------------------------------


def _draw_rows(axes: Axes, story: Story) -> None:
    runs = story.runs
    found = load(story, _MOST_ROWS)
    number = len(found.rows)
    full = max(1.0, float(np.quantile(found.busy[found.busy > 0], 0.98)) if (found.busy > 0).any() else 1.0)
    image = axes.imshow(
        found.busy, aspect="auto", interpolation="nearest", cmap=_BUSY, vmin=0.0, vmax=full,
        extent=(0.0, float(found.edges[-1]), number - 0.5, -0.5), zorder=1,
    )  # fmt: skip
    axes.set_yticks(*_row_labels(runs, found.rows))
    axes.tick_params(axis="y", labelcolor=INK)
    if number <= 30:
        for line in range(1, number):
            axes.axhline(line - 0.5, color="white", linewidth=2, zorder=2)
    _trouble(axes, runs, len(found.rows[0]))
    bar = axes.figure.colorbar(image, ax=axes, pad=0.012, aspect=40, shrink=0.9)
    bar.outline.set_visible(False)
    each = "" if len(found.rows[0]) == 1 else ", mean of nodes"
    bar.set_label(f"busy slots{each}", color=PALE)


def _row_labels(runs: Runs, rows: tuple[tuple[int, ...], ...]) -> tuple[list[int], list[str]]:
    """Names where there is room for them."""
    names = node_names(runs.nodes)
    every = max(1, -(-len(rows) // 24))
    places = list(range(0, len(rows), every))
    texts = [
        names[rows[place][0]] if len(rows[place]) == 1 else f"{names[rows[place][0]]} to {names[rows[place][-1]]}"
        for place in places
    ]
    return places, texts


def _trouble(axes: Axes, runs: Runs, each: int) -> None:
    """A marker for each attempt that did not complete; of very many, as many as can be told apart."""
    handles = []
    for fate in _TROUBLE:
        chosen: Flags = runs.fate == fate
        number = int(chosen.sum())
        if not number:
            continue
        places = np.flatnonzero(chosen)
        places = places[:: max(1, -(-number // _MOST_MARKS))]
        handles.append(
            axes.scatter(
                runs.end[places], runs.node[places] // each, s=34, marker=MARKS[fate].marker, zorder=4,
                color=MARKS[fate].colour, edgecolor="white", linewidth=0.7, clip_on=False,
                label=f"{number:,} {TIMES} {MARKS[fate].word}",
            )
        )  # fmt: skip
    if handles:
        row_of(axes, handles)
