"""The view of a cluster as HTML, block by block.  Everything foreign is escaped."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape

from nbcluster.notebook import cluster_model
from nbcluster.notebook.cluster_model import ClusterView, JobRow, NodeRow
from nbcluster.notebook.drawing import Drawing
from nbcluster.notebook.style import REMNANT, REMNANT_STYLE, SCOPE, STYLE

_CLASS_OF = {"c": "nbc-c", "r": "nbc-r", "f": "nbc-f", "s": "nbc-s", ".": "nbc-p"}


def head(view: ClusterView) -> str:
    """State, how many of what, and where."""
    closed = f" \N{MIDDLE DOT} as it was at {escape(view.at)}" if view.closed else ""
    return (
        f'<div class="nbc-head"><b class="nbc-name">cluster</b> {_chip(view.letter, view.word)} '
        f'<span>{escape(view.sentence)}</span></div><div class="nbc-dim">{escape(view.url)}{closed}</div>'
    )


def notes(view: ClusterView) -> str:
    """What somebody should do something about."""
    return "".join(f'<div class="nbc-note" role="status"><b>!</b> {escape(text)}</div>' for text in view.notes)


def nodes(view: ClusterView) -> str:
    """The nodes as a table."""
    if not view.nodes:
        return ""
    shown = [place for place in range(len(cluster_model.NODE_COLUMNS)) if any(row.cells[place] for row in view.nodes)]
    columns = [cluster_model.NODE_COLUMNS[place] for place in shown]
    table = _table("Nodes", columns, [_node(row, shown) for row in view.nodes])
    return f'<div class="nbc-title">Nodes</div>{table}{_more(view.more_nodes)}'


def _node(row: NodeRow, shown: Sequence[int]) -> list[str]:
    return [_chip(row.letter, row.cells[place]) if place == 1 else escape(row.cells[place]) for place in shown]


def jobs(view: ClusterView) -> str:
    """The jobs as a table, each with its bar."""
    if not view.jobs:
        return ""
    columns = ("job", "by", "state", "done", "", "rate", "left", "")
    table = _table("Jobs", columns, [_job(row) for row in view.jobs])
    return f'<div class="nbc-title">Jobs</div>{table}{_more(view.more_jobs)}'


def _job(row: JobRow) -> list[str]:
    done = _part("r" if row.letter in ".r" else "c", row.share)
    bar = (
        f'<div class="nbc-bar nbc-small" role="progressbar" aria-valuemin="0" aria-valuemax="100" '
        f'aria-valuenow="{round(100 * (row.share + row.failed))}" aria-label="{escape(row.name)}">'
        f"{done}{_part('f', row.failed)}</div>"
    )
    return [
        f"<b>{escape(row.name)}</b>",
        escape(row.user),
        _chip(row.letter, row.word),
        bar,
        escape(row.done),
        escape(row.rate),
        escape(row.left),
        f'<span class="nbc-wrapped">{escape(row.note)}</span>' if row.note else "",
    ]


def _part(letter: str, share: float) -> str:
    # A part has a least width, to be seen: where there is nothing there is none.
    return f'<span class="{_CLASS_OF[letter]}" style="width:{100 * share:.1f}%"></span>' if share else ""


def happenings(view: ClusterView) -> str:
    """What was recorded last."""
    if not view.happenings:
        return ""
    lines = "".join(f'<div class="nbc-dim">{escape(line)}</div>' for line in view.happenings)
    return f'<div class="nbc-title">Latest</div>{lines}'


def _chip(letter: str, word: str) -> str:
    return f'<span class="nbc-chip {_CLASS_OF[letter]}">{escape(word)}</span>'


def _more(text: str) -> str:
    return f'<div class="nbc-dim">{escape(text)}</div>' if text else ""


def _table(label: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """``rows`` are HTML; columns of which nothing is known in any row are left out."""
    kept = [place for place in range(len(columns)) if any(row[place] for row in rows)]
    heads = "".join(f'<th scope="col">{escape(columns[place])}</th>' for place in kept)
    body = "".join(f"<tr>{''.join(f'<td>{row[place]}</td>' for place in kept)}</tr>" for row in rows)
    return (
        f'<div class="nbc-scroll"><table class="nbc-table" aria-label="{label}"><thead><tr>{heads}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


BLOCKS: tuple[Callable[[ClusterView], str], ...] = (head, notes, jobs, nodes, happenings)


def page(view: ClusterView) -> str:
    """The whole view as one piece of HTML that needs nothing else."""
    blocks = "".join(f'<div class="nbc-block">{text}</div>' for draw in BLOCKS if (text := draw(view)))
    return f'{STYLE}<div class="{SCOPE}" role="group" aria-label="Cluster">{blocks}</div>'


def remnant(view: ClusterView) -> str:
    """One line for a saved notebook whose kernel was killed while it showed the cluster."""
    said = f"The kernel that watched {view.url} has ended. See it again with %nbcluster watch"
    return f'{REMNANT_STYLE}<div class="{REMNANT}">{escape(said)}</div>'


CLUSTER = Drawing[ClusterView](
    blocks=BLOCKS, page=page, summary=lambda view: f"cluster {view.url}", headline=lambda v: v.headline, remnant=remnant
)
"""How the view of a cluster is drawn."""
