"""What a skin needs to know to show something: how its content is drawn, whatever that content is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

V = TypeVar("V")
V_contra = TypeVar("V_contra", contravariant=True)


@dataclass(frozen=True)
class Drawing(Generic[V]):
    """How one kind of view is drawn.  Every function is pure and escapes what is foreign."""

    blocks: tuple[Callable[[V], str], ...]
    """HTML of each part, from top to bottom; "" takes no room.  The first is the headline."""
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
