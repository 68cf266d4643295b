"""The verdict over a History: a table of the invariants, and the whole story of the first violation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from tests.chaos import invariants_cluster
from tests.chaos.history import History
from tests.chaos.invariants import INVARIANTS, Violation

__all__ = ["INVARIANTS", "Violation", "check", "counts", "invariants_cluster", "story"]

_SHOWN = 200


def check(history: History, say: Callable[[str], object] = print, *, quiet: bool = False) -> list[Violation]:
    """Every violation of every invariant.  Prints the table, and the first violation with its history.

    With ``quiet`` nothing is printed unless something is violated.
    """
    found = {name: list(function(history)) for name, function in INVARIANTS.items()}
    violations = [violation for some in found.values() for violation in some]
    if violations or not quiet:
        for line in _table(history, found):
            say(line)
    if violations:
        say(f"The first violation: {violations[0]}")
        for line in story(history, violations[0]):
            say(f"    {line}")
    return violations


def counts(history: History) -> dict[str, int]:
    """The figures of a run: what was submitted, lost, doubled, left, done again, refused."""
    ends = Counter(m.partition for moves in history.moves.values() for m in moves if m.phase in ("COMPLETED", "FAILED"))
    phases = Counter(move.phase for moves in history.moves.values() for move in moves)
    return {
        "partitions": len(history.partitions),
        "completed": sum(one.status == "COMPLETED" for one in history.partitions),
        "lost": sum(one.status not in ("COMPLETED", "FAILED") for one in history.partitions),
        "doubled": sum(times > 1 for times in ends.values()),
        "left_claimed": sum(one.status == "CLAIMED" for one in history.partitions),
        "again": phases["CLAIMED"] - len({p for p, moves in history.moves.items() if moves}),
        "moved": phases["MOVED"],
        "crashed": phases["CRASHED"],
        "handed_back": phases["HANDED_BACK"],
        "fenced": len(history.fenced),
        "takeovers": sum(event.phase == "TAKEN_OVER" for event in history.events),
        "harms": len(history.harms),
    }


def _table(history: History, found: dict[str, list[Violation]]) -> list[str]:
    lines = ["  ".join(f"{name} {number}" for name, number in counts(history).items() if number)]
    for name, function in INVARIANTS.items():
        title = " ".join((function.__doc__ or "").split("\n", maxsplit=1)[0].split())
        verdict = f"{len(found[name])} VIOLATED" if found[name] else "holds"
        lines.append(f"{name:9} {verdict:12} {title}")
    lines += [f"  {violation}" for some in found.values() for violation in some[:3]]
    return lines


def story(history: History, violation: Violation) -> list[str]:
    """All that is known of the partition (or the job) that a violation is about, in the order of time."""
    told: list[tuple[float, str]] = [(harm.start, str(harm)) for harm in history.harms]
    told += [(harm.end, f"{harm} (over)") for harm in history.harms if harm.end is not None]
    if violation.partition is not None:
        told += [(move.event.time, str(move)) for move in history.moves.get(violation.partition, [])]
        partition = history.partition.get(violation.partition)
        if partition is not None:
            place = history.place(partition)
            notes = [note for note in history.notes if (note.job, note.step, note.index) == place]
            told += [(note.wall, str(note)) for note in notes]
    elif violation.job is not None:
        told += [
            (event.time, f"event {event.seq}: {event.phase} term {event.term} by {event.node} {event.detail or ''}")
            for event in history.of_job(violation.job)
            if not event.members
        ]
    told.sort(key=lambda one: one[0])
    lines = [f"{time:.3f}  {text}" for time, text in told]
    if len(lines) > _SHOWN:
        lines = [*lines[: _SHOWN // 2], f"... {len(lines) - _SHOWN} more ...", *lines[-_SHOWN // 2 :]]
    if violation.partition in history.partition:
        lines.append(f"at last: {history.partition[violation.partition]}")
    results = [result for result in history.results if result.partition == violation.partition]
    return [*lines, *(f"at last: {result}" for result in results)]
