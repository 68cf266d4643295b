"""A moment is read as people write it, and nodes and partitions are put together as they were then."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import pandas as pd
import pytest

from nbcluster.errors import InputError
from nbcluster.lifecycle import NodeStatus, PartitionStatus
from nbcluster.past import moment, nodes_at, partitions_at
from nbcluster.records import Node, PartitionRow
from nbcluster.store.past import NodeEvent, PartitionEvent

NOW = datetime(2026, 11, 22, 14, 0, tzinfo=UTC)


def at(minute: int) -> datetime:
    return NOW - timedelta(minutes=60 - minute)


@pytest.fixture
def berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """This process lives in a zone that is an hour ahead of UTC."""
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("berlin")
@pytest.mark.parametrize(
    ("when", "utc"),
    [
        ("14:05", "2026-11-22 13:05"),
        ("14:05:30", "2026-11-22 13:05:30"),
        ("2026-11-21 14:05", "2026-11-21 13:05"),
        ("2026-07-01T14:05", "2026-07-01 12:05"),
        ("2026-11-21 14:05+00:00", "2026-11-21 14:05"),
        ("2026-11-21", "2026-11-20 23:00"),
        ("10m", "2026-11-22 13:50"),
        ("1h30m ago", "2026-11-22 12:30"),
        (90, "2026-11-22 13:58:30"),
        (timedelta(hours=1), "2026-11-22 13:00"),
        (date(2026, 11, 21), "2026-11-20 23:00"),
        (datetime(2026, 11, 21, 14, 5), "2026-11-21 13:05"),  # noqa: DTZ001
        (datetime(2026, 11, 21, 14, 5, tzinfo=timezone(timedelta(hours=2))), "2026-11-21 12:05"),
        (pd.Timestamp("2026-11-21 14:05"), "2026-11-21 13:05"),
        (pd.Timestamp("2026-11-21 14:05", tz="UTC"), "2026-11-21 14:05"),
    ],
)
def test_a_moment_may_be_written_in_many_ways(when: Any, utc: str) -> None:
    assert moment(when, NOW) == datetime.fromisoformat(utc).replace(tzinfo=UTC)


@pytest.mark.parametrize("when", ["yesterday", "", "25:61", None, pd.NaT, "-5m", [], "2026-13-01", "9" * 30])
def test_what_is_no_moment_is_refused_in_one_sentence(when: Any) -> None:
    with pytest.raises(
        InputError, match=r'^as_of: .* is no time; write for example "14:05", "2026-11-22 14:05"'
    ) as refused:
        moment(when, NOW)
    assert "\n" not in str(refused.value)


# --- nodes -----------------------------------------------------------------------------------------


def joined(minute: int, node: str, **told: Any) -> NodeEvent:
    about = {
        "state": "ACTIVE", "slots": 2, "host": "lab", "pid": 7, "python": "3.11", "version": "1", "labels": ["gpu"],
    }  # fmt: skip
    return NodeEvent(at(minute), "NODE_JOINED", node, json.dumps(about | told))


def happened(minute: int, phase: str, node: str) -> NodeEvent:
    return NodeEvent(at(minute), phase, node, None)


def test_nodes_are_there_from_their_coming_to_their_going() -> None:
    events = [
        joined(1, "a-1", slots=4), joined(2, "b-1"), joined(3, "c-1", state="DRAINING"), joined(4, "d-1"),
        happened(5, "NODE_UNREACHABLE", "b-1"), happened(6, "NODE_UNREACHABLE", "d-1"),
        happened(7, "NODE_RETURNED", "d-1"), happened(8, "NODE_DRAINING", "a-1"), happened(9, "NODE_REMOVED", "b-1"),
    ]  # fmt: skip

    def states(until: int) -> dict[str, str]:
        known = [event for event in events if event.time <= at(until)]
        traces = {event.node: event.time for event in reversed(known)}
        return {node.node_id: node.status.value for node in nodes_at(known, traces, {}, {})}

    assert states(2) == {"a-1": "ACTIVE", "b-1": "ACTIVE"}
    assert states(6) == {"a-1": "ACTIVE", "b-1": "UNREACHABLE", "c-1": "DRAINING", "d-1": "UNREACHABLE"}
    assert states(9) == {"a-1": "DRAINING", "c-1": "DRAINING", "d-1": "ACTIVE"}
    (first, *_) = nodes_at(events, {}, {}, {"a-1": 3})
    assert (first.slots, first.busy, first.labels, first.started) == (4, 3, ("gpu",), at(1))


def test_a_node_of_which_no_coming_is_recorded_is_there_from_its_first_trace_on() -> None:
    today = Node("a-1", NodeStatus.DRAINING, "lab", 7, 3, 0, "3.11", "1", at(1), 0.5)
    traces = {"a-1": at(1), "old-1": at(2), "left-1": at(3)}
    events = [happened(4, "NODE_UNREACHABLE", "old-1"), happened(5, "NODE_LEFT", "left-1")]
    found = nodes_at(events, traces, {"a-1": today}, {})
    assert [(node.node_id, node.status.value, node.slots) for node in found] == [
        ("a-1", "ACTIVE", 3), ("old-1", "UNREACHABLE", 0),
    ]  # fmt: skip


# --- partitions ------------------------------------------------------------------------------------


def today(index: int, status: str = "COMPLETED", **more: Any) -> PartitionRow:
    given = {
        "partition_id": 100 + index, "index": index, "key": f"{index}", "status": PartitionStatus(status),
        "node": "b-1", "attempt": 2, "items": 5, "failed_items": 1, "transferable": True, "exit_code": status,
        "exit_message": "x", "seconds": 1.0, "claimed": at(30), "ended": at(40), "progress": 1.0,
        "progress_message": "",
    }  # fmt: skip
    return PartitionRow(**(given | more))


def test_partitions_are_what_the_last_event_made_of_them() -> None:
    events = [
        PartitionEvent(at(10), "CLAIMED", "a-1", ((100, 1), (101, 1))),
        PartitionEvent(at(11), "STARTED", "a-1", ((100, 1),)),
        PartitionEvent(at(12), "COMPLETED", "a-1", ((100, 1),)),
        PartitionEvent(at(20), "MOVED", "a-1", ((101, 1),)),
        PartitionEvent(at(30), "CLAIMED", "b-1", ((101, 2),)),
        PartitionEvent(at(40), "COMPLETED", "b-1", ((101, 2),)),
        PartitionEvent(at(41), "FENCED", "a-1", ((101, 1),)),
    ]
    rows = [today(0, node="a-1", attempt=1, ended=at(12)), today(1), today(2, ended=at(50)), today(3, ended=None)]

    def states(until: int) -> list[tuple[str, str | None, int, Any]]:
        known = [event for event in events if event.time <= at(until)]
        found = partitions_at(rows, known, {103}, at(until))
        return [(row.status.value, row.node, row.attempt, row.claimed and row.claimed.minute) for row in found]

    waiting = ("PENDING", None, 0, None)
    carried = ("COMPLETED", "b-1", 2, 30)
    assert states(5) == [waiting, waiting, waiting, carried]
    assert states(11) == [("CLAIMED", "a-1", 1, 10), ("CLAIMED", "a-1", 1, 10), waiting, carried]
    assert states(20) == [("COMPLETED", "a-1", 1, 30), ("PENDING", None, 1, None), waiting, carried]
    assert states(35)[1] == ("CLAIMED", "b-1", 2, 30)
    assert states(45) == [("COMPLETED", "a-1", 1, 30), carried, waiting, carried]
    assert states(50)[2] == carried


def test_nothing_of_the_end_is_told_before_it() -> None:
    (row,) = partitions_at([today(0, "FAILED")], [PartitionEvent(at(10), "CLAIMED", "a-1", ((100, 2),))], set(), at(20))
    assert (row.exit_code, row.exit_message, row.seconds, row.ended, row.failed_items) == (None, None, None, None, 0)
