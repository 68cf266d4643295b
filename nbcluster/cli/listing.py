"""Rows for a terminal and for programs: an aligned table, JSON or CSV.

The columns are those of the frames (``nc.nodes()``, ``nc.jobs()``, ``nc.partitions(job)``),
made without pandas, so that a look at a cluster starts quickly.  What users wrote (names,
keys, messages) loses its control characters: a job's name cannot repaint a terminal.
"""

from __future__ import annotations

import csv
import json
import math
import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TextIO

from nbcluster.diagnosing.diagnosis import Finding
from nbcluster.records import JobRow, Node, PartitionRow

_LONGEST_CELL = 44
_SHORTEST_CUT = 12
_GAP = "  "
_ESCAPES = re.compile(r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)")  # colours, titles, cursor


@dataclass(frozen=True, slots=True)
class Column:
    """One column.  Those with a ``rank`` leave a narrow table, the highest first; one that ``shrinks`` is cut."""

    name: str
    read: Callable[[Any], Any]
    rank: int = 0
    shrinks: bool = False


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)


NODES: tuple[Column, ...] = (
    Column("node", lambda node: node.node_id),
    Column("state", lambda node: node.status.value),
    Column("heartbeat_age", lambda node: round(node.heartbeat_age, 1)),
    Column("slots", lambda node: node.slots),
    Column("busy", lambda node: node.busy),
    Column("load", lambda node: round(node.load, 2), rank=5),
    Column("python", lambda node: node.python),
    Column("version", lambda node: node.version, rank=3),
    Column("host", lambda node: node.host, rank=2),
    Column("pid", lambda node: node.pid, rank=1),
    Column("started", lambda node: node.started, rank=4),
    Column("labels", lambda node: " ".join(node.labels), rank=6),
)

JOBS: tuple[Column, ...] = (
    Column("job", lambda job: job.job_execution_id),
    Column("name", lambda job: job.name),
    Column("state", lambda job: job.status.value),
    Column("user", lambda job: job.user, rank=1),
    Column("items", lambda job: job.items),
    Column("done", lambda job: job.items_done),
    Column("failed", lambda job: job.items_failed),
    Column("created", lambda job: job.created, rank=2),
    Column("seconds", lambda job: _rounded(job.elapsed)),
    Column("strategy", lambda job: job.strategy, rank=3),
)

PARTITIONS: tuple[Column, ...] = (
    Column("partition", lambda part: part.index),
    Column("key", lambda part: part.key, rank=2),
    Column("state", lambda part: part.status.value),
    Column("node", lambda part: part.node),
    Column("attempt", lambda part: part.attempt),
    Column("items", lambda part: part.items),
    Column("transferable", lambda part: part.transferable, rank=6),
    Column("exit_code", lambda part: part.exit_code, rank=3),
    Column("message", lambda part: part.exit_message or "", rank=1, shrinks=True),
    Column("seconds", lambda part: _rounded(part.seconds)),
    Column("claimed", lambda part: part.claimed, rank=5),
    Column("ended", lambda part: part.ended, rank=4),
    Column("progress", lambda part: 1.0 if part.status.value == "COMPLETED" else part.progress, rank=7),
)


FINDINGS: tuple[Column, ...] = (
    Column("check", lambda finding: finding.check),
    Column("result", lambda finding: finding.result.value),
    Column("seen", lambda finding: finding.seen),
    Column("cure", lambda finding: finding.cure, rank=2, shrinks=True),
    Column("command", lambda finding: finding.command, rank=1),
)

Row = Node | JobRow | PartitionRow | Finding | Sequence[Any]


def write(out: TextIO, columns: Sequence[Column], rows: Iterable[Row], form: str) -> None:
    """Write rows as ``json`` (times in ISO 8601, UTC), ``csv`` or ``table`` (times of this machine's zone)."""
    values = [[column.read(row) for column in columns] for row in rows]
    if form == "json":
        names = [column.name for column in columns]
        json.dump([dict(zip(names, map(_plain, row), strict=True)) for row in values], out, indent=2)
        out.write("\n")
    elif form == "csv":
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(column.name for column in columns)
        writer.writerows([_clean_if_text(_plain(value)) for value in row] for row in values)
    else:
        out.writelines(line + "\n" for line in table(columns, values, _width(out)))


def _width(out: TextIO) -> int:
    """Columns to fill: the terminal's, or what a page of text bears."""
    import os

    try:
        return max(80, os.get_terminal_size(out.fileno()).columns)
    except (OSError, ValueError):
        return 120


def _plain(value: Any) -> Any:
    """A value as JSON knows it."""
    if isinstance(value, datetime):
        return value.isoformat(timespec="milliseconds")
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _clean_if_text(value: Any) -> Any:
    return clean(value, keep="\n\t") if isinstance(value, str) else value


def clean(text: str, keep: str = "") -> str:
    """Text that is only shown: control characters, escapes and marks that turn the writing direction are gone."""
    return "".join(
        letter if letter in keep else " " if letter in "\n\r\t\v\f" else ""
        if unicodedata.category(letter) in ("Cc", "Cf", "Cs", "Zl", "Zp") else letter
        for letter in _ESCAPES.sub("", text)
    )  # fmt: skip


# --- the table ---------------------------------------------------------------------------------


def table(columns: Sequence[Column], values: Sequence[Sequence[Any]], width: int) -> list[str]:
    """Aligned lines, a heading first; numbers to the right; no wider than ``width`` where that can be."""
    places = [place for place, column in enumerate(columns) if not column.rank or _says_something(values, place)]
    shown = {place: [columns[place].name, *(_cell(row[place]) for row in values)] for place in places}
    widths = {place: max(map(_columns_of, cells)) for place, cells in shown.items()}
    for place in sorted(places, key=lambda place: -columns[place].rank):
        excess = _total(widths) - width
        if excess <= 0 or not columns[place].rank:
            break
        if columns[place].shrinks and widths[place] - excess >= _SHORTEST_CUT:
            widths[place] -= excess
        else:
            del widths[place]
    numeric = {place for place in widths if all(isinstance(row[place], (int, float)) for row in values if row[place])}
    return [
        _GAP.join(_aligned(shown[place][line], size, right=place in numeric) for place, size in widths.items()).rstrip()
        for line in range(len(values) + 1)
    ]


def _says_something(values: Sequence[Sequence[Any]], place: int) -> bool:
    return any(row[place] not in (None, "") for row in values)


def _total(widths: dict[int, int]) -> int:
    return sum(widths.values()) + len(_GAP) * (len(widths) - 1)


def _cell(value: Any) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime):
        return value.astimezone().strftime("%Y-%m-%d %H:%M:%S")
    text = clean(value) if isinstance(value, str) else str(value)
    if len(text) <= _LONGEST_CELL:
        return text
    # A node's id ends in what tells it apart, so both ends stay.
    return f"{text[: _LONGEST_CELL - 16]}...{text[-13:]}"


def _columns_of(text: str) -> int:
    """Columns of a terminal that a text takes: East Asian letters take two."""
    return sum(0 if unicodedata.combining(letter) else 1 + (unicodedata.east_asian_width(letter) in "WF")
               for letter in text)  # fmt: skip


def _aligned(text: str, width: int, *, right: bool) -> str:
    if _columns_of(text) > width:
        text = text[: width - 3] + "..."
    padding = " " * (width - _columns_of(text))
    return padding + text if right else text + padding
