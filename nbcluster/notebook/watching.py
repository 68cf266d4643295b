"""A live view that waits for nothing: of a job whoever submitted it, or of the whole cluster.

It goes on when its cell has ended, until its Close button is pressed, its cell is run again, its subject has
ended, or the kernel ends.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from nbcluster.notebook import cluster_model, front_end, places
from nbcluster.notebook.cluster_model import ClusterView
from nbcluster.notebook.cluster_render import CLUSTER
from nbcluster.notebook.dashboard import LiveView, Subject
from nbcluster.notebook.following import show
from nbcluster.notebook.session import say
from nbcluster.notebook.skins import skin_for

if TYPE_CHECKING:
    from nbcluster.api import Cluster
    from nbcluster.handle import JobHandle

INTERVAL = 1.0
"""Seconds between two looks at a cluster at most."""


def watch(shown: Cluster | JobHandle, shell: Any, wanted: str = "auto") -> None:
    """Show it and do not wait; how, is the cluster's setting ``display`` unless something else is wanted."""
    from nbcluster.handle import JobHandle

    cluster = shown.cluster if isinstance(shown, JobHandle) else shown
    way = cluster.settings.display if wanted == "auto" else wanted
    if isinstance(shown, JobHandle):
        show(shown, way, shell)
    else:
        watch_cluster(shown, way, shell)


def watch_cluster(cluster: Cluster, wanted: str, shell: Any) -> None:
    """Show the whole cluster; once where nobody can look on."""
    way = front_end.way_to_show(wanted, shell)
    if way in (front_end.LINE, front_end.TEXT):
        say(cluster_model.text(cluster_model.view_of(cluster.snapshot())))
        return
    closing = CloseButton()
    skin = skin_for(way, CLUSTER, closing)
    if not skin.live:
        skin.end(cluster_model.view_of(cluster.snapshot()))
        return
    view = LiveView(of_cluster(cluster), skin, INTERVAL, unprompted=1)
    closing.then = view.finish
    places.take(shell, view.finish)
    view.start()


def of_cluster(cluster: Cluster) -> Subject[ClusterView]:
    """A cluster as the subject of a view."""
    return Subject(
        name="view-cluster",
        look=Looking(lambda: cluster_model.view_of(cluster.snapshot()), lambda: cluster.store.closed),
        finished=lambda _: cluster.store.closed,
        noted=cluster_model.noted,
        left_behind=lambda view: "The kernel that showed this has ended. See it again with %nbcluster watch",
        subscribe=lambda _: lambda: None,
        last=lambda view: replace(view, closed=True),
    )


class Looking:
    """What the cluster looks like; when its connection is closed, what it looked like last."""

    def __init__(self, look: Callable[[], ClusterView], over: Callable[[], bool]) -> None:
        self._look = look
        self._over = over
        self._seen: ClusterView | None = None

    def __call__(self) -> ClusterView:
        """The view now, or as it was last seen."""
        if self._seen is None or not self._over():
            self._seen = replace(self._look(), at=f"{datetime.now():%H:%M:%S}")  # noqa: DTZ005 -- the reader's clock
        return self._seen


class CloseButton:
    """Ends the view; nothing in the cluster changes."""

    def __init__(self) -> None:
        self.then: Callable[[], None] = lambda: None
        self._row: Any = None

    @property
    def widget(self) -> Any:
        """The button in a row of its own, which keeps it from being stretched."""
        import ipywidgets as widgets

        if self._row is None:
            button = widgets.Button(
                description="Close",
                tooltip="End this view. Nothing in the cluster changes",
                layout=widgets.Layout(width="auto", height="26px", margin="0 0 8px 0"),
            )
            button.on_click(lambda _: self.then())
            self._row = widgets.HBox([button])
        return self._row

    def update(self, view: ClusterView) -> None:
        """It can always be closed."""

    def stays(self, view: ClusterView) -> bool:
        """There is nothing left to close."""
        return False

    def close(self) -> None:
        """Take the button out of the front end's memory."""
        if self._row is not None:
            (button,) = self._row.children
            for part in (button.layout, button.style, button, self._row.layout, self._row):
                part.close()
