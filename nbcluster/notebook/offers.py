"""What can be done with a job from its view: a view in, the actions that make sense out.  Pure."""

from __future__ import annotations

from dataclasses import dataclass

from nbcluster.notebook.model import View


@dataclass(frozen=True, slots=True)
class Action:
    """One button: what stands on it, what it does in one sentence, and what is said meanwhile."""

    label: str
    icon: str  # a name that Font Awesome has in versions 4, 5 and 6
    tooltip: str
    doing: str
    colour: str = ""
    """Behind white letters, at a contrast of 4.5 at least; "" is the front end's own."""


PAUSE = Action("Pause", "pause", "Let no more partitions begin; those that run, run on", "pausing")
RESUME = Action("Resume", "play", "Go on with what is not finished", "resuming")
CANCEL = Action("Cancel", "stop", "Stop the job; what is finished is kept", "stopping")
SURE = Action("Cancel: sure?", "stop", "Click again to stop the job; what is finished is kept", "stopping", "#9a6700")
NOW = Action("Stop now", "bolt", "Do not wait for what still runs: end it at once", "ending what runs", "#cf222e")
RETRY = Action("Retry failed", "repeat", "Run again what failed; what is finished is kept", "starting again")
DETACH = Action("Detach", "unlink", "End this view; the job goes on", "detaching")


def offers(view: View, *, detach: bool = True) -> tuple[Action | None, ...]:
    """The actions that make sense now, each in its place: go on, stop, leave; None leaves a place empty.

    Whatever is in the same place has the same meaning, so that a view that changes under the mouse does no harm.
    """
    leave = DETACH if detach else None
    if view.word == "failed":
        return (RETRY, None, None)
    if view.word == "stopped":
        return (RESUME, None, None)
    if view.finished:
        return (None, None, None)
    if view.word == "stopping":
        return (None, NOW, leave)
    if view.word == "paused":
        return (RESUME, CANCEL, leave)
    return (PAUSE, CANCEL, leave)
