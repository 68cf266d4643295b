"""What the view of a job says: a snapshot in, plain content out.  Pure.

Widget, HTML and text are skins over ``View``; nothing is counted, worded or cleaned in them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from nbcluster.lifecycle import JobStatus, NodeStatus, PartitionStatus
from nbcluster.shown import ErrorGroup, JobSnapshot, NodeView, RunningView, StepView

# Escape sequences, control characters, and the marks that turn the direction of text around:
# what a remote program printed must not rearrange what stands beside it.
_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|.)?")
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")

# A progress bar's earlier states: a carriage return wrote over them.
_OVERWRITTEN = re.compile(r"[^\n]*\r")

LONGEST_TEXT = 4_000
MOST_NODES = 12


@dataclass(frozen=True, slots=True)
class Segment:
    """The partitions in one state: its word, its letter, how many, and their share of all (0 to 1)."""

    state: str
    letter: str
    word: str
    count: int
    share: float


@dataclass(frozen=True, slots=True)
class ErrorLine:
    """One group of equal errors."""

    headline: str
    place: str
    traceback: str


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
    done_share: float
    segments: tuple[Segment, ...]
    grid: str
    grid_label: str
    node_columns: tuple[str, ...]
    node_rows: tuple[tuple[str, ...], ...]
    more_nodes: int
    errors: tuple[ErrorLine, ...]
    obstacles: tuple[str, ...]
    log_tail: str
    steps: str = ""
    running: tuple[str, ...] = ()

    @property
    def headline(self) -> str:
        """One line that says it all: ``collatz: running, 4,120 of 10,000 items, 812/s, about 7 s left``."""
        return f"{self.name}: {self.word}, {self.sentence}"


_STATES = (
    (PartitionStatus.COMPLETED, "c", "completed"),
    (PartitionStatus.FAILED, "f", "failed"),
    (PartitionStatus.CLAIMED, "r", "running"),
    (PartitionStatus.PENDING, ".", "pending"),
)


def view_of(snapshot: JobSnapshot) -> View:
    """The content of the view at the moment of the snapshot."""
    shown, more = _most_telling(snapshot.nodes, MOST_NODES)
    return View(
        name=clean(snapshot.name),
        word=_word(snapshot),
        finished=snapshot.finished,
        sentence=", ".join(_progress(snapshot)),
        facts=_facts(snapshot),
        summary=summary(snapshot),
        remnant=left_behind(snapshot.name),
        done_share=_share(snapshot.items_done, snapshot.items),
        segments=_segments(snapshot),
        grid=snapshot.grid,
        grid_label=_grid_label(snapshot),
        node_columns=_NODE_COLUMNS_AFTER if snapshot.finished else _NODE_COLUMNS,
        node_rows=tuple(_node_row(node, snapshot.finished) for node in shown),
        more_nodes=more,
        errors=tuple(_error_line(group) for group in snapshot.errors),
        obstacles=() if snapshot.finished else tuple(clean(text, 500) for text in snapshot.obstacles),
        log_tail=clean_block(snapshot.log_tail),
        steps=" \N{RIGHTWARDS ARROW} ".join(_step(step, snapshot.finished) for step in snapshot.steps),
        running=() if snapshot.finished else tuple(_running(one) for one in snapshot.running if _tells(one)),
    )


def clean(text: str, longest: int = 200) -> str:
    """Foreign text on one line, without what could act on a terminal or turn the line around."""
    plain = " ".join(_harmless(text).split())
    return plain if len(plain) <= longest else f"{plain[:longest]} ..."


def clean_block(text: str, longest: int = LONGEST_TEXT) -> str:
    """The same for several lines; of a long text the end is kept, where tracebacks say what happened."""
    plain = _harmless(_OVERWRITTEN.sub("", text.replace("\r\n", "\n"))).strip("\n")
    return plain if len(plain) <= longest else f"...\n{plain[-longest:]}"


def _harmless(text: str) -> str:
    return _CONTROLS.sub("\N{REPLACEMENT CHARACTER}", _ESCAPES.sub("", text))


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
    """What a view says when its kernel ended before the job."""
    return f"{clean(name)}: the kernel that showed it ended before the job did; the job goes on. See {attach(name)}"


def attach(name: str) -> str:
    """The line that looks at a job again."""
    return f"%nbcluster attach {_word_of(clean(name))}"


def resume(name: str) -> str:
    """The line that goes on with a job."""
    return f"%nbcluster resume {_word_of(clean(name))}"


def replay_line(name: str, partition: int, step: str | None = None) -> str:
    """The line that runs a partition again here."""
    option = f" --step {_word_of(clean(step))}" if step else ""
    return f"%nbcluster replay {_word_of(clean(name))} {partition}{option}"


def _word_of(name: str) -> str:
    return f'"{name}"' if " " in name else name


def _good(snapshot: JobSnapshot) -> int:
    return snapshot.items_done - snapshot.items_failed


def count(number: int, noun: str, grouped: bool = True) -> str:
    """``1 item``, ``2,000 items``."""
    shown = f"{number:,}" if grouped else str(number)
    return f"{shown} {noun}" if number == 1 else f"{shown} {noun}s"


def duration(seconds: float) -> str:
    """``0.4 s``, ``12 s``, ``3 min 20 s``, ``2 h 5 min``: two units at most."""
    if seconds < 9.95:
        return f"{max(0.0, seconds):.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(round(seconds / 60), 60)
    if hours < 48:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    days, hours = divmod(hours, 24)
    return f"{days} d {hours} h" if hours else f"{days} d"


def _word(snapshot: JobSnapshot) -> str:
    if not snapshot.finished and snapshot.stop_requested:
        return "stopping"
    if not snapshot.finished and snapshot.paused:
        return "paused"
    if not snapshot.finished and not snapshot.partitions.get(PartitionStatus.CLAIMED, 0) and not snapshot.items_done:
        return "waiting"
    return {JobStatus.STARTED: "running", JobStatus.CREATED: "waiting"}.get(
        JobStatus(snapshot.status), snapshot.status.lower()
    )


def _progress(snapshot: JobSnapshot) -> list[str]:
    items = count(snapshot.items, "item")
    if snapshot.finished:
        done = items if _good(snapshot) == snapshot.items else f"{_good(snapshot):,} of {items}"
        # Items of a stopped job did not fail: nobody ran them.
        failed = snapshot.items_failed if snapshot.status == JobStatus.FAILED else 0
        return [f"{done} in {duration(snapshot.elapsed)}", *([f"{failed:,} failed"] if failed else [])]
    if snapshot.stop_requested:
        return [f"{_good(snapshot):,} of {items}"]
    said = [f"{snapshot.items_done:,} of {items}"]
    if snapshot.items_failed:
        said.append(f"{snapshot.items_failed:,} failed")
    if snapshot.items_done and snapshot.elapsed > 0:
        said.append(f"{_rate(snapshot.items_done / snapshot.elapsed)}/s")
    if snapshot.remaining is not None:
        said.append(f"about {_about(snapshot.remaining)} left")
    return said


def _about(seconds: float) -> str:
    whole = max(1, round(seconds))
    return f"{whole} s" if whole < 60 else duration(whole)


def _rate(per_second: float) -> str:
    return f"{per_second:,.0f}" if per_second >= 10 else f"{per_second:.2g}"


def _facts(snapshot: JobSnapshot) -> str:
    said = [] if snapshot.finished else [f"{duration(snapshot.elapsed)} elapsed"]
    said.append(f"started {snapshot.created.astimezone():%H:%M:%S} by {clean(snapshot.user, 60)}")
    said.append(clean(snapshot.strategy.replace("_", " ")))
    if not snapshot.transferable:
        said.append("not transferable")
    return " \N{MIDDLE DOT} ".join(said)


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 1.0


def _segments(snapshot: JobSnapshot) -> tuple[Segment, ...]:
    total = snapshot.total_partitions
    segments = []
    for status, letter, word in _STATES:
        number = snapshot.partitions.get(status, 0)
        # Those that a stop kept from their end are FAILED in the tables, but nothing went wrong with them.
        stopped = snapshot.cancelled if status is PartitionStatus.FAILED else 0
        if number - stopped:
            segments.append(Segment(status.value, letter, word, number - stopped, _share(number - stopped, total)))
        if stopped:
            segments.append(Segment(status.value, "s", "stopped", stopped, _share(stopped, total)))
    return tuple(segments)


def _grid_label(snapshot: JobSnapshot) -> str:
    cell = f", {snapshot.grid_cell:,} in each cell" if snapshot.grid_cell > 1 else ""
    return f"{count(snapshot.total_partitions, 'partition')}{cell}"


def _step(step: StepView, finished: bool) -> str:
    name = clean(step.name, 60)
    if step.status == JobStatus.STARTED:
        return f"{name} {step.done:,} of {step.total:,}"
    if step.not_run or (finished and step.status == JobStatus.CREATED):
        return f"{name} not run"
    return f"{name} {'waits' if step.status == JobStatus.CREATED else step.status.lower()}"


def _tells(one: RunningView) -> bool:
    """Whether the function says how far it is."""
    return one.progress is not None or bool(one.message)


def _running(one: RunningView) -> str:
    share = [] if one.progress is None else [f"{one.progress:.0%}"]
    said = [clean(one.message, 120)] if one.message else []
    return f"partition {one.index:,}: {', '.join([*share, *said, duration(one.seconds)])}, on {clean(one.node, 60)}"


_NODE_COLUMNS = ("node", "state", "heartbeat", "busy", "load", "done", "python")
_NODE_COLUMNS_AFTER = ("node", "state", "slots", "done", "python")


def _most_telling(nodes: tuple[NodeView, ...], most: int) -> tuple[tuple[NodeView, ...], int]:
    """A window of rows: lost nodes first, then those that did most; and how many are not shown."""
    ranked = sorted(nodes, key=lambda node: (node.status == NodeStatus.ACTIVE, -node.done, -node.busy))
    kept = {node.node_id for node in ranked[:most]}
    return tuple(node for node in nodes if node.node_id in kept), max(0, len(nodes) - most)


def _node_row(node: NodeView, finished: bool) -> tuple[str, ...]:
    name, state = clean(node.node_id, 60), clean(node.status, 20).lower()
    if finished:
        return (name, state, str(node.slots or ""), f"{node.done:,}", clean(node.python, 12))
    if not node.slots:
        return (name, state, "", "", "", f"{node.done:,}", "")  # its row is gone; what it did is known
    return (
        name,
        state,
        f"{duration(node.heartbeat_age)} ago",
        f"{node.busy} of {node.slots}",
        f"{node.load:.0%}",
        f"{node.done:,}",
        clean(node.python, 12),
    )


def _error_line(group: ErrorGroup) -> ErrorLine:
    message = clean(group.message, 300)
    said = f"{clean(group.error_type, 80)}: {message}" if message else clean(group.error_type, 80)
    return ErrorLine(
        headline=f"{group.count:,} \N{MULTIPLICATION SIGN} {said}",
        place=f"first at item {group.first_item:,} (partition {group.first_partition:,})",
        traceback=clean_block(group.traceback),
    )
