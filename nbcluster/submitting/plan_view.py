"""A plan as text and as HTML: the same lines and tables, drawn in two ways."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

from nbcluster.payload import format_size

if TYPE_CHECKING:
    from nbcluster.submitting.planned import PartPlan, Plan

_SHOWN_CAPTURES = 10
_SHOWN_MODULES = 10
_FIRST, _LAST = 5, 2
"""Partitions that are shown of a split that is too long to be shown whole."""
_LONGEST_SPLIT = 12
_WIDEST_KEY = 60
_SHORTEST = 0.001
_NUMBERS = frozenset({"slots", "partition", "partitions", "items", "holds", "size"})


@dataclass(frozen=True, slots=True)
class _Table:
    """``label`` is for who cannot see it; the last column is shown only if it says something."""

    label: str
    head: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    instead: str = ""
    """What is said when there is no row."""


def as_text(plan: Plan) -> str:
    """Lines and aligned columns."""
    return "\n".join(block if isinstance(block, str) else _text_table(block) for block in _blocks(plan))


def as_html(plan: Plan) -> str:
    """The same for a notebook; everything in it is escaped."""
    first, *rest = (_html_line(block) if isinstance(block, str) else _html_table(block) for block in _blocks(plan))
    return f'<div role="region" aria-label="Plan of {escape(plan.name)}"><b>{first}</b>{"".join(rest)}</div>'


# --- what is said ------------------------------------------------------------------------------


def _blocks(plan: Plan) -> Iterator[str | _Table]:
    yield _headline(plan)
    yield _time(plan)
    yield from _split(plan)
    nodes = [(one.node, f"{one.slots:,}", f"{one.partitions:,}", f"{one.items:,}", one.obstacle) for one in plan.nodes]
    yield _Table("Nodes", ("node", "slots", "partitions", "items", "why none"), nodes, "(no node is known)")
    yield from _remarks(plan)
    yield from _captured(plan)
    yield from _modules(plan)
    if plan.packages:
        yield f"Every node needs: {', '.join(plan.packages)}"
    yield f"The input is {format_size(plan.input_size)}"


def _headline(plan: Plan) -> str:
    sizes = sorted(set(plan.sizes)) or [0]
    each = f"{sizes[0]:,}" if len(sizes) == 1 else f"{sizes[0]:,} to {sizes[-1]:,}"
    split = f"{count(plan.items, 'item')} in {count(plan.partitions, 'partition')} of {each}"
    told = split if plan.parts else "nothing to do, for the split has no parts"
    return f"Plan of {plan.name}: {told}, by {plan.strategy}; nothing was stored"


def _time(plan: Plan) -> str:
    if plan.cached and plan.cached == plan.partitions:
        return "It takes no computing: every result is there"
    if plan.measured is None or plan.computing is None:
        unknown = "How long it takes is not known, for no job that is stored ran this code"
        return f"{unknown}; --sample 2 (sample=2) times 2 partitions here"
    known = f"{in_seconds(plan.computing)} of computing, from {plan.measured.origin}"
    if plan.duration is None:
        return f"It takes {known}"
    about = "" if plan.duration < _SHORTEST else "about "
    return f"It takes {about}{in_seconds(plan.duration)} on {count(plan.slots, 'slot')}: {known}"


def _split(plan: Plan) -> Iterator[str | _Table]:
    if plan.split:
        lines = plan.split.splitlines()
        yield f"Split: {lines[0]}"
        yield from (f"  {line}" for line in lines[1:_LONGEST_SPLIT])
        if len(lines) > _LONGEST_SPLIT:
            yield f"  ... {len(lines) - _LONGEST_SPLIT} lines more"
    parts = list(enumerate(plan.parts))
    short = len(parts) <= _FIRST + _LAST + 1
    rows = [_part_row(*one) for one in (parts if short else parts[:_FIRST])]
    if not short:
        rows.append(("...", f"{len(parts) - _FIRST - _LAST:,} more", "", "", "", ""))
        rows += [_part_row(*one) for one in parts[-_LAST:]]
    head: tuple[str, ...] = ("partition", "key", "items", "holds", "size", "node")
    if not any(one.holds for one in plan.parts):
        head, rows = head[:3] + head[4:], [row[:3] + row[4:] for row in rows]
    yield _Table("Partitions", head, rows)


def _part_row(place: int, part: PartPlan) -> tuple[str, ...]:
    key = part.key if len(part.key) <= _WIDEST_KEY else f"{part.key[: _WIDEST_KEY - 4]} ..."
    node = "from the cache" if part.cached else part.node or ""
    return str(place), key, f"{part.items:,}", part.holds, format_size(part.size), node


def _remarks(plan: Plan) -> Iterator[str]:
    if plan.cached is not None:
        yield f"{plan.cached:,} of {count(plan.partitions, 'partition')} have their results from the cache"
    if plan.cached != plan.partitions and plan.parts:
        if not any(not node.obstacle for node in plan.nodes):
            start = "" if plan.nodes else ": %nbcluster up 2 starts two on this machine"
            yield f"No node could run it now; it would wait for one that can{start}"
        elif plan.unassigned:
            yield f"{count(plan.unassigned, 'partition')} for whichever node is free"
    for node in plan.nodes:
        if node.lacks and not node.obstacle:
            yield f"{node.node} has no {', '.join(node.lacks)}: what needs it fails there; --require keeps away from it"


def _captured(plan: Plan) -> Iterator[str | _Table]:
    if not plan.captures:
        yield f"The function takes nothing with it ({format_size(plan.function_size)})"
        return
    yield f"The function takes with it ({format_size(plan.function_size)} of at most {format_size(plan.limit)}):"
    shown, left = plan.captures[:_SHOWN_CAPTURES], plan.captures[_SHOWN_CAPTURES:]
    rows = [(one.name, one.kind, format_size(one.size)) for one in shown]
    rows += [(f"{len(left)} more", "", format_size(sum(one.size for one in left)))] if left else []
    yield _Table("Captured", ("name", "type", "size"), rows)


def _modules(plan: Plan) -> Iterator[str | _Table]:
    if not plan.modules:
        return
    size = format_size(plan.modules_size)
    yield f"Modules beside the notebook go with it ({size} packed; ship=False, --no-ship: the nodes have them):"
    shown, left = plan.modules[:_SHOWN_MODULES], plan.modules[_SHOWN_MODULES:]
    rows = [(one.name, one.file, format_size(one.size)) for one in shown]
    rows += [(f"{len(left)} more", "", format_size(sum(one.size for one in left)))] if left else []
    yield _Table("Modules", ("name", "file", "size"), rows)
    if plan.changed:
        yield f"Changed since they were imported here, and sent as they are in the files: {', '.join(plan.changed)}"


# --- how it is drawn ---------------------------------------------------------------------------------


def _columns(table: _Table) -> int:
    """How many columns are shown."""
    return len(table.head) if any(row[-1] for row in table.rows) else len(table.head) - 1


def _text_table(table: _Table) -> str:
    """Columns as wide as their widest cell, numbers at the right."""
    if not table.rows:
        return f"  {table.instead}".rstrip()
    shown = _columns(table)
    lines = [table.head[:shown], *(row[:shown] for row in table.rows)]
    widths = [max(len(line[place]) for line in lines) for place in range(shown)]
    aligned = (
        "  ".join(
            cell.rjust(width) if name in _NUMBERS else cell.ljust(width)
            for name, cell, width in zip(table.head, line, widths, strict=False)
        )
        for line in lines
    )
    return "\n".join(f"  {line.rstrip()}" for line in aligned)


def _html_line(line: str) -> str:
    indent = ' style="white-space:pre-wrap"' if line.startswith(" ") else ""
    return f"<div{indent}>{escape(line)}</div>"


def _html_table(table: _Table) -> str:
    if not table.rows:
        return _html_line(table.instead) if table.instead else ""
    sides = [f"text-align:{'right' if name in _NUMBERS else 'left'}" for name in table.head[: _columns(table)]]
    columns = list(zip(table.head, sides, strict=False))
    top = "".join(f'<th scope="col" style="{side}">{escape(name)}</th>' for name, side in columns)
    body = "".join(
        "<tr>"
        + "".join(f'<td style="{side}">{escape(cell)}</td>' for cell, side in zip(row, sides, strict=False))
        + "</tr>"
        for row in table.rows
    )
    return f'<table aria-label="{table.label}"><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>'


def count(number: int, noun: str) -> str:
    """``1 slot``, ``2,000 slots``."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def in_seconds(seconds: float) -> str:
    """A duration as people say it."""
    if seconds < _SHORTEST:
        return "less than 1 ms"
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 120:
        return f"{seconds:.1f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes / 60:.1f} h"
