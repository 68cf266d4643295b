"""The look of the view: one style sheet, scoped by one class, legible on light and dark.

JupyterLab defines ``--jp-*`` variables, VS Code ``--vscode-*``, Colab ``--colab-*``; elsewhere the page's own
colour is inherited.  Lines and backgrounds are translucent grey and so fit any theme.  The state colours
carry white letters at a contrast of 4.5 and stand out from black and white alike; no state is told by colour alone.

The letters of cells and keys are the style sheet's: where it is taken away no wall of letters is left.
"""

from __future__ import annotations

SCOPE = "nbcluster-view"

LEVELS = 8
"""How full a cell can be."""

_COLOURS = """
.nbcluster-view .nbc-c { background-color: #1a7f37; --nbc-done: #1a7f37; --nbc-rest: rgba(127, 127, 127, 0.3); }
.nbcluster-view .nbc-p { background-color: #6e7781; --nbc-done: #1a7f37; --nbc-rest: rgba(127, 127, 127, 0.3); }
.nbcluster-view .nbc-r { background-color: #0969da; --nbc-done: #0a4fa3; --nbc-rest: #0969da; --nbc-letter: "R"; }
.nbcluster-view .nbc-f { background-color: #cf222e; --nbc-done: #93141e; --nbc-rest: #cf222e; --nbc-letter: "F"; }
.nbcluster-view .nbc-s { background-color: #9a6700; --nbc-done: #6b4700; --nbc-rest: #9a6700; --nbc-letter: "S"; }
"""

_MAP = """
.nbcluster-view .nbc-map { line-height: 0; }
.nbcluster-view .nbc-map span { background: none; }
.nbcluster-view .nbc-map i, .nbcluster-view i.nbc-key { display: inline-block; width: 12px; height: 12px;
  border-radius: 2px; color: #fff; font: normal 600 9px/12px system-ui, sans-serif; text-align: center;
  overflow: hidden; vertical-align: top;
  background: linear-gradient(to top, var(--nbc-done) var(--nbc-full, 0%), var(--nbc-rest) 0); }
.nbcluster-view .nbc-map i { margin: 0 2px 2px 0; }
.nbcluster-view .nbc-map .nbc-c i, .nbcluster-view i.nbc-key.nbc-c { --nbc-full: 100%; }
.nbcluster-view .nbc-map i::before, .nbcluster-view i.nbc-key::before { content: var(--nbc-letter, ""); }
.nbcluster-view .nbc-map .nbc-s i + i::before { content: ""; }
.nbcluster-view i.nbc-key { vertical-align: -1px; }
""" + "\n".join(
    f".nbcluster-view .nbc-map i.nbc-h{level} {{ --nbc-full: {100 * level / LEVELS:g}%; }}"
    for level in range(1, LEVELS)
)

_LINES = """
.nbcluster-view { font-family: var(--jp-ui-font-family, system-ui, sans-serif); font-size: 13px; line-height: 1.5;
  color: var(--jp-ui-font-color1, var(--vscode-foreground, var(--colab-primary-text-color, inherit)));
  max-width: 900px; font-variant-numeric: tabular-nums; }
.nbcluster-view .nbc-block { margin: 0 0 10px 0; }
.nbcluster-view .nbc-head { display: flex; flex-wrap: wrap; align-items: baseline; gap: 2px 10px; margin: 2px 0 1px 0; }
.nbcluster-view .nbc-name { font-size: 15px; font-weight: 600; overflow-wrap: anywhere; }
.nbcluster-view .nbc-dim { opacity: 0.75; font-size: 12px; }
.nbcluster-view .nbc-chip { color: #fff; font-weight: 600; padding: 1px 8px; font-size: 12px; border-radius: 9px; }
.nbcluster-view .nbc-bar { display: flex; height: 8px; border-radius: 4px; overflow: hidden;
  background: rgba(127, 127, 127, 0.28); margin: 0 0 6px 0; }
.nbcluster-view .nbc-bar span { height: 100%; min-width: 3px; }
.nbcluster-view .nbc-bar .nbc-p { background: transparent; }
.nbcluster-view .nbc-bar .nbc-r { background-image: repeating-linear-gradient(-45deg,
  rgba(255, 255, 255, 0.3) 0 4px, transparent 4px 8px); }
.nbcluster-view .nbc-bar .nbc-f { background-image: repeating-linear-gradient(90deg,
  rgba(255, 255, 255, 0.45) 0 1px, transparent 1px 4px); }
.nbcluster-view .nbc-small { width: 120px; margin: 0; display: inline-flex; vertical-align: middle; }
.nbcluster-view .nbc-wrapped { display: inline-block; min-width: 200px; white-space: normal;
  overflow-wrap: break-word; }
.nbcluster-view table.nbc-table.nbc-findings td { vertical-align: top; }
.nbcluster-view table.nbc-table.nbc-findings td:last-child { white-space: normal; overflow-wrap: anywhere; }
.nbcluster-view table.nbc-findings pre.nbc-text { margin: 2px 0 4px 0; }
.nbcluster-view .nbc-legend { display: flex; flex-wrap: wrap; align-items: center; gap: 2px 16px; font-size: 12px; }
.nbcluster-view .nbc-apart { display: none; }
.nbcluster-view .nbc-note { border-left: 3px solid #bf8700; background: rgba(191, 135, 0, 0.13); padding: 4px 10px;
  margin: 0 0 4px 0; overflow-wrap: anywhere; }
.nbcluster-view .nbc-title { font-size: 12px; font-weight: 600; margin: 0 0 2px 0; }
.nbcluster-view .nbc-scroll { overflow-x: auto; }
.nbcluster-view code { font-family: var(--jp-code-font-family, ui-monospace, Menlo, Consolas, monospace);
  font-size: 12px; background: rgba(127, 127, 127, 0.14); padding: 1px 4px; border-radius: 3px; color: inherit; }
"""

_TABLE = """
.nbcluster-view table.nbc-table { border-collapse: collapse; border: none; margin: 0; font-size: 12px; color: inherit;
  table-layout: auto; width: auto; }
.nbcluster-view table.nbc-table tr, .nbcluster-view table.nbc-table tbody tr:nth-child(n),
.nbcluster-view table.nbc-table tbody tr:hover { background: transparent; }
.nbcluster-view table.nbc-table th, .nbcluster-view table.nbc-table td { border: none; padding: 2px 16px 2px 0;
  text-align: left; vertical-align: baseline; white-space: nowrap; max-width: none; line-height: 1.5; color: inherit; }
.nbcluster-view table.nbc-table th.nbc-num, .nbcluster-view table.nbc-table td.nbc-num { text-align: right; }
.nbcluster-view table.nbc-table thead th { border-bottom: 1px solid rgba(127, 127, 127, 0.45); font-weight: 600; }
.nbcluster-view table.nbc-table tbody td { border-bottom: 1px solid rgba(127, 127, 127, 0.18); }
"""

_TEXTS = """
.nbcluster-view details { margin: 0 0 2px 0; }
.nbcluster-view summary { cursor: pointer; overflow-wrap: anywhere; }
.nbcluster-view pre.nbc-text { font-family: var(--jp-code-font-family, ui-monospace, Menlo, Consolas, monospace);
  font-size: 12px; line-height: 1.4; white-space: pre-wrap; overflow-wrap: anywhere; max-height: 240px;
  overflow-y: auto; margin: 4px 0 6px 0; padding: 6px 10px; border: none;
  border-left: 3px solid rgba(127, 127, 127, 0.35); background: rgba(127, 127, 127, 0.09); color: inherit; }
"""

# Widgets: no room for what says nothing; blocks of several pieces keep them together; a fold hides what follows it.
# While a page takes the place of live widgets, or they its, never both are seen.
_WIDGETS = """
.nbc-nothing { display: none !important; }
.nbc-piece .nbcluster-view .nbc-block { margin-bottom: 0; }
.nbc-pieces { margin-bottom: 10px !important; }
.nbc-pieces:has(> .nbc-aside) { position: absolute; margin: 0 !important; width: 1px !important; height: 1px;
  overflow: hidden; clip-path: inset(50%); }
.nbc-inner { margin-left: 16px !important; max-width: 884px; }
.nbc-folded pre.nbc-text { max-height: none; overflow: visible; }
.nbc-fold:not(:has(details[open])) + .nbc-folded { display: none !important; }
.jp-OutputArea-child:has(.nbcluster-view[role="group"]):has(+ .jp-OutputArea-child .jupyter-widgets .nbc-head) {
  display: none; }
"""

CSS = _LINES + _COLOURS + _MAP + _TABLE + _TEXTS + _WIDGETS

REMNANT = "nbcluster-remnant"

# A widget whose kernel was killed is saved as "Error displaying widget".  No kernel is left to replace it, so the
# line before it does: it shows itself, after a moment, only where no view is drawn behind it, and takes the error away.
# While the page is open, a view whose kernel ended stays as it was last seen: the line shows, and the buttons go.
# The class names are JupyterLab's and Notebook 7's; elsewhere the line is simply there.
_REMNANT_CSS = """
@keyframes nbcluster-appear { from { visibility: hidden; } to { visibility: visible; } }
.nbcluster-remnant { animation: nbcluster-appear 0s 3s both; }
.jp-OutputArea-child:has(.nbcluster-remnant):has(+ .jp-OutputArea-child .nbcluster-view):not(
  :has(+ .jp-OutputArea-child .jupyter-widgets-disconnected)) { display: none; }
.jp-OutputArea-child:has(.nbcluster-remnant) + .jp-OutputArea-child
  .jp-OutputArea-output.jupyter-widgets:not(:has(.nbcluster-view)) { display: none; }
.jp-OutputArea-child:has(.nbcluster-remnant) + .jp-OutputArea-child:has(.jupyter-widgets-disconnected)
  .nbcluster-controls { display: none; }
.jp-OutputArea-child:has(.nbcluster-remnant) + .jp-OutputArea-child .jupyter-widgets-disconnected::before {
  display: none; }
.nbcluster-remnant { font-size: 13px; }
"""

CONTROLS = "nbcluster-controls"
OFFERS = "nbcluster-offers"

# The buttons that stay below a static page are lost with their kernel, too.
_OFFERS_CSS = """
.jp-OutputArea-child:has(.nbcluster-offers) + .jp-OutputArea-child
  .jp-OutputArea-output.jupyter-widgets:not(:has(.nbcluster-controls)) { display: none; }
.jp-OutputArea-child:has(.nbcluster-offers) + .jp-OutputArea-child:has(.jupyter-widgets-disconnected) { display: none; }
"""

OFFERS_BELOW = f'<style>{_OFFERS_CSS}</style><div class="{OFFERS}"></div>'
"""Stands before a page that has buttons below it."""

REMNANT_STYLE = f"<style>{_REMNANT_CSS}</style>"
STYLE = f"<style>{CSS}</style>"


def block(content: str) -> str:
    """HTML that can stand alone, wherever the style sheet is; nothing of nothing."""
    return f'<div class="{SCOPE}"><div class="nbc-block">{content}</div></div>' if content else ""
