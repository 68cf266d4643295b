"""The live view as core ipywidgets, while the job runs; plain HTML in their place at the end."""

from __future__ import annotations

from typing import Any, Generic

from IPython.display import display

from nbcluster.notebook.drawing import Controls, Drawing, V
from nbcluster.notebook.style import STYLE, block

_WIDGET_MIME = "application/vnd.jupyter.widget-view+json"


class Widgets(Generic[V]):
    """One HTML widget per block, of which only the changed ones are sent; plain HTML at the end.

    ``controls`` stand below the first block and go with the view's end.
    """

    live = True

    def __init__(self, drawing: Drawing[V], controls: Controls[V] | None = None) -> None:
        self._drawing = drawing
        self._controls = controls

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
        model = {"version_major": 2, "version_minor": 0, "model_id": self._box.model_id}
        bundle = self._drawing.bundle(view)
        remnant = {"text/html": self._drawing.remnant(view), "text/plain": bundle["text/plain"]}
        self._remnant = display(remnant, raw=True, display_id=True)
        self._output = display({_WIDGET_MIME: model, **bundle}, raw=True, display_id=True)

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
        self._remnant.update(self._drawing.bundle(view), raw=True)
        self._output.update({"text/html": ""}, raw=True)
        if self._controls is not None:
            self._controls.close()
        for widget in (*self._own, self._box):
            # Layout and style are models of their own, which would stay in the front end's memory.
            for part in (widget.layout, getattr(widget, "style", None), widget):
                if part is not None:
                    part.close()
