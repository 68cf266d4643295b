"""From a job's history to a timeline and to the time that was not work."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from nbcluster.frames import timeline_frame
from nbcluster.store.history import Event, JobHistory, Run
from nbcluster.timeline import moments, overhead

ZERO = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return ZERO + timedelta(seconds=seconds)


def event(seconds: float, phase: str, *members: tuple[int, int], **changes: Any) -> Event:
    plain = Event(at(seconds), phase, None, None, members)
    return plain._replace(**changes)


def ran(begin: float, end: float, partition: int = 10, attempt: int = 1) -> Run:
    return Run(partition, attempt, "a-1", at(end), end - begin)


def history(*events: Event, runs: tuple[Run, ...] = (), resumed: bool = False) -> JobHistory:
    """A job from 0 to 10 seconds with two partitions."""
    frame = (event(0, "RESUMED" if resumed else "RECEIVED"), event(10, "COMPLETION_DETECTED"))
    recorded = tuple(sorted((*frame, *events)))
    return JobHistory(recorded, runs, {10: ("map", 0), 11: ("map", 1)})


@pytest.mark.parametrize(
    ("runs", "seconds"),
    [
        ((), 10.0),
        ((ran(1, 9),), 2.0),
        ((ran(1, 5), ran(3, 8)), 3.0),
        ((ran(1, 8), ran(3, 4), ran(2, 8)), 3.0),
        ((ran(5, 6), ran(1, 2)), 8.0),
        ((ran(1, 2), ran(2, 3)), 8.0),
        ((ran(-5, 2), ran(9, 12)), 7.0),
        ((ran(-5, 15),), 0.0),
        ((ran(-5, -1),), 10.0),
    ],
    ids=[
        "nothing ran", "one", "overlapping", "one within another", "in any order", "one after the other",
        "before and after the job", "all the time", "before it only",
    ],
)  # fmt: skip
def test_overhead_is_the_time_in_which_nothing_ran(runs: tuple[Run, ...], seconds: float) -> None:
    assert overhead(history(runs=runs)) == pytest.approx(seconds)


def test_before_its_end_a_job_has_no_overhead_yet() -> None:
    assert overhead(JobHistory((event(0, "RECEIVED"),), (), {})) is None
    assert overhead(JobHistory((), (), {})) is None


def test_a_resumed_job_is_counted_from_there() -> None:
    assert overhead(history(runs=(ran(1, 9),), resumed=True)) == pytest.approx(2.0)
    assert [moment.phase for moment in moments(history(resumed=True))] == ["RESUMED", "COMPLETION_DETECTED"]


def test_an_event_has_a_row_for_each_partition_that_it_tells_of() -> None:
    told = history(event(2, "CLAIMED", (10, 1), (11, 3), step="map", node="a-1"), event(1, "PAUSED"))
    rows = [(m.phase, m.step, m.partition, m.attempt, m.node, m.seconds) for m in moments(told)]
    assert rows == [
        ("RECEIVED", None, None, None, None, 0.0),
        ("PAUSED", None, None, None, None, 1.0),
        ("CLAIMED", "map", 0, 1, "a-1", 2.0),
        ("CLAIMED", "map", 1, 3, "a-1", 2.0),
        ("COMPLETION_DETECTED", None, None, None, None, 10.0),
    ]


def test_when_work_began_is_taken_from_its_end_and_its_length_unless_it_was_recorded() -> None:
    told = history(
        event(1, "STARTED", (10, 1)),
        event(5, "RETRIED", (10, 1)),
        event(8, "COMPLETED", (10, 2)),
        runs=(ran(1.5, 5, 10, 1), ran(6, 8, 10, 2)),
    )
    rows = [(m.phase, m.attempt, m.seconds) for m in moments(told) if m.partition == 0]
    assert rows == [("STARTED", 1, 1.0), ("RETRIED", 1, 5.0), ("STARTED", 2, 6.0), ("COMPLETED", 2, 8.0)]


def test_a_job_without_history_has_an_empty_timeline() -> None:
    frame = timeline_frame(moments(JobHistory((), (), {})))
    assert list(frame.columns) == ["time", "phase", "step", "partition", "attempt", "node", "seconds"]
    assert frame.empty


def test_the_frame_keeps_whole_numbers_whole_and_times_in_utc() -> None:
    frame = timeline_frame(moments(history(event(2, "CLAIMED", (10, 1), step="map", node="a-1"))))
    assert str(frame["partition"].dtype) == str(frame["attempt"].dtype) == "Int64"
    assert frame["partition"].isna().tolist() == [True, False, True]
    assert str(frame["time"].dt.tz) == "UTC"
    assert frame["seconds"].tolist() == [0.0, 2.0, 10.0]
