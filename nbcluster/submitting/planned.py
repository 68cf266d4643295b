"""What would happen if a job were submitted now, as a frozen record that shows itself as text and as HTML.  Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

from nbcluster.payload import Capture, format_size

_SHOWN_CAPTURES = 10
_SHOWN_PLACES = 8
_SHORTEST = 0.001


@dataclass(frozen=True, slots=True)
class NodePlan:
    """What a node would get; ``obstacle`` says why it gets nothing, and is empty when it may."""

    node: str
    slots: int
    partitions: int
    items: int
    obstacle: str = ""


@dataclass(frozen=True, slots=True)
class Measured:
    """How long partitions took: ``seconds`` in all for ``items`` in ``partitions``, and where that is known from."""

    partitions: int
    items: int
    seconds: float
    origin: str


@dataclass(frozen=True, slots=True)
class Plan:
    """What ``nc.plan`` found.  Nothing of it is stored; sizes are in bytes.

    ``sizes`` are the items of each partition, ``unassigned`` counts partitions for whichever
    node is free.  ``measured`` is None when nothing is known of how long the code takes.
    """

    name: str
    strategy: str
    sizes: tuple[int, ...]
    nodes: tuple[NodePlan, ...]
    unassigned: int
    captures: tuple[Capture, ...]
    packages: tuple[str, ...]
    function_size: int
    limit: int
    input_size: int
    measured: Measured | None
    cached: int | None = None
    """How many partitions have their results from the cache; None without ``cache=True``."""
    to_run: tuple[int, ...] | None = None
    """The items of each of the other partitions; None when all are run."""

    @property
    def items(self) -> int:
        """How many items there are."""
        return sum(self.sizes)

    @property
    def partitions(self) -> int:
        """How many partitions they are split into."""
        return len(self.sizes)

    @property
    def slots(self) -> int:
        """Slots that would work on it."""
        able = [node for node in self.nodes if not node.obstacle]
        chosen = able if self.unassigned else [node for node in able if node.partitions]
        return sum(node.slots for node in chosen)

    @property
    def _left(self) -> tuple[int, ...]:
        return self.sizes if self.to_run is None else self.to_run

    @property
    def computing(self) -> float | None:
        """Seconds that all partitions take, one after the other; None when that is not known."""
        if self.measured is None or not self.measured.items:
            return None
        return self.measured.seconds / self.measured.items * sum(self._left)

    @property
    def duration(self) -> float | None:
        """Seconds until the end if nothing else runs; None when that is not known or no node may run it."""
        if self.computing is None or not self.slots or not sum(self._left):
            return None
        longest = self.computing * max(self._left) / sum(self._left)
        return max(longest, self.computing / self.slots)

    def __repr__(self) -> str:
        parts = [self._headline(), self._time(), _table(_NODE_HEAD, self._node_rows()), *self._remarks()]
        if self.captures:
            parts += [self._captured(), _table(_CAPTURE_HEAD, self._capture_rows())]
        return "\n".join([*parts, *self._last_lines()])

    def _repr_html_(self) -> str:
        parts = [f"<div><b>{escape(self._headline())}</b></div><div>{escape(self._time())}</div>"]
        parts += [_html_table("Nodes", _NODE_HEAD, self._node_rows())]
        parts += [f"<div>{escape(line)}</div>" for line in self._remarks()]
        if self.captures:
            parts.append(f"<div>{escape(self._captured())}</div>")
            parts.append(_html_table("Captured", _CAPTURE_HEAD, self._capture_rows()))
        parts += [f"<div>{escape(line)}</div>" for line in self._last_lines()]
        return f'<div role="region" aria-label="Plan of {escape(self.name)}">{"".join(parts)}</div>'

    # --- its lines ----------------------------------------------------------------

    def _headline(self) -> str:
        sizes = sorted(set(self.sizes))
        each = f"{sizes[0]:,}" if len(sizes) == 1 else f"{sizes[0]:,} to {sizes[-1]:,}"
        split = f"{_count(self.items, 'item')} in {_count(self.partitions, 'partition')}"
        return f"Plan of {self.name}: {split} of {each}, by {self.strategy}; nothing was stored"

    def _node_rows(self) -> list[tuple[str, ...]]:
        return [
            (node.node, f"{node.slots:,}", f"{node.partitions:,}", f"{node.items:,}", node.obstacle)
            for node in self.nodes
        ]

    def _remarks(self) -> list[str]:
        return [*self._from_cache(), *self._unowned()]

    def _from_cache(self) -> list[str]:
        if self.cached is None:
            return []
        return [f"{self.cached:,} of {_count(self.partitions, 'partition')} have their results from the cache"]

    def _unowned(self) -> list[str]:
        if self.cached and self.cached == self.partitions:
            return []
        if not any(not node.obstacle for node in self.nodes):
            start = "" if self.nodes else ": %nbcluster up 2 starts two on this machine"
            return [f"No node could run it now; it would wait for one that can{start}"]
        if self.unassigned:
            return [f"{_count(self.unassigned, 'partition')} for whichever node is free"]
        return []

    def _captured(self) -> str:
        return f"The function takes with it ({format_size(self.function_size)} of at most {format_size(self.limit)}):"

    def _capture_rows(self) -> list[tuple[str, ...]]:
        rows: list[tuple[str, ...]] = [
            (one.name, one.kind, format_size(one.size)) for one in self.captures[:_SHOWN_CAPTURES]
        ]
        left = self.captures[_SHOWN_CAPTURES:]
        if left:
            rows.append((f"{len(left)} more", "", format_size(sum(one.size for one in left))))
        return rows

    def _last_lines(self) -> list[str]:
        lines = [] if self.captures else [f"The function takes nothing with it ({format_size(self.function_size)})"]
        if self.packages:
            lines.append(f"Every node needs: {', '.join(self.packages)}")
        lines.append(f"The input is {format_size(self.input_size)}")
        return lines

    def _time(self) -> str:
        if self.cached and self.cached == self.partitions:
            return "It takes no computing: every result is there"
        if self.measured is None or self.computing is None:
            unknown = "How long it takes is not known, for no named job ran this code yet"
            return f"{unknown}; --sample 2 (sample=2) times 2 partitions here"
        known = f"{_seconds(self.computing)} of computing, from {self.measured.origin}"
        if self.duration is None:
            return f"It takes {known}"
        about = "" if self.duration < _SHORTEST else "about "
        return f"It takes {about}{_seconds(self.duration)} on {_count(self.slots, 'slot')}: {known}"


def sampled(places: Sequence[int], items: int, seconds: float) -> Measured:
    """What running these partitions here told."""
    shown = ", ".join(map(str, places[:_SHOWN_PLACES])) + (" ..." if len(places) > _SHOWN_PLACES else "")
    which = f"partition{'s' if len(places) != 1 else ''} {shown}"
    return Measured(len(places), items, seconds, f"{which} run here in {_seconds(seconds)}")


def remembered(runs: int, partitions: int, items: int, seconds: float) -> Measured:
    """What earlier runs of the same code told."""
    ran = f"{_count(partitions, 'partition')} of {_count(runs, 'earlier run')} of this code"
    return Measured(partitions, items, seconds, ran)


_NODE_HEAD = ("node", "slots", "partitions", "items", "why none")
_CAPTURE_HEAD = ("name", "type", "size")
_NUMBERS = {"slots", "partitions", "items", "size"}


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Columns as wide as their widest cell, numbers at the right; the last column only if it says something."""
    lines = [tuple(head), *map(tuple, rows)]
    if len(lines) > 1 and not any(line[-1] for line in lines[1:]):
        lines = [line[:-1] for line in lines]
    widths = [max(len(line[place]) for line in lines) for place in range(len(lines[0]))]
    shown = [
        "  ".join(
            cell.rjust(width) if head[place] in _NUMBERS else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        for line in lines
    ]
    return "\n".join(f"  {line.rstrip()}" for line in shown) if len(lines) > 1 else "  (no node is known)"


def _html_table(label: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    if not rows:
        return ""
    shown = len(head) if any(row[-1] for row in rows) else len(head) - 1
    sides = [f"text-align:{'right' if name in _NUMBERS else 'left'}" for name in head[:shown]]
    columns = list(zip(head[:shown], sides, strict=True))
    top = "".join(f'<th scope="col" style="{side}">{escape(name)}</th>' for name, side in columns)
    body = "".join(
        "<tr>"
        + "".join(f'<td style="{side}">{escape(cell)}</td>' for cell, side in zip(row, sides, strict=False))
        + "</tr>"
        for row in rows
    )
    return f'<table aria-label="{label}"><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>'


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def _seconds(seconds: float) -> str:
    if seconds < _SHORTEST:
        return "less than 1 ms"
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 120:
        return f"{seconds:.1f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes / 60:.1f} h"
