"""What must hold of partitions, results and effects, whatever was done to the cluster.

Each invariant is one function of a History that yields its violations; its docstring is
the invariant.  The names are those by which mutations say what must catch them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from tests.chaos.history import (
    CALLBACKS,
    FINAL,
    JOB_FINAL,
    RELEASES,
    TERMINAL,
    History,
    Move,
    Partition,
)


@dataclass(frozen=True, slots=True)
class Violation:
    """One thing that may not be; with the partition or the job whose history shows it."""

    invariant: str
    text: str
    partition: int | None = None
    job: int | None = None

    def __str__(self) -> str:
        return f"{self.invariant}: {self.text}"


Invariant = Callable[[History], Iterator[Violation]]

INVARIANTS: dict[str, Invariant] = {}
"""Every invariant by its name, in the order of the report."""


def invariant(name: str) -> Callable[[Invariant], Invariant]:
    def add(function: Invariant) -> Invariant:
        INVARIANTS[name] = function
        return function

    return add


def about(history: History, name: str, partition: Partition, text: str) -> Violation:
    job, step, index = history.place(partition)
    return Violation(name, f"{job} {step}[{index}]: {text}", partition=partition.id, job=partition.job)


def ordinary(history: History, submitted: str) -> Iterator[tuple[int, list[Partition]]]:
    """Each execution of a submission with the partitions of its split."""
    for job in history.jobs:
        if job.name == submitted:
            first = next((step.id for step in history.steps if step.job == job.id and step.kind == "PARTITIONED"), None)
            yield job.id, [one for one in history.partitions if one.step == first]


@invariant("H1")
def nothing_accepted_is_lost(history: History) -> Iterator[Violation]:
    """Lost = submitted - terminal = 0: every job that a kernel was promised is there, whole, and final."""
    for asked in history.submissions:
        executions = list(ordinary(history, asked.name))
        if asked.returned and not executions:
            yield Violation("H1", f"{asked.name}: it was accepted, and there is no such job")
        for job, partitions in executions:
            if len(partitions) < asked.partitions:
                missing = sorted(set(range(asked.partitions)) - {one.index for one in partitions})
                text = f"{asked.name}: {len(partitions)} of {asked.partitions} partitions; missing {missing[:10]}"
                yield Violation("H1", text, job=job)
    for partition in history.partitions:
        if partition.status not in FINAL:
            yield about(history, "H1", partition, f"it is left {partition.status}")
    for job in history.jobs:
        if job.status not in JOB_FINAL:
            yield Violation("H1", f"{job.name}: it is left {job.status}", job=job.id)


@invariant("H2")
def nothing_is_there_that_nobody_submitted(history: History) -> Iterator[Violation]:
    """Every job, partition, result and note belongs to something that a kernel asked for."""
    asked = {one.name: one for one in history.submissions}
    for job in history.jobs:
        if job.name not in asked:
            yield Violation("H2", f"{job.name}: nobody submitted it", job=job.id)
            continue
        partitions = next((found for one, found in ordinary(history, job.name) if one == job.id), [])
        indexes = Counter(one.index for one in partitions)
        strange = [
            index for index, times in indexes.items() if times > 1 or index not in range(asked[job.name].partitions)
        ]
        if strange:
            yield Violation("H2", f"{job.name}: unexpected partitions {sorted(strange)[:10]}", job=job.id)
    for result in history.results:
        if result.partition not in history.partition:
            yield Violation("H2", f"a result of partition {result.partition}, which does not exist")
    for place in history.begins.keys() - history.places.keys():
        yield Violation("H2", f"{place[0]} {place[1]}[{place[2]}] began, and there is no such partition")


@invariant("H3")
def one_end_per_partition(history: History) -> Iterator[Violation]:
    """COMPLETED, FAILED and CANCELLED events per final partition: exactly 1; per other partition: 0."""
    for partition in history.partitions:
        if partition.result_of is not None:
            continue  # carried over: its end is in the history of an earlier execution
        ends = [move for move in history.moves.get(partition.id, []) if move.phase in TERMINAL]
        if len(ends) != (partition.status in FINAL):
            yield about(history, "H3", partition, f"it is {partition.status} and ended {len(ends)} times")


@invariant("H4")
def the_current_attempt_ends_it(history: History) -> Iterator[Violation]:
    """What ends or releases a partition names the attempt and node of the latest CLAIMED, and so does its row."""
    for partition in history.partitions:
        held: Move | None = None
        for move in history.moves.get(partition.id, []):
            if move.phase == "CLAIMED":
                held = move
            elif move.phase != "CANCELLED" and (held is None or (move.attempt, move.node) != (held.attempt, held.node)):
                owner = f"attempt {held.attempt} of {held.node} is" if held else "no attempt is"
                yield about(history, "H4", partition, f"{move}, while {owner} the latest")
                break
        if held is not None and partition.attempt != held.attempt:
            yield about(
                history, "H4", partition, f"its row says attempt {partition.attempt}, the history {held.attempt}"
            )


@invariant("H5")
def attempts_count_up_by_one(history: History) -> Iterator[Violation]:
    """The attempts of a partition are 1, 2, 3, ... in order, one CLAIMED each."""
    for partition in history.partitions:
        claims = [move.attempt for move in history.moves.get(partition.id, []) if move.phase == "CLAIMED"]
        job = history.job.get(partition.job)
        # A resumed execution goes on counting where the earlier one ended.
        first = 1 if job is None or job.run == 1 else claims[0] if claims else 1
        if claims != list(range(first, first + len(claims))):
            yield about(history, "H5", partition, f"its attempts are {claims}")


@invariant("H6")
def nothing_after_the_end(history: History) -> Iterator[Violation]:
    """No event of a partition after the one that ended it."""
    for partition in history.partitions:
        ended: Move | None = None
        for move in history.moves.get(partition.id, []):
            if ended is not None:
                yield about(history, "H6", partition, f"{move}, after {ended}")
                break
            if move.phase in TERMINAL:
                ended = move


@invariant("STATES")
def a_partition_walks_its_states(history: History) -> Iterator[Violation]:
    """Claimed only when PENDING, started and ended only when CLAIMED, cancelled only when PENDING."""
    for partition in history.partitions:
        claimed = False
        for move in history.moves.get(partition.id, []):
            wants_free = move.phase in ("CLAIMED", "CANCELLED")
            if wants_free == claimed:
                state = "CLAIMED" if claimed else "not CLAIMED"
                yield about(history, "STATES", partition, f"{move}, while it was {state}")
                break
            if move.phase == "CLAIMED":
                claimed = True
            elif move.phase in (*RELEASES, *TERMINAL):
                claimed = False


@invariant("H8")
def what_may_begin_once_begins_once(history: History) -> Iterator[Violation]:
    """BEGIN notes of a partition that is not transferable: at most 1 in an execution."""
    for place, notes in history.begins.items():
        partitions = history.places.get(place, [])
        if partitions and not any(one.transferable for one in partitions) and len(notes) > len(partitions):
            yield about(history, "H8", partitions[-1], f"it may run once and began {len(notes)} times")


@invariant("H9")
def one_result_of_the_attempt_that_completed(history: History) -> Iterator[Violation]:
    """Results per COMPLETED partition: exactly 1, of its attempt and claim token; none for what is not final."""
    results: dict[int, list[tuple[int, int]]] = {}
    for result in history.results:
        results.setdefault(result.partition, []).append((result.attempt, result.token))
    for partition in history.partitions:
        found = results.get(partition.result_of or partition.id, [])
        good = found == [(partition.attempt, partition.token)]
        if partition.status == "COMPLETED" and not good:
            text = f"COMPLETED by attempt {partition.attempt}; results of attempts {[one[0] for one in found]}"
            yield about(history, "H9", partition, text)
        elif partition.status == "FAILED" and found and not good and partition.result_of is None:
            yield about(history, "H9", partition, f"FAILED by attempt {partition.attempt}; results of {found}")
        elif partition.status not in FINAL and found:
            yield about(history, "H9", partition, f"{partition.status} with {len(found)} results")


@invariant("H10")
def results_are_right(history: History) -> Iterator[Violation]:
    """Every value that a kernel reads (its signature checked) is the one that the function computes."""
    for asked in history.submissions:
        if asked.unreadable:
            yield Violation("H10", f"{asked.name}: its values cannot be read: {asked.unreadable}")
        if asked.expected is None or asked.read is None:
            continue
        if len(asked.read) != len(asked.expected):
            yield Violation("H10", f"{asked.name}: {len(asked.read)} values of {len(asked.expected)}")
        for place, (found, right) in enumerate(zip(asked.read, asked.expected, strict=False)):
            if found != right:
                yield Violation("H10", f"{asked.name}: value {place} is {found!r}, not {right!r}")
                break


@invariant("H11")
def what_ran_was_claimed(history: History) -> Iterator[Violation]:
    """Each BEGIN note has the CLAIMED event of its attempt and node; at most one BEGIN for each attempt."""
    claims = {
        (history.place(history.partition[move.partition]), move.attempt, move.node)
        for moves in history.moves.values()
        for move in moves
        if move.phase == "CLAIMED" and move.partition in history.partition
    }
    for place, notes in history.begins.items():
        partition = (history.places.get(place) or [None])[-1]
        for attempt, times in Counter(note.attempt for note in notes).items():
            if times > 1 and partition is not None:
                yield about(history, "H11", partition, f"attempt {attempt} began {times} times")
        for note in notes:
            if partition is not None and (place, note.attempt, note.node) not in claims:
                yield about(history, "H11", partition, f"{note}, which was never claimed")


@invariant("H14")
def only_victims_work_is_done_again(history: History) -> Iterator[Violation]:
    """A child's death (CRASHED, POISON) is the nemesis's doing or the partition's own.

    Work that is moved is its victim's by H7; so nothing else is computed again.
    """
    hostile = {(one.name, index) for one in history.submissions for index in one.hostile}
    for partition in history.partitions:
        name, _, index = history.place(partition)
        if (name, index) in hostile:
            continue
        for move in history.moves.get(partition.id, []):
            died = move.phase == "CRASHED" or (move.phase == "FAILED" and partition.exit_code in ("CRASHED", "POISON"))
            if died and not history.harmed("crash", move.node, move.event.time):
                yield about(history, "H14", partition, f"{move}, and nobody harmed a child of that node")


@invariant("ROWS")
def rows_are_there_exactly_once(history: History) -> Iterator[Violation]:
    """Rows in the user's tables: those of each COMPLETED partition's last attempt exactly once, and no others."""
    found: dict[tuple[str, int], Counter[tuple[int, int]]] = {}
    for row in history.rows:
        found.setdefault((row.job, row.index), Counter())[row.attempt, row.number] += 1
    for asked in history.submissions:
        executions = [partitions for _, partitions in ordinary(history, asked.name)]
        # What was resumed is carried on by the newest execution, with the rows of the earlier ones.
        for partition in executions[-1] if executions and asked.rows else ():
            done = partition.status == "COMPLETED"
            right = Counter({(partition.attempt, number): 1 for number in range(-1, asked.rows) if done})
            there = found.get((asked.name, partition.index), Counter())
            if there != right:
                text = f"{partition.status} by attempt {partition.attempt}; rows of attempts {_told(there)}"
                yield about(history, "ROWS", partition, text)


def _told(rows: Counter[tuple[int, int]]) -> dict[int, int]:
    """How many rows there are of each attempt."""
    told: Counter[int] = Counter()
    for (attempt, _), times in rows.items():
        told[attempt] += times
    return dict(told)


@invariant("COUNTS")
def losses_crashes_and_errors_are_counted_apart(history: History) -> Iterator[Violation]:
    """A row's counts are those of its history: MOVED and NODE_LOST, CRASHED and POISON, RETRIED."""
    for partition in history.partitions:
        if partition.result_of is not None:
            continue
        moves = history.moves.get(partition.id, [])
        phases = Counter(move.phase for move in moves)
        lost = phases["MOVED"] + sum(m.phase == "FAILED" and m.event.detail == "the node was lost" for m in moves)
        died = phases["CRASHED"] + (partition.exit_code in ("CRASHED", "POISON"))
        for what, said, counted in (("node losses", partition.node_losses, lost), ("crashes", partition.crashes, died)):
            if said != counted:
                yield about(history, "COUNTS", partition, f"its row says {said} {what}, its history {counted}")
        if partition.errors < phases["RETRIED"]:
            text = f"its row says {partition.errors} errors, it was retried {phases['RETRIED']} times"
            yield about(history, "COUNTS", partition, text)


@invariant("CALLBACKS")
def callbacks_belong_to_the_outcome(history: History) -> Iterator[Violation]:
    """on_success begins only when all else is COMPLETED, on_failure only when something FAILED, none when stopped."""
    for partition in history.partitions:
        step = history.step.get(partition.step)
        if step is None or step.kind not in CALLBACKS:
            continue
        others = {one.status for one in history.steps if one.job == partition.job and one.kind not in CALLBACKS}
        right = others == {"COMPLETED"} if step.kind == "ON_SUCCESS" else "FAILED" in others
        if not right or "STOPPED" in others:
            yield about(history, "CALLBACKS", partition, f"{step.kind} ran, and the steps are {sorted(others)}")
