from __future__ import annotations

import pytest

from nbcluster.records import Result, Signed, StepToRun
from nbcluster.store import Store, payloads
from tests.builders import a_new_partition, a_result, an_error, completed, failed
from tests.store.acts import submit, take


@pytest.fixture
def step(store: Store) -> StepToRun:
    """Of five partitions 0 and 3 are done, 1 failed, 2 runs, 4 waits."""
    step = submit(store, [a_new_partition(index, b"arguments %d" % index, items=index + 1) for index in range(5)])
    claims = take(store, step, limit=4)
    store.finishes.finish([completed(claims[3], b"three"), failed(claims[1]), completed(claims[0], b"zero")])
    return step


def test_final_partitions_are_read_in_order_whatever_order_was_asked_for(store: Store, step: StepToRun) -> None:
    read = store.outcomes.read(step.step_execution_id, [3, 0, 1], arguments=False)
    assert [(one.index, one.status, one.items) for one in read] == [
        (0, "COMPLETED", 1),
        (1, "FAILED", 2),
        (3, "COMPLETED", 4),
    ]


def test_what_is_open_or_not_asked_for_or_not_there_is_not_read(store: Store, step: StepToRun) -> None:
    assert [one.index for one in store.outcomes.read(step.step_execution_id, range(5), arguments=False)] == [0, 1, 3]
    assert [one.index for one in store.outcomes.read(step.step_execution_id, [1, 2, 99], arguments=False)] == [1]
    assert store.outcomes.read(step.step_execution_id, [], arguments=False) == []
    assert store.outcomes.read(999_999, range(5), arguments=False) == []


def test_a_result_comes_with_what_proves_it(store: Store, step: StepToRun) -> None:
    (zero,) = store.outcomes.read(step.step_execution_id, [0], arguments=False)
    assert zero.result == a_result(b"zero")
    assert (zero.node, zero.attempt, zero.exit_code, zero.seconds) == ("a-1", 1, "COMPLETED", 0.25)
    assert zero.token > 0


def test_arguments_are_read_when_they_are_asked_for(store: Store, step: StepToRun) -> None:
    with_arguments = store.outcomes.read(step.step_execution_id, [0, 1, 3], arguments=True)
    assert [one.arguments for one in with_arguments] == [
        Signed(b"arguments %d" % index, b"arguments mac") for index in (0, 1, 3)
    ]
    assert {one.arguments for one in store.outcomes.read(step.step_execution_id, [0, 1, 3], arguments=False)} == {None}


def test_large_arguments_and_results_are_read_whole(store: Store) -> None:
    large = bytes(range(256)) * (payloads.CHUNK // 100)
    step = submit(store, [a_new_partition(0, large)])
    (claim,) = take(store, step)
    store.finishes.finish([completed(claim, large[::-1])])
    (read,) = store.outcomes.read(step.step_execution_id, [0], arguments=True)
    assert read.arguments == Signed(large, b"arguments mac")
    assert read.result is not None
    assert read.result.values == large[::-1]


def test_a_partition_that_left_nothing_has_no_result(store: Store) -> None:
    step = submit(store, 2)
    (claim,) = take(store, step, limit=1)
    store.finishes.finish([failed(claim, "killed", result=None)])
    store.coordination.request_stop(step.job_execution_id)
    read = store.outcomes.read(step.step_execution_id, [0, 1], arguments=True)
    assert [(one.result, one.exit_code, one.exit_message) for one in read] == [
        (None, "FAILED", "killed"),
        (None, "CANCELLED", "the job was stopped before this partition began"),
    ]


def test_an_empty_result_is_a_result(store: Store) -> None:
    step = submit(store)
    (claim,) = take(store, step)
    empty = Result(b"", "[]", b"", b"mac")
    store.finishes.finish([completed(claim, result=empty)])
    (read,) = store.outcomes.read(step.step_execution_id, [0], arguments=False)
    assert read.result == empty


def test_errors_of_items_are_kept_as_text(store: Store) -> None:
    step = submit(store)
    (claim,) = take(store, step)
    errors = [an_error(3, "ValueError", "ünï 'quoted' \\ \"double\"", "Traceback ...\n  line\n")]
    store.finishes.finish([failed(claim, result=a_result(errors=errors))])
    (read,) = store.outcomes.read(step.step_execution_id, [0], arguments=False)
    assert read.result == a_result(errors=errors)


def test_many_partitions_can_be_read_at_once(store: Store) -> None:
    step = submit(store, 3000)
    store.finishes.finish([completed(claim, b"%d" % claim.index) for claim in take(store, step)])
    read = store.outcomes.read(step.step_execution_id, range(3000), arguments=True)
    assert [one.result.values if one.result else None for one in read] == [b"%d" % index for index in range(3000)]


def test_partitions_of_other_steps_are_not_read(store: Store, step: StepToRun) -> None:
    other = submit(store)
    store.finishes.finish([completed(claim, b"other") for claim in take(store, other)])
    (read,) = store.outcomes.read(other.step_execution_id, [0], arguments=False)
    assert read.result == a_result(b"other")
