"""One result for each partition, by the attempt that is current; everybody else is told so."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from nbcluster.errors import DatabaseError
from nbcluster.lifecycle import ExitCode, PartitionStatus
from nbcluster.records import Claim, Finish, StepToRun
from nbcluster.store import Store, payloads
from tests.builders import a_result, completed, failed, handed_back
from tests.store.acts import at_once, count, ids, indexes, lose, owners, register, rows, statuses, submit, take, value
from tests.store.conftest import OpenStore


def claimed(store: Store, partitions: int = 1, node_id: str = "a-1") -> tuple[StepToRun, list[Claim]]:
    step = submit(store, partitions)
    return step, take(store, step, node_id)


def result_of(store: Store, step: StepToRun, index: int) -> bytes | None:
    (one,) = store.outcomes.read(step.step_execution_id, [index], arguments=False)
    return one.result.values if one.result else None


# --- how attempts end ----------------------------------------------------------------------------


def test_a_completed_partition_keeps_its_result(store: Store) -> None:
    step, (claim,) = claimed(store)
    assert store.finishes.finish([completed(claim, b"42", seconds=1.5, log=b"hello")]) == {claim.partition_id}
    (row,) = store.views.partitions(step.step_execution_id)
    assert (row.status, row.exit_code, row.node, row.seconds) == ("COMPLETED", "COMPLETED", "a-1", 1.5)
    assert row.ended is not None
    assert result_of(store, step, 0) == b"42"
    assert store.views.log(step.step_execution_id, 0) == b"hello"


def test_a_failed_partition_says_why_and_keeps_the_values_of_its_other_items(store: Store) -> None:
    step, (claim,) = claimed(store)
    store.finishes.finish([failed(claim, "ValueError: bad date", failed_items=1)])
    (row,) = store.views.partitions(step.step_execution_id)
    assert (row.status, row.exit_code, row.exit_message) == ("FAILED", "FAILED", "ValueError: bad date")
    assert row.failed_items == 1
    assert result_of(store, step, 0) == b"values"


def test_a_partition_that_is_handed_back_is_free_again(store: Store) -> None:
    step, (claim,) = claimed(store)
    store.finishes.finish([handed_back(claim)])
    (row,) = store.views.partitions(step.step_execution_id)
    assert (row.status, row.node, row.ended, row.attempt) == ("PENDING", None, None, 1)
    assert rows(store, "SELECT attempt, node_id, outcome FROM batch_attempts") == [(1, "a-1", "HANDED_BACK")]


def test_crashes_are_counted_and_remembered(store: Store) -> None:
    step = submit(store)
    for crashes in range(3):
        (claim,) = take(store, step)
        assert claim.crashes == crashes
        store.finishes.finish([handed_back(claim, crashed=True, exit_message="killed by SIGSEGV", peak_memory=77)])
    found = rows(store, "SELECT attempt, outcome, message, peak_memory FROM batch_attempts ORDER BY attempt")
    assert found == [(attempt, "CRASHED", "killed by SIGSEGV", 77) for attempt in (1, 2, 3)]


def test_what_was_handed_back_without_a_crash_counts_as_none(store: Store) -> None:
    step, (claim,) = claimed(store)
    store.finishes.finish([handed_back(claim)])
    (again,) = take(store, step)
    assert (again.attempt, again.crashes) == (2, 0)


@pytest.mark.parametrize("size", [0, payloads.INLINE, payloads.INLINE + 1, 3 * payloads.CHUNK + 1])
def test_results_of_any_size_come_back_whole(store: Store, size: int) -> None:
    step, (claim,) = claimed(store)
    values = (bytes(range(253)) * (size // 253 + 1))[:size]
    store.finishes.finish([completed(claim, values)])
    assert result_of(store, step, 0) == values
    assert value(store, "SELECT size FROM batch_results") == size


def test_equal_large_results_are_stored_once(store: Store, open_another: OpenStore) -> None:
    large = bytes(2 * payloads.CHUNK)
    step = submit(store, 4)
    one, two = take(store, step, "a-1", limit=2), take(store, step, "b-1", limit=2)
    other = open_another()
    at_once(
        lambda: store.finishes.finish([completed(claim, large) for claim in one]),
        lambda: other.finishes.finish([completed(claim, large) for claim in two]),
    )
    assert statuses(store, step) == ["COMPLETED"] * 4
    assert count(store, "batch_payloads", "payload_id = :id", id=payloads.payload_id(large)) == 2
    assert result_of(store, step, 3) == large


def test_any_text_of_an_error_is_kept(store: Store) -> None:
    text = "'quoted' \"double\" \\ back\nline <b>&amp; ünï \N{SNAKE} $1 %s :name"
    step, (claim,) = claimed(store)
    store.finishes.finish([failed(claim, f"ValueError: {text}")])
    assert store.views.partitions(step.step_execution_id)[0].exit_message == f"ValueError: {text}"


@pytest.mark.parametrize("batch", [1, 19, 20, 500])
def test_a_batch_of_any_size_is_recorded_together(store: Store, batch: int) -> None:
    step, claims = claimed(store, batch)
    finishes = [completed(c, b"%d" % c.index) if c.index % 3 else failed(c) for c in claims]
    assert store.finishes.finish(finishes) == ids(claims)
    assert statuses(store, step) == ["COMPLETED" if index % 3 else "FAILED" for index in range(batch)]
    read = store.outcomes.read(step.step_execution_id, range(batch), arguments=False)
    assert [one.result.values if one.result else None for one in read] == [
        b"%d" % index if index % 3 else b"values" for index in range(batch)
    ]


def test_an_empty_batch_changes_nothing(store: Store) -> None:
    assert store.finishes.finish([]) == set()


@pytest.mark.parametrize("status", [PartitionStatus.CLAIMED])
def test_a_claim_can_only_end_as_the_lifecycle_says(store: Store, status: PartitionStatus) -> None:
    _, (claim,) = claimed(store)
    with pytest.raises(ValueError, match="a CLAIMED partition cannot become CLAIMED"):
        store.finishes.finish([Finish(claim, status)])


# --- the guard -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "other",
    [
        lambda claim: replace(claim, node_id="b-1"),
        lambda claim: replace(claim, attempt=claim.attempt + 1),
        lambda claim: replace(claim, attempt=claim.attempt - 1),
        lambda claim: replace(claim, token=claim.token ^ 1),
        lambda claim: replace(claim, partition_id=claim.partition_id + 1000),
    ],
    ids=["another owner", "a later attempt", "an earlier attempt", "another token", "no such partition"],
)
@pytest.mark.parametrize("how", [completed, failed, handed_back])
def test_an_attempt_that_is_not_the_current_one_is_refused(
    store: Store, other: Callable[[Claim], Claim], how: Callable[[Claim], Finish]
) -> None:
    step, (claim,) = claimed(store)
    assert store.finishes.finish([how(other(claim))]) == set()
    assert statuses(store, step) == ["CLAIMED"]
    assert [count(store, table) for table in ("batch_results", "batch_logs", "batch_attempts")] == [0, 0, 0]


def test_the_late_result_of_a_node_that_was_thought_lost_is_refused(store: Store) -> None:
    register(store, "a-1", "b-1")
    step, (late,) = claimed(store)
    lose(store, "a-1")
    assert store.finishes.finish([completed(late, b"late")]) == set()
    assert statuses(store, step) == ["PENDING"]
    (moved,) = take(store, step, "b-1")
    assert store.finishes.finish([completed(late, b"late")]) == set()
    assert store.finishes.finish([completed(moved, b"right")]) == {moved.partition_id}
    assert store.finishes.finish([completed(late, b"late")]) == set()
    assert result_of(store, step, 0) == b"right"


def test_work_that_came_back_to_the_same_node_is_another_attempt(store: Store) -> None:
    register(store, "a-1")
    step, (late,) = claimed(store)
    lose(store, "a-1")
    (again,) = take(store, step, "a-1")
    assert store.finishes.finish([completed(late, b"late")]) == set()
    assert store.finishes.finish([completed(again, b"right")]) == {again.partition_id}
    assert result_of(store, step, 0) == b"right"


@pytest.mark.parametrize("how", [completed, failed])
def test_what_is_final_stays_as_it_is(store: Store, how: Any) -> None:
    step, (claim,) = claimed(store)
    store.finishes.finish([how(claim)])
    before = rows(store, "SELECT * FROM batch_partitions")
    for change in (completed(claim, b"other", seconds=9.0), failed(claim, "other"), handed_back(claim)):
        store.finishes.finish([change])
    assert rows(store, "SELECT * FROM batch_partitions") == before
    assert result_of(store, step, 0) == b"values"


def test_one_fenced_row_does_not_keep_the_others_of_its_batch(store: Store) -> None:
    step, claims = claimed(store, 25)
    fenced = replace(claims[7], attempt=9)
    finishes = [completed(fenced if claim is claims[7] else claim) for claim in claims]
    assert store.finishes.finish(finishes) == ids(claims) - {claims[7].partition_id}
    assert statuses(store, step) == ["COMPLETED"] * 7 + ["CLAIMED"] + ["COMPLETED"] * 17
    assert count(store, "batch_results") == 24


def test_a_row_that_the_database_refuses_keeps_its_batch_from_being_half_recorded(store: Store) -> None:
    step, claims = claimed(store, 3)
    # A result that is there already can only be somebody's doing behind our back; the last guard is its key.
    change = completed(claims[1])
    store.database.write(
        lambda connection: connection.exec_driver_sql(
            "INSERT INTO batch_results (step_execution_id, attempt, claim_token, size, errors, seconds, mac) "
            f"VALUES ({claims[1].partition_id}, 1, 1, 0, '[]', '', '')"
        )
    )
    with pytest.raises(DatabaseError):
        store.finishes.finish([completed(claims[0]), change, completed(claims[2])])
    assert statuses(store, step) == ["CLAIMED"] * 3
    assert count(store, "batch_results") == 1


# --- the answer to a commit is lost --------------------------------------------------------------


@pytest.mark.parametrize("how", [completed, failed, handed_back])
def test_the_same_batch_again_is_known_and_doubles_nothing(store: Store, how: Any) -> None:
    _, claims = claimed(store, 25)
    finishes = [how(claim, log=b"once", crashed=True) for claim in claims]
    first = store.finishes.finish(finishes)
    counts = [count(store, table) for table in ("batch_results", "batch_logs", "batch_attempts")]
    again = store.finishes.finish(finishes)
    assert first == again == ids(claims)
    assert [count(store, table) for table in ("batch_results", "batch_logs", "batch_attempts")] == counts
    assert count(store, "batch_partitions", "crashes = 1") == 25


def test_a_batch_of_which_some_were_recorded_is_completed(store: Store) -> None:
    step, claims = claimed(store, 4)
    store.finishes.finish([completed(claim) for claim in claims[:2]])
    assert store.finishes.finish([completed(claim) for claim in claims]) == ids(claims)
    assert statuses(store, step) == ["COMPLETED"] * 4


def test_another_ending_than_the_recorded_one_is_refused(store: Store) -> None:
    _, (claim,) = claimed(store)
    store.finishes.finish([completed(claim)])
    assert store.finishes.finish([failed(claim)]) == set()


def test_what_was_handed_back_and_claimed_by_another_meanwhile_is_known_as_recorded(store: Store) -> None:
    step, (claim,) = claimed(store)
    store.finishes.finish([handed_back(claim)])
    take(store, step, "b-1")
    assert store.finishes.finish([handed_back(claim)]) == {claim.partition_id}
    assert owners(store, step) == ["b-1"]
    assert store.finishes.finish([completed(claim)]) == set()


@pytest.mark.needs("sessions")
def test_a_commit_whose_answer_is_lost_is_found_recorded(
    store: Store, open_another: OpenStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sqlalchemy import Connection

    from tests.store.test_transactions import end_connections

    step, claims = claimed(store, 3)
    other, commit = open_another(), Connection.commit
    lost: list[int] = []

    def commit_and_lose_the_answer(connection: Connection) -> None:
        commit(connection)
        if not lost and connection.engine is store.database.engine:
            lost.append(end_connections(other))
            connection.exec_driver_sql("SELECT 1")

    monkeypatch.setattr(Connection, "commit", commit_and_lose_the_answer)
    assert store.finishes.finish([completed(claim) for claim in claims]) == ids(claims)
    assert lost
    assert statuses(store, step) == ["COMPLETED"] * 3
    assert count(store, "batch_results") == 3


# --- at once -------------------------------------------------------------------------------------


def test_two_who_finish_the_same_attempt_at_once_record_it_once(store: Store, open_another: OpenStore) -> None:
    step, claims = claimed(store, 40)
    stores = [open_another(), open_another()]
    batches = [[completed(claim) for claim in order] for order in (claims, claims[::-1])]
    found = at_once(*(partial(one.finishes.finish, batch) for one, batch in zip(stores, batches, strict=True)))
    assert found == [ids(claims), ids(claims)]
    assert count(store, "batch_results") == 40
    assert statuses(store, step) == ["COMPLETED"] * 40


def test_a_finish_and_a_loss_at_once_leave_one_ending(store: Store, open_another: OpenStore) -> None:
    register(store, "a-1")
    finisher, watcher = open_another(), open_another()
    for _ in range(5):
        step, claims = claimed(store, 30)
        accepted, (moved, gone) = at_once(
            lambda: finisher.finishes.finish([completed(claim) for claim in claims]),  # noqa: B023
            lambda: lose(watcher, "a-1"),
        )
        store.nodes.beat("a-1", 0)
        states = statuses(store, step)
        assert states.count("COMPLETED") == len(accepted)
        assert states.count("PENDING") == moved
        assert (states.count("COMPLETED") + states.count("PENDING"), gone) == (30, 0)
        assert count(store, "batch_results") == count(store, "batch_partitions", "status = 'COMPLETED'")


def test_a_result_belongs_to_the_attempt_that_is_recorded(store: Store) -> None:
    step, (claim,) = claimed(store)
    store.finishes.finish([handed_back(claim)])
    (again,) = take(store, step, "b-1")
    result = replace(a_result(b"second"), mac=b"its own mac")
    store.finishes.finish([completed(again, result=result)])
    (read,) = store.outcomes.read(step.step_execution_id, [0], arguments=False)
    assert (read.node, read.attempt, read.token, read.result) == ("b-1", 2, again.token, result)
    assert indexes([claim, again]) == [0, 0]


def test_exit_codes_are_kept(store: Store) -> None:
    step, claims = claimed(store, len(ExitCode))
    endings = [
        Finish(claim, PartitionStatus.FAILED if code is not ExitCode.COMPLETED else PartitionStatus.COMPLETED, code)
        for claim, code in zip(claims, ExitCode, strict=True)
    ]
    assert store.finishes.finish(endings) == ids(claims)
    assert [row.exit_code for row in store.views.partitions(step.step_execution_id)] == list(ExitCode)
