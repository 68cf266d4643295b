"""The live view as core ipywidgets, while the job runs; plain HTML in their place at the end."""

from __future__ import annotations

import atexit
from typing import Any, Generic

from IPython.display import display

from nbcluster.notebook.drawing import Controls, Drawing, V
from nbcluster.notebook.style import OFFERS_BELOW, STYLE, block

_WIDGET_MIME = "application/vnd.jupyter.widget-view+json"
_NOTHING = {"text/html": ""}


class Widgets(Generic[V]):
    """One HTML widget per block, of which only the changed ones are sent; plain HTML at the end.

    ``controls`` stand below the first block.  They go with the view's end, unless there is something left to do:
    then they stay below the static page as long as the kernel lives.  ``begin`` after ``end`` shows the view in
    the same place again.
    """

    live = True

    def __init__(self, drawing: Drawing[V], controls: Controls[V] | None = None) -> None:
        self._drawing = drawing
        self._controls = controls
        self._page: Any = None
        self._widgets: Any = None

    def begin(self, view: V) -> None:
        """Display the widgets; front ends without a widget manager take the HTML beside them."""
        import ipywidgets as widgets

        self._blocks = [widgets.HTML(layout=widgets.Layout(margin="0", width="auto")) for _ in self._drawing.blocks]
        self._own: list[Any] = [widgets.HTML(STYLE, layout=widgets.Layout(display="none")), *self._blocks]
        shown = list(self._own)
        if self._controls is not None:
            shown.insert(2, self._controls.widget)
        self._box = widgets.VBox(shown, layout=widgets.Layout(width="100%"))
        self.update(view)
        bundle = self._drawing.bundle(view)
        remnant = {"text/html": self._drawing.remnant(view), "text/plain": bundle["text/plain"]}
        live = {**_view_of(self._box), **bundle}
        if self._page is None:
            self._page = display(remnant, raw=True, display_id=True)
            self._widgets = display(live, raw=True, display_id=True)
        else:
            atexit.unregister(self.clear)
            self._put(live)
            self._page.update(remnant, raw=True)

    def update(self, view: V) -> None:
        """Replace the blocks that changed, and take no room for those that are empty."""
        for widget, draw in zip(self._blocks, self._drawing.blocks, strict=True):
            text = block(draw(view))
            if widget.value != text:
                widget.value = text
                widget.layout.display = None if text else "none"
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
            self._put({**_view_of(self._controls.widget), **_NOTHING})
            atexit.register(self.clear)
        else:
            self._page.update(bundle, raw=True)
            self.clear()
        for widget in (*self._own, self._box):
            # Layout and style are models of their own, which would stay in the front end's memory.
            for part in (widget.layout, getattr(widget, "style", None), widget):
                if part is not None:
                    part.close()

    def _put(self, bundle: dict[str, Any]) -> None:
        # JupyterLab hides for good what was drawn for a widget that was closed: something else must stand there first.
        self._widgets.update(_NOTHING, raw=True)
        self._widgets.update(bundle, raw=True)

    def clear(self) -> None:
        """Nothing can be done here any more: the controls go."""
        self._widgets.update(_NOTHING, raw=True)
        if self._controls is not None:
            self._controls.close()


def _view_of(widget: Any) -> dict[str, Any]:
    return {_WIDGET_MIME: {"version_major": 2, "version_minor": 0, "model_id": widget.model_id}}
