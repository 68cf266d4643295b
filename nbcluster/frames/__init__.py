"""Rows as pandas frames: stable lower-case columns, UTC times, categories for states.

The room of pandas, imported only when a frame is asked for.  Here is what the store knows; what a job gave is in
``items``.
"""

from __future__ import annotations

import base64
import html
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import pandas as pd
from pandas.plotting import PlotAccessor

from nbcluster.lifecycle import PartitionStatus
from nbcluster.records import AttemptRow, JobRow, Node, PartitionRow

if TYPE_CHECKING:
    from nbcluster.plots.paper import Picture
    from nbcluster.plots.runs import Story
    from nbcluster.store.shared import SharedRow

_NODE_STATES = ["ACTIVE", "DRAINING", "UNREACHABLE", "GONE"]
_PARTITION_STATES = ["PENDING", "CLAIMED", "COMPLETED", "FAILED"]
_JOB_STATES = ["CREATED", "STARTED", "COMPLETED", "FAILED", "STOPPED"]


def from_rows(rows: Sequence[Sequence[Any]], columns: Sequence[str]) -> pd.DataFrame:
    """Rows as a frame with these columns, also when there are none."""
    return pd.DataFrame([list(row) for row in rows], columns=list(columns))


def is_frame(value: Any) -> bool:
    """Whether it is a DataFrame."""
    return isinstance(value, pd.DataFrame)


def plain_rows(frame: pd.DataFrame) -> list[list[Any]]:
    """The rows of a frame as Python's own values, None for what is missing."""
    plain = frame.astype("object").where(frame.notna(), None)
    return [[_python(value) for value in row] for row in plain.to_numpy().tolist()]


def _python(value: Any) -> Any:
    if isinstance(value, pd.Timestamp):
        return value.to_pydatetime()
    listed = getattr(value, "tolist", None)
    return value if listed is None else listed()


def whole_numbers(frame: pd.DataFrame, places: Sequence[int]) -> pd.DataFrame:
    """The frame with the columns at these places as whole numbers (Int64 where one is missing), if they fit."""
    for place in places:
        column = frame.iloc[:, place]
        if column.dtype == "float64" and (column.dropna().abs() < _EXACT).all() and (column.dropna() % 1 == 0).all():
            frame.isetitem(place, column.astype("Int64" if column.isna().any() else "int64").array)
    return frame


_EXACT = 2.0**53
"""Up to here a float is every whole number."""


def table(
    rows: Sequence[Sequence[Any]],
    columns: Sequence[str],
    *,
    times: Sequence[str] = (),
    whole: Sequence[str] = (),
    numbers: Sequence[str] = (),
) -> pd.DataFrame:
    """Rows as a frame whose columns have the same types however many rows there are: texts, unless told otherwise."""
    frame = from_rows(rows, columns)
    typed: dict[str, Any] = dict.fromkeys(whole, "Int64") | dict.fromkeys(numbers, "float64")
    texts = [column for column in columns if column not in {*times, *typed}]
    return _times(frame.astype(typed | dict.fromkeys(texts, "string")), *times)


def _states(frame: pd.DataFrame, states: Sequence[str], column: str = "state") -> pd.DataFrame:
    frame[column] = pd.Categorical(frame[column], categories=list(states))
    return frame


def _times(frame: pd.DataFrame, *columns: str) -> pd.DataFrame:
    for column in columns:
        frame[column] = pd.to_datetime(frame[column], utc=True)
    return frame


def nodes_frame(nodes: Iterable[Node]) -> pd.DataFrame:
    """One row a node; ``heartbeat_age`` in seconds, ``load`` the busy share of its slots, ``started`` in UTC."""
    rows = [
        (n.node_id, n.status.value, round(n.heartbeat_age, 1), n.slots, n.busy, n.load, n.python, n.version, n.host,
         n.pid, n.started, " ".join(n.labels))
        for n in nodes
    ]  # fmt: skip
    columns = (
        "node", "state", "heartbeat_age", "slots", "busy", "load", "python", "version", "host", "pid", "started",
        "labels",
    )  # fmt: skip
    return _times(_states(from_rows(rows, columns), _NODE_STATES), "started")


def jobs_frame(jobs: Iterable[JobRow]) -> pd.DataFrame:
    """One row a job: job (id), name, state, user, items, done, failed, created, seconds, strategy."""
    rows = [
        (j.job_execution_id, j.name, j.status.value, j.user, j.items, j.items_done, j.items_failed, j.created,
         round(j.elapsed, 3), j.strategy)
        for j in jobs
    ]  # fmt: skip
    columns = ("job", "name", "state", "user", "items", "done", "failed", "created", "seconds", "strategy")
    return _times(_states(from_rows(rows, columns), _JOB_STATES), "created")


def shares_frame(shares: Iterable[SharedRow]) -> pd.DataFrame:
    """One row a shared value, oldest first: id, user, size (bytes), created (UTC)."""
    rows = [(one.shared_id, one.user, one.size, one.created) for one in shares]
    return table(rows, ("id", "user", "size", "created"), times=["created"]).astype({"size": "int64"})


def partitions_frame(partitions: Iterable[PartitionRow]) -> pd.DataFrame:
    """One row a partition, in order: its state, owner, attempt and how it ended; ``seconds`` is the run time.

    ``progress`` is the fraction that the function reported last, 1.0 when it is COMPLETED.
    """
    rows = [
        (p.index, p.key, p.status.value, p.node, p.attempt, p.items, p.transferable, p.exit_code, p.exit_message or "",
         p.seconds, p.claimed, p.ended, 1.0 if p.status is PartitionStatus.COMPLETED else p.progress)
        for p in partitions
    ]  # fmt: skip
    columns = (
        "partition", "key", "state", "node", "attempt", "items", "transferable", "exit_code", "message", "seconds",
        "claimed", "ended", "progress",
    )  # fmt: skip
    frame = _times(_states(from_rows(rows, columns), _PARTITION_STATES), "claimed", "ended")
    return frame.astype({"seconds": "float64", "progress": "float64"})


def attempts_frame(attempts: Iterable[AttemptRow]) -> pd.DataFrame:
    """One row an attempt, in order: how each ended, and what is known of those that were not the last.

    ``seconds`` is how long it ran, ``peak_memory`` the memory of its process in bytes.
    """
    rows = [
        (a.index, a.key, a.attempt, a.node, a.outcome, a.message, a.seconds, a.peak_memory, a.claimed, a.ended)
        for a in attempts
    ]
    columns = (
        "partition", "key", "attempt", "node", "outcome", "message", "seconds", "peak_memory", "claimed", "ended",
    )  # fmt: skip
    frame = _times(from_rows(rows, columns), "claimed", "ended")
    return frame.astype({"seconds": "float64", "peak_memory": "float64"})


class Timeline(pd.DataFrame):
    """A DataFrame of what happened when, which shows itself in a notebook as a picture over a short table.

    So do parts of it, as long as they have its columns.  ``plot()`` gives the picture; ``plot.line()`` and all the
    others are those of pandas.
    """

    _metadata: ClassVar[list[str]] = ["job_name"]
    job_name = "job"

    @property
    def _constructor(self) -> type[Timeline]:
        return Timeline

    @property
    def plot(self) -> TimelinePlot:
        """Called without a kind: who did what when, as a figure."""
        return TimelinePlot(self)

    def _repr_html_(self) -> str | None:
        with pd.option_context("display.max_rows", min(_SHOWN_MOMENTS, pd.get_option("display.max_rows") or 60)):
            table: str | None = pd.DataFrame(self)._repr_html_()  # type: ignore[operator]  # unknown to the stubs
        if table is None or not len(self) or not _MOMENT_COLUMNS.issubset(self.columns):
            return table
        return _as_image(self.plot()) + table


class TimelinePlot(PlotAccessor):
    """``timeline.plot``: that of pandas, which draws the Gantt chart when it is asked for no kind."""

    def __init__(self, timeline: Timeline) -> None:
        super().__init__(timeline)
        self._timeline = timeline

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """The Gantt chart (``figsize`` in inches); with any other argument, what pandas draws."""
        if args or kwargs.keys() - {"figsize"} or not _MOMENT_COLUMNS.issubset(self._timeline.columns):
            return super().__call__(*args, **kwargs)
        from nbcluster.plots import figures

        return figures.of_story("gantt", _story_of(self._timeline), kwargs.get("figsize"))


_SHOWN_MOMENTS = 8
_MOMENTS = ("time", "phase", "step", "partition", "attempt", "node", "seconds")
_MOMENT_COLUMNS = frozenset(_MOMENTS)
_ENDED = {"COMPLETED": 0, "FAILED": 0, "RETRIED": 1, "CRASHED": 1, "MOVED": 1, "HANDED_BACK": 1}
"""Phases that end an attempt.  Where two tell of the same one, the first here is what became of it."""

_JOB_ENDED = "COMPLETION_DETECTED"


def timeline_frame(moments: Sequence[tuple[Any, ...]], name: str = "job") -> Timeline:
    """One row an event and partition, by time (UTC); ``seconds`` counts from the job's RECEIVED."""
    frame = _times(pd.DataFrame.from_records(list(moments), columns=list(_MOMENTS)), "time")
    timeline = Timeline(frame.astype({"partition": "Int64", "attempt": "Int64", "seconds": "float64"}))
    timeline.job_name = name
    return timeline


def _as_image(picture: Picture) -> str:
    """A picture within HTML, with its words for those who do not see it."""
    width, height = picture.page_size
    data = base64.b64encode(picture.png()).decode("ascii")
    return (
        f'<img src="data:image/png;base64,{data}" width="{width}" height="{height}" '
        f'style="max-width: 100%; height: auto" alt="{html.escape(picture.caption, quote=True)}"/>'
    )


def _story_of(timeline: pd.DataFrame) -> Story:
    """The attempts that a timeline tells of."""
    from nbcluster.plots.runs import Story, columns_of, fate_of

    key = ["step", "partition", "attempt"]
    told = timeline[timeline["partition"].notna() & timeline["attempt"].notna()]
    told = pd.DataFrame(told).assign(step=told["step"].fillna(""))
    claimed = told[told["phase"] == "CLAIMED"].drop_duplicates(key).set_index(key)[["node", "seconds"]]
    begun = told[told["phase"] == "STARTED"].drop_duplicates(key).set_index(key)[["node", "seconds"]]
    ended = told[told["phase"].isin(_ENDED)].copy()
    ended = ended.assign(rank=ended["phase"].map(_ENDED)).sort_values(["rank", "seconds"], kind="stable")
    ended = ended.drop_duplicates(key).set_index(key)[["node", "seconds", "phase"]]
    # A selection may have kept only some of the moments of an attempt: each of them says that there was one.
    index = claimed.index.union(begun.index).union(ended.index)
    claimed, begun, ended = claimed.reindex(index), begun.reindex(index), ended.reindex(index)
    phases = ended["phase"].fillna("RUNNING")
    fates = phases.map({phase: int(fate_of(phase)) for phase in phases.unique()})
    length = float(timeline["seconds"].max())
    found = {
        "step": index.get_level_values(0).to_numpy(),
        "partition": index.get_level_values(1).to_numpy(dtype="int64"),
        "attempt": index.get_level_values(2).to_numpy(dtype="int64"),
        "node": claimed["node"].fillna(begun["node"]).fillna(ended["node"]).fillna("").to_numpy(),
        "claimed": claimed["seconds"].fillna(begun["seconds"]).fillna(ended["seconds"]).to_numpy(),
        "ended": ended["seconds"].to_numpy(),
        "seconds": (ended["seconds"] - begun["seconds"]).to_numpy(),
        "fate": fates.to_numpy(),
        "items": [1] * len(index),
        "final": ended["phase"].isin(["COMPLETED", "FAILED"]).to_numpy(),
    }
    partitions = len(told[["step", "partition"]].drop_duplicates())
    state = _state_of(timeline, found)
    return Story(getattr(timeline, "job_name", "job"), state, length, columns_of(found, (), length), partitions)


def _state_of(timeline: pd.DataFrame, found: dict[str, Any]) -> str:
    """What became of the job, as far as the rows tell."""
    phases = set(timeline["phase"])
    if _JOB_ENDED not in phases and not found["final"].all():
        return "STARTED"
    if "STOP_REQUESTED" in phases:
        return "STOPPED"
    return "FAILED" if "FAILED" in phases else "COMPLETED"


def errors_frame(items: Iterable[Any]) -> pd.DataFrame:
    """One row a failed input: item, partition, node, attempt, error (its type), message, traceback."""
    rows = [
        (i.index, i.partition, i.node, i.attempt, i.error.error_type, i.error.message, i.error.traceback)
        for i in items
        if i.error is not None
    ]
    return from_rows(rows, ("item", "partition", "node", "attempt", "error", "message", "traceback"))


def done_frame(done: dict[str, int]) -> pd.DataFrame:
    """Completed partitions per node."""
    return from_rows(sorted(done.items()), ("node", "done"))
