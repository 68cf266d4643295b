"""When what happened in a job, and how much of its time was not work.  Pure: a history in, rows and seconds out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import NamedTuple

from nbcluster.lifecycle import Phase
from nbcluster.store.history import JobHistory, Run


class Moment(NamedTuple):
    """Something that happened; ``partition`` is the index in the step, ``seconds`` counts from RECEIVED."""

    time: datetime
    phase: str
    step: str | None
    partition: int | None
    attempt: int | None
    node: str | None
    seconds: float


def moments(history: JobHistory) -> list[Moment]:
    """One row for each event and partition, by time.

    STARTED of a partition that may run again elsewhere is not an event of the database's: it
    is taken from when its attempt ended and how long it ran.
    """
    zero = _origin(history)
    if zero is None:
        return []
    found = [*_recorded(history, zero), *_begun(history, zero)]
    return sorted(found, key=lambda moment: moment.time)


def _recorded(history: JobHistory, zero: datetime) -> Iterator[Moment]:
    for event in history.events:
        seconds = (event.time - zero).total_seconds()
        if not event.members:
            yield Moment(event.time, event.phase, event.step, None, None, event.node, seconds)
        for partition, attempt in event.members:
            step, index = history.places.get(partition, (event.step, None))
            yield Moment(event.time, event.phase, step, index, attempt, event.node, seconds)


def _begun(history: JobHistory, zero: datetime) -> Iterator[Moment]:
    marked = {one for event in history.events if event.phase == Phase.STARTED for one in event.members}
    for run in history.runs:
        if (run.partition, run.attempt) not in marked and run.partition in history.places:
            step, index = history.places[run.partition]
            time = _begin(run)
            seconds = (time - zero).total_seconds()
            yield Moment(time, Phase.STARTED.value, step, index, run.attempt, run.node, seconds)


def overhead(history: JobHistory) -> float | None:
    """Seconds from RECEIVED to COMPLETION_DETECTED in which no partition ran; None before the end."""
    began, ended = _origin(history), _when(history, Phase.COMPLETION_DETECTED)
    if began is None or ended is None:
        return None
    busy = _union((max(began, _begin(run)), min(ended, run.ended)) for run in history.runs)
    return max(0.0, (ended - began).total_seconds() - busy)


def _origin(history: JobHistory) -> datetime | None:
    """What seconds are counted from; a resumed execution was not received."""
    return _when(history, Phase.RECEIVED) or _when(history, Phase.RESUMED)


def _when(history: JobHistory, phase: Phase) -> datetime | None:
    return next((event.time for event in history.events if event.phase == phase), None)


def _begin(run: Run) -> datetime:
    return run.ended - timedelta(seconds=run.seconds)


def _union(spans: Iterable[tuple[datetime, datetime]]) -> float:
    """Seconds that lie in at least one of the spans."""
    total, reached = timedelta(), None
    for begin, end in sorted(spans):
        if reached is None or begin > reached:
            reached = begin
        if end > reached:
            total += end - reached
            reached = end
    return total.total_seconds()
