"""One moment of a job, as the live view shows it: plain rows in, plain values out, nothing unpickled."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from nbcluster.errors import UnknownJob
from nbcluster.lifecycle import JobStatus, StepKind
from nbcluster.obstacles import obstacles
from nbcluster.records import JobRow, Node, Progress, StepRow
from nbcluster.shown import JobSnapshot, NodeView, NodeWork, Standing, StepPart, StepView, pace, pace_of_all
from nbcluster.snapshots.stepwatch import StepMoment, StepWatch, worth_showing
from nbcluster.store import Store

_TAIL = 2000


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
        self._watches: dict[int, StepWatch] = {}
        self._several_steps: bool | None = None
        self._cached: str | None = None

    def take(self) -> JobSnapshot:
        """Read what the view needs: a handful of statements with small answers, whatever the job's size."""
        with self._lock:
            # The state comes first: of a job that has ended, nothing that is read later can be unfinished.
            standing = self._store.standings.job(self._job.job_execution_id)
            if standing is None:
                raise UnknownJob(f"{self._job.name}: its rows were deleted")
            steps = self._steps()
            main = self._look(self._job.step_execution_id)
            told = _told(steps, self._job)
            return self._snapshot(standing, steps, main, main if told is None else self._look(told.step_execution_id))

    def _look(self, step: int) -> StepMoment:
        return self._watches.setdefault(step, StepWatch(self._store, step)).look()

    def _snapshot(
        self, standing: Standing, steps: Sequence[StepRow], main: StepMoment, told: StepMoment
    ) -> JobSnapshot:
        store, job = self._store, self._job
        progress, nodes = main.progress(standing), store.nodes.observed()
        if self._cached is None:
            self._cached = store.standings.cached(job.job_execution_id)
        works = told.works if not standing.paused else [_resting(work) for work in told.works]
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
            items=progress.items,
            items_done=progress.items_done,
            items_failed=progress.items_failed,
            grid=told.tally.letters,
            nodes=node_views(nodes, works),
            errors=told.errors,
            obstacles=tuple(_obstacles(store, job, progress, nodes, self._silent_after)) if progress.open else (),
            cancelled=progress.cancelled,
            running=told.running,
            paused=standing.paused and not standing.stop_requested,
            steps=step_views(store, steps),
            log_tail="" if told.log is None else told.log[1][-_TAIL:].decode("utf-8", "replace"),
            log_partition=None if told.log is None else told.log[0],
            rate=pace_of_all(works),
            told=_part(steps, self._job, told),
            cached=self._cached,
        )

    def _steps(self) -> list[StepRow]:
        """The steps of a job that has several."""
        if self._several_steps is False:
            return []
        steps = self._store.steps.of_job(self._job.job_execution_id)
        self._several_steps = len(steps) > 1
        return steps if self._several_steps else []


def _told(steps: Sequence[StepRow], job: JobRow) -> StepRow | None:
    """The step that tells most, if it is not the job's main one."""
    main = next((step for step in steps if step.step_execution_id == job.step_execution_id), None)
    found = None if main is None else worth_showing(steps, main)
    return None if found is main else found


def _part(steps: Sequence[StepRow], job: JobRow, moment: StepMoment) -> StepPart | None:
    told = _told(steps, job)
    if told is None:
        return None
    return StepPart(told.name, moment.tally.items, moment.items_done, moment.items_failed)


def _resting(work: NodeWork) -> NodeWork:
    """The work of a node while the job is paused: what it did just now is no pace to tell."""
    return work if work.running else replace(work, recent_partitions=0)


def step_views(store: Store, steps: Sequence[StepRow]) -> tuple[StepView, ...]:
    """The steps of a job; those that run with how far they are."""
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
