"""A diagnosis as a table of HTML that needs nothing else.  Everything foreign is escaped."""

from __future__ import annotations

from html import escape

from nbcluster.diagnosing.diagnosis import Diagnosis, Finding, Result, printable
from nbcluster.notebook.style import SCOPE, STYLE

_CLASS_OF = {Result.OK: "nbc-c", Result.NOTE: "nbc-s", Result.PROBLEM: "nbc-f"}


def page(diagnosis: Diagnosis) -> str:
    """The headline and one row a finding; the problems are first, for they are what one looks for."""
    order = list(Result)
    ranked = sorted(diagnosis.findings, key=lambda finding: -order.index(finding.result))
    rows = "".join(_row(finding) for finding in ranked)
    word = "ok" if diagnosis.ok else "problem"
    css = "nbc-c" if diagnosis.ok else "nbc-f"
    head = (
        f'<div class="nbc-head"><b class="nbc-name">doctor</b> <span class="nbc-chip {css}">{word}</span> '
        f"<span>{escape(diagnosis.summary)}</span></div>"
    )
    table = (
        '<table class="nbc-table nbc-findings" aria-label="Findings"><thead><tr><th scope="col">result</th>'
        f'<th scope="col">check</th><th scope="col">seen</th></tr></thead><tbody>{rows}</tbody></table>'
    )
    blocks = f'<div class="nbc-block">{head}</div><div class="nbc-block">{table}</div>'
    return f'{STYLE}<div class="{SCOPE}" role="group" aria-label="Diagnosis">{blocks}</div>'


def _row(finding: Finding) -> str:
    cure = f'<div class="nbc-dim">{escape(printable(finding.cure))}</div>' if finding.cure else ""
    command = f'<pre class="nbc-text">{escape(printable(finding.command))}</pre>' if finding.command else ""
    return (
        f'<tr><td><span class="nbc-chip {_CLASS_OF[finding.result]}">{finding.result}</span></td>'
        f"<td>{escape(finding.check)}</td><td>{escape(printable(finding.seen))}{cure}{command}</td></tr>"
    )
