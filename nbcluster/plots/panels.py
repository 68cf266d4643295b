"""The other panels: states over time, throughput, lengths of partitions, repeated runs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from nbcluster.plots.curves import Durations, Rate, Scaled, Straggler, durations, rate, states
from nbcluster.plots.facts import lasting, multiple, node_names, per_second, typical
from nbcluster.plots.paper import FAINT, INK, MARKS, PALE, STEPS, nothing, row_of, seconds_axis
from nbcluster.plots.runs import Fate, Floats, Story

_WAITING = "#e3e7ec"
_LABELLED = 0.085
"""The share of the panel's height that an area must have for its name to stand in it."""


def draw_states(axes: Axes, story: Story, *, label: bool = True) -> None:
    """How many partitions were in which state: areas that add up to all of them, named where they are widest."""
    found = states(story)
    areas = (
        ("completed", found.completed, STEPS[0], "white"),
        ("failed", found.failed, MARKS[Fate.FAILED].colour, "white"),
        ("stopped", found.stopped, MARKS[Fate.STOPPED].colour, "white"),
        ("running", found.running, MARKS[Fate.RUNNING].colour, INK),
        ("waiting", found.waiting, _WAITING, INK),
    )
    shown = [area for area in areas if float(area[1].max()) > 0]
    layers = axes.stackplot(
        found.times, *(area[1] for area in shown), colors=[area[2] for area in shown], linewidth=0, step="post"
    )
    for layer, area in zip(layers, shown, strict=True):
        layer.set_hatch(MARKS[Fate.FAILED].hatch if area[0] == "failed" else "")
        layer.set_edgecolor("white" if area[0] == "failed" else "none")
    top = max(story.partitions, 1)
    axes.set_ylim(0, top)
    _name_areas(axes, found.times, [(name, values, ink) for name, values, _, ink in shown], top)
    axes.yaxis.set_major_locator(MaxNLocator(nbins=5, integer=True))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _place: f"{value:,.0f}"))
    axes.set_ylabel("partitions")
    seconds_axis(axes, story.length, label=label)


def _name_areas(axes: Axes, times: Floats, areas: Sequence[tuple[str, Floats, str]], top: int) -> None:
    """Each area's name within it; of one that is too thin, with its number beside it."""
    below = np.zeros_like(times)
    taken: list[float] = []
    thin: tuple[Floats, int] | None = None
    for name, values, ink in areas:
        place, low, high = _roomiest(below, below + values)
        if high - low >= _LABELLED * top:
            hatched = {"facecolor": MARKS[Fate.FAILED].colour, "edgecolor": "none", "pad": 1.2}
            axes.text(times[place], (low + high) / 2, name, ha="center", va="center", color=ink, fontsize=9.5,
                      fontweight="bold", bbox=hatched if name == "failed" else None)  # fmt: skip
            if name == "waiting" and thin is not None:
                _point_at(axes, times, thin, (times[place], (low + high) / 2 - 0.11 * top))
        elif name == "running":
            thin = below + values / 2, int(values.max())
        elif values[-1] > 0:
            # At the right edge, one above the other.
            height = max(below[-1] + values[-1] / 2, *[one + 0.07 * top for one in taken], 0.03 * top)
            taken.append(height)
            axes.annotate(f"{int(values[-1]):,} {name}", (1.0, height / top), (5, 0), xycoords="axes fraction",
                          textcoords="offset points", va="center", ha="left", fontsize=8.5, color=PALE,
                          annotation_clip=False)  # fmt: skip
        below = below + values


def _point_at(axes: Axes, times: Floats, thin: tuple[Floats, int], where: tuple[float, float]) -> None:
    """How many ran at most, with a line to the area that is too thin for it."""
    curve, most = thin
    after = np.flatnonzero((curve >= where[1]) & (times > where[0]))
    place = int(after[0]) if len(after) else len(times) - 1
    axes.annotate(
        f"up to {most:,} running", (times[place], float(curve[place])), where, ha="center", va="center", fontsize=8.5,
        color=INK, arrowprops={"arrowstyle": "-", "color": PALE, "linewidth": 0.8, "shrinkA": 2, "shrinkB": 0,
                               "relpos": (1.0, 0.5)},
    )  # fmt: skip


def _roomiest(lower: Floats, upper: Floats) -> tuple[int, float, float]:
    """Where a word fits best between two curves: its place, and the lowest and highest that it may reach there."""
    half = max(1, len(lower) // 7)  # of the width of a line of words
    windows = np.lib.stride_tricks.sliding_window_view
    low = windows(lower, 2 * half + 1).max(axis=1)
    high = windows(upper, 2 * half + 1).min(axis=1)
    best = int(np.argmax(high - low))
    return best + half, float(low[best]), float(high[best])


def draw_rate(axes: Axes, story: Story, found: Rate | None = None) -> None:
    """Items completed in a second, with the mean."""
    found = found or rate(story)
    if found.mean <= 0:
        nothing(axes, "nothing has been completed yet" if story.going_on else "nothing was completed")
        return
    axes.stairs(found.per_second, found.edges, fill=True, color=STEPS[0], alpha=0.18, linewidth=0)
    axes.stairs(found.per_second, found.edges, color=STEPS[0], linewidth=1.6, baseline=None)
    axes.set_ylim(0, float(found.per_second.max()) * 1.18)
    seconds_axis(axes, story.length)
    axes.axhline(found.mean, color=INK, linewidth=1.0, linestyle=(0, (4, 3)))
    axes.annotate(
        f"mean {per_second(found.mean)}", (1.0, found.mean), (-2, 3), xycoords=("axes fraction", "data"),
        textcoords="offset points", ha="right", va="bottom", fontsize=9, color=INK,
        bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.8, "alpha": 0.75},
    )  # fmt: skip
    axes.set_ylabel("items in a second")
    axes.yaxis.set_major_locator(MaxNLocator(nbins=5))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _place: f"{value:,.6g}"))
    axes.grid(axis="y")


def draw_durations(axes: Axes, story: Story, found: Durations | None = None) -> None:
    """How long completed partitions ran, with the median, and with names for those that took much longer."""
    found = found or durations(story)
    if found is None:
        nothing(axes, "nothing has been completed yet" if story.going_on else "nothing was completed")
        return
    below = np.zeros_like(found.slow)
    colours = _colours(story)
    for step, counts in (*found.counts, ("", found.slow)):
        colour = colours[step] if step else MARKS[Fate.FAILED].colour
        axes.stairs(below + counts, found.edges, baseline=below, fill=True, color=colour, label=step)
        below = below + counts
    if found.logarithmic:
        axes.set_xscale("log")
        decades = np.log10(found.edges[-1] / found.edges[0])
        axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if decades < 2.5 else (1.0,), numticks=12))
        axes.xaxis.set_minor_formatter(NullFormatter())
    else:
        axes.xaxis.set_major_locator(MaxNLocator(nbins=6))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _place: lasting(value) if value > 0 else "0"))
    axes.set_xlim(found.edges[0], found.edges[-1])
    top = float(below.max()) * (1.14 + 0.17 * len(found.stragglers))
    axes.set_ylim(0, top)
    axes.axvline(found.median, color=INK, linewidth=1.0, linestyle=(0, (4, 3)))
    right = _fraction(found, found.median) > 0.7
    axes.annotate(f"median {lasting(found.median)}", (found.median, 1.0), (-5 if right else 5, -3),
                  xycoords=("data", "axes fraction"), textcoords="offset points", va="top",
                  ha="right" if right else "left", fontsize=9)  # fmt: skip
    _name_stragglers(axes, story, found)
    axes.set_ylabel("partitions")
    axes.set_xlabel("time that a partition took" + (" (logarithmic scale)" if found.logarithmic else ""))
    axes.yaxis.set_major_locator(MaxNLocator(nbins=5, integer=True))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _place: f"{value:,.0f}"))
    axes.grid(axis="y")


def _fraction(found: Durations, seconds: float) -> float:
    """Where it stands on the horizontal axis, from 0 to 1."""
    edges = np.log(found.edges[[0, -1]]) if found.logarithmic else found.edges[[0, -1]]
    value = np.log(seconds) if found.logarithmic else seconds
    return float((value - edges[0]) / (edges[1] - edges[0]))


def _name_stragglers(axes: Axes, story: Story, found: Durations) -> None:
    """Number and node of the slowest, one below the other, and a mark where each stands."""
    names = dict(zip(story.runs.nodes, node_names(story.runs.nodes), strict=True))
    several = len(story.runs.steps) > 1

    def said(one: Straggler) -> str:
        of = f" of {one.step}" if several else ""
        return f"partition {one.partition:,}{of} on {names[one.node]}: {lasting(one.seconds)}, {multiple(one.times)}"

    for place, one in enumerate(found.stragglers):
        axes.text(0.985, 0.865 - 0.095 * place, said(one), transform=axes.transAxes, ha="right", va="center",
                  fontsize=9, color=MARKS[Fate.FAILED].colour)  # fmt: skip
        axes.plot([min(one.seconds, found.edges[-1])], [0.035], marker="v", markersize=6,
                  color=MARKS[Fate.FAILED].colour, markeredgecolor="white", clip_on=False,
                  transform=axes.get_xaxis_transform())  # fmt: skip


def name_steps(axes: Axes, story: Story, found: Durations | None) -> int:
    """A line above the panel that tells the steps' colours, when there are several; gives how many."""
    if found is None or len(found.counts) < 2:
        return 0
    colours = _colours(story)
    row_of(axes, [Patch(facecolor=colours[step], label=step) for step, _ in found.counts])
    return len(found.counts)


def _colours(story: Story) -> dict[str, str]:
    return dict(zip(story.runs.steps, STEPS * len(story.runs.steps), strict=False))


def draw_scaling(axes: Axes, found: Sequence[Scaled]) -> None:
    """Seconds of each execution against the slots that worked for it, with the line of ideal scaling."""
    if not found:
        nothing(axes, "no run of this code and input has been completed yet")
        return
    slots = np.array([one.slots for one in found], dtype=np.float64)
    seconds = np.array([one.seconds for one in found])
    few = int(slots.min())
    base = typical(found, few)
    line = np.array([few, max(float(slots.max()), few * 1.01)])
    if slots.max() > few:
        axes.plot(line, base * few / line, color=PALE, linewidth=1.2, linestyle=(0, (5, 3)), zorder=1)
        axes.annotate("ideal", (line[1], base * few / line[1]), (-10, -2), textcoords="offset points", va="top",
                      ha="right", fontsize=9.5, color=PALE)  # fmt: skip
        steps = sorted({int(one) for one in slots})
        axes.plot(steps, [typical(found, one) for one in steps], color=STEPS[0], linewidth=1.6, zorder=2)
    axes.scatter(slots, seconds, s=46, color=STEPS[0], edgecolor="white", linewidth=0.9, zorder=3)
    _name_medians(axes, found, base, few)
    axes.set_xscale("log", base=2)
    axes.set_yscale("log", base=2)
    axes.set_xlim(few / 1.15, float(slots.max()) * 1.3 * (float(slots.max()) / few) ** 0.25)  # room for words
    low = min(float(seconds.min()), base * few / float(slots.max()))
    axes.set_ylim(low / 1.35, float(seconds.max()) * 1.35)
    axes.set_xticks(sorted({int(one) for one in slots}))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _place: f"{value:g}"))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _place: lasting(value)))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("slots that worked at once (the fewest that explain what was recorded)")
    axes.set_ylabel("seconds from start to end")
    axes.grid(axis="both", color=FAINT, alpha=0.5)


def _name_medians(axes: Axes, found: Sequence[Scaled], base: float, few: int) -> None:
    """What the runs on so many slots took, and how much faster that is."""
    for one in sorted({each.slots for each in found}):
        middle = typical(found, one)
        number = sum(each.slots == one for each in found)
        faster = f", {multiple(base / middle)} as fast" if one > few else ""
        times = f" ({number} runs)" if number > 1 else ""
        axes.annotate(f"{lasting(middle)}{faster}{times}", (one, middle), (9, 5), textcoords="offset points",
                      ha="left", fontsize=9, color=INK)  # fmt: skip
