"""Nodes and partitions as they were, from what is recorded of every change.  Pure, but for ``Past``, which reads."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from datetime import time as time_of_day
from typing import TYPE_CHECKING, Any

from nbcluster.config import parse_duration
from nbcluster.errors import ConfigError, InputError
from nbcluster.lifecycle import FINAL, NodeStatus, PartitionStatus, Phase
from nbcluster.records import JobRow, Node, PartitionRow
from nbcluster.store import Store
from nbcluster.store.past import NodeEvent, PartitionEvent

if TYPE_CHECKING:
    import pandas as pd


class Past:
    """Nodes and partitions as they were at ``time``, by the database's clock."""

    def __init__(self, store: Store, time: datetime, find: Callable[[str | int], JobRow]) -> None:
        self._store = store
        self.time = time
        self._find = find

    def __repr__(self) -> str:
        return f"<Past {shown(self.time)} of {self._store.url}>"

    def nodes(self, all: bool = False) -> pd.DataFrame:
        """One row a node that was there, as in ``nc.nodes()``, without ``heartbeat_age``; ``all`` shows kernels too.

        ``busy`` counts the partitions that it held.  Of what ran before nodes told when they came, only their names
        are known, from the first thing that is recorded of them on.
        """
        from nbcluster.frames import nodes_frame

        past = self._store.past
        found = nodes_at(past.node_events(self.time), past.traces(self.time), self._now_known(), past.held(self.time))
        shown_nodes = (node for node in found if all or not _is_kernel(node))
        return nodes_frame(shown_nodes).drop(columns="heartbeat_age")

    def partitions(self, job: str | int) -> pd.DataFrame:
        """One row a partition, with the columns of ``nc.partitions(job)`` but ``progress``.

        By name: the newest execution that there was.  What is PENDING has no node here.  Raises InputError when
        the job was not there yet, UnknownJob when there is none.
        """
        from nbcluster.frames import partitions_frame

        step = self._job(job).step_execution_id
        past = self._store.past
        rows = partitions_at(
            self._store.views.partitions(step),
            past.partition_events(step, self.time),
            past.carried_over(step),
            self.time,
        )
        return partitions_frame(rows).drop(columns="progress")

    def _now_known(self) -> dict[str, Node]:
        return {node.node_id: node for node in self._store.nodes.all()}

    def _job(self, job: str | int) -> JobRow:
        newest = self._find(job)
        if newest.created <= self.time:
            return newest
        earlier = None if str(job).strip().isdecimal() else self._store.views.job_named(newest.name, until=self.time)
        if earlier is None:
            raise InputError(
                f"{newest.name} was not there at {shown(self.time)}: it was submitted at {shown(newest.created)}"
            )
        return earlier


def past_of(store: Store, when: Any, find: Callable[[str | int], JobRow]) -> Past:
    """The past at ``when``.

    Raises InputError for what is no moment, is not yet, or was before all that is recorded.
    """
    now, first = store.past.clock()
    time = moment(when, now)
    if time > now:
        raise InputError(f"as_of: {shown(time)} is not yet, it is {shown(now)}; name a time that has passed")
    if first is None or time < first:
        known = f"the first thing that is recorded is of {shown(first)}" if first else "nothing is recorded yet"
        raise InputError(f"as_of: nothing is known of {shown(time)}; {known}")
    return Past(store, time, find)


def shown(time: datetime) -> str:
    """A time in the zone of this process."""
    return f"{time.astimezone():%Y-%m-%d %H:%M:%S}"


def moment(when: Any, now: datetime) -> datetime:
    """A moment in UTC: a time, a text such as "14:05" (today) or "2026-11-22 14:05", or how long before ``now``.

    Without a zone it is that of this process.
    """
    if isinstance(when, datetime):
        if str(when) == "NaT":
            raise InputError(_NO_MOMENT.format(when="NaT"))
        plain: datetime = when.to_pydatetime() if hasattr(when, "to_pydatetime") else when  # one of pandas means UTC
        return plain.astimezone(UTC)
    if isinstance(when, date):
        return datetime.combine(when, time_of_day()).astimezone(UTC)
    if isinstance(when, timedelta):
        return now - when
    text = str(when).strip()
    try:
        return now - timedelta(seconds=parse_duration(text.removesuffix("ago").rstrip(), "as_of"))
    except (ConfigError, OverflowError):
        pass
    try:
        return datetime.combine(now.astimezone().date(), time_of_day.fromisoformat(text)).astimezone(UTC)
    except ValueError:
        pass
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError):
        raise InputError(_NO_MOMENT.format(when=repr(when)[:60])) from None


_NO_MOMENT = 'as_of: {when} is no time; write for example "14:05", "2026-11-22 14:05", "10m" (ago), or give a datetime'


# --- nodes -----------------------------------------------------------------------------------------


def nodes_at(
    events: Sequence[NodeEvent], traces: Mapping[str, datetime], now: Mapping[str, Node], held: Mapping[str, int]
) -> list[Node]:
    """The nodes that had come and not gone, oldest first.

    ``events`` are those until then; ``traces`` when each was first heard of, ``now`` those that are there today, and
    ``held`` how many partitions each held.
    """
    found: dict[str, Node] = {}
    gone: set[str] = set()
    for event in events:
        if event.phase == Phase.NODE_JOINED:
            found[event.node] = _joined(event)
        elif event.phase in (Phase.NODE_LEFT, Phase.NODE_REMOVED):
            gone.add(event.node)
        elif (status := _STATES.get(event.phase)) is not None:
            node = found.get(event.node) or _unknown(event.node, traces.get(event.node, event.time), now)
            found[event.node] = replace(node, status=status)
    for name, first in traces.items():  # of those that came before this was recorded
        found.setdefault(name, _unknown(name, first, now))
    there = [replace(node, busy=held.get(name, 0)) for name, node in found.items() if name not in gone]
    return sorted(there, key=lambda node: (node.started, node.node_id))


_STATES = {
    Phase.NODE_UNREACHABLE.value: NodeStatus.UNREACHABLE,
    Phase.NODE_RETURNED.value: NodeStatus.ACTIVE,
    Phase.NODE_DRAINING.value: NodeStatus.DRAINING,
}


def _joined(event: NodeEvent) -> Node:
    told = json.loads(event.detail or "{}")
    return Node(
        node_id=event.node, status=NodeStatus(told["state"]), host=told["host"], pid=told["pid"], slots=told["slots"],
        busy=0, python=told["python"], version=told["version"], started=event.time, heartbeat_age=0.0,
        labels=tuple(told["labels"]),
    )  # fmt: skip


def _unknown(name: str, first: datetime, now: Mapping[str, Node]) -> Node:
    """A node that nobody recorded the coming of: as it is today, or by its name only."""
    if name in now:
        return replace(now[name], status=NodeStatus.ACTIVE)
    return Node(
        node_id=name, status=NodeStatus.ACTIVE, host="", pid=0, slots=0, busy=0, python="", version="", started=first,
        heartbeat_age=0.0,
    )  # fmt: skip


def _is_kernel(node: Node) -> bool:
    return not node.slots and (node.python != "" or node.node_id.startswith("kernel-"))


# --- partitions ------------------------------------------------------------------------------------

_ENDS = {Phase.COMPLETED.value, Phase.FAILED.value, Phase.CANCELLED.value}
_GIVES_BACK = {Phase.HANDED_BACK.value, Phase.RETRIED.value, Phase.CRASHED.value, Phase.MOVED.value}


def partitions_at(
    rows: Iterable[PartitionRow], events: Iterable[PartitionEvent], carried_over: set[int], time: datetime
) -> list[PartitionRow]:
    """The partitions as they were: ``rows`` tell how each is today, ``events`` what had happened until ``time``."""
    last: dict[int, tuple[PartitionEvent, int]] = {}
    for event in events:
        if event.phase == Phase.CLAIMED or event.phase in _GIVES_BACK or event.phase in _ENDS:
            last |= {partition: (event, attempt) for partition, attempt in event.members}
    return [_row_at(row, last.get(row.partition_id), row.partition_id in carried_over, time) for row in rows]


def _row_at(row: PartitionRow, last: tuple[PartitionEvent, int] | None, carried: bool, time: datetime) -> PartitionRow:
    ended = row.status in FINAL and (
        carried or (last is not None and last[0].phase in _ENDS) or (row.ended is not None and row.ended <= time)
    )
    if ended:
        return row
    event, attempt = last or (None, 0)
    claimed = event if event is not None and event.phase == Phase.CLAIMED else None
    return replace(
        row,
        status=PartitionStatus.PENDING if claimed is None else PartitionStatus.CLAIMED,
        node=None if claimed is None else claimed.node,
        claimed=None if claimed is None else claimed.time,
        attempt=attempt,
        failed_items=0,
        exit_code=None,
        exit_message=None,
        seconds=None,
        ended=None,
        progress=0.0,
    )
