"""The view of a job as HTML, block by block.  Everything foreign is escaped here, and nowhere is HTML taken as given.

A live view holds a widget for each block and replaces what changed; ``page`` puts the same blocks together for the
saved notebook.  Elements and words alone tell the story: where style sheets are taken away it is still to be read.
"""

from __future__ import annotations

from html import escape
from itertools import groupby

from nbcluster.notebook.drawing import Drawing, Piece
from nbcluster.notebook.model import RUNNING, ErrorLine, View
from nbcluster.notebook.node_rows import NUMBERS
from nbcluster.notebook.partition_map import Cell, Segment
from nbcluster.notebook.style import LEVELS, REMNANT, REMNANT_STYLE, SCOPE, STYLE
from nbcluster.notebook.table import table

_CLASS_OF = {"c": "nbc-c", "r": "nbc-r", "f": "nbc-f", "s": "nbc-s", ".": "nbc-p"}
_WORD_CLASS = {
    "running": "nbc-r",
    "completed": "nbc-c",
    "failed": "nbc-f",
    "stopped": "nbc-s",
    "stopping": "nbc-s",
    "paused": "nbc-s",
}
_TABLE_HEIGHT, _LOG_HEIGHT = 260, 220
"""Pixels; what is longer scrolls by itself."""


def head(view: View) -> str:
    """Name, state, how far, and the small print."""
    css = _WORD_CLASS.get(view.word, "nbc-p")
    return (
        f'<div class="nbc-head"><b class="nbc-name">{escape(view.name)}</b> '
        f'<span class="nbc-chip {css}">{escape(view.word)}</span> <span>{escape(view.sentence)}</span></div>'
        f'<div class="nbc-dim">{escape(view.facts)}</div>'
    )


def obstacles(view: View) -> str:
    """Why nothing moves."""
    return "".join(f'<div class="nbc-note" role="status"><b>!</b> {escape(text)}</div>' for text in view.obstacles)


def progress(view: View) -> str:
    """The bar of partitions by state, with its legend."""
    percent = round(100 * view.done_share)
    parts = "".join(
        f'<span class="{_CLASS_OF[segment.letter]}" style="width:{100 * segment.share:.2f}%"></span>'
        for segment in view.segments
    )
    legend = '<span class="nbc-apart">, </span>'.join(_legend(segment) for segment in view.segments)
    return (
        f'<div class="nbc-bar" role="progressbar" aria-valuemin="0" aria-valuemax="100" aria-valuenow="{percent}" '
        f'aria-valuetext="{escape(_spoken(view))}" aria-label="Progress of {escape(view.name)}">{parts}</div>'
        f'<div class="nbc-legend">{legend} <span class="nbc-dim">of {escape(view.map_label)}</span></div>'
    )


def _legend(segment: Segment) -> str:
    key = f'<i class="nbc-key {_CLASS_OF[segment.letter]}" aria-hidden="true"></i>'
    return f"<span>{key} {segment.count:,} {escape(segment.word)}</span>"


def partition_map(view: View) -> str:
    """A cell for each partition, or for as many as one cell stands for: what is the worst in it, how much is done."""
    if len(view.cells) < 2:
        return ""
    runs = "".join(
        f'<span class="{_CLASS_OF[letter]}">{"".join(map(_cell, run))}</span>'
        for letter, run in groupby(view.cells, key=lambda cell: cell.letter)
    )
    return f'<div class="nbc-map" role="img" aria-label="Partition map: {escape(_spoken(view))}">{runs}</div>'


def _spoken(view: View) -> str:
    return ", ".join(f"{segment.count:,} {segment.word}" for segment in view.segments)


def _cell(cell: Cell) -> str:
    if cell.done in (0.0, 1.0):
        return "<i></i>"
    # Neither empty nor full looks like something in between.
    return f'<i class="nbc-h{min(LEVELS - 1, max(1, round(LEVELS * cell.done)))}"></i>'


def steps(view: View) -> str:
    """The steps of a job that has several, and what its running partitions say of themselves."""
    line = f"<div>{escape(view.steps)}</div>" if view.steps else ""
    if not view.running:
        return line
    told = table("Running partitions", RUNNING, view.running, ("partition", "done", "for"))
    return f'{line}<div class="nbc-title"><b>Running partitions</b></div><div class="nbc-scroll">{told}</div>'


def nodes(view: View) -> str:
    """The nodes as a table."""
    if not view.node_rows:
        return ""
    more = f'<div class="nbc-dim">and {view.more_nodes:,} more nodes</div>' if view.more_nodes else ""
    made = table("Nodes", view.node_columns, view.node_rows, NUMBERS)
    return f'<div class="nbc-title"><b>Nodes</b></div><div class="nbc-scroll">{made}</div>{more}'


_ERRORS = '<div class="nbc-title"><b>Errors</b></div>'


def errors(view: View) -> str:
    """Groups of equal errors, each with the first one's traceback."""
    lines = [
        _details(_error(line), line.traceback) if line.traceback else f"<div>{_error(line)}</div>"
        for line in view.errors
    ]
    return _ERRORS + "".join(lines) if lines else ""


def _error(line: ErrorLine) -> str:
    key = '<i class="nbc-key nbc-f" aria-hidden="true"></i>'
    return f'{key} {escape(line.headline)}<span class="nbc-dim">, {escape(line.place)}</span>'


def log(view: View) -> str:
    """The last lines that a partition printed."""
    return _details(escape(_log_title(view)), view.log_tail) if view.log_tail else ""


def _log_title(view: View) -> str:
    return "Output" + (f" of {view.log_label}" if view.log_label else "") + ", last lines"


def _details(summary: str, text: str) -> str:
    return f'<details><summary>{summary}</summary><pre class="nbc-text">{escape(text)}</pre></details>'


def way_back(view: View) -> str:
    """What a reader of a saved notebook can do."""
    line, effect = view.way_back
    return f'<div class="nbc-dim"><code>{escape(line)}</code> {escape(effect)}</div>'


# --- what a live view keeps ---------------------------------------------------------------------------


def node_pieces(view: View) -> tuple[Piece, ...]:
    """The table of nodes, which scrolls by itself."""
    text = nodes(view)
    return (Piece("nodes", text, height=_TABLE_HEIGHT),) if text else ()


def error_pieces(view: View) -> tuple[Piece, ...]:
    """Like ``errors``; a count that grows leaves a traceback open that somebody reads."""
    if not view.errors:
        return ()
    pieces = [Piece("title", _ERRORS)]
    for line in view.errors:
        kind = line.headline.partition(" ")[2]  # without the count
        pieces.append(Piece(f"headline {kind}", f"<div>{_error(line)}</div>"))
        if line.traceback:
            summary = f'<span class="nbc-dim">traceback, partition {line.partition:,}</span>'
            pieces.append(Piece(f"traceback {kind}", _details(summary, line.traceback), once=True, css="nbc-inner"))
    return tuple(pieces)


def log_pieces(view: View) -> tuple[Piece, ...]:
    """Like ``log``; what follows the fold is shown while it is open, whatever it says."""
    if not view.log_tail:
        return ()
    fold = "<details><summary>Output, last lines</summary></details>"
    said = f'<div class="nbc-dim">{escape(view.log_label)}</div>' if view.log_label else ""
    text = f'{said}<pre class="nbc-text">{escape(view.log_tail)}</pre>'
    return (
        Piece("fold", fold, once=True, css="nbc-fold"),
        Piece("tail", text, height=_LOG_HEIGHT, css="nbc-folded"),
    )


def announcement(view: View) -> tuple[Piece, ...]:
    """For screen readers: the state, which is told when it changes; figures would be told twice a second."""
    text = f'<span role="status">{escape(view.name)}: {escape(view.word)}</span>'
    return (Piece("state", text, css="nbc-aside"),)


# --- the whole ------------------------------------------------------------------------------------------


def remnant(view: View) -> str:
    """One line for a saved notebook whose kernel was killed while it showed this job."""
    return f'{REMNANT_STYLE}<div class="{REMNANT}">{escape(view.remnant)}</div>'


_PAGE = (head, obstacles, progress, partition_map, steps, nodes, errors, log, way_back)


def page(view: View) -> str:
    """The whole view as one piece of HTML that needs nothing else."""
    blocks = "".join(f'<div class="nbc-block">{text}</div>' for draw in _PAGE if (text := draw(view)))
    return f'{STYLE}<div class="{SCOPE}" role="group" aria-label="Job {escape(view.name)}">{blocks}</div>'


def line(view: View) -> str:
    """This moment in one line of text, with why nothing moves."""
    return "; ".join([view.headline, *view.obstacles])


JOB = Drawing[View](
    blocks=(head, obstacles, progress, partition_map, steps, node_pieces, error_pieces, log_pieces, announcement),
    page=page,
    summary=lambda view: view.summary,
    headline=line,
    remnant=remnant,
)
"""How the view of a job is drawn."""
