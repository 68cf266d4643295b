"""Three thin skins over the same content: widgets, HTML and text.

A skin begins once, is updated from a background thread, and ends once.  In a notebook the output that was begun is
replaced at the end by HTML that needs no kernel, so that the saved file stays readable.
"""

from __future__ import annotations

import shutil
import sys
from typing import Protocol

from IPython.display import display

from nbcluster.notebook import front_end, render
from nbcluster.notebook.model import View
from nbcluster.notebook.session import say
from nbcluster.notebook.style import STYLE

_WIDGET_MIME = "application/vnd.jupyter.widget-view+json"


class Skin(Protocol):
    """One way to show a job while it runs and when it has ended."""

    live: bool
    """Whether it shows in its own place, so that a background thread may end it after its cell."""

    def begin(self, view: View) -> None:
        """Show the job for the first time."""

    def update(self, view: View) -> None:
        """Show what changed; called from a background thread."""

    def end(self, view: View) -> None:
        """Show the last state, to stay."""


def skin_for(way: str) -> Skin:
    """The skin for one of ``front_end``'s words."""
    skins: dict[str, type[Skin]] = {
        front_end.WIDGET: Widgets,
        front_end.HTML: LiveHTML,
        front_end.HTML_ONCE: StaticHTML,
        front_end.LINE: StatusLine,
        front_end.TEXT: Text,
    }
    return skins.get(way, Silence)()


def bundle(view: View) -> dict[str, str]:
    """The view in both forms that any front end can show and any file can keep."""
    return {"text/html": render.page(view), "text/plain": view.summary}


class Silence:
    """Shows nothing."""

    live = False

    def begin(self, view: View) -> None:
        """Nothing."""

    def update(self, view: View) -> None:
        """Nothing."""

    def end(self, view: View) -> None:
        """Nothing."""


class Text(Silence):
    """One line when the job has ended, the same on every machine."""

    def end(self, view: View) -> None:
        """Print the line."""
        say(view.summary)


class StatusLine:
    """One line of a terminal, written over and over; the last one stays."""

    live = False

    def begin(self, view: View) -> None:
        """Write the line."""
        self.update(view)

    def update(self, view: View) -> None:
        """Write over it; a line that wraps could not be written over, so it is cut."""
        text = "; ".join([view.headline, *view.obstacles])
        sys.stderr.write("\r\x1b[K" + text[: shutil.get_terminal_size().columns - 1])
        sys.stderr.flush()

    def end(self, view: View) -> None:
        """Take it away and print the last state."""
        sys.stderr.write("\r\x1b[K")
        sys.stderr.flush()
        say(view.headline)


class StaticHTML(Silence):
    """HTML when the job has ended."""

    def end(self, view: View) -> None:
        """Display it."""
        display(bundle(view), raw=True)


class LiveHTML:
    """HTML that is replaced as a whole, where there are no widgets."""

    live = True

    def begin(self, view: View) -> None:
        """Display it under an id by which it can be replaced."""
        self._drawn = ""
        self._output = display(bundle(view), raw=True, display_id=True)

    def update(self, view: View) -> None:
        """Replace it if it changed."""
        made = bundle(view)
        if made["text/html"] != self._drawn:
            self._drawn = made["text/html"]
            self._output.update(made, raw=True)

    def end(self, view: View) -> None:
        """Replace it for good."""
        self._output.update(bundle(view), raw=True)


class Widgets:
    """One HTML widget per block, of which only the changed ones are sent; plain HTML at the end."""

    live = True

    def begin(self, view: View) -> None:
        """Display the widgets; front ends without a widget manager take the HTML beside them."""
        import ipywidgets as widgets

        self._blocks = [widgets.HTML(layout=widgets.Layout(margin="0", width="auto")) for _ in render.BLOCKS]
        style = widgets.HTML(STYLE, layout=widgets.Layout(display="none"))
        self._box = widgets.VBox([style, *self._blocks], layout=widgets.Layout(width="100%"))
        self.update(view)
        model = {"version_major": 2, "version_minor": 0, "model_id": self._box.model_id}
        remnant = {"text/html": render.remnant(view), "text/plain": view.name}
        self._remnant = display(remnant, raw=True, display_id=True)
        self._output = display({_WIDGET_MIME: model, **bundle(view)}, raw=True, display_id=True)

    def update(self, view: View) -> None:
        """Replace the blocks that changed, and take no room for those that are empty."""
        for widget, draw in zip(self._blocks, render.BLOCKS, strict=True):
            text = render.block(draw(view))
            if widget.value != text:
                widget.value = text
                widget.layout.display = None if text else "none"

    def end(self, view: View) -> None:
        """Put HTML in the widgets' place.

        A saved widget is an error message without its kernel.  The widgets are closed only after the front end
        was told what to show instead.
        """
        self._remnant.update(bundle(view), raw=True)
        self._output.update({"text/html": ""}, raw=True)
        for widget in (*self._box.children, self._box):
            # Layout and style are models of their own, which would stay in the front end's memory.
            for part in (widget.layout, getattr(widget, "style", None), widget):
                if part is not None:
                    part.close()
