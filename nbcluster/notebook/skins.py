"""Thin skins over the same content: HTML, text, a terminal's line; the widgets have a module of their own.

A skin begins once, is updated from a background thread, and ends once.  In a notebook the output that was begun is
replaced at the end by HTML that needs no kernel, so that the saved file stays readable.
"""

from __future__ import annotations

import shutil
import sys
from typing import Generic, Protocol

from IPython.display import display

from nbcluster.notebook import front_end
from nbcluster.notebook.drawing import Controls, Drawing, V, V_contra
from nbcluster.notebook.session import say


class Skin(Protocol[V_contra]):
    """One way to show something while it goes on and when it has ended."""

    live: bool
    """Whether it shows in its own place, so that a background thread may end it after its cell."""

    def begin(self, view: V_contra) -> None:
        """Show it for the first time."""

    def update(self, view: V_contra) -> None:
        """Show what changed; called from a background thread."""

    def end(self, view: V_contra) -> None:
        """Show the last state, to stay."""


def skin_for(way: str, drawing: Drawing[V], controls: Controls[V] | None = None) -> Skin[V]:
    """The skin for one of ``front_end``'s words; only widgets have room for controls."""
    if way == front_end.WIDGET:
        from nbcluster.notebook.widget_view import Widgets  # ipywidgets, which not everybody has and needs

        return Widgets(drawing, controls)
    skins: dict[str, type[_Drawn[V]]] = {
        front_end.HTML: LiveHTML,
        front_end.HTML_ONCE: StaticHTML,
        front_end.LINE: StatusLine,
        front_end.TEXT: Text,
    }
    return skins.get(way, Silence)(drawing)


class _Drawn(Generic[V]):
    """Knows how its content is drawn, and shows nothing."""

    live = False

    def __init__(self, drawing: Drawing[V]) -> None:
        self._drawing = drawing

    def begin(self, view: V) -> None:
        """Nothing."""

    def update(self, view: V) -> None:
        """Nothing."""

    def end(self, view: V) -> None:
        """Nothing."""


class Silence(_Drawn[V]):
    """Shows nothing."""


class Text(_Drawn[V]):
    """One line when the job has ended, the same on every machine."""

    def end(self, view: V) -> None:
        """Print the line."""
        say(self._drawing.summary(view))


class StatusLine(_Drawn[V]):
    """One line of a terminal, written over and over; the last one stays."""

    def begin(self, view: V) -> None:
        """Write the line."""
        self.update(view)

    def update(self, view: V) -> None:
        """Write over it; a line that wraps could not be written over, so it is cut."""
        text = self._drawing.headline(view)
        sys.stderr.write("\r\x1b[K" + text[: shutil.get_terminal_size().columns - 1])
        sys.stderr.flush()

    def end(self, view: V) -> None:
        """Take it away and print the last state."""
        sys.stderr.write("\r\x1b[K")
        sys.stderr.flush()
        say(self._drawing.headline(view))


class StaticHTML(_Drawn[V]):
    """HTML when the job has ended."""

    def end(self, view: V) -> None:
        """Display it."""
        display(self._drawing.bundle(view), raw=True)


class LiveHTML(_Drawn[V]):
    """HTML that is replaced as a whole, where there are no widgets."""

    live = True

    def begin(self, view: V) -> None:
        """Display it under an id by which it can be replaced."""
        self._drawn = ""
        self._output = display(self._drawing.bundle(view), raw=True, display_id=True)

    def update(self, view: V) -> None:
        """Replace it if it changed."""
        made = self._drawing.bundle(view)
        if made["text/html"] != self._drawn:
            self._drawn = made["text/html"]
            self._output.update(made, raw=True)

    def end(self, view: V) -> None:
        """Replace it for good."""
        self._output.update(self._drawing.bundle(view), raw=True)
