"""One moment of a job, as the live view shows it: plain rows in, plain values out, nothing unpickled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from nbcluster.lifecycle import JobStatus, StepKind
from nbcluster.obstacles import obstacles
from nbcluster.reading import item_errors
from nbcluster.records import JobRow, Node, Progress
from nbcluster.shown import ErrorGroup, JobSnapshot, NodeView, StepView
from nbcluster.store import Store

_GROUPS = 5
_TAIL = 2000


@dataclass(frozen=True, slots=True)
class Overview:
    """The one-line status of a cluster."""

    url: str
    nodes: int
    slots: int
    running_jobs: int
    waiting_partitions: int


def take_snapshot(store: Store, job: JobRow, silent_after: float) -> JobSnapshot:
    """Read what the view needs: a handful of small statements, whatever the job's size."""
    step = job.step_execution_id
    progress = store.views.progress(job.job_execution_id, step)
    nodes = store.nodes.observed()
    grid, cell = store.views.grid(step, job.partitions)
    fresh = store.views.job(job.job_execution_id) or job
    return JobSnapshot(
        job_id=job.job_execution_id,
        name=job.name,
        user=job.user,
        status=progress.status.value,
        stop_requested=progress.stop_requested,
        created=fresh.created,
        ended=fresh.ended,
        elapsed=fresh.elapsed,
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
        grid=grid,
        grid_cell=cell,
        nodes=node_views(nodes, store.views.done_by_node(step)),
        errors=_error_groups(store, step) if progress.failed else (),
        obstacles=tuple(_obstacles(store, job, progress, nodes, silent_after)) if progress.open else (),
        cancelled=progress.cancelled,
        running=store.history.running(step) if progress.claimed else (),
        paused=fresh.paused and not progress.stop_requested,
        steps=step_views(store, job.job_execution_id),
        log_tail=store.views.log_tail(step)[-_TAIL:].decode("utf-8", "replace"),
    )


def step_views(store: Store, job_id: int) -> tuple[StepView, ...]:
    """The steps of a job that has several; those that run with how far they are."""
    steps = store.steps.of_job(job_id)
    if len(steps) < 2:
        return ()
    views = []
    for step in steps:
        done = total = 0
        if step.status is JobStatus.STARTED:
            seen = store.steps.progress(step.step_execution_id)
            done, total = seen.completed + seen.failed, seen.open + seen.completed + seen.failed
        views.append(StepView(step.name, step.kind.value, step.status.value, step.not_run, done, total))
    return tuple(views)


def node_views(nodes: Sequence[Node], done: dict[str, int]) -> tuple[NodeView, ...]:
    """Live workers, and those that worked on the job and are gone."""
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
            done=done.get(node.node_id, 0),
        )
        for node in nodes
        if node.slots
    ]
    known = {view.node_id for view in views}
    views += [
        NodeView(gone, gone.rsplit("-", 1)[0], "GONE", "", 0, 0, 0, 0.0, float("nan"), "", "", count)
        for gone, count in sorted(done.items())
        if gone not in known
    ]
    return tuple(views)


def _error_groups(store: Store, step: int) -> tuple[ErrorGroup, ...]:
    groups = []
    for group in store.views.failed_groups(step, _GROUPS):
        errors = item_errors(group.errors)
        first = errors[0] if errors else None
        kind, _, message = group.message.partition(": ") if first else (group.exit_code, "", group.message)
        groups.append(
            ErrorGroup(
                error_type=first.error_type if first else kind,
                message=message,
                count=group.number,
                first_partition=group.first_partition,
                first_item=group.items_before + (first.item if first else 0),
                traceback=first.traceback if first else "",
            )
        )
    return tuple(groups)


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
