"""A small HTML table that is legible in any theme and can be read aloud.  Escapes all that it is given."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from html import escape


def table(
    label: str, columns: Sequence[str], rows: Iterable[Sequence[str]], numbers: Collection[str] = frozenset()
) -> str:
    """Rows of words below their columns; those called in ``numbers`` stand at the right."""
    css = [' class="nbc-num"' if name in numbers else "" for name in columns]
    head = "".join(f'<th scope="col"{kind}>{escape(name)}</th>' for name, kind in zip(columns, css, strict=True))
    body = "".join(
        f"<tr>{''.join(f'<td{kind}>{escape(word)}</td>' for word, kind in zip(row, css, strict=True))}</tr>"
        for row in rows
    )
    return (
        f'<table class="nbc-table" aria-label="{escape(label)}">'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    )
