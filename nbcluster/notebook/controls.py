"""What stands below the headline of a live view: buttons where clicks arrive, honest words where they do not."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from html import escape

from nbcluster.errors import NBClusterError
from nbcluster.notebook.model import View, clean
from nbcluster.notebook.offers import CANCEL, SURE, Action, offers
from nbcluster.notebook.style import CONTROLS, SCOPE

log = logging.getLogger(__name__)

_ARMED = 6.0
"""Seconds for which a click on Cancel waits for the second one."""


class Buttons:
    """The actions that make sense in the job's state.

    ``act(action)`` is called in a thread: it does what the button says, and returns a sentence for the reader.
    An error of ours is shown as its sentence.  ``words`` stand beside the buttons until the first click.
    """

    def __init__(self, act: Callable[[Action], str], *, detach: bool = True, words: str = "") -> None:
        import ipywidgets as widgets

        self._act = act
        self._detach = detach
        self._lock = threading.RLock()
        self._offered: tuple[Action | None, ...] = ()
        self._armed_until = 0.0
        self._busy = False
        self._buttons = [
            widgets.Button(layout=widgets.Layout(width="auto", height="26px", margin="0 6px 0 0", display="none"))
            for _ in range(3)
        ]
        for place, button in enumerate(self._buttons):
            button.on_click(lambda _, place=place: self._clicked(place))
        self._said = widgets.HTML(_dim(words), layout=widgets.Layout(margin="0 0 0 4px", width="auto"))
        layout = widgets.Layout(flex_flow="row wrap", align_items="center", margin="0 0 10px 0", width="100%")
        self.widget = widgets.HBox([*self._buttons, self._said], layout=layout)
        self.widget.add_class(CONTROLS)

    def update(self, view: View) -> None:
        """Offer what can be done now."""
        with self._lock:
            self._offered = offers(view, detach=self._detach)
            self._draw()

    def stays(self, view: View) -> bool:
        """Whether there is something to do when the view has ended."""
        return view.finished and any(offers(view))

    def close(self) -> None:
        """Take the widgets out of the front end's memory."""
        with self._lock:
            for widget in (*self._buttons, self._said, self.widget):
                for part in (widget.layout, getattr(widget, "style", None), widget):
                    if part is not None:
                        part.close()

    def _draw(self) -> None:
        for place, button in enumerate(self._buttons):
            action = self._shown(place)
            button.layout.display = "none" if action is None else None
            if action is not None:
                button.description, button.icon = action.label, action.icon
                button.tooltip = action.tooltip
                button.style.button_color = action.colour or None
                button.style.text_color = "#fff" if action.colour else None
            button.disabled = self._busy or action is None

    def _shown(self, place: int) -> Action | None:
        action = self._offered[place] if place < len(self._offered) else None
        return SURE if action is CANCEL and time.monotonic() < self._armed_until else action

    def _clicked(self, place: int) -> None:
        """Runs in the kernel's own thread, which must be free again at once."""
        with self._lock:
            action = self._shown(place)
            if self._busy or action is None:
                return
            if action is CANCEL:
                self._armed_until = time.monotonic() + _ARMED
                self._draw()
                return
            self._busy, self._armed_until = True, 0.0
            self._say(f"{action.doing} ...")
            self._draw()
        threading.Thread(target=self._do, args=(action,), name=f"nbcluster-{action.label}", daemon=True).start()

    def _do(self, action: Action) -> None:
        try:
            said = self._act(action)
        except NBClusterError as error:
            said = str(error)
        except Exception as error:
            # What a thread raises would land in whichever cell is running.
            log.exception("the button %r failed", action.label)
            said = f"this did not work: {type(error).__name__}: {error}"
        with self._lock:
            self._busy = False
            self._say(said)
            self._draw()

    def _say(self, text: str) -> None:
        self._said.value = _dim(text)


class Words:
    """One dim line, for a cell that blocks: clicks would arrive only after it."""

    def __init__(self, text: str) -> None:
        import ipywidgets as widgets

        self.widget = widgets.HTML(_dim(text), layout=widgets.Layout(margin="0 0 6px 0", width="auto"))

    def update(self, view: View) -> None:
        """Nothing: they stay as they are."""

    def stays(self, view: View) -> bool:
        """Nothing stays of them."""
        return False

    def close(self) -> None:
        """Take them out of the front end's memory."""
        for part in (self.widget.layout, self.widget.style, self.widget):
            part.close()


def _dim(text: str) -> str:
    return (
        f'<div class="{SCOPE}"><span class="nbc-dim" role="status">{escape(clean(text, 500))}</span></div>'
        if text
        else ""
    )
