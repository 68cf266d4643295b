"""What a picture says in words: titles that are sentences, lengths of time, names of nodes.  Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from nbcluster.plots.curves import Durations, Rate, Scaled, durations, moved
from nbcluster.plots.runs import Fate, Story

TIMES = "\N{MULTIPLICATION SIGN}"


def count(number: int, word: str) -> str:
    """``1 node``, ``12,000 partitions``."""
    return f"{number:,} {word}{'' if number == 1 else 's'}"


def lasting(seconds: float) -> str:
    """A length of time as one says it: 0.21 s, 41 s, 3 min 20 s, 2 h 5 min."""
    if seconds < 0.000_995:
        return f"{seconds * 1e6:.3g} \N{MICRO SIGN}s"
    if seconds < 0.0995:
        return f"{seconds * 1000:.2g} ms" if seconds < 0.00995 else f"{seconds * 1000:.0f} ms"
    if seconds < 100:
        return f"{seconds:.2g} s" if seconds < 9.95 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"


def multiple(times: float) -> str:
    """How many times something else, with a sign for times: 9, 3.4."""
    return f"{times:.0f} {TIMES}" if times >= 9.5 else f"{times:.2g} {TIMES}"


def per_second(number: float) -> str:
    """``290 items/s``; of slow ones, how many in a minute or an hour."""
    if number >= 9.95 or number <= 0:
        return f"{number:,.0f} items/s"
    if number >= 0.95:
        return f"{number:.1f} items/s"
    return f"{number * 60:.2g} items/min" if number * 60 >= 0.95 else f"{number * 3600:.2g} items/h"


def node_names(nodes: Sequence[str]) -> list[str]:
    """What nodes are called: their stable names, and as much of their ids as tells those of one name apart."""
    short = [node.rsplit("-", 1)[0] for node in nodes]
    twice = {name for name, times in Counter(short).items() if times > 1}
    return [
        f"{name}-{node.rsplit('-', 1)[1][:4]}" if name in twice and "-" in node else name or "no node"
        for node, name in zip(nodes, short, strict=True)
    ]


def headline(story: Story) -> str:
    """The job in a sentence: how much, on how many nodes, in what time, and the one thing worth knowing."""
    nodes = len(story.runs.nodes)
    on = f" on {count(nodes, 'node')}" if nodes else ""
    total, time = count(story.partitions, "partition"), lasting(story.length)
    done = int(story.runs.completed.sum()) + story.carried
    if story.state == "COMPLETED":
        said = f"{total}{on} in {time}" + (f", {story.carried:,} of them done before" if story.carried else "")
    elif story.going_on:
        said = f"{done:,} of {total} done{on} after {time}"
    else:
        said = f"{story.state.lower()} after {time}{on}, {done:,} of {total} done"
    return f"{story.name}: {said}{_notable(story)}"


def _notable(story: Story) -> str:
    """What one would point at first."""
    said = [text for text in (_lost(story), _failed(story)) if text]
    if not said:
        said = [text for text in (_straggling(story),) if text]
    return "; " + "; ".join(said) if said else ""


def _lost(story: Story) -> str:
    """That a node was lost, and what became of what it had."""
    runs = story.runs
    lost = runs.fate == Fate.LOST
    if not lost.any():
        return ""
    names = node_names(runs.nodes)
    nodes = [names[place] for place in np.unique(runs.node[lost])]
    who = f"{nodes[0]} was lost" if len(nodes) == 1 else f"{len(nodes)} nodes were lost"
    again = len({int(runs.partition[one.lost]) for one in moved(runs)})
    return f"{who} and {count(again, 'partition')} ran again elsewhere" if again else who


def _failed(story: Story) -> str:
    runs = story.runs
    failed = int((runs.final & ((runs.fate == Fate.FAILED) | (runs.fate == Fate.CRASHED))).sum())
    if failed:
        return f"{failed:,} failed"
    again = story.fates[Fate.RETRIED] + story.fates[Fate.CRASHED]
    return f"{count(again, 'attempt')} had to be repeated" if again else ""


def _straggling(story: Story) -> str:
    found = durations(story)
    if found is None or not found.stragglers or len(story.runs) < 4:
        return ""
    slowest = found.stragglers[0]
    of = f" of {slowest.step}" if len(story.runs.steps) > 1 else ""
    return f"partition {slowest.partition:,}{of} took {multiple(slowest.times)} the median"


def of_rate(story: Story, found: Rate) -> str:
    """The throughput in a sentence."""
    if not len(story.runs) or found.mean <= 0:
        return f"{story.name}: nothing has been completed yet"
    peak = float(found.per_second.max())
    at_best = f", {per_second(peak)} at best" if len(found.per_second) > 4 and peak > 1.15 * found.mean else ""
    return f"{story.name}: {per_second(found.mean)} on average{at_best}"


def of_durations(story: Story, found: Durations | None) -> str:
    """The lengths in a sentence."""
    if found is None:
        return f"{story.name}: nothing has been completed yet"
    if found.number == 1:
        return f"{story.name}: its one completed partition took {lasting(found.median)}"
    said = f"{story.name}: the median of {count(found.number, 'partition')} is {lasting(found.median)}"
    that = "the median of their step" if len(found.counts) > 1 else "that"
    if not found.stragglers:
        return f"{said}, and none took more than three times {that}"
    return f"{said}; {found.straggling:,} took more than three times {that}"


def of_scaling(name: str, found: Sequence[Scaled]) -> str:
    """What repeated runs show, in a sentence."""
    if not found:
        return f"{name}: no run of this code and input has been completed yet"
    slots = sorted({one.slots for one in found})
    if len(slots) == 1:
        quick, slow = min(one.seconds for one in found), max(one.seconds for one in found)
        between = lasting(quick) if len(found) == 1 else f"{lasting(quick)} to {lasting(slow)}"
        return f"{name}: {count(len(found), 'run')} on {count(slots[0], 'slot')}, {between}"
    few, many = typical(found, slots[0]), typical(found, slots[-1])
    gained, ideal = few / many, slots[-1] / slots[0]
    return (
        f"{name}: {count(slots[-1], 'slot')} are {multiple(gained)} as fast as {slots[0]}; "
        f"{multiple(ideal)} would be ideal"
    )


def typical(found: Sequence[Scaled], slots: int) -> float:
    """The median seconds of the runs on that many slots."""
    return float(np.median([one.seconds for one in found if one.slots == slots]))
