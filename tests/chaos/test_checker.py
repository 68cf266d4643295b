"""The checker itself: a good history passes, and each invariant has a history that breaks it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.chaos.checker import INVARIANTS, check
from tests.chaos.history import (
    Event,
    Harm,
    History,
    Idle,
    Job,
    Lease,
    Note,
    Partition,
    Result,
    Row,
    Step,
    Submission,
)
from tests.chaos.reading import parse_notes

JOB, STEP, AFTER = 1, 10, 11
LOSS = frozenset({"loss"})
CRASH = frozenset({"crash"})


def event(seq: int, phase: str, *members: tuple[int, int], **told: object) -> Event:
    told = {"job": JOB, "step": STEP} | told
    return Event(seq=seq, time=float(seq), phase=phase, members=members, **told)  # type: ignore[arg-type]


def begin(index: int, attempt: int, node: str) -> Note:
    return Note("BEGIN", "job", "map", index, attempt, node, 1, wall=float(index))


def good() -> History:
    """Two partitions: one that node a lost and node b completed after a take-over, one whose child died once."""
    return History(
        events=[
            event(1, "RECEIVED", node="kernel"),
            event(2, "CLAIMED", (100, 1), (101, 1), node="a"),
            event(3, "MOVED", (100, 1), (101, 1), node="a", detail="the node was lost"),
            event(4, "CLAIMED", (100, 2), (101, 2), node="b"),
            event(5, "TAKEN_OVER", node="b", term=2),
            event(6, "CRASHED", (101, 2), node="b"),
            event(7, "CLAIMED", (101, 3), node="b"),
            event(8, "COMPLETED", (100, 2), (101, 3), node="b"),
            event(9, "STEP_ENDED", term=2),
            event(10, "STEP_STARTED", term=2, step=AFTER),
            event(11, "CLAIMED", (102, 1), node="b", step=AFTER),
            event(12, "COMPLETED", (102, 1), node="b", step=AFTER),
            event(13, "STEP_ENDED", term=2, step=AFTER),
            event(14, "COMPLETION_DETECTED", term=2, step=None),
        ],
        jobs=[Job(JOB, "job", "uid", 1, "COMPLETED")],
        steps=[Step(STEP, JOB, "map", "PARTITIONED", "COMPLETED"), Step(AFTER, JOB, "done", "ON_SUCCESS", "COMPLETED")],
        leases=[Lease(JOB, STEP, "b", 2, "COMPLETED"), Lease(JOB, AFTER, "b", 2, "COMPLETED")],
        partitions=[
            Partition(100, JOB, STEP, 0, "COMPLETED", 2, 7, "b", node_losses=1),
            Partition(101, JOB, STEP, 1, "COMPLETED", 3, 8, "b", node_losses=1, crashes=1),
            Partition(102, JOB, AFTER, 0, "COMPLETED", 1, 9, "b"),
        ],
        results=[Result(100, 2, 7), Result(101, 3, 8), Result(102, 1, 9)],
        rows=[Row("job", index, 2 + index, number) for index in (0, 1) for number in (-1, 0, 1)],
        notes=[begin(0, 1, "a"), begin(0, 2, "b"), begin(1, 2, "b"), begin(1, 3, "b")],
        harms=[
            Harm("kill", ("a",), 2.5, None, LOSS),
            Harm("kill a child", ("b",), 5.5, 5.6, CRASH),
        ],
        submissions=[Submission("job", 2, expected=[0, 1], read=[0, 1], rows=2)],
    )


def test_a_good_history_passes(capsys: pytest.CaptureFixture[str]) -> None:
    assert check(good()) == []
    assert "holds" in capsys.readouterr().out


def insert_event(history: History, seq: float, phase: str, *members: tuple[int, int], **told: object) -> None:
    history.events.append(replace(event(0, phase, *members, **told), seq=seq, time=float(seq)))  # type: ignore[arg-type]


def change(history: History, place: int, **changes: object) -> None:
    history.partitions[place] = replace(history.partitions[place], **changes)  # type: ignore[arg-type]


def drop_event(history: History, seq: int) -> None:
    history.events[:] = [one for one in history.events if one.seq != seq]


def a_dropped_partition(h: History) -> None:
    del h.partitions[1]


def a_partition_left_claimed(h: History) -> None:
    change(h, 0, status="CLAIMED")


def an_accepted_job_that_is_missing(h: History) -> None:
    h.submissions.append(Submission("other", 1))


def a_job_left_running(h: History) -> None:
    h.jobs[0] = replace(h.jobs[0], status="STARTED")


def a_job_nobody_submitted(h: History) -> None:
    h.jobs.append(Job(2, "ghost", "uid2", 1, "COMPLETED"))


def a_partition_too_many(h: History) -> None:
    h.partitions.append(Partition(103, JOB, STEP, 2, "COMPLETED", 1))


def a_result_without_a_partition(h: History) -> None:
    h.results.append(Result(999, 1, 1))


def completed_twice(h: History) -> None:
    insert_event(h, 8.5, "COMPLETED", (100, 1), node="a")


def completed_by_a_stale_attempt(h: History) -> None:
    insert_event(h, 7.5, "COMPLETED", (100, 1), node="a")
    h.events[7] = event(8, "COMPLETED", (101, 3), node="b")


def an_attempt_not_raised(h: History) -> None:
    h.events[6] = event(7, "CLAIMED", (101, 2), node="b")


def an_attempt_skipped(h: History) -> None:
    h.events[3] = event(4, "CLAIMED", (100, 3), (101, 2), node="b")


def claimed_after_the_end(h: History) -> None:
    insert_event(h, 8.5, "CLAIMED", (100, 3), node="a")


def claimed_twice_at_once(h: History) -> None:
    drop_event(h, 3)


def cancelled_while_it_ran(h: History) -> None:
    insert_event(h, 4.5, "CANCELLED", (100, 2))


def begun_twice_though_once_was_allowed(h: History) -> None:
    change(h, 0, transferable=False)


def completed_without_a_result(h: History) -> None:
    del h.results[0]


def a_result_of_another_attempt(h: History) -> None:
    h.results[0] = Result(100, 1, 7)


def a_result_of_another_token(h: History) -> None:
    h.results[0] = Result(100, 2, 70)


def a_result_of_what_still_waits(h: History) -> None:
    change(h, 0, status="PENDING")


def a_wrong_value(h: History) -> None:
    h.submissions[0].read = [0, 2]


def a_missing_value(h: History) -> None:
    h.submissions[0].read = [0]


def values_that_cannot_be_read(h: History) -> None:
    h.submissions[0].unreadable = "not signed"


def an_attempt_that_began_twice(h: History) -> None:
    h.notes.append(begin(0, 2, "b"))


def a_run_that_nobody_claimed(h: History) -> None:
    h.notes.append(begin(0, 3, "c"))


def a_node_given_up_for_nothing(h: History) -> None:
    insert_event(h, 8.5, "NODE_UNREACHABLE", node="b", job=None, step=None)


def work_moved_for_nothing(h: History) -> None:
    h.harms = h.harms[1:]


def a_loss_long_after_the_harm(h: History) -> None:
    h.harms[0] = Harm("freeze", ("a",), -9.0, -8.0, LOSS)


def a_loss_before_the_harm(h: History) -> None:
    h.harms[0] = Harm("freeze", ("a",), 9.0, 10.0, LOSS)


def a_child_that_died_for_nothing(h: History) -> None:
    h.harms = h.harms[:1]


def a_write_of_an_earlier_term(h: History) -> None:
    h.events[8] = event(9, "STEP_ENDED", term=1)


def a_term_taken_twice(h: History) -> None:
    insert_event(h, 5.5, "TAKEN_OVER", node="c", term=2)


def a_job_that_ended_twice(h: History) -> None:
    insert_event(h, 15, "COMPLETION_DETECTED", term=2, step=None)


def a_step_that_started_twice(h: History) -> None:
    insert_event(h, 10.5, "STEP_STARTED", term=2, step=AFTER)


def a_claim_after_the_jobs_end(h: History) -> None:
    insert_event(h, 15, "CLAIMED", (100, 3), node="b")


def a_step_that_disagrees(h: History) -> None:
    h.steps[0] = replace(h.steps[0], status="FAILED")


def a_completed_job_with_a_failure(h: History) -> None:
    change(h, 0, status="FAILED")


def a_refused_outcome_that_is_stored(h: History) -> None:
    insert_event(h, 8.5, "FENCED", (100, 2), node="b")


def a_loss_that_is_not_counted(h: History) -> None:
    change(h, 0, node_losses=0)


def a_crash_that_counts_as_a_loss(h: History) -> None:
    change(h, 1, node_losses=2, crashes=0)


def a_row_that_is_there_twice(h: History) -> None:
    h.rows.append(h.rows[0])


def a_row_that_is_missing(h: History) -> None:
    del h.rows[-1]


def rows_of_another_attempt(h: History) -> None:
    h.rows[:3] = [replace(row, attempt=1) for row in h.rows[:3]]


def rows_of_what_did_not_complete(h: History) -> None:
    change(h, 0, status="FAILED")


def a_callback_that_does_not_fit(h: History) -> None:
    h.steps[1] = replace(h.steps[1], kind="ON_FAILURE")


def a_claim_that_nobody_runs(h: History) -> None:
    h.idle.append(Idle(100, 2, "b", 30.0))


def a_process_left_behind(h: History) -> None:
    h.leftovers.processes.append("7 python")


def a_session_left_behind(h: History) -> None:
    h.leftovers.sessions.append("nbcluster idle in transaction")


def an_exit_code(h: History) -> None:
    h.leftovers.exit_codes["node0"] = 1


def a_traceback(h: History) -> None:
    h.logs["node0"] = "INFO good\nTraceback (most recent call last):\n  File x\nValueError: bad\n"


BREAKING: list[tuple[str, Callable[[History], None]]] = [
    ("H1", a_dropped_partition),
    ("H1", a_partition_left_claimed),
    ("H1", an_accepted_job_that_is_missing),
    ("H1", a_job_left_running),
    ("H2", a_job_nobody_submitted),
    ("H2", a_partition_too_many),
    ("H2", a_result_without_a_partition),
    ("H3", completed_twice),
    ("H4", completed_by_a_stale_attempt),
    ("H5", an_attempt_not_raised),
    ("H5", an_attempt_skipped),
    ("H6", claimed_after_the_end),
    ("H6", completed_twice),
    ("H7", a_node_given_up_for_nothing),
    ("H7", work_moved_for_nothing),
    ("H7", a_loss_long_after_the_harm),
    ("H7", a_loss_before_the_harm),
    ("STATES", claimed_twice_at_once),
    ("STATES", cancelled_while_it_ran),
    ("H8", begun_twice_though_once_was_allowed),
    ("H9", completed_without_a_result),
    ("H9", a_result_of_another_attempt),
    ("H9", a_result_of_another_token),
    ("H9", a_result_of_what_still_waits),
    ("H10", a_wrong_value),
    ("H10", a_missing_value),
    ("H10", values_that_cannot_be_read),
    ("H11", an_attempt_that_began_twice),
    ("H11", a_run_that_nobody_claimed),
    ("H12", a_write_of_an_earlier_term),
    ("H12", a_term_taken_twice),
    ("H14", a_child_that_died_for_nothing),
    ("COUNTS", a_loss_that_is_not_counted),
    ("COUNTS", a_crash_that_counts_as_a_loss),
    ("ROWS", a_row_that_is_there_twice),
    ("ROWS", a_row_that_is_missing),
    ("ROWS", rows_of_another_attempt),
    ("ROWS", rows_of_what_did_not_complete),
    ("CALLBACKS", a_callback_that_does_not_fit),
    ("END", a_job_that_ended_twice),
    ("END", a_step_that_started_twice),
    ("END", a_claim_after_the_jobs_end),
    ("TABLES", a_step_that_disagrees),
    ("TABLES", a_completed_job_with_a_failure),
    ("P3", a_refused_outcome_that_is_stored),
    ("CLAIMED", a_claim_that_nobody_runs),
    ("H15", a_process_left_behind),
    ("H15", a_session_left_behind),
    ("H15", an_exit_code),
    ("H16", a_traceback),
]


@pytest.mark.parametrize(("name", "breaks"), BREAKING, ids=lambda one: getattr(one, "__name__", one))
def test_a_history_that_breaks_an_invariant_is_caught_by_it(name: str, breaks: Callable[[History], None]) -> None:
    history = good()
    breaks(history)
    said: list[str] = []
    assert name in {violation.invariant for violation in check(history, said.append)}
    assert any("VIOLATED" in line and line.startswith(name) for line in said)


def test_every_invariant_is_broken_by_some_history() -> None:
    assert {name for name, _ in BREAKING} == set(INVARIANTS)


def test_the_first_violation_is_told_with_its_history() -> None:
    history = good()
    completed_twice(history)
    said: list[str] = []
    check(history, said.append)
    told = "\n".join(said[[line.startswith("The first violation") for line in said].index(True) :])
    places = [told.index(text) for text in ("CLAIMED attempt 1 by a", "nemesis: kill a", "MOVED", "CLAIMED attempt 2")]
    assert places == sorted(places)
    assert "BEGIN attempt 1 on a" in told
    assert "Result(partition=100" in told


def test_what_was_not_promised_need_not_be_there_and_is_whole_when_it_is() -> None:
    history = good()
    history.submissions.append(Submission("cut-off", 5, returned=False))
    assert check(history, quiet=True) == []


def test_a_carried_over_partition_has_its_history_elsewhere() -> None:
    history = good()
    history.jobs.append(Job(2, "job", "uid", 2, "COMPLETED"))
    history.steps.append(Step(20, 2, "map", "PARTITIONED", "COMPLETED"))
    history.leases.append(Lease(2, 20, "b", 1, "COMPLETED"))
    history.events.append(Event(20, 20.0, "COMPLETION_DETECTED", job=2, term=1))
    history.partitions += [
        Partition(200, 2, 20, 0, "COMPLETED", 2, 7, "b", result_of=100),
        Partition(201, 2, 20, 1, "COMPLETED", 3, 8, "b", result_of=101),
    ]
    assert check(history) == []


def test_a_line_that_a_killed_process_left_unfinished_is_no_note() -> None:
    lines = ["BEGIN job map 3 1 a-1 77 1.5 2.5", "END job map 3"]
    assert parse_notes(lines) == [Note("BEGIN", "job", "map", 3, 1, "a-1", 77, 1.5, 2.5)]
