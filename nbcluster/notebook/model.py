"""What the view of a job says: a snapshot in, plain content out.  Pure.

Widget, HTML and text are skins over ``View``; nothing is counted, worded or cleaned in them.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from nbcluster.lifecycle import JobStatus, PartitionStatus
from nbcluster.notebook.node_rows import COLUMNS, COLUMNS_AFTER, most_telling, row_of
from nbcluster.notebook.partition_map import Cell, Segment, cells_of, map_label, segments_of
from nbcluster.notebook.wording import (
    about,
    attach,
    clean,
    clean_block,
    count,
    duration,
    rate,
    resume,
    retry,
    roughly,
)
from nbcluster.shown import ErrorGroup, JobSnapshot, RunningView, StepView

__all__ = ["attach", "clean", "clean_block", "count", "duration", "resume"]


@dataclass(frozen=True, slots=True)
class ErrorLine:
    """One group of equal errors; ``partition`` is the one whose traceback it is."""

    headline: str
    place: str
    traceback: str
    partition: int


@dataclass(frozen=True, slots=True)
class View:
    """Everything that is shown of a job, in words and numbers ready to be drawn."""

    name: str
    word: str
    finished: bool
    sentence: str
    facts: str
    summary: str
    remnant: str
    way_back: tuple[str, str]
    """A line to type, and what it does: how to go on from a saved notebook."""
    done_share: float
    segments: tuple[Segment, ...]
    cells: tuple[Cell, ...]
    map_label: str
    node_columns: tuple[str, ...]
    node_rows: tuple[tuple[str, ...], ...]
    more_nodes: int
    errors: tuple[ErrorLine, ...]
    obstacles: tuple[str, ...]
    log_label: str
    log_tail: str
    steps: str = ""
    running: tuple[tuple[str, ...], ...] = ()
    """Partitions that say how far they are, in the words of ``RUNNING``."""

    @property
    def headline(self) -> str:
        """One line that says it all: ``collatz: running, 4,120 of 10,000 items, 812/s, about 7 s left``."""
        return f"{self.name}: {self.word}, {self.sentence}"


_LONG = 3.0
"""Seconds after which a partition that says how far it is gets a line of its own."""

RUNNING = ("partition", "done", "for", "node", "doing")


def view_of(snapshot: JobSnapshot) -> View:
    """The content of the view at the moment of the snapshot."""
    shown, more = most_telling(snapshot.nodes)
    return View(
        name=clean(snapshot.name),
        word=_word(snapshot),
        finished=snapshot.finished,
        sentence=", ".join(_progress(snapshot)),
        facts=_facts(snapshot),
        summary=summary(snapshot),
        remnant=left_behind(snapshot.name),
        way_back=_way_back(snapshot),
        done_share=_done_share(snapshot),
        segments=segments_of(snapshot.grid),
        cells=cells_of(snapshot.grid),
        map_label=_map_label(snapshot),
        node_columns=COLUMNS_AFTER if snapshot.finished else COLUMNS,
        node_rows=tuple(row_of(node, snapshot.finished) for node in shown),
        more_nodes=more,
        errors=tuple(_error_line(group) for group in snapshot.errors),
        obstacles=() if snapshot.finished else tuple(clean(text, 500) for text in snapshot.obstacles),
        log_label=_log_label(snapshot),
        log_tail=clean_block(snapshot.log_tail),
        steps=" \N{RIGHTWARDS ARROW} ".join(_step(step, snapshot.finished) for step in snapshot.steps),
        running=() if snapshot.finished else tuple(_running(one) for one in snapshot.running if _tells(one)),
    )


def _done_share(snapshot: JobSnapshot) -> float:
    part = snapshot.told or snapshot
    return part.items_done / part.items if part.items else 1.0


def summary(snapshot: JobSnapshot) -> str:
    """The job in one line that is the same on every machine: no times, no names of nodes, no ids."""
    items = count(snapshot.items, "item", grouped=False)
    return f"{clean(snapshot.name)}: {snapshot.status}, {_good(snapshot)} of {items}"


def way_on(snapshot: JobSnapshot, variable: str | None = None) -> str:
    """A stopped job in one sentence, with what to type to go on."""
    name = clean(snapshot.name)
    kept = f"{_good(snapshot):,} of {count(snapshot.items, 'item')} are finished and kept"
    if snapshot.status in (JobStatus.COMPLETED, JobStatus.FAILED):
        return f"{name}: it had ended before it could be stopped; {kept}"
    own = f"{variable}.resume() or " if variable else ""
    return f"{name}: stopped; {kept}. To go on: {own}{resume(name)}"


def left_behind(name: str) -> str:
    """What a view says that was lost before the end of its job, whenever that is read."""
    return f"{clean(name)}: this view ended before the job, which goes on without it. See {attach(name)}"


def _good(snapshot: JobSnapshot) -> int:
    return snapshot.items_done - snapshot.items_failed


def _word(snapshot: JobSnapshot) -> str:
    if snapshot.finished:
        return snapshot.status.lower()
    if snapshot.stop_requested:
        return "stopping"
    if snapshot.paused:
        return "paused"
    begun = snapshot.items_done or snapshot.partitions.get(PartitionStatus.CLAIMED, 0)
    return "running" if begun or any(_begun(step) for step in snapshot.steps) else "waiting"


def _begun(step: StepView) -> bool:
    return step.status == JobStatus.COMPLETED or bool(step.done or step.running)


def _progress(snapshot: JobSnapshot) -> list[str]:
    if snapshot.finished:
        return _ending(snapshot)
    if snapshot.stop_requested:
        return [f"{_good(snapshot):,} of {count(snapshot.items, 'item')}"]
    part = snapshot.told or snapshot
    step = "" if snapshot.told is None else f"{clean(snapshot.told.name, 60)} "
    said = [f"{step}{part.items_done:,} of {count(part.items, 'item')}"]
    if part.items_failed:
        said.append(f"{part.items_failed:,} failed")
    if len(snapshot.grid) == 1:
        said += [f"{one.progress:.0%} of it" for one in snapshot.running if one.progress is not None]
    if not snapshot.paused and snapshot.rate is not None:
        said.append(rate(snapshot.rate))
    if not snapshot.paused and snapshot.remaining is not None:
        said.append(f"about {about(snapshot.remaining)} left" + (" of this step" if step else ""))
    return said


def _ending(snapshot: JobSnapshot) -> list[str]:
    took = duration(snapshot.elapsed)
    if snapshot.told is not None:
        part = snapshot.told
        step = f"{clean(part.name, 60)} {part.items_done - part.items_failed:,} of {count(part.items, 'item')}"
        return [f"{step} in {took}", *([f"{part.items_failed:,} failed"] if part.items_failed else [])]
    items = count(snapshot.items, "item")
    done = items if _good(snapshot) == snapshot.items else f"{_good(snapshot):,} of {items}"
    # Items of a stopped job did not fail: nobody ran them.
    failed = snapshot.items_failed if snapshot.status == JobStatus.FAILED else 0
    return [f"{done} in {took}", *([f"{failed:,} failed"] if failed else [])]


def _facts(snapshot: JobSnapshot) -> str:
    said = [] if snapshot.finished else [_elapsed(snapshot.elapsed)]
    said.append(f"started {_clock(snapshot)} by {clean(snapshot.user, 60)}")
    said.append(clean(snapshot.strategy.replace("_", " ")))
    if not snapshot.transferable:
        said.append("not transferable")
    if snapshot.cached:
        said.append(f"{clean(snapshot.cached, 60)} partitions from the cache")
    return " \N{MIDDLE DOT} ".join(said)


def _elapsed(seconds: float) -> str:
    return "just begun" if seconds < 5 else f"{roughly(seconds)} elapsed"


def _clock(snapshot: JobSnapshot) -> str:
    """When it started, with the day unless it ended or goes on on the same one."""
    start = snapshot.created.astimezone()
    end = (snapshot.created + timedelta(seconds=snapshot.elapsed)).astimezone()
    return f"{start:%H:%M:%S}" if start.date() == end.date() else f"{start:%Y-%m-%d %H:%M}"


def _way_back(snapshot: JobSnapshot) -> tuple[str, str]:
    name = snapshot.name
    if not snapshot.finished:
        seen = (snapshot.created + timedelta(seconds=snapshot.elapsed)).astimezone()
        return attach(name), f"shows how it goes on, in any notebook; this is how it was at {seen:%H:%M}"
    if snapshot.status == JobStatus.STOPPED:
        return resume(name), "goes on with what is left"
    if snapshot.status == JobStatus.FAILED:
        return retry(name), "runs what failed once more, and keeps the rest"
    return attach(name), "brings its results back, in any notebook"


def _map_label(snapshot: JobSnapshot) -> str:
    label = map_label(len(snapshot.grid))
    return label if snapshot.told is None else f"{label} of step {clean(snapshot.told.name, 60)}"


def _log_label(snapshot: JobSnapshot) -> str:
    return "" if snapshot.log_partition is None else f"partition {snapshot.log_partition:,}"


def _step(step: StepView, finished: bool) -> str:
    name = clean(step.name, 60)
    if step.status == JobStatus.STARTED:
        return f"{name} {step.done:,} of {step.total:,}"
    if step.not_run or (finished and step.status == JobStatus.CREATED):
        return f"{name} not run"
    return f"{name} {'waits' if step.status == JobStatus.CREATED else step.status.lower()}"


def _tells(one: RunningView) -> bool:
    """Whether it says how far it is, and runs long enough to be read: what comes and goes makes the view jump."""
    return one.seconds >= _LONG and (one.progress is not None or bool(one.message))


def _running(one: RunningView) -> tuple[str, ...]:
    share = "" if one.progress is None else f"{one.progress:.0%}"
    return f"{one.index:,}", share, roughly(one.seconds), clean(one.node, 60), clean(one.message, 120)


def _error_line(group: ErrorGroup) -> ErrorLine:
    message = clean(group.message, 160)
    said = f"{clean(group.error_type, 80)}: {message}" if message else clean(group.error_type, 80)
    return ErrorLine(
        headline=f"{group.count:,} \N{MULTIPLICATION SIGN} {said}",
        place=f"first in partition {group.first_partition:,} (item {group.first_item:,})",
        traceback=clean_block(group.traceback),
        partition=group.first_partition,
    )
