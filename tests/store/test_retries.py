"""An attempt that raised waits for its turn, and leaves its good items to the next one; what a function saves stays."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from nbcluster.errors import SignatureError
from nbcluster.lifecycle import ExitCode, PartitionStatus
from nbcluster.records import Claim, Finish, Result
from nbcluster.store import Store, payloads
from nbcluster.store.partitions import checkpoints
from nbcluster.store.partitions.checkpoints import ITEMS, USER
from tests.builders import a_claim, a_result, a_signer, completed, failed, handed_back
from tests.store.acts import change, count, earlier, ids, lose, register, rows, statuses, submit, take, value
from tests.store.conftest import OpenStore


def retried(claim: Claim, wait: float = 60.0, result: Result | None = None) -> Finish:
    return Finish(
        claim,
        PartitionStatus.PENDING,
        exit_message="ValueError: bad",
        seconds=0.5,
        erred=True,
        retry_after=wait,
        result=result,
    )


def wait_is_over(store: Store, claim: Claim) -> None:
    """As if the time until the retry had passed."""
    earlier(store, "batch_partitions", "not_before", 120, "step_execution_id = :id", id=claim.partition_id)


# --- waiting -------------------------------------------------------------------------------------


@pytest.mark.parametrize("steal", [False, True])
def test_what_is_to_be_tried_again_is_not_claimed_before_its_time(store: Store, steal: bool) -> None:
    step = submit(store, 3)
    first, *_ = claims = take(store, step)
    store.finishes.finish([retried(first), *(handed_back(claim) for claim in claims[1:])])
    assert statuses(store, step) == ["PENDING"] * 3
    found = store.claims.claim(step, "b-1", 10, free=True, steal=steal)
    assert [claim.index for claim in found] == [1, 2]
    wait_is_over(store, first)
    (again,) = store.claims.claim(step, "b-1", 10, free=True, steal=steal)
    assert (again.index, again.attempt, again.errors, again.crashes) == (0, 2, 1, 0)
    assert value(store, "SELECT not_before FROM batch_partitions WHERE partition_index = 0") is None


def test_the_wait_is_counted_by_the_clock_of_the_database(store: Store) -> None:
    step = submit(store)
    (claim,) = take(store, step)
    store.finishes.finish([retried(claim, 40)])
    waits = {
        "sqlite": "(not_before - last_updated) / 1e6",
        "postgresql": "extract(epoch from not_before - last_updated)",
    }
    seconds = value(store, f"SELECT {waits[store.database.dialect.name]} FROM batch_partitions")
    assert float(seconds) == pytest.approx(40, abs=0.1)


def test_a_retry_is_remembered_as_an_attempt_of_its_own(store: Store) -> None:
    step = submit(store)
    (claim,) = take(store, step)
    store.finishes.finish([retried(claim, 0)])
    (again,) = take(store, step, "b-1")
    store.finishes.finish([completed(again)])
    found = rows(store, "SELECT attempt, node_id, outcome, message, seconds FROM batch_attempts")
    assert found == [(1, "a-1", "RETRIED", "ValueError: bad", 0.5)]
    assert count(store, "batch_attempts", "claimed_time IS NOT NULL") == 1
    assert [row[0] for row in rows(store, "SELECT phase FROM batch_events WHERE members IS NOT NULL ORDER BY 1")] == [
        "CLAIMED",
        "CLAIMED",
        "COMPLETED",
        "RETRIED",
    ]
    assert value(store, "SELECT errors FROM batch_partitions") == 1


def test_errors_are_counted_apart_from_crashes_and_losses(store: Store) -> None:
    register(store, "a-1")
    step = submit(store)
    for ending in (retried, lambda claim: handed_back(claim, crashed=True), handed_back):
        (claim,) = take(store, step)
        store.finishes.finish([replace(ending(claim), retry_after=None)])
    take(store, step)
    lose(store, "a-1")
    (claim,) = take(store, step, "b-1")
    assert (claim.attempt, claim.errors, claim.crashes) == (5, 1, 1)


def test_an_answer_to_the_commit_of_a_retry_may_be_lost(store: Store) -> None:
    """Told again, after another node has claimed the next attempt, it is known as recorded and fences nobody."""
    step = submit(store)
    (claim,) = take(store, step)
    ending = retried(claim, 0, a_result())
    assert store.finishes.finish([ending]) == {claim.partition_id}
    assert store.finishes.finish([ending]) == {claim.partition_id}
    take(store, step, "b-1")
    assert store.finishes.finish([ending]) == {claim.partition_id}
    assert count(store, "batch_events", "phase = 'FENCED'") == 0
    assert (count(store, "batch_attempts"), value(store, "SELECT errors FROM batch_partitions")) == (1, 1)


# --- the items that are done ---------------------------------------------------------------------


def items_left(store: Store, claim: Claim) -> tuple[bytes, bytes, bytes]:
    (one,) = [one for one in store.checkpoints.read(claim) if one.kind == ITEMS]
    return checkpoints.unpack_items(one.signed.body)


@pytest.mark.parametrize("size", [10, payloads.INLINE + 1, 3 * payloads.CHUNK])
def test_the_outcome_of_a_retried_attempt_is_there_for_the_next_one(store: Store, size: int) -> None:
    step = submit(store)
    (claim,) = take(store, step)
    result = a_result(b"v" * size)
    store.finishes.finish([retried(claim, 0, result)])
    assert count(store, "batch_results") == 0
    (again,) = take(store, step, "b-1")
    assert again.has_checkpoint
    assert items_left(store, again) == (result.values, result.errors.encode(), result.seconds)
    # A later one takes the place of the earlier one, whose bytes go.
    store.finishes.finish([retried(again, 0, a_result(b"later"))])
    (third,) = take(store, step)
    assert items_left(store, third)[0] == b"later"
    assert count(store, "batch_payloads") == 1  # the function


def test_without_good_items_nothing_is_kept(store: Store) -> None:
    step = submit(store)
    (claim,) = take(store, step)
    store.finishes.finish([retried(claim, 0)])
    (again,) = take(store, step)
    assert not again.has_checkpoint
    assert store.checkpoints.read(again) == []


@pytest.mark.parametrize("ending", [completed, failed])
def test_what_was_left_goes_when_the_partition_is_complete_and_not_before(
    store: Store, ending: Callable[[Claim], Finish]
) -> None:
    step = submit(store, 2)
    first, other = take(store, step)
    store.finishes.finish([retried(first, 0, a_result(bytes(payloads.INLINE + 1))), retried(other, 0, a_result())])
    again, _ = take(store, step)
    store.finishes.finish([ending(again)])
    gone = ending is completed
    assert count(store, "batch_checkpoints") == (1 if gone else 2)
    assert count(store, "batch_payloads") == (1 if gone else 2)
    assert count(store, "batch_partitions", "has_checkpoint = 1") == (1 if gone else 2)


# --- what a function saves -----------------------------------------------------------------------


def saved(store: Store, claim: Claim, body: bytes) -> bool:
    (accepted,) = store.checkpoints.save([(claim, checkpoints.sign(store.signer, claim, USER, body))])
    return accepted


def user_checkpoint(store: Store, claim: Claim) -> bytes | None:
    found = [one for one in store.checkpoints.read(claim) if one.kind == USER]
    return checkpoints.check(store.signer, claim, found[0]) if found else None


@pytest.mark.parametrize("size", [0, 100, payloads.INLINE + 1])
def test_the_last_that_was_saved_is_there_after_a_crash(store: Store, size: int) -> None:
    step = submit(store)
    (claim,) = take(store, step)
    assert saved(store, claim, b"first")
    assert saved(store, claim, b"x" * size)
    store.finishes.finish([handed_back(claim, crashed=True)])
    (again,) = take(store, step, "b-1")
    assert again.has_checkpoint
    assert user_checkpoint(store, again) == b"x" * size


def test_what_was_saved_and_the_items_that_are_done_do_not_touch_each_other(store: Store) -> None:
    step = submit(store)
    (claim,) = take(store, step)
    assert saved(store, claim, b"mine")
    store.finishes.finish([retried(claim, 0, a_result(b"values"))])
    (again,) = take(store, step)
    assert (user_checkpoint(store, again), items_left(store, again)[0]) == (b"mine", b"values")
    store.finishes.finish([completed(again)])
    assert count(store, "batch_checkpoints") == 0


@pytest.mark.parametrize(
    "other",
    [
        lambda claim: replace(claim, node_id="b-1"),
        lambda claim: replace(claim, attempt=claim.attempt + 1),
        lambda claim: replace(claim, token=claim.token ^ 1),
        lambda claim: replace(claim, partition_id=claim.partition_id + 1),
    ],
)
def test_only_the_owner_of_the_attempt_saves(store: Store, other: Callable[[Claim], Claim]) -> None:
    step = submit(store)
    (claim,) = take(store, step)
    assert saved(store, claim, b"mine")
    assert not saved(store, other(claim), b"not mine")
    assert user_checkpoint(store, claim) == b"mine"


@pytest.mark.parametrize("ending", [completed, failed, handed_back])
def test_after_its_end_an_attempt_saves_nothing(store: Store, ending: Callable[[Claim], Finish]) -> None:
    step = submit(store)
    (claim,) = take(store, step)
    store.finishes.finish([ending(claim)])
    assert not saved(store, claim, b"late")
    assert count(store, "batch_checkpoints") == 0


def test_a_batch_saves_what_it_may(store: Store) -> None:
    step = submit(store, 3)
    claims = take(store, step)
    store.finishes.finish([completed(claims[1])])
    saves = [(claim, checkpoints.sign(store.signer, claim, USER, b"%d" % claim.index)) for claim in claims]
    assert store.checkpoints.save(saves) == [True, False, True]


def test_a_resumed_job_finds_what_the_stopped_one_left(store: Store, open_another: OpenStore) -> None:
    step = submit(store, 2)
    first, second = take(store, step)
    assert saved(store, first, b"half way")
    store.finishes.finish([failed(first), completed(second)])
    store.advancing.advance(step.job_execution_id, 1)
    resumed = store.jobs.resume(step.job_execution_id, "kernel-1")
    assert resumed is not None
    (again,) = take(store, store.jobs.started_steps()[-1], "b-1")
    assert again.has_checkpoint
    assert again.partition_id != first.partition_id
    assert user_checkpoint(open_another(), again) == b"half way"


# --- signatures ----------------------------------------------------------------------------------


def test_an_altered_checkpoint_is_refused(store: Store) -> None:
    step = submit(store)
    (claim,) = take(store, step)
    assert saved(store, claim, b"mine")
    change(store, "UPDATE batch_checkpoints SET body = :body", body=b"evil")
    with pytest.raises(SignatureError, match="the stored checkpoint is not signed"):
        user_checkpoint(store, claim)


@pytest.mark.parametrize(
    "changes", [{"index": 1}, {"step": "other"}, {"kind": ITEMS}, {"attempt": 2}], ids=lambda one: next(iter(one))
)
def test_a_checkpoint_belongs_to_its_place(changes: dict[str, Any]) -> None:
    claim = a_claim()
    signed = checkpoints.sign(a_signer(), claim, USER, b"mine")
    plain = checkpoints.Checkpoint(USER, claim.attempt, signed)
    assert checkpoints.check(a_signer(), claim, plain) == b"mine"
    if "step" in changes:
        elsewhere, moved = replace(claim, step=replace(claim.step, name="other")), plain
    elif "index" in changes:
        elsewhere, moved = replace(claim, index=1), plain
    else:
        elsewhere, moved = claim, replace(plain, **changes)
    with pytest.raises(SignatureError):
        checkpoints.check(a_signer(), elsewhere, moved)


# --- refused, fenced -----------------------------------------------------------------------------


def told(store: Store, phase: str) -> list[tuple[Any, ...]]:
    return rows(store, "SELECT node_id, members, detail FROM batch_events WHERE phase = :phase", phase=phase)


def test_what_was_refused_is_told_with_the_reason(store: Store) -> None:
    step = submit(store, 2)
    one, other = take(store, step)
    refused = Finish(one, PartitionStatus.FAILED, ExitCode.BAD_SIGNATURE, "it was altered", failed_items=1)
    store.finishes.finish([refused, completed(other)])
    assert told(store, "REFUSED") == [("a-1", f"{one.partition_id}:1", "it was altered")]
    assert told(store, "FAILED") == [("a-1", f"{one.partition_id}:1", None)]


def test_an_outcome_that_came_too_late_is_told_as_fenced(store: Store) -> None:
    register(store, "a-1")
    step = submit(store, 3)
    claims = take(store, step)
    lose(store, "a-1")
    assert store.finishes.finish([completed(claim) for claim in claims]) == set()
    ((node, members, _),) = told(store, "FENCED")
    assert (node, set(members.split())) == ("a-1", {f"{one}:1" for one in ids(claims)})
    store.finishes.fenced(claims[:1])
    assert len(told(store, "FENCED")) == 2


# --- when work began -----------------------------------------------------------------------------


def test_the_beginning_of_what_ended_is_known_from_its_length(store: Store) -> None:
    step = submit(store, 2)
    first, second = take(store, step)
    store.finishes.finish([completed(first, seconds=7.5), retried(second)])
    length = {
        "sqlite": "(end_time - start_time) / 1e6",
        "postgresql": "extract(epoch from end_time - start_time)",
    }[store.database.dialect.name]
    found = rows(store, f"SELECT {length}, start_time IS NULL FROM batch_partitions ORDER BY partition_index")
    assert float(found[0][0]) == pytest.approx(7.5, abs=0.1)
    assert found[1][1]


def test_the_beginning_that_was_marked_stays(store: Store) -> None:
    step = submit(store, transferable_once(1))
    (claim,) = take(store, step)
    store.claims.start([claim])
    before = value(store, "SELECT start_time FROM batch_partitions")
    store.finishes.finish([completed(claim, seconds=1000)])
    assert value(store, "SELECT start_time FROM batch_partitions") == before


def transferable_once(number: int) -> Any:
    from tests.builders import some_new_partitions

    return some_new_partitions(number, transferable=False)
