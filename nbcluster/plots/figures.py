"""Whole pictures: a sentence, and under it the panels that show it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from nbcluster.errors import InputError
from nbcluster.plots import facts, gantt, panels
from nbcluster.plots.curves import durations, rate, scaling
from nbcluster.plots.paper import Picture, a_picture, above_row, title
from nbcluster.plots.runs import Story
from nbcluster.spans import Execution

_WIDTH = 10.0

Size = tuple[float, float]


def of_story(kind: str | None, story: Story, figsize: Size | None = None) -> Picture:
    """One picture of a job; without a kind the overview.  Raises InputError for an unknown one."""
    return _KINDS[checked(kind)](story, figsize)


def checked(kind: str | None) -> str:
    """The kind, or a sentence that names those there are."""
    wanted = OVERVIEW if kind is None else kind
    if wanted not in _KINDS and wanted != SCALING:
        raise InputError(f"there is no picture {str(kind)[:40]!r}; there are {', '.join([*_KINDS, SCALING])}")
    return wanted


def of_executions(name: str, executions: Sequence[Execution], figsize: Size | None = None) -> Picture:
    """How the seconds of repeated runs depend on the slots."""
    found = scaling(executions)
    width, height = figsize or (7.6, 4.6)
    with a_picture(f"scaling of {name}", width, height) as picture:
        axes = picture.add_subplot()
        panels.draw_scaling(axes, found)
        title(axes, facts.of_scaling(name, found), width=width - 0.9)
    return picture


def _overview(story: Story, figsize: Size | None) -> Picture:
    """The Gantt chart over states and lengths; of the last two, what there is something to say of."""
    drawn = gantt.chart(story)
    top = drawn.height(least=1.9, most=5.2) if len(story.runs) else 0.0
    width, height = figsize or (_WIDTH, top + 2.9)
    found = durations(story)
    with a_picture(f"overview of {story.name}", width, height) as picture:
        if not top:
            axes = picture.add_subplot()
            panels.draw_states(axes, story)
            title(axes, facts.headline(story), width=width - 1.0)
            return picture
        grid = picture.add_gridspec(2, 2, height_ratios=(top, max(1.5, height - top)), width_ratios=(1.05, 1))
        bars = picture.add_subplot(grid[0, :])
        gantt.draw(bars, drawn)
        title(bars, facts.headline(story), width=width - 1.0, above=drawn.above)
        half = width / 2 - 0.8 if found else width - 1.0
        over_time = picture.add_subplot(grid[1, 0] if found else grid[1, :])
        panels.draw_states(over_time, story)
        title(over_time, _without_name(story, facts.of_rate(story, rate(story))), width=half, size=10)
        if found:
            lengths = picture.add_subplot(grid[1, 1])
            panels.draw_durations(lengths, story, found)
            title(lengths, _without_name(story, facts.of_durations(story, found)), width=half, size=10)
    return picture


def _without_name(story: Story, said: str) -> str:
    plain = said.removeprefix(f"{story.name}: ")
    return plain[:1].upper() + plain[1:]


def _gantt(story: Story, figsize: Size | None) -> Picture:
    drawn = gantt.chart(story)
    width, height = figsize or (_WIDTH, drawn.height())
    with a_picture(f"gantt of {story.name}", width, height) as picture:
        axes = picture.add_subplot()
        gantt.draw(axes, drawn)
        title(axes, facts.headline(story), width=width - 1.0, above=drawn.above)
    return picture


def _throughput(story: Story, figsize: Size | None) -> Picture:
    width, height = figsize or (_WIDTH, 5.0)
    with a_picture(f"throughput of {story.name}", width, height) as picture:
        above, below = picture.subplots(2, 1, sharex=True, height_ratios=(1.25, 1))
        found = rate(story)
        panels.draw_states(above, story, label=False)
        above.tick_params(labelbottom=False)
        panels.draw_rate(below, story, found)
        title(above, facts.of_rate(story, found), width=width - 1.0)
    return picture


def _durations(story: Story, figsize: Size | None) -> Picture:
    width, height = figsize or (_WIDTH, 4.2)
    with a_picture(f"durations of {story.name}", width, height) as picture:
        axes = picture.add_subplot()
        found = durations(story)
        panels.draw_durations(axes, story, found)
        told = panels.name_steps(axes, story, found)
        title(axes, facts.of_durations(story, found), width=width - 1.0, above=above_row(told))
    return picture


OVERVIEW = "overview"
SCALING = "scaling"
_KINDS: dict[str, Callable[[Story, Size | None], Picture]] = {
    OVERVIEW: _overview,
    "gantt": _gantt,
    "throughput": _throughput,
    "durations": _durations,
}
