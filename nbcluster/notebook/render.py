"""The view as HTML, block by block.  Everything foreign is escaped here, and nowhere is HTML taken as given.

The live widget holds one HTML widget per block and replaces what changed; ``page`` puts the same blocks
together for the saved notebook.
"""

from __future__ import annotations

from collections.abc import Callable
from html import escape
from itertools import groupby

from nbcluster.notebook.drawing import Drawing
from nbcluster.notebook.model import Segment, View
from nbcluster.notebook.style import REMNANT, REMNANT_STYLE, SCOPE, STYLE

_CLASS_OF = {"c": "nbc-c", "r": "nbc-r", "f": "nbc-f", "s": "nbc-s", ".": "nbc-p"}
_WORD_CLASS = {
    "running": "nbc-r",
    "completed": "nbc-c",
    "failed": "nbc-f",
    "stopped": "nbc-s",
    "stopping": "nbc-s",
    "paused": "nbc-s",
}
_KEY = {"c": "C", "r": "R", "f": "F", "s": "S", ".": "\N{MIDDLE DOT}"}


def head(view: View) -> str:
    """State, name, how far, and the small print."""
    css = _WORD_CLASS.get(view.word, "nbc-p")
    return (
        f'<div class="nbc-head"><span class="nbc-chip {css}">{escape(view.word)}</span>'
        f'<span class="nbc-name">{escape(view.name)}</span><span>{escape(view.sentence)}</span></div>'
        f'<div class="nbc-dim">{escape(view.facts)}</div>'
    )


def progress(view: View) -> str:
    """The bar of partitions by state, with its legend."""
    percent = round(100 * view.done_share)
    parts = "".join(
        f'<span class="{_CLASS_OF[segment.letter]}" style="width:{100 * segment.share:.2f}%"></span>'
        for segment in view.segments
    )
    return (
        f'<div class="nbc-bar" role="progressbar" aria-valuemin="0" aria-valuemax="100" aria-valuenow="{percent}" '
        f'aria-label="{escape(view.headline)}">{parts}</div>'
        f'<div class="nbc-legend">{"".join(_legend(segment) for segment in view.segments)}'
        f'<span class="nbc-dim">{escape(view.grid_label)}</span></div>'
    )


def _legend(segment: Segment) -> str:
    key = f'<span class="nbc-key {_CLASS_OF[segment.letter]}" aria-hidden="true">{_KEY[segment.letter]}</span>'
    return f"<span>{key} {segment.count:,} {escape(segment.word)}</span>"


def partition_map(view: View) -> str:
    """One letter a partition, coloured by state; equal neighbours share what they can."""
    if len(view.grid) < 2:
        return ""
    runs = "".join(
        f'<span class="{_CLASS_OF[letter]}">{f"<i>{_KEY[letter]}</i>" * len(list(run))}</span>'
        for letter, run in groupby(letter if letter in _CLASS_OF else "." for letter in view.grid)
    )
    said = ", ".join(f"{segment.count:,} {segment.word}" for segment in view.segments)
    return f'<div class="nbc-map" role="img" aria-label="Partition map: {escape(said)}">{runs}</div>'


def obstacles(view: View) -> str:
    """Why nothing moves."""
    return "".join(f'<div class="nbc-note" role="status"><b>!</b> {escape(text)}</div>' for text in view.obstacles)


def steps(view: View) -> str:
    """The steps of a job that has several, and what its running partitions say of themselves."""
    lines = "".join(f'<div class="nbc-dim">{escape(line)}</div>' for line in view.running)
    return (f"<div>{escape(view.steps)}</div>" if view.steps else "") + lines


def nodes(view: View) -> str:
    """The nodes as a table."""
    if not view.node_rows:
        return ""
    from pandas import DataFrame

    table = DataFrame(list(view.node_rows), columns=list(view.node_columns)).to_html(
        index=False, escape=True, border=0, classes="nbc-table", justify="left"
    )
    # pandas has no argument for it, and the tag is its own.
    table = table.replace("<table ", '<table aria-label="Nodes" ', 1)
    more = f'<div class="nbc-dim">and {view.more_nodes:,} more nodes</div>' if view.more_nodes else ""
    return f'<div class="nbc-title">Nodes</div><div class="nbc-scroll">{table}</div>{more}'


def errors(view: View) -> str:
    """Groups of equal errors, each with the first one's traceback."""
    if not view.errors:
        return ""
    lines = []
    for line in view.errors:
        key = f'<span class="nbc-key nbc-f" aria-hidden="true">{_KEY["f"]}</span>'
        said = f'{key} {escape(line.headline)} <span class="nbc-dim">{escape(line.place)}</span>'
        lines.append(_details(said, line.traceback) if line.traceback else f"<div>{said}</div>")
    return f'<div class="nbc-title">Errors</div>{"".join(lines)}'


def log(view: View) -> str:
    """The last lines that the partitions printed."""
    return _details("Output, last lines", view.log_tail) if view.log_tail else ""


def _details(summary: str, text: str) -> str:
    return f'<details><summary>{summary}</summary><pre class="nbc-text">{escape(text)}</pre></details>'


BLOCKS: tuple[Callable[[View], str], ...] = (
    head,
    obstacles,
    progress,
    partition_map,
    steps,
    nodes,
    errors,
    log,
)


def remnant(view: View) -> str:
    """One line for a saved notebook whose kernel was killed while it showed this job."""
    return f'{REMNANT_STYLE}<div class="{REMNANT}">{escape(view.remnant)}</div>'


def page(view: View) -> str:
    """The whole view as one piece of HTML that needs nothing else."""
    blocks = "".join(f'<div class="nbc-block">{text}</div>' for draw in BLOCKS if (text := draw(view)))
    return f'{STYLE}<div class="{SCOPE}" role="group" aria-label="Job {escape(view.name)}">{blocks}</div>'


def line(view: View) -> str:
    """This moment in one line of text, with why nothing moves."""
    return "; ".join([view.headline, *view.obstacles])


JOB = Drawing[View](blocks=BLOCKS, page=page, summary=lambda view: view.summary, headline=line, remnant=remnant)
"""How the view of a job is drawn."""
