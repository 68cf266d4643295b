"""What a skin needs to know to show something: how its content is drawn, whatever that content is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

V = TypeVar("V")
V_contra = TypeVar("V_contra", contravariant=True)


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a block that a live view knows again by its ``key``, so that it stays where a reader put it.

    What is higher than ``height`` pixels scrolls by itself; its place is kept when the HTML changes.  With ``once``
    the HTML is that of the first time for as long as there is such a piece: what a reader opened in it stays open.
    ``css`` is a class of the element around it.
    """

    key: str
    html: str
    height: int = 0
    once: bool = False
    css: str = ""


@dataclass(frozen=True)
class Drawing(Generic[V]):
    """How one kind of view is drawn.  Every function is pure and escapes what is foreign."""

    blocks: tuple[Callable[[V], str] | Callable[[V], tuple[Piece, ...]], ...]
    """What a live view replaces by itself, from top to bottom: HTML, or pieces of it.  Nothing takes no room.

    The first is the headline.
    """
    page: Callable[[V], str]
    """All of it as one piece of HTML that needs nothing else."""
    summary: Callable[[V], str]
    """One line that is the same on every machine."""
    headline: Callable[[V], str]
    """One line about this moment, for a terminal."""
    remnant: Callable[[V], str]
    """HTML that stands before the live view, for a saved notebook whose kernel was killed meanwhile."""

    def bundle(self, view: V) -> dict[str, str]:
        """The view in both forms that any front end can show and any file can keep."""
        return {"text/html": self.page(view), "text/plain": self.summary(view)}


class Controls(Protocol[V_contra]):
    """Buttons in a live view."""

    @property
    def widget(self) -> Any:
        """An ipywidgets box; it stands right below the headline."""

    def update(self, view: V_contra) -> None:
        """Offer what can be done now; called from a background thread."""

    def stays(self, view: V_contra) -> bool:
        """Whether there is something left to do when the view has ended with ``view``."""

    def close(self) -> None:
        """Take the widgets out of the front end's memory."""
