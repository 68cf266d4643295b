"""The live view as core ipywidgets, while the job runs; plain HTML in their place at the end.

A widget's element stays in the page when its value changes: so what is in it may change while a reader's place in it,
and what the reader opened beside it, stay.
"""

from __future__ import annotations

import atexit
from typing import Any, Generic

import ipywidgets as widgets
from IPython.display import display

from nbcluster.notebook.drawing import Controls, Drawing, V
from nbcluster.notebook.style import OFFERS_BELOW, STYLE, block

_WIDGET_MIME = "application/vnd.jupyter.widget-view+json"
_EMPTY = {"text/html": ""}
_NOTHING = "nbc-nothing"


class Widgets(Generic[V]):
    """A widget for each block or piece, of which only the changed ones are sent; plain HTML at the end.

    ``controls`` stand below the first block.  They go with the view's end, unless there is something left to do:
    then they stay below the static page as long as the kernel lives.  ``begin`` after ``end`` shows the view in
    the same place again.
    """

    live = True

    def __init__(self, drawing: Drawing[V], controls: Controls[V] | None = None) -> None:
        self._drawing = drawing
        self._controls = controls
        self._page: Any = None
        self._live: Any = None

    def begin(self, view: V) -> None:
        """Display the widgets; front ends without a widget manager take the HTML beside them."""
        drawn = [draw(view) for draw in self._drawing.blocks]
        self._blocks = [_Whole() if isinstance(content, str) else _Pieces() for content in drawn]
        self._style = widgets.HTML(STYLE, layout=widgets.Layout(display="none"))
        shown = [self._style, *(one.widget for one in self._blocks)]
        if self._controls is not None:
            shown.insert(2, self._controls.widget)
        self._box = widgets.VBox(shown, layout=widgets.Layout(width="100%"))
        self.update(view)
        bundle = self._drawing.bundle(view)
        remnant = {"text/html": self._drawing.remnant(view), "text/plain": bundle["text/plain"]}
        live = {**_view_of(self._box), **bundle}
        if self._page is None:
            self._page = display(remnant, raw=True, display_id=True)
            self._live = display(live, raw=True, display_id=True)
        else:
            atexit.unregister(self.clear)
            self._put(live)
            self._page.update(remnant, raw=True)

    def update(self, view: V) -> None:
        """Replace what changed."""
        for one, draw in zip(self._blocks, self._drawing.blocks, strict=True):
            one.show(draw(view))
        if self._controls is not None:
            self._controls.update(view)

    def end(self, view: V) -> None:
        """Put HTML in the widgets' place.

        A saved widget is an error message without its kernel.  The widgets are closed only after the front end
        was told what to show instead.
        """
        bundle = self._drawing.bundle(view)
        if self._controls is not None and self._controls.stays(view):
            self._controls.update(view)
            self._page.update({**bundle, "text/html": OFFERS_BELOW + bundle["text/html"]}, raw=True)
            self._put({**_view_of(self._controls.widget), **_EMPTY})
            atexit.register(self.clear)
        else:
            self._page.update(bundle, raw=True)
            self.clear()
        for one in self._blocks:
            one.close()
        for widget in (self._style, self._box):
            _close(widget)

    def clear(self) -> None:
        """Nothing can be done here any more: the controls go."""
        self._live.update(_EMPTY, raw=True)
        if self._controls is not None:
            self._controls.close()

    def _put(self, bundle: dict[str, Any]) -> None:
        # JupyterLab hides for good what was drawn for a widget that was closed: something else must stand there first.
        self._live.update(_EMPTY, raw=True)
        self._live.update(bundle, raw=True)


class _Whole:
    """A widget with one piece of HTML."""

    def __init__(self, height: int = 0, *css: str) -> None:
        layout: dict[str, Any] = {"margin": "0", "width": "auto"}
        if height:
            layout |= {"max_height": f"{height}px", "overflow": "auto"}
        self.widget = widgets.HTML(layout=widgets.Layout(**layout))
        for name in (*css, _NOTHING):
            self.widget.add_class(name)

    def show(self, content: Any) -> None:
        """Replace its HTML if that changed; nothing takes no room."""
        text = block(content)
        if self.widget.value == text:
            return
        if bool(self.widget.value) != bool(text):
            (self.widget.remove_class if text else self.widget.add_class)(_NOTHING)
        self.widget.value = text

    def close(self) -> None:
        """Take it out of the front end's memory."""
        _close(self.widget)


class _Pieces:
    """A block of pieces, each with a widget that is its own until the end; new ones come last."""

    def __init__(self) -> None:
        self.widget = widgets.VBox(layout=widgets.Layout(margin="0", width="auto"))
        self._known: dict[str, _Whole] = {}
        self._shown: set[str] = set()
        for name in ("nbc-pieces", _NOTHING):
            self.widget.add_class(name)

    def show(self, content: Any) -> None:
        """Replace what changed."""
        missing = [piece for piece in content if piece.key not in self._known]
        for piece in missing:
            self._known[piece.key] = _Whole(piece.height, "nbc-piece", *piece.css.split())
        for piece in content:
            if not (piece.once and piece.key in self._shown):
                self._known[piece.key].show(piece.html)
        for gone in self._shown.difference(piece.key for piece in content):
            self._known[gone].show("")
        if bool(self._shown) != bool(content):
            (self.widget.remove_class if content else self.widget.add_class)(_NOTHING)
        self._shown = {piece.key for piece in content}
        if missing:
            self.widget.children = [one.widget for one in self._known.values()]

    def close(self) -> None:
        """Take it out of the front end's memory."""
        for one in self._known.values():
            one.close()
        _close(self.widget)


def _view_of(widget: Any) -> dict[str, Any]:
    return {_WIDGET_MIME: {"version_major": 2, "version_minor": 0, "model_id": widget.model_id}}


def _close(widget: Any) -> None:
    # Layout and style are models of their own, which would stay in the front end's memory.
    for part in (widget.layout, getattr(widget, "style", None), widget):
        if part is not None:
            part.close()
