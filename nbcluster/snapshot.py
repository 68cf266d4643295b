"""One moment of a job, as the live view shows it: plain rows in, plain values out, nothing unpickled."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from nbcluster.errors import UnknownJob
from nbcluster.ledger import FailedGroup, Ledger
from nbcluster.lifecycle import JobStatus, StepKind
from nbcluster.obstacles import obstacles
from nbcluster.reading import item_errors
from nbcluster.records import JobRow, Node, Progress
from nbcluster.shown import (
    ErrorGroup,
    JobSnapshot,
    NodeView,
    NodeWork,
    Running,
    Standing,
    StepView,
    Tally,
    pace,
    pace_of_all,
)
from nbcluster.store import Store

_GROUPS = 5
_TAIL = 2000
_FEW = 500
"""Partitions that ended since the last look; of more than these, output is looked for among all that there is."""


@dataclass(frozen=True, slots=True)
class Overview:
    """The one-line status of a cluster."""

    url: str
    nodes: int
    slots: int
    running_jobs: int
    waiting_partitions: int
    mine: tuple[tuple[str, int, int], ...] = ()
    """Name, done and all items of this user's running jobs, newest first."""


class Snapshots:
    """Takes snapshots of one job, one after the other; what cannot have changed since the last is not read again."""

    def __init__(self, store: Store, job: JobRow, silent_after: float) -> None:
        self._store = store
        self._job = job
        self._silent_after = silent_after
        self._lock = threading.Lock()
        self._ledger = Ledger()
        self._errors: dict[tuple[str, str, int], ErrorGroup] = {}
        self._log: tuple[int, bytes] | None = None
        self._several_steps: bool | None = None

    def take(self) -> JobSnapshot:
        """Read what the view needs: a handful of statements with small answers, whatever the job's size."""
        with self._lock:
            return self._take()

    def _take(self) -> JobSnapshot:
        store, job = self._store, self._job
        step = job.step_execution_id
        # The state comes first: of a job that has ended, nothing that is read later can be unfinished.
        standing = store.standings.job(job.job_execution_id)
        if standing is None:
            raise UnknownJob(f"{job.name}: its rows were deleted")
        tally = store.standings.tally(step)
        running = store.standings.running(step) if "r" in tally.letters else {}
        works = self._works(step, tally.letters, running)
        progress = progress_of(standing, tally, self._ledger)
        nodes = store.nodes.observed()
        return JobSnapshot(
            job_id=job.job_execution_id,
            name=job.name,
            user=job.user,
            status=standing.status.value,
            stop_requested=standing.stop_requested,
            created=job.created,
            ended=standing.ended,
            elapsed=standing.elapsed,
            strategy=job.strategy,
            transferable=job.transferable,
            python=job.python,
            partitions={
                "PENDING": progress.pending,
                "CLAIMED": progress.claimed,
                "COMPLETED": progress.completed,
                "FAILED": progress.failed,
            },
            items=tally.items,
            items_done=progress.items_done,
            items_failed=progress.items_failed,
            grid=tally.letters,
            nodes=node_views(nodes, works if not standing.paused else [_resting(work) for work in works]),
            errors=tuple(self._error_group(step, group) for group in self._ledger.groups(_GROUPS)),
            obstacles=tuple(_obstacles(store, job, progress, nodes, self._silent_after)) if progress.open else (),
            cancelled=progress.cancelled,
            running=store.history.running(step) if running else (),
            paused=standing.paused and not standing.stop_requested,
            steps=self._steps(),
            log_tail="" if self._log is None else self._log[1][-_TAIL:].decode("utf-8", "replace"),
            log_partition=None if self._log is None else self._log[0],
            rate=pace_of_all(works),
        )

    def _works(self, step: int, letters: str, running: dict[str, Running]) -> list[NodeWork]:
        """What the nodes do, after a look at the partitions that ended since the last one."""
        missing = self._ledger.missing(letters)
        now = time.monotonic()
        if missing:
            self._ledger.enter(letters, self._store.standings.ended(step, missing), now)
            among = missing if len(missing) <= _FEW else None
            self._log = self._store.standings.log_tail(step, among) or self._log
        return self._ledger.works(running, now)

    def _error_group(self, step: int, group: FailedGroup) -> ErrorGroup:
        key = (group.exit_code, group.message, group.first_partition)
        if key not in self._errors:
            self._errors[key] = _explained(group, *self._store.views.failure(step, group.first_partition))
        return replace(self._errors[key], count=group.number)

    def _steps(self) -> tuple[StepView, ...]:
        if self._several_steps is False:
            return ()
        views = step_views(self._store, self._job.job_execution_id)
        self._several_steps = bool(views)
        return views


def _resting(work: NodeWork) -> NodeWork:
    """The work of a node while the job is paused: what it did just now is no pace to tell."""
    return work if work.running else replace(work, recent_partitions=0)


def progress_of(standing: Standing, tally: Tally, ledger: Ledger) -> Progress:
    """How far the job is."""
    number = tally.letters.count
    return Progress(
        status=standing.status,
        stop_requested=standing.stop_requested,
        pending=number("."),
        claimed=number("r"),
        completed=number("c"),
        failed=number("f") + number("s"),
        cancelled=number("s"),
        items=tally.items,
        items_done=ledger.items_done,
        items_failed=ledger.items_failed,
    )


def step_views(store: Store, job_id: int) -> tuple[StepView, ...]:
    """The steps of a job that has several; those that run with how far they are."""
    steps = store.steps.of_job(job_id)
    if len(steps) < 2:
        return ()
    views = []
    for step in steps:
        done = total = running = 0
        if step.status is JobStatus.STARTED:
            seen = store.steps.progress(step.step_execution_id)
            done, total = seen.completed + seen.failed, seen.open + seen.completed + seen.failed
            running = seen.claimed
        views.append(StepView(step.name, step.kind.value, step.status.value, step.not_run, done, total, running))
    return tuple(views)


def node_views(nodes: Sequence[Node], works: Iterable[NodeWork]) -> tuple[NodeView, ...]:
    """Live workers, and those that worked on the job and are gone."""
    by_node = {work.node: work for work in works}
    views = [
        NodeView(
            node_id=node.node_id,
            name=node.name,
            status=node.status.value,
            host=node.host,
            pid=node.pid,
            slots=node.slots,
            busy=node.busy,
            load=node.load,
            heartbeat_age=node.heartbeat_age,
            python=node.python,
            version=node.version,
            done=by_node[node.node_id].completed if node.node_id in by_node else 0,
            rate=pace(by_node[node.node_id]) if node.node_id in by_node else None,
        )
        for node in nodes
        if node.slots
    ]
    known = {view.node_id for view in views}
    views += [
        NodeView(gone, gone.rsplit("-", 1)[0], "GONE", "", 0, 0, 0, 0.0, float("nan"), "", "", work.completed)
        for gone, work in sorted(by_node.items())
        if gone not in known and work.completed
    ]
    return tuple(views)


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


def _obstacles(store: Store, job: JobRow, progress: Progress, nodes: Sequence[Node], silent_after: float) -> list[str]:
    """Why nothing moves, for every step that waits for a node."""
    started = [
        step
        for step in store.jobs.started_steps()
        if step.job_execution_id == job.job_execution_id and step.kind is not StepKind.LOCAL
    ]
    needs = dict.fromkeys((step.python, step.require) for step in started) or {(job.python, ()): None}
    found = [
        sentence
        for python, require in needs
        for sentence in obstacles(progress, nodes, python, store.url, silent_after, require)
    ]
    return list(dict.fromkeys(found))
