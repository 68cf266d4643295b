"""One moment of the whole cluster, as its live view shows it: plain rows in, plain values out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from nbcluster.lifecycle import JobStatus, Phase, StepKind
from nbcluster.obstacles import is_alive, somebody_can_run, standing
from nbcluster.records import Node, StepToRun
from nbcluster.store import Store
from nbcluster.store.overviews import Counts, Happening, JobHead

MOST_JOBS = 12
"""Jobs that are counted: the rest is only numbered."""

_MOST_RUNNING = 1000
_ENDED = 5
_HAPPENINGS = 400
_RECENT = 20.0
"""Seconds over which a node's throughput is taken, at most."""

_ENDS = (Phase.COMPLETED, Phase.FAILED)


@dataclass(frozen=True, slots=True)
class JobLine:
    """A job among others; ``reasons`` say why nothing of it moves."""

    job_id: int
    name: str
    user: str
    status: str
    paused: bool
    stopping: bool
    items: int
    done: int
    failed: int
    running: int
    waiting: int
    elapsed: float
    reasons: tuple[str, ...] = ()

    @property
    def ended(self) -> bool:
        """Whether its state is final."""
        return self.status != JobStatus.STARTED


@dataclass(frozen=True, slots=True)
class ClusterSnapshot:
    """Everything that the view of a cluster shows, at one moment of the database's clock."""

    url: str
    silent_after: float
    nodes: tuple[Node, ...]
    """Those with slots."""
    throughput: Mapping[str, float]
    """Partitions that each node ended in a second, lately."""
    jobs: tuple[JobLine, ...]
    """Those that run first, then some that ended last."""
    running_jobs: int
    waiting_partitions: int
    happenings: tuple[Happening, ...]

    @property
    def alive(self) -> tuple[Node, ...]:
        """The nodes that take work."""
        return tuple(node for node in self.nodes if is_alive(node, self.silent_after))


def take_cluster_snapshot(store: Store, silent_after: float) -> ClusterSnapshot:
    """Read it: a handful of statements, whatever there is."""
    look = store.overviews
    nodes = [node for node in store.nodes.observed() if node.slots]
    claimed, pending = look.claimed(), look.pending()
    heads = most_telling(look.running(_MOST_RUNNING), claimed, pending)
    heads += look.ended(min(_ENDED, MOST_JOBS - len(heads))) if len(heads) < MOST_JOBS else []
    happenings = look.happenings(_HAPPENINGS)
    reasons = _reasons(store, nodes, pending, silent_after) if pending else {}
    counts = look.counts([head.step_id for head in heads])
    return ClusterSnapshot(
        url=store.url,
        silent_after=silent_after,
        nodes=tuple(nodes),
        throughput=throughput(happenings),
        jobs=tuple(
            _line(
                head,
                counts.get(head.step_id, Counts(0, 0, 0)),
                claimed.get(head.job_id, 0),
                pending.get(head.job_id, 0),
                reasons.get(head.job_id, ()),
            )
            for head in heads
        ),
        running_jobs=look.running_jobs(),
        waiting_partitions=sum(pending.values()),
        happenings=tuple(happenings),
    )


def most_telling(heads: Sequence[JobHead], claimed: Mapping[int, int], pending: Mapping[int, int]) -> list[JobHead]:
    """A window of running jobs: those that nodes work on first, then those that wait; of equals the newest."""
    ranked = sorted(heads, key=lambda head: (head.job_id not in claimed, head.job_id not in pending, -head.job_id))
    return ranked[:MOST_JOBS]


def throughput(happenings: Sequence[Happening]) -> dict[str, float]:
    """Partitions that each node ended in a second: from the first of its recent ends until now."""
    ended: dict[str, list[Happening]] = {}
    for one in happenings:
        if one.phase in _ENDS and one.node is not None and one.age <= _RECENT:
            ended.setdefault(one.node, []).append(one)
    # What ended first began before it: of a single end nobody can tell how long it took.
    return {
        node: sum(one.partitions for one in ends)
        / (_RECENT if len(ends) == 1 else max(1.0, *(one.age for one in ends)))
        for node, ends in ended.items()
    }


def held_up(store: Store, silent_after: float) -> list[tuple[JobHead, int, tuple[str, ...]]]:
    """Running jobs of which nothing moves: each with its waiting partitions and the reasons."""
    claimed, pending = store.overviews.claimed(), store.overviews.pending()
    if not pending:
        return []
    nodes = [node for node in store.nodes.all() if node.slots]
    reasons = _reasons(store, nodes, pending, silent_after)
    return [
        (head, pending[head.job_id], reasons.get(head.job_id, ()))
        for head in store.overviews.running(_MOST_RUNNING)
        if head.job_id in pending and (head.paused or (head.job_id not in claimed and reasons.get(head.job_id)))
    ]


def _line(head: JobHead, counts: Counts, running: int, waiting: int, reasons: tuple[str, ...]) -> JobLine:
    return JobLine(
        job_id=head.job_id,
        name=head.name,
        user=head.user,
        status=head.status,
        paused=head.paused,
        stopping=head.stopping,
        items=counts.items,
        done=counts.done,
        failed=counts.failed,
        running=running,
        waiting=waiting,
        elapsed=head.elapsed,
        reasons=() if running else reasons,
    )


def _reasons(
    store: Store, nodes: Sequence[Node], pending: Mapping[int, int], silent_after: float
) -> dict[int, tuple[str, ...]]:
    """Why the waiting partitions of each job do not move."""
    return reasons_of(store.jobs.started_steps(), nodes, pending, store.url, silent_after)


def reasons_of(
    steps: Sequence[StepToRun], nodes: Sequence[Node], pending: Mapping[int, int], url: str, silent_after: float
) -> dict[int, tuple[str, ...]]:
    """Why jobs wait for more than their turn; many jobs need the same, which is looked at once."""
    total = sum(pending.values())
    known: dict[tuple[str, tuple[str, ...]], tuple[str, ...]] = {}
    found: dict[int, tuple[str, ...]] = {}
    for step in steps:
        if step.kind is StepKind.LOCAL or step.job_execution_id not in pending:
            continue
        need = (step.python, step.require)
        if need not in known:
            turn = somebody_can_run(nodes, step.python, silent_after, step.require)
            known[need] = () if turn else standing(total, nodes, step.python, url, silent_after, step.require)
        found[step.job_execution_id] = tuple(dict.fromkeys((*found.get(step.job_execution_id, ()), *known[need])))
    return found
