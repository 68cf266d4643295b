"""What the live view of a whole cluster says: a snapshot in, plain content out.  Pure.

What changes every second although nothing happens (the age of a heartbeat that came in time) is told in
words that stay, so that a view of a cluster at rest sends nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from nbcluster.diagnosing.diagnosis import listed
from nbcluster.lifecycle import NodeStatus, Phase
from nbcluster.notebook.wording import about, ago, clean, count, rate
from nbcluster.records import Node
from nbcluster.snapshots.cluster import ClusterSnapshot, JobLine
from nbcluster.store.overviews import Happening

MOST_NODES = 15
MOST_HAPPENINGS = 6

NODE_COLUMNS = ("node", "state", "heartbeat", "busy", "load", "throughput", "version", "python", "labels")
JOB_COLUMNS = ("job", "by", "state", "done", "rate", "left", "")


@dataclass(frozen=True, slots=True)
class NodeRow:
    """A node: its ``letter`` is a state's colour, ``cells`` fit NODE_COLUMNS."""

    letter: str
    cells: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class JobRow:
    """A job: ``share`` (0 to 1) is done well, ``failed`` is not; ``note`` says why it does not move, or what failed."""

    name: str
    user: str
    letter: str
    word: str
    share: float
    failed: float
    done: str
    rate: str
    left: str
    note: str


@dataclass(frozen=True, slots=True)
class ClusterView:
    """Everything that is shown of a cluster, in words and numbers ready to be drawn."""

    url: str
    word: str
    letter: str
    sentence: str
    notes: tuple[str, ...]
    nodes: tuple[NodeRow, ...]
    more_nodes: str
    jobs: tuple[JobRow, ...]
    more_jobs: str
    happenings: tuple[str, ...]
    at: str = field(default="", compare=False)
    """When it was seen, by the reader's clock; told when the view has ended."""
    closed: bool = False

    @property
    def headline(self) -> str:
        """One line that says it all."""
        return f"cluster: {self.word}, {self.sentence}"


def view_of(snapshot: ClusterSnapshot) -> ClusterView:
    """The content of the view at the moment of the snapshot."""
    shown, more_nodes = _window(snapshot)
    word, letter = _word(snapshot)
    return ClusterView(
        url=clean(snapshot.url),
        word=word,
        letter=letter,
        sentence=_sentence(snapshot),
        notes=tuple(_notes(snapshot)),
        nodes=tuple(_node_row(node, snapshot) for node in shown),
        more_nodes=more_nodes,
        jobs=tuple(_job_row(job, alive=bool(snapshot.alive)) for job in snapshot.jobs),
        more_jobs=_more_jobs(snapshot),
        happenings=tuple(_told(snapshot.happenings)),
    )


def noted(view: ClusterView, sentence: str) -> ClusterView:
    """The same with a sentence above the tables."""
    return replace(view, notes=(sentence,))


def text(view: ClusterView) -> str:
    """The view for a terminal."""
    said = [view.headline, *(f"! {note}" for note in view.notes)]
    if view.nodes:
        said += ["", *_table(NODE_COLUMNS, [row.cells for row in view.nodes])]
    said += [view.more_nodes] if view.more_nodes else []
    if view.jobs:
        rows = [(job.name, job.user, job.word, job.done, job.rate, job.left, job.note) for job in view.jobs]
        said += ["", *_table(JOB_COLUMNS, rows)]
    said += [view.more_jobs] if view.more_jobs else []
    if view.happenings:
        said += ["", *view.happenings]
    return "\n".join(said)


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    listed = [columns, *rows]
    widths = [max(len(row[place]) for row in listed) for place in range(len(columns))]
    kept = [place for place, width in enumerate(widths) if width and any(row[place] for row in rows)]
    return ["  ".join(row[place].ljust(widths[place]) for place in kept).rstrip() for row in listed]


# --- the headline --------------------------------------------------------------------------------


def _word(snapshot: ClusterSnapshot) -> tuple[str, str]:
    if not snapshot.alive:
        return "no node", "f"
    if any(node.busy for node in snapshot.nodes):
        return "working", "r"
    return ("waiting", "s") if snapshot.waiting_partitions else ("idle", ".")


def _sentence(snapshot: ClusterSnapshot) -> str:
    alive = snapshot.alive
    slots, busy = sum(node.slots for node in alive), sum(node.busy for node in alive)
    nodes = f"{count(len(alive), 'node')} alive, {busy:,} of {count(slots, 'slot')} busy" if alive else "no node alive"
    waiting = f", {count(snapshot.waiting_partitions, 'partition')} waiting" if snapshot.waiting_partitions else ""
    return f"{nodes}; {count(snapshot.running_jobs, 'job')} running{waiting}"


def _notes(snapshot: ClusterSnapshot) -> list[str]:
    """What somebody should do something about."""
    said = []
    lost = [node for node in snapshot.nodes if _is_silent(node, snapshot)]
    if lost:
        named = clean(listed([node.node_id for node in lost], 3), 400)
        said.append(f"{count(len(lost), 'node')} silent: {named}. Others do the work; %nbcluster doctor tells more")
    if not snapshot.alive:
        elsewhere = f"or on any machine: nbcluster-node --url '{snapshot.url}'"
        said.append(f"No node is alive. Start some here: %nbcluster up 2, {elsewhere}")
    return said


# --- nodes ---------------------------------------------------------------------------------------


def _is_silent(node: Node, snapshot: ClusterSnapshot) -> bool:
    return node.status is NodeStatus.UNREACHABLE or node.heartbeat_age > snapshot.silent_after


def _window(snapshot: ClusterSnapshot) -> tuple[list[Node], str]:
    """The nodes one wants to see: the silent, then those that leave, then the busiest; and who is left out."""
    ranked = sorted(
        snapshot.nodes,
        key=lambda node: (
            not _is_silent(node, snapshot),
            node.status is NodeStatus.ACTIVE,
            -snapshot.throughput.get(node.node_id, 0.0),
            -node.busy,
            node.node_id,
        ),
    )
    shown = {node.node_id for node in ranked[:MOST_NODES]}
    rest = [node for node in snapshot.nodes if node.node_id not in shown]
    said = ""
    if rest:
        busy, slots = sum(node.busy for node in rest), sum(node.slots for node in rest)
        said = f"and {count(len(rest), 'more node')}, {busy:,} of {count(slots, 'slot')} busy"
    return sorted((node for node in snapshot.nodes if node.node_id in shown), key=lambda n: n.node_id), said


def _node_row(node: Node, snapshot: ClusterSnapshot) -> NodeRow:
    throughput = snapshot.throughput.get(node.node_id, 0.0)
    if _is_silent(node, snapshot):
        letter, state = "f", "silent"
    elif node.status is NodeStatus.DRAINING:
        letter, state = "s", "draining"
    else:
        letter, state = ("r", "working") if node.busy else (".", "idle")
    return NodeRow(
        letter,
        (
            clean(node.node_id, 60),
            state,
            ago(node.heartbeat_age),
            f"{node.busy} of {node.slots}",
            f"{node.load:.0%}",
            rate(throughput) if throughput else "",
            clean(node.version, 20),
            clean(node.python, 12),
            clean(" ".join(node.labels), 60),
        ),
    )


# --- jobs ----------------------------------------------------------------------------------------


def _job_row(job: JobLine, *, alive: bool) -> JobRow:
    word, letter = _job_word(job)
    moving = word == "running" and job.done and job.elapsed
    speed = job.done / job.elapsed if moving else 0.0
    return JobRow(
        name=clean(job.name, 60),
        user=clean(job.user, 30),
        letter=letter,
        word=word,
        share=(job.done - job.failed) / job.items if job.items else 1.0,
        failed=job.failed / job.items if job.items else 0.0,
        done=f"{job.done:,} of {job.items:,}",
        rate=rate(speed) if speed else "",
        left=about((job.items - job.done) / speed) if speed and job.done < job.items else "",
        note=_note(job, word, alive),
    )


def _job_word(job: JobLine) -> tuple[str, str]:
    if job.ended:
        return job.status.lower(), {"COMPLETED": "c", "FAILED": "f"}.get(job.status, "s")
    if job.stopping:
        return "stopping", "s"
    if job.paused:
        return "paused", "s"
    # Neither runs nor waits what is about to be ended, or to begin its next step.
    return ("running", "r") if job.running or not job.waiting else ("waiting", ".")


def _note(job: JobLine, word: str, alive: bool) -> str:
    said = [f"{count(job.failed, 'item')} failed"] if job.failed else []
    if word == "waiting" and not alive:
        said.append("for a node")
    elif word == "waiting":
        said += [clean(reason, 200) for reason in job.reasons] or ["its turn comes when a slot is free"]
    elif word == "paused":
        said.append(f"%nbcluster resume {job.job_id}")
    return "; ".join(said)


def _more_jobs(snapshot: ClusterSnapshot) -> str:
    more = snapshot.running_jobs - sum(not job.ended for job in snapshot.jobs)
    return f"and {count(more, 'more running job')}" if more > 0 else ""


# --- what happened -------------------------------------------------------------------------------

_TELLING = {
    Phase.RECEIVED: "submitted",
    Phase.RESUMED: "goes on",
    Phase.COMPLETION_DETECTED: "has ended",
    Phase.TAKEN_OVER: "has a new master",
    Phase.STOP_REQUESTED: "is being stopped",
    Phase.PAUSED: "is paused",
    Phase.UNPAUSED: "is not paused any more",
    Phase.FAILED: "failed",
    Phase.CRASHED: "crashed its process",
    Phase.MOVED: "moved to others",
    Phase.REFUSED: "refused",
    Phase.NODE_UNREACHABLE: "is lost",
    Phase.NODE_REMOVED: "is removed",
    Phase.NODE_LEFT: "has left",
}
"""What the view tells of; everything else happens too often."""


def _told(happenings: Sequence[Happening]) -> list[str]:
    telling = [one for one in happenings if one.phase in _TELLING and _is_of_a_node_or_job(one)]
    return [_sentence_of(one) for one in telling[:MOST_HAPPENINGS]]


def _is_of_a_node_or_job(one: Happening) -> bool:
    """Kernels come and go with every script: what is told of them says nothing."""
    return not (one.job is None and (one.node or "").startswith("kernel-"))


def _sentence_of(one: Happening) -> str:
    what = _TELLING[Phase(one.phase)]
    subject = clean(one.job, 60) if one.job else clean(one.node or "", 60)
    parts = f": {count(one.partitions, 'partition')}" if one.partitions else ""
    where = f" on {clean(one.node, 60)}" if one.job and one.node and one.partitions else ""
    why = f" ({clean(one.detail, 120)})" if one.detail else ""
    verb = f"{parts} {what}" if parts else f" {what}"
    return f"{one.time.astimezone():%H:%M:%S} {subject}{verb}{where}{why}"
