"""What must hold of nodes, masters and whatever they leave behind; see invariants.py."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

from tests.chaos.history import JOB_FINAL, History
from tests.chaos.invariants import Violation, about, invariant

LOSING = ("NODE_UNREACHABLE", "NODE_REMOVED", "MOVED")
"""Events that give a node, or its work, up."""

LEAST = 15.0
"""Seconds for which a partition may be CLAIMED and not begun: longer than any queue that a node takes."""

_SURPRISE = re.compile(
    r"^(Traceback .*|.*: a pass failed.*|.*unhandled.*|Fatal Python error.*)$", re.MULTILINE | re.IGNORECASE
)


@invariant("H7")
def only_nodes_that_were_harmed_are_given_up(history: History) -> Iterator[Violation]:
    """Whoever is declared lost was killed, frozen, cut off or told to go; false losses: 0."""
    told: set[str | None] = set()
    for event in sorted(history.events, key=lambda one: one.seq):
        lost = event.phase in LOSING or (event.phase == "FAILED" and event.detail == "the node was lost")
        if lost and event.node not in told and not history.harmed("loss", event.node, event.time):
            told.add(event.node)
            held = f" with {len(event.members)} partitions" if event.members else ""
            detail = f" ({event.detail})" if event.detail else ""
            text = f"event {event.seq}: {event.phase} of {event.node}{held}, and nobody had harmed it{detail}"
            yield Violation("H7", text, partition=event.members[0][0] if event.members else None, job=event.job)


@invariant("H12")
def masters_write_in_their_terms(history: History) -> Iterator[Violation]:
    """Terms rise by one with each take-over; nothing of an earlier term is written after a later one."""
    for job in history.jobs:
        term = 1
        for event in history.of_job(job.id):
            if event.phase == "TAKEN_OVER":
                if event.term != term + 1:
                    yield Violation("H12", f"{job.name}: term {event.term} was taken after term {term}", job=job.id)
                term = max(term, event.term or 0)
            elif event.term is not None and event.term != term:
                text = f"{job.name}: event {event.seq}: {event.phase} of term {event.term} in term {term}"
                yield Violation("H12", text, job=job.id)
                break
        leases = {lease.term for lease in history.leases if lease.job == job.id and lease.status not in JOB_FINAL}
        if leases - {term}:
            yield Violation("H12", f"{job.name}: its leases are of the terms {sorted(leases)}, not {term}", job=job.id)


@invariant("END")
def a_job_ends_once(history: History) -> Iterator[Violation]:
    """Each step starts and ends once at most; the job's end is told once and is the last thing that happens to it."""
    for job in history.jobs:
        events = history.of_job(job.id)
        ends = [event for event in events if event.phase == "COMPLETION_DETECTED"]
        if len(ends) != (job.status in JOB_FINAL):
            yield Violation("END", f"{job.name}: it is {job.status} and ended {len(ends)} times", job=job.id)
        turns = Counter((e.phase, e.step) for e in events if e.phase in ("STEP_STARTED", "STEP_ENDED"))
        for (phase, step), times in turns.items():
            if times > 1:
                yield Violation("END", f"{job.name}: step {step} has {times} times {phase}", job=job.id)
        late = [event for event in events if ends and event.seq > ends[0].seq and event.phase != "FENCED"]
        if late:
            text = f"{job.name}: event {late[0].seq}, {late[0].phase}, after its end (event {ends[0].seq})"
            yield Violation("END", text, job=job.id)


@invariant("TABLES")
def the_tables_agree(history: History) -> Iterator[Violation]:
    """Job, steps, leases and partitions tell the same; COMPLETED means that every partition is COMPLETED."""
    for step in history.steps:
        said = {lease.status for lease in history.leases if lease.step == step.id}
        if said != {step.status}:
            yield Violation("TABLES", f"step {step.name} is {step.status}, its lease says {said}", job=step.job)
    for job in history.jobs:
        steps = [step for step in history.steps if step.job == job.id]
        states = {step.status for step in steps if step.kind not in ("ON_SUCCESS", "ON_FAILURE")}
        partitions = {one.status for one in history.partitions if one.job == job.id}
        if job.status in JOB_FINAL and {step.status for step in steps} - set(JOB_FINAL):
            yield Violation("TABLES", f"{job.name} is {job.status}, its steps are {sorted(states)}", job=job.id)
        if job.status == "COMPLETED" and (states != {"COMPLETED"} or partitions - {"COMPLETED"}):
            yield Violation("TABLES", f"{job.name} is COMPLETED with partitions {sorted(partitions)}", job=job.id)
        if job.status == "FAILED" and partitions == {"COMPLETED"}:
            yield Violation("TABLES", f"{job.name} is FAILED, and every partition is COMPLETED", job=job.id)
    for partition in history.partitions:
        ends = [m for m in history.moves.get(partition.id, []) if m.phase in ("COMPLETED", "FAILED", "CANCELLED")]
        told = {"COMPLETED": "COMPLETED", "FAILED": "FAILED", "CANCELLED": "FAILED"}
        if ends and told[ends[-1].phase] != partition.status:
            yield about(history, "TABLES", partition, f"its row says {partition.status}; {ends[-1]}")


@invariant("P3")
def nobody_drops_what_he_recorded(history: History) -> Iterator[Violation]:
    """An outcome is refused (FENCED) only when the attempt was somebody else's; false refusals: 0."""
    for partition, attempt, node in history.fenced:
        for move in history.moves.get(partition, []):
            own = move.phase in ("COMPLETED", "FAILED") and move.event.detail != "the node was lost"
            if own and (move.attempt, move.node) == (attempt, node) and partition in history.partition:
                text = f"{node} dropped the outcome of attempt {attempt}, and it is stored: {move}"
                yield about(history, "P3", history.partition[partition], text)


@invariant("CLAIMED")
def what_is_claimed_is_run(history: History) -> Iterator[Violation]:
    """No partition stays CLAIMED by a living node in contact that does not run it."""
    for idle in history.idle:
        if idle.seconds > LEAST and idle.partition in history.partition:
            text = f"CLAIMED by {idle.node} (attempt {idle.attempt}) for {idle.seconds:.0f} s and not begun"
            yield about(history, "CLAIMED", history.partition[idle.partition], text)


@invariant("H15")
def nothing_is_left_behind(history: History) -> Iterator[Violation]:
    """After the end: processes, sessions, idle transactions and files of those that are gone: 0 each."""
    left = history.leftovers
    for kind, found in (("process", left.processes), ("session", left.sessions), ("file", left.files)):
        for one in found:
            yield Violation("H15", f"left behind, {kind}: {one}")
    for name, code in left.exit_codes.items():
        yield Violation("H15", f"{name} was told to end and ended with exit code {code}")


@invariant("H16")
def no_surprise_in_a_log(history: History) -> Iterator[Violation]:
    """Unhandled exceptions in the logs of nodes and kernels: 0."""
    for name, said in history.logs.items():
        found = _SURPRISE.search(said)
        if found:
            rest = said[found.start() :].splitlines()
            yield Violation("H16", f"{name}: {' / '.join(line.strip() for line in rest[:3])} ... {_last(rest)}")


def _last(lines: list[str]) -> str:
    """The line of the exception itself, after its traceback."""
    return next((line for line in lines[1:] if line and not line.startswith((" ", "Traceback"))), lines[-1])[:300]
