"""What questions over all jobs read: tables as columns, only those columns and rows that are wanted."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest

from nbcluster.lifecycle import ExitCode, PartitionStatus
from nbcluster.newjob import NewPartition
from nbcluster.records import Finish
from nbcluster.store import Store
from nbcluster.store.asking import ATTEMPTS, EVENTS, LOGS, PARTITIONS
from nbcluster.store.bulk import MISSING, Columns, Field, Kind, Source, read
from nbcluster.store.stepnames import Condition, Wanted
from nbcluster.store.tables import partitions
from tests.builders import a_new_job, a_result, completed, failed
from tests.store.acts import change, lose, register, submit, take


def rows(found: Columns) -> list[dict[str, Any]]:
    """The rows, with None for what is missing."""
    by_column = {name: array.tolist() for name, array in found.arrays.items()}
    assert all(len(values) == found.rows for values in by_column.values())
    missing = {MISSING, None}
    return [
        {name: None if values[place] in missing or values[place] != values[place] else values[place]
         for name, values in by_column.items()}
        for place in range(found.rows)
    ]  # fmt: skip


def asked(
    table: Callable[[Wanted], Columns], kinds: Mapping[str, Kind], *conditions: Condition
) -> list[dict[str, Any]]:
    return rows(table(Wanted(frozenset(kinds), conditions)))


@pytest.fixture
def job(store: Store) -> int:
    """A job of three partitions: one completed, one that was lost and runs again, one pending."""
    register(store, "a-1", "b-1")
    step = submit(store, (NewPartition(place, f"part-{place}", 10, None) for place in range(3)), name="fit")
    done, _ = take(store, step, "a-1", 2)
    store.finishes.finish([completed(done, seconds=0.5, log=b"hello \xff")])
    lose(store, "a-1")
    take(store, step, "b-1", 1)
    return step.job_execution_id


def test_partitions_are_asked_for_with_their_job_and_step(store: Store, job: int) -> None:
    found = asked(store.asking.partitions, PARTITIONS)
    assert [(one["job"], one["name"], one["step"], one["partition"], one["state"]) for one in found] == [
        (job, "fit", "map", 0, "COMPLETED"),
        (job, "fit", "map", 1, "CLAIMED"),
        (job, "fit", "map", 2, "PENDING"),
    ]
    assert (found[0]["key"], found[0]["node"], found[0]["items"], found[0]["seconds"]) == ("part-0", "a-1", 10, 0.5)
    assert (found[2]["node"], found[2]["seconds"], found[2]["ended"], found[2]["exit_code"]) == (None,) * 4


def test_times_are_those_that_the_views_tell(store: Store, job: int) -> None:
    told = store.views.partitions(store.steps.id_of(job, "map") or 0)[0].ended
    assert told is not None
    (found,) = rows(store.asking.partitions(Wanted(frozenset({"ended"}), (Condition("state", "=", "COMPLETED"),))))
    assert found["ended"] == round(told.timestamp() * 1_000_000)


def test_only_the_columns_that_are_wanted_come_and_none_are_counted(store: Store, job: int) -> None:
    assert set(store.asking.partitions(Wanted(frozenset({"seconds", "name"}))).arrays) == {"seconds", "name"}
    counted = store.asking.partitions(Wanted(frozenset()))
    assert (counted.rows, counted.arrays) == (3, {})


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        ([("name", "=", "fit")], 3),
        ([("name", "=", "it's")], 2),
        ([("name", "=", "none")], 0),
        ([("name", ">=", "g")], 2),
        ([("state", "=", "COMPLETED")], 1),
        ([("state", "=", "PENDING"), ("partition", ">=", 1), ("name", "=", "fit")], 1),
        ([("step", "=", "map")], 5),
        ([("node", "=", "b-1")], 1),
    ],
)
def test_conditions_keep_the_rows_that_meet_them(
    store: Store, job: int, conditions: list[tuple[str, str, Any]], expected: int
) -> None:
    store.jobs.create(a_new_job(2, name="it's"))
    met = tuple(Condition(*one) for one in conditions)
    assert store.asking.partitions(Wanted(frozenset({"job"}), met)).rows == expected
    assert store.asking.partitions(Wanted(frozenset(), met)).rows == expected


def test_conditions_on_the_job_hold_for_all_tables(store: Store, job: int) -> None:
    other = submit(store, 2, name="other")
    store.finishes.finish([completed(one) for one in take(store, other, "b-1", 2)])
    mine, his = Condition("job", "=", job), Condition("job", ">", job)
    assert {one["name"] for one in asked(store.asking.attempts, ATTEMPTS, mine)} == {"fit"}
    assert {one["name"] for one in asked(store.asking.attempts, ATTEMPTS, his)} == {"other"}
    assert {one["job"] for one in asked(store.asking.events, EVENTS, his)} == {other.job_execution_id}
    assert {one["name"] for one in asked(store.asking.events, EVENTS, Condition("name", "=", "fit"))} == {"fit"}
    assert asked(store.asking.logs, LOGS, Condition("name", "=", "none")) == []
    assert store.asking.ended_steps(Wanted(frozenset(), (his,))) == [(other.job_execution_id, "map")]


def test_attempts_are_asked_for_with_those_that_were_not_the_last(store: Store, job: int) -> None:
    found = asked(store.asking.attempts, ATTEMPTS)
    assert sorted((one["partition"], one["attempt"], one["node"], one["outcome"]) for one in found) == [
        (0, 1, "a-1", "COMPLETED"),
        (1, 1, "a-1", "NODE_LOST"),
        (1, 2, "b-1", "RUNNING"),
    ]
    assert {one["name"] for one in found} == {"fit"}


def test_what_was_written_down_of_an_attempt_is_told_whatever_the_question_says_of_it(store: Store) -> None:
    register(store, "a-1")
    step = submit(store, 1)
    (claim,) = take(store, step, "a-1", 1)
    store.finishes.finish([failed(claim)])
    statement = (
        "INSERT INTO batch_attempts (step_execution_id, attempt, node_id, end_time, outcome, peak_memory) "
        "SELECT step_execution_id, 1, 'a-1', end_time, 'TIMEOUT', 4096 FROM batch_partitions"
    )
    change(store, "DELETE FROM batch_attempts")
    assert change(store, statement) == 1
    assert [(one["outcome"], one["peak_memory"]) for one in asked(store.asking.attempts, ATTEMPTS)] == [
        ("TIMEOUT", 4096)
    ]
    told_first = asked(store.asking.attempts, ATTEMPTS, Condition("outcome", "=", "FAILED"))
    assert {one["outcome"] for one in told_first} == {"TIMEOUT"}  # more rows may come than are meant, never others


def test_events_have_a_row_for_each_partition_and_those_of_nodes_have_no_job(store: Store, job: int) -> None:
    found = asked(store.asking.events, EVENTS)
    moved = [one for one in found if one["phase"] == "MOVED"]
    assert [(one["job"], one["name"], one["step"], one["partition"], one["attempt"], one["node"]) for one in moved] == [
        (job, "fit", "map", 1, 1, "a-1")
    ]
    assert [one["job"] for one in found if one["phase"] == "NODE_UNREACHABLE"] == [None]
    assert [one["partition"] for one in found if one["phase"] == "RECEIVED"] == [None]
    claimed = [one["partition"] for one in found if one["phase"] == "CLAIMED"]
    assert claimed == [0, 1, 1]


def test_events_of_a_job_that_is_gone_are_still_told(store: Store, job: int) -> None:
    assert change(store, "UPDATE batch_events SET job_execution_id = 999 WHERE phase = 'RECEIVED'") == 1
    (found,) = asked(store.asking.events, EVENTS, Condition("job", "=", 999))
    assert (found["phase"], found["name"]) == ("RECEIVED", None)


def test_what_was_printed_is_asked_for_by_partition(store: Store, job: int) -> None:
    (found,) = asked(store.asking.logs, LOGS)
    assert (found["name"], found["partition"], found["attempt"], found["text"]) == ("fit", 0, 1, "hello \ufffd")


def test_steps_with_something_final_are_those_that_have_results(store: Store, job: int) -> None:
    store.jobs.create(a_new_job(2))
    every = Wanted(frozenset())
    assert store.asking.ended_steps(every) == [(job, "map")]
    assert change(store, "UPDATE batch_partitions SET end_time = NULL WHERE job_execution_id = :job", job=job) == 3
    assert store.asking.ended_steps(every) == []


def test_rows_come_whole_over_the_edges_of_portions(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    from nbcluster.store import bulk
    from nbcluster.store.dialects import packed

    for module, name in ((bulk, "_ROWS"), (packed, "_ROWS"), (packed, "_WIDE_ROWS")):
        monkeypatch.setattr(module, name, 3)
    texts = ["", "it's", 'a "b"', "\u00fc\u4e2d", None, "back\\slash", "new\nline", "%s"]
    store.jobs.create(a_new_job(len(texts)))
    for place, text in enumerate(texts):
        change(
            store,
            "UPDATE batch_partitions SET exit_message = :text, seconds = :seconds, arguments = :body "
            "WHERE partition_index = :place",
            text=text, seconds=None if text is None else place / 7, body=bytes([place]) * place, place=place,
        )  # fmt: skip
    fields = {
        "place": Field(partitions.c.partition_index, Kind.WHOLE),
        "text": Field(partitions.c.exit_message, Kind.TEXT, wide=True),
        "state": Field(partitions.c.status, Kind.TEXT, words=("FAILED", "PENDING")),
        "seconds": Field(partitions.c.seconds, Kind.NUMBER),
        "ended": Field(partitions.c.end_time, Kind.TIME),
        "body": Field(partitions.c.arguments, Kind.BYTES),
    }
    found = rows(read(store.database, Source(partitions, partitions.c.step_execution_id), fields, 10.0))
    assert [one["place"] for one in found] == list(range(len(texts)))
    assert [one["text"] for one in found] == texts
    assert [one["seconds"] for one in found] == [None if text is None else n / 7 for n, text in enumerate(texts)]
    assert [bytes(one["body"]) for one in found] == [bytes([n]) * n for n in range(len(texts))]
    assert {(one["state"], one["ended"]) for one in found} == {("PENDING", None)}


def test_items_are_counted_through_their_step_and_failed_ones_have_their_error(store: Store) -> None:
    register(store, "a-1")
    sizes = {0: 2, 1: 3, 2: 1, 3: 2}
    step = submit(
        store, (NewPartition(place, f"part-{place}", size, None) for place, size in sizes.items()), name="fit"
    )
    other = submit(store, 1, name="other")
    first, second, third, _ = take(store, step, "a-1", 4)
    store.finishes.finish([
        failed(third, "ValueError: bad"),
        completed(second, result=replace(a_result(), seconds=struct.pack("3d", 0.5, 1.5, 2.5))),
        Finish(first, PartitionStatus.FAILED, ExitCode.POISON, "it kills its process", failed_items=2),
    ])  # fmt: skip
    store.finishes.finish([completed(one) for one in take(store, other, "a-1", 1)])
    columns = {"name": Kind.TEXT, "item": Kind.WHOLE, "partition": Kind.WHOLE, "seconds": Kind.NUMBER,
               "error": Kind.TEXT, "message": Kind.TEXT}  # fmt: skip
    found = [tuple(one[name] for name in columns) for one in asked(store.asking.items, columns)]
    assert found[:6] == [
        ("fit", 0, 0, None, "POISON", "it kills its process"),
        ("fit", 1, 0, None, "POISON", "it kills its process"),
        ("fit", 2, 1, 0.5, None, None),
        ("fit", 3, 1, 1.5, None, None),
        ("fit", 4, 1, 2.5, None, None),
        ("fit", 5, 2, found[5][3], "ValueError", "bad"),
    ]
    assert [one[:3] for one in found[6:]] == [("other", 0, 0)]
    assert store.asking.items(Wanted(frozenset({"item"}), (Condition("partition", "=", 2),))).rows >= 1
    (only,) = {tuple(one.items()) for one in asked(store.asking.items, {"name": Kind.TEXT},
               Condition("name", "=", "other"))}  # fmt: skip
    assert dict(only)["name"] == "other"


def test_items_of_nothing_are_no_rows(store: Store) -> None:
    assert store.asking.items(Wanted(frozenset({"item", "seconds", "error"}))).rows == 0
