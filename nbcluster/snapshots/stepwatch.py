"""Looking at one step again and again: what cannot have changed since the last look is not read again."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from nbcluster.lifecycle import JobStatus
from nbcluster.reading import item_errors
from nbcluster.records import Progress, StepRow
from nbcluster.shown import ErrorGroup, NodeWork, RunningView, Standing, Tally
from nbcluster.snapshots.ledger import FailedGroup, Ledger
from nbcluster.store import Store

_GROUPS = 5
_FEW = 500
"""Partitions that ended since the last look; of more than these, output is looked for among all that there is."""


@dataclass(frozen=True, slots=True)
class StepMoment:
    """A step at one moment; ``log`` is the partition that printed last, and what."""

    tally: Tally
    items_done: int
    items_failed: int
    works: tuple[NodeWork, ...]
    errors: tuple[ErrorGroup, ...]
    running: tuple[RunningView, ...]
    log: tuple[int, bytes] | None

    def progress(self, standing: Standing) -> Progress:
        """How far it is, in a job that stands so."""
        number = self.tally.letters.count
        return Progress(
            status=standing.status,
            stop_requested=standing.stop_requested,
            pending=number("."),
            claimed=number("r"),
            completed=number("c"),
            failed=number("f") + number("s"),
            cancelled=number("s"),
            items=self.tally.items,
            items_done=self.items_done,
            items_failed=self.items_failed,
        )


class StepWatch:
    """Looks at one step; not for several threads at once."""

    def __init__(self, store: Store, step: int) -> None:
        self._store = store
        self._step = step
        self._ledger = Ledger()
        self._errors: dict[tuple[str, str, int], ErrorGroup] = {}
        self._log: tuple[int, bytes] | None = None

    def look(self) -> StepMoment:
        """Read what is new: a handful of statements with small answers, whatever the step's size."""
        standings, step = self._store.standings, self._step
        tally = standings.tally(step)
        running = standings.running(step) if "r" in tally.letters else {}
        now = time.monotonic()
        missing = self._ledger.missing(tally.letters)
        if missing:
            self._ledger.enter(tally.letters, standings.ended(step, missing), now)
            self._log = standings.log_tail(step, missing if len(missing) <= _FEW else None) or self._log
        return StepMoment(
            tally=tally,
            items_done=self._ledger.items_done,
            items_failed=self._ledger.items_failed,
            works=tuple(self._ledger.works(running, now)),
            errors=tuple(self._error_group(group) for group in self._ledger.groups(_GROUPS)),
            running=self._store.history.running(step) if running else (),
            log=self._log,
        )

    def _error_group(self, group: FailedGroup) -> ErrorGroup:
        key = (group.exit_code, group.message, group.first_partition)
        if key not in self._errors:
            self._errors[key] = _explained(group, *self._store.views.failure(self._step, group.first_partition))
        return replace(self._errors[key], count=group.number)


def _explained(group: FailedGroup, items_before: int, texts: str) -> ErrorGroup:
    errors = item_errors(texts)
    first = errors[0] if errors else None
    kind, _, message = group.message.partition(": ") if first else (group.exit_code, "", group.message)
    return ErrorGroup(
        error_type=first.error_type if first else kind,
        message=message,
        count=group.number,
        first_partition=group.first_partition,
        first_item=items_before + (first.item if first else 0),
        traceback=first.traceback if first else "",
    )


def worth_showing(steps: Sequence[StepRow], main: StepRow) -> StepRow:
    """The step whose partitions tell most of a job: its main one, unless an earlier one runs or brought it down."""
    begun = main.status is not JobStatus.CREATED and not main.not_run
    if begun:
        return main
    failed = [step for step in steps if step.failed]
    running = [step for step in steps if step.status is JobStatus.STARTED]
    return (failed or running[-1:] or [main])[0]
