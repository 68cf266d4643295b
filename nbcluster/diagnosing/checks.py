"""Examining a cluster: from gathered facts to findings, each with its cure.  Pure.

What is gathered, and how, is in ``examining.py``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from nbcluster.diagnosing import differences
from nbcluster.diagnosing.diagnosis import Diagnosis, Finding, Result, listed
from nbcluster.diagnosing.differences import ThisProcess
from nbcluster.environment import Environment
from nbcluster.errors import DatabaseUnreachable, LoginRefused, NBClusterError
from nbcluster.lifecycle import NodeStatus
from nbcluster.obstacles import is_alive
from nbcluster.records import Checkup, Node

CLOCK_TOLERANCE = 2.0
"""Seconds by which clocks may differ without a word."""

SLOW = 0.1
"""Seconds of one round trip from which small partitions pay for it."""

_NAMED = 6
_JOBS = 5


@dataclass(frozen=True, slots=True)
class HeldUp:
    """A running job of which nothing moves."""

    name: str
    job_id: int
    user: str
    waiting: int
    paused: bool
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Facts:
    """What was gathered.  ``magic`` is how commands are typed here: ``%nbcluster``, or ``nbcluster`` and ``given``."""

    url: str
    origin: str
    embedded: bool
    checkup: Checkup
    schema_version: int
    key: str
    nodes: tuple[Node, ...]
    silent_after: float
    python: str
    version: str
    here: ThisProcess
    environments: Mapping[str, Environment] = field(default_factory=dict)
    running_jobs: int = 0
    held_up: tuple[HeldUp, ...] = ()
    magic: str = "%nbcluster"
    given: str = ""


def diagnose(facts: Facts) -> Diagnosis:
    """Every check, in the order in which one thing rests on another."""
    workers = [node for node in facts.nodes if node.slots]
    alive = [node for node in workers if is_alive(node, facts.silent_after)]
    return Diagnosis(
        [
            _database(facts),
            _round_trip(facts.checkup.round_trip),
            _clock(facts.checkup.clock_ahead, facts.checkup.round_trip),
            _rights(facts.checkup),
            Finding("tables", Result.OK, f"schema version {facts.schema_version}, the one that this nbcluster uses"),
            _key(facts),
            *_nodes(facts, workers, alive),
            *_pythons(facts, alive),
            *_versions(facts, alive),
            *differences.findings(alive, facts.here, facts.environments),
            *_jobs(facts, alive),
        ]
    )


def not_connected(error: NBClusterError) -> Diagnosis:
    """The one finding when the database cannot be used; its exit code is that of the error."""
    said = str(error)
    # Sentences of ours say what is wrong, then after a semicolon what to do.
    seen, _, cure = said.rpartition("; ") if "; " in said else said.partition(": ")
    command = ""
    if isinstance(error, LoginRefused):
        cure, command = f"{cure}; then try it", f"psql '{_for_psql(said)}' -c 'SELECT 1'"
    elif isinstance(error, DatabaseUnreachable) and "server" in cure:
        cure = "see whether the server runs, and whether it can be reached from this machine"
        command = f"pg_isready -d '{_for_psql(said)}'"
    elif cure.startswith(("run: ", "stop what runs on it, then run: ")):
        cure, _, command = cure.partition(": ")
        cure = "" if cure == "run" else cure
    code = error.exit_code if error.exit_code in (3, 4) else 1
    return Diagnosis([Finding("database", Result.PROBLEM, seen, cure, command)], code)


def _for_psql(said: str) -> str:
    """The URL with which a sentence begins, as PostgreSQL's own programs take it: without driver and password."""
    url = said.split(maxsplit=1)[0].replace("+psycopg", "", 1)
    return url.replace(":***@", "@", 1)


# --- the database --------------------------------------------------------------------------------

_ORIGINS = {
    "given": "as given",
    "default": "your own embedded database, because none is named",
}


def _database(facts: Facts) -> Finding:
    origin = _ORIGINS.get(facts.origin, f"from {facts.origin}")
    return Finding("database", Result.OK, f"{facts.url} ({origin}); {facts.checkup.server}, by {facts.checkup.driver}")


def _round_trip(seconds: float) -> Finding:
    said = f"{seconds * 1000:.1f} ms there and back"
    if seconds < SLOW:
        return Finding("speed", Result.OK, said)
    return Finding(
        "speed", Result.NOTE, f"{said}: each step of a partition pays for it", "make partitions that run for seconds: "
        "fewer and larger ones (--partitions N or --chunk N)"
    )  # fmt: skip


def _clock(ahead: float, round_trip: float) -> Finding:
    if abs(ahead) <= CLOCK_TOLERANCE + round_trip / 2:
        return Finding("clock", Result.OK, "this machine and the database agree on the time")
    side = "behind" if ahead > 0 else "ahead of"
    return Finding(
        "clock",
        Result.NOTE,
        f"this machine's clock is {_seconds(abs(ahead))} {side} the database's; nbcluster goes by the database's "
        "everywhere, so nothing breaks, but times that your own code takes differ",
        "let this machine set its clock",
        "sudo timedatectl set-ntp true",
    )


def _seconds(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _rights(checkup: Checkup) -> Finding:
    rights = checkup.rights
    if not rights.lacking:
        return Finding("rights", Result.OK, "this login may read and write every table")
    return Finding(
        "rights", Result.PROBLEM, f"not allowed: {listed(rights.lacking, _NAMED)}", rights.cure, rights.command
    )


def _key(facts: Facts) -> Finding:
    where = "from the file beside the database" if facts.embedded else "the same on every machine of the cluster"
    return Finding("key", Result.OK, f"payloads are signed with the key {facts.key} ({where})")


# --- nodes ---------------------------------------------------------------------------------------


def _nodes(facts: Facts, workers: Sequence[Node], alive: Sequence[Node]) -> Iterable[Finding]:
    start = f"nbcluster-node --url '{facts.url}'"
    if alive:
        slots, busy = sum(node.slots for node in alive), sum(node.busy for node in alive)
        seen = f"{_count(len(alive), 'node')} alive, {busy} of {_count(slots, 'slot')} busy"
        yield Finding("nodes", Result.OK, f"{seen}: {_named(alive)}")
    else:
        here = f"start some on any machine with {start}; or here"
        yield Finding("nodes", Result.PROBLEM, "no node is alive", here, f"{facts.magic} up 2{facts.given}")
    leaving = [n for n in workers if n.status is NodeStatus.DRAINING and n.heartbeat_age <= facts.silent_after]
    if leaving:
        said = "takes" if len(leaving) == 1 else "take"
        yield Finding("nodes", Result.NOTE, f"{_named(leaving)} {said} no more work: draining, then gone")
    silent = [node for node in workers if node not in alive and node not in leaving]
    if silent:
        yield _silent(silent, start)


def _silent(nodes: Sequence[Node], start: str) -> Finding:
    """Those that nobody hears of; one is spoken of with its process, many by their machines."""
    if len(nodes) == 1:
        (node,) = nodes
        seen = f"{node.node_id} has been silent for {_seconds(node.heartbeat_age)}"
        cure = f"on {node.host}: see whether process {node.pid} runs and reaches the database; else start another"
    else:
        least = _seconds(min(node.heartbeat_age for node in nodes))
        seen = f"{_count(len(nodes), 'node')} silent for {least} and more: {_named(nodes)}"
        cure = f"on {_hosts(nodes)}: see whether nbcluster-node runs and reaches the database; else start others"
    return Finding("nodes", Result.PROBLEM, f"{seen}; others do the work", cure, start)


def _pythons(facts: Facts, alive: Sequence[Node]) -> Iterable[Finding]:
    others: dict[str, list[Node]] = {}
    for node in alive:
        others.setdefault(node.python, []).append(node)
    same = others.pop(facts.python, [])
    if same and not others:
        yield Finding("python", Result.OK, f"Python {facts.python} here and on every node")
    for python, nodes in sorted(others.items()):
        idle = "it stays" if len(nodes) == 1 else "they stay"
        yield Finding(
            "python",
            Result.NOTE if same else Result.PROBLEM,
            f"{_named(nodes)}: Python {python}, and here {facts.python}; {idle} idle for jobs from here",
            f"on {_hosts(nodes)}, with nbcluster installed for Python {facts.python}",
            f"python{facts.python} -m nbcluster --url '{facts.url}'",
        )


def _versions(facts: Facts, alive: Sequence[Node]) -> Iterable[Finding]:
    others = [node for node in alive if node.version != facts.version]
    if alive and not others:
        yield Finding("nbcluster", Result.OK, f"version {facts.version} here and on every node")
    if others:
        versions = listed(sorted({node.version for node in others}))
        yield Finding(
            "nbcluster",
            Result.NOTE,
            f"{_named(others)}: version {versions}, and here {facts.version}",
            f"on {_hosts(others)}; then start the node again",
            f"pip install nbcluster=={facts.version}",
        )


# --- jobs ----------------------------------------------------------------------------------------


def _jobs(facts: Facts, alive: Sequence[Node]) -> Iterable[Finding]:
    if not facts.held_up:
        yield Finding("jobs", Result.OK, f"{_count(facts.running_jobs, 'job')} running, none is held up")
    waiting = [job for job in facts.held_up if not job.paused]
    if waiting and not alive:  # all for the reason that is a finding already
        seen = (
            f"{listed([job.name for job in waiting], _JOBS)}: {sum(job.waiting for job in waiting):,} partitions wait"
        )
        yield Finding("jobs", Result.PROBLEM, f"{seen} for a node", "start nodes, as said above")
        waiting = []
    for job in waiting[:_JOBS]:
        reasons = " ".join(f"{reason}." for reason in job.reasons).replace("%nbcluster", facts.magic)
        yield Finding("jobs", Result.PROBLEM, f"{_job(job)}: {_partitions(job)}. {reasons}")
    if len(waiting) > _JOBS:
        yield Finding("jobs", Result.PROBLEM, f"{len(waiting) - _JOBS} more jobs wait")
    for job in [job for job in facts.held_up if job.paused][:_JOBS]:
        yield Finding(
            "jobs",
            Result.NOTE,
            f"{_job(job)} is paused: {_partitions(job)}",
            "",
            f"{facts.magic} resume {job.job_id}{facts.given}",
        )


def _job(job: HeldUp) -> str:
    return f"{job.name} (job {job.job_id}, by {job.user})"


def _partitions(job: HeldUp) -> str:
    return f"{_count(job.waiting, 'partition')} wait{'s' if job.waiting == 1 else ''}"


def _count(number: int, word: str) -> str:
    return f"{number:,} {word}{'' if number == 1 else 's'}"


def _named(nodes: Sequence[Node]) -> str:
    return listed([node.node_id for node in nodes], _NAMED)


def _hosts(nodes: Sequence[Node]) -> str:
    return listed(list(dict.fromkeys(node.host for node in nodes)), _NAMED)
