"""A job appears together with all its partitions, or not at all; what is finished stays when it goes on."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from nbcluster.errors import DatabaseError
from nbcluster.records import Signed
from nbcluster.store import Store, payloads
from nbcluster.store.jobs import Submitted
from tests.builders import (
    a_new_job,
    a_new_partition,
    a_new_step,
    some_new_partitions,
)
from tests.store.acts import (
    at_once,
    count,
    lose,
    register,
    rows,
    run,
    statuses,
    step_of,
    submit,
    take,
)
from tests.store.conftest import OpenStore

TABLES = (
    "batch_job_instance", "batch_job_execution", "batch_step_execution", "batch_job_coordination",
    "batch_partitions", "batch_payloads", "batch_events",
)  # fmt: skip


# --- all or nothing ------------------------------------------------------------------------------


@pytest.mark.parametrize("partitions", [1, 19, 20, 5000])
def test_a_job_appears_with_all_its_partitions(store: Store, partitions: int) -> None:
    step = submit(store, partitions)
    assert statuses(store, step) == ["PENDING"] * partitions
    assert [row.index for row in store.views.partitions(step.step_execution_id)] == list(range(partitions))
    assert [count(store, table) for table in TABLES[:4]] == [1, 1, 1, 1]


def test_a_job_is_stored_as_it_was_submitted(store: Store) -> None:
    parts = [
        a_new_partition(0, key="1..5", items=5, assigned_node="a-1"),
        a_new_partition(1, key="6..9 'quoted' <b>", items=4, transferable=False),
    ]
    submitted = store.jobs.create(a_new_job(parts, name="höhe", user="ada", step=a_new_step(source="n * 2")))
    job = store.views.job(submitted.job_execution_id)
    assert job is not None
    assert (job.name, job.user, job.host, job.source, job.master_node_id) == (
        "höhe",
        "ada",
        "host",
        "n * 2",
        "kernel-1",
    )
    assert (job.status, job.term, job.partitions, job.items) == ("STARTED", 1, 2, 9)
    assert job.created == submitted.created
    found = store.views.partitions(submitted.step_execution_id)
    assert [(p.key, p.items, p.node, p.transferable, p.attempt) for p in found] == [
        ("1..5", 5, "a-1", True, 0),
        ("6..9 'quoted' <b>", 4, None, False, 0),
    ]


@pytest.mark.parametrize("partitions", [3, 50], ids=["few", "many"])
@pytest.mark.parametrize(
    "twice", [{"index": 1}, {"index": 1, "key": "other"}, {"index": 999, "key": "part-1"}], ids=["all", "index", "key"]
)
def test_a_failure_in_the_middle_leaves_nothing(store: Store, partitions: int, twice: dict[str, Any]) -> None:
    split = [*some_new_partitions(partitions), a_new_partition(**twice)]
    with pytest.raises(DatabaseError):
        store.jobs.create(a_new_job(split))
    assert [count(store, table) for table in TABLES] == [0] * len(TABLES)


def test_what_others_see_is_nothing_or_everything(
    store: Store, open_another: OpenStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    other, seen = open_another(), []
    insert_many = store.database.dialect.insert_many

    def look_before_and_after(*arguments: Any) -> None:
        seen.append(other.jobs.started_steps())
        insert_many(*arguments)
        seen.append(other.jobs.started_steps())

    monkeypatch.setattr(store.database.dialect, "insert_many", look_before_and_after)
    submit(store, 100)
    assert seen == [[], []]
    assert len(other.jobs.started_steps()) == 1


def test_submitting_again_finds_the_first(store: Store) -> None:
    job = a_new_job(3)
    first = store.jobs.create(job)
    assert store.jobs.create(job) == first
    assert (count(store, "batch_job_execution"), count(store, "batch_partitions")) == (1, 3)


def test_submitting_the_same_job_twice_at_once_stores_it_once(store: Store, open_another: OpenStore) -> None:
    job, other = a_new_job(30), open_another()
    first, second = at_once(lambda: store.jobs.create(job), lambda: other.jobs.create(job))
    assert first == second
    assert (count(store, "batch_job_execution"), count(store, "batch_partitions")) == (1, 30)


def test_jobs_may_share_a_name(store: Store) -> None:
    first, second = submit(store, name="collatz"), submit(store, name="collatz")
    assert first.job_execution_id != second.job_execution_id
    found = store.views.job_named("collatz")
    assert found is not None
    assert found.job_execution_id == second.job_execution_id


def test_an_empty_split_is_a_complete_job(store: Store) -> None:
    step = submit(store, 0)
    assert take(store, step) == []
    assert store.advancing.advance(step.job_execution_id, 1) == "COMPLETED"


def test_steps_and_partitions_never_share_an_id(store: Store) -> None:
    for partitions in (3, 30, 3):
        submit(store, partitions)
    found = rows(
        store,
        "SELECT step_execution_id FROM batch_partitions UNION ALL SELECT step_execution_id FROM batch_step_execution",
    )
    assert len(found) == len(set(found)) == 39


def test_the_phases_of_a_submission_are_recorded(store: Store) -> None:
    submit(store)
    assert [row[0] for row in rows(store, "SELECT phase FROM batch_events ORDER BY event_id")] == [
        "RECEIVED",
        "PARTITIONED",
        "DISTRIBUTED",
    ]


def test_jobs_submitted_by_many_at_once_are_all_there(store: Store, open_another: OpenStore) -> None:
    stores = [store, *(open_another() for _ in range(3))]

    def submit_five(own: Store) -> list[Any]:
        return [submit(own, 5) for _ in range(5)]

    at_once(*(partial(submit_five, own) for own in stores))
    assert (count(store, "batch_job_execution"), count(store, "batch_partitions")) == (20, 100)
    assert len({step.step_execution_id for step in store.jobs.started_steps()}) == 20


# --- what a node reads ---------------------------------------------------------------------------


def test_started_steps_come_in_the_order_of_their_submission(store: Store) -> None:
    steps = [submit(store, name=name) for name in ("first", "second", "third")]
    assert [step.job_name for step in store.jobs.started_steps()] == ["first", "second", "third"]
    run(store, steps[1])
    store.advancing.advance(steps[1].job_execution_id, 1)
    assert [step.job_name for step in store.jobs.started_steps()] == ["first", "third"]


def test_a_step_carries_what_its_partitions_need(store: Store) -> None:
    new = a_new_step(mode="star", strategy="fixed_node_count", max_attempts=2, max_result=7, max_log=8)
    step = submit(store, step=replace(new, fixed_nodes=("a-1",), fixed_count=2), uid="uid-of-it")
    assert (step.mode, step.strategy, step.max_attempts, step.max_result, step.max_log) == (
        "star", "fixed_node_count", 2, 7, 8,
    )  # fmt: skip
    assert (step.fixed_nodes, step.fixed_count, step.uid, step.stop_requested) == (("a-1",), 2, "uid-of-it", False)
    assert (step.function_mac, store.jobs.function(step.function_id)) == (b"function mac", b"function")


# --- payloads ------------------------------------------------------------------------------------


def test_a_function_is_stored_once_for_all_jobs_that_use_it(store: Store) -> None:
    steps = [submit(store, step=a_new_step(b"the same")) for _ in range(3)]
    assert count(store, "batch_payloads") == 1
    assert {store.jobs.function(step.function_id) for step in steps} == {b"the same"}


@pytest.mark.parametrize(
    ("size", "chunks"),
    [
        (0, 1),
        (1, 1),
        (payloads.CHUNK, 1),
        (payloads.CHUNK + 1, 2),
        (5 * payloads.CHUNK // 2, 3),
    ],
)
def test_large_bytes_are_cut_into_chunks_and_come_back_whole(store: Store, size: int, chunks: int) -> None:
    body = (bytes(range(251)) * (size // 251 + 1))[:size]
    step = submit(store, step=a_new_step(body))
    assert store.jobs.function(step.function_id) == body
    assert count(store, "batch_payloads") == chunks


def test_two_who_store_the_same_bytes_at_once_store_them_once(store: Store, open_another: OpenStore) -> None:
    other = open_another()
    body = bytes(2 * payloads.CHUNK)
    one, two = at_once(lambda: submit(store, step=a_new_step(body)), lambda: submit(other, step=a_new_step(body)))
    assert one.function_id == two.function_id
    assert store.jobs.function(one.function_id) == body
    assert count(store, "batch_payloads") == 2


def test_a_payload_that_is_not_there_is_none(store: Store) -> None:
    assert store.jobs.function("0" * 64) is None
    assert store.claims.arguments("0" * 64) is None


def test_small_arguments_travel_in_their_row_and_large_ones_by_reference(store: Store) -> None:
    small, large = b"s" * payloads.INLINE, b"l" * (payloads.INLINE + 1)
    step = submit(store, [a_new_partition(0, small), a_new_partition(1, large), a_new_partition(2, large)])
    first, second, third = take(store, step)
    assert first.arguments == Signed(small, b"arguments mac")
    assert first.arguments_payload is None
    assert second.arguments_payload == third.arguments_payload == payloads.payload_id(large)
    assert store.claims.arguments(payloads.payload_id(large)) == large
    assert count(store, "batch_payloads", "payload_id = :id", id=payloads.payload_id(large)) == 1


# --- fixed_node_count ----------------------------------------------------------------------------


def fixed(store: Store, *nodes: str, places: int = 2, partitions: int = 4) -> Any:
    return submit(store, partitions, step=a_new_step(fixed_nodes=nodes, fixed_count=places))


def reread(store: Store, step: Any) -> Any:
    return step_of(store, Submitted(step.job_execution_id, step.step_execution_id, None))  # type: ignore[arg-type]


def test_a_free_place_is_taken_once(store: Store, open_another: OpenStore) -> None:
    step = fixed(store, "a-1")
    others = [open_another() for _ in range(3)]
    taken = at_once(*(partial(other.jobs.add_fixed_node, step, f"racer-{n}") for n, other in enumerate(others)))
    assert sorted(taken) == [False, False, True]
    assert reread(store, step).fixed_nodes == ("a-1", f"racer-{taken.index(True)}")


def test_the_place_of_a_lost_node_becomes_free(store: Store) -> None:
    register(store, "a-1", "b-1")
    step = fixed(store, "a-1", "b-1")
    lose(store, "a-1")
    assert reread(store, step).fixed_nodes == ("b-1",)
    assert store.jobs.add_fixed_node(reread(store, step), "c-1")
    assert reread(store, step).fixed_nodes == ("b-1", "c-1")


def test_the_place_of_a_leaving_node_becomes_free(store: Store) -> None:
    register(store, "a-1")
    step, other = fixed(store, "a-1"), submit(store)
    store.deregister("a-1")
    assert reread(store, step).fixed_nodes == ()
    assert reread(store, other).fixed_nodes is None


def test_who_looked_before_a_place_was_taken_does_not_take_it_again(store: Store) -> None:
    step = fixed(store)
    assert store.jobs.add_fixed_node(step, "a-1")
    assert not store.jobs.add_fixed_node(step, "b-1")
