"""Results taken over from earlier jobs: what is run, what is not, and what nobody can exchange."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from typing import Any

import pytest

import nbcluster as nb
from tests.cluster.conftest import Lab
from tests.waiting import wait_until


def noting(lab: Lab) -> Any:
    """A function that doubles, and leaves a note wherever it runs."""
    path = str(lab.folder / "ran.txt")

    def double(n: int) -> int:
        with open(path, "a") as notes:
            notes.write(f"{n}\n")
        return 2 * n

    return double


def runs(lab: Lab) -> int:
    """How often it ran."""
    notes = lab.folder / "ran.txt"
    return len(notes.read_text().split()) if notes.exists() else 0


def double(n: int) -> int:
    return 2 * n


def triple(n: int) -> int:
    return 3 * n


# --- what is run -----------------------------------------------------------------------------------------------------


def test_what_was_computed_is_not_computed_again_by_anybody(lab: Lab) -> None:
    function = noting(lab)
    (node,) = lab.nodes(1, slots=2)
    first = lab.connect().map(function, range(100), cache=True)
    assert first.note is None
    assert first.results() == [2 * n for n in range(100)]
    node.end()
    # Another kernel, and no node at all.
    again = lab.connect().map(function, range(100), cache=True)
    assert again.state == "COMPLETED", again.note
    assert again.note == f"{again.name}: 32 of 32 partitions have their results from the cache"
    assert again.results() == first.results()
    assert again.frame()["value"].tolist() == first.frame()["value"].tolist()
    assert again.frame()["input"].tolist() == list(range(100))
    assert set(again.partitions()["message"]) == {"from the cache"}
    assert again.snapshot().cached == "32 of 32"
    assert first.snapshot().cached == ""
    assert runs(lab) == 100


def test_only_what_is_new_is_run(lab: Lab) -> None:
    function = noting(lab)
    lab.nodes(1, slots=2)
    cluster = lab.connect()
    cluster.map(function, range(20), chunk=5, cache=True).wait(60)
    more = cluster.map(function, range(30), chunk=5, cache=True)
    assert more.results() == [2 * n for n in range(30)]
    assert more.note is not None
    assert "4 of 6 partitions" in more.note
    assert runs(lab) == 30
    assert cluster.map(function, range(30), chunk=5).results() == more.results()  # without the option
    assert runs(lab) == 60
    assert cluster.map(function, range(30), chunk=5, cache=True, fresh=True).results() == more.results()
    assert runs(lab) == 90


def test_failed_partitions_are_not_kept(lab: Lab) -> None:
    lab.nodes(1, slots=2)
    cluster = lab.connect()

    def inverse(n: int) -> float:
        return 1 / n

    for _ in range(2):
        job = cluster.map(inverse, range(4), chunk=2, cache=True).wait(60)
        assert job.state == "FAILED"
    assert job.note is not None
    assert "1 of 2" in job.note


def test_later_steps_get_what_was_taken_over(lab: Lab) -> None:
    function = noting(lab)
    lab.nodes(1, slots=2)
    cluster = lab.connect()
    cluster.map(function, range(10), chunk=2, cache=True).wait(60)
    ran = runs(lab)
    done = (
        cluster.pipeline("chain")
        .map("load", function, range(10), chunk=2, cache=True)
        .map("more", lambda n: n + 1)
        .local("here", sum, after="more")
        .aggregate("there", "sum", after="more")
        .run()
        .wait(60)
    )
    assert runs(lab) == ran
    assert done.step("more").results() == [2 * n + 1 for n in range(10)]
    assert done.step("here").result() == done.step("there").result() == sum(2 * n + 1 for n in range(10))
    assert cluster.map(function, range(10), chunk=2, cache=True, aggregate="sum").result() == 90
    assert runs(lab) == ran


def test_a_partition_can_be_run_again(lab: Lab) -> None:
    function = noting(lab)
    lab.nodes(1, slots=2)
    cluster = lab.connect()
    cluster.map(function, range(4), chunk=2, cache=True).wait(60)
    job = cluster.map(function, range(4), chunk=2, cache=True).wait(60)
    assert job.retry(1).wait(60).results() == [0, 2, 4, 6]
    assert runs(lab) == 6


def test_a_value_that_follows_an_unknown_one_cannot_be_cached(lab: Lab) -> None:
    pipeline = lab.connect().pipeline().map("load", double, range(3))
    with pytest.raises(nb.InputError, match="step 'more' gets what the step before it gives, which is not known yet"):
        pipeline.map("more", triple, cache=True)


def test_rows_cannot_come_from_the_cache(lab: Lab) -> None:
    with pytest.raises(nb.InputError, match="would write no row into 'scores'; leave cache= or into= away"):
        lab.connect().map(double, range(3), cache=True, into="scores")
    assert lab.tables.count("batch_job_execution") == 0


def test_a_file_that_changed_is_other_input(lab: Lab) -> None:
    path = lab.folder / "a.txt"
    path.write_text("one")
    lab.nodes(1, slots=1)
    cluster = lab.connect()

    def read(file: str) -> str:
        with open(file) as opened:
            return opened.read()

    for text in ("one", "one", "another"):
        if path.read_text() != text:
            path.write_text(text)
        assert cluster.map(read, nb.files(path), cache=True).results() == [text]
    assert lab.tables.count("batch_cached") == 2


def test_rows_of_a_table_are_read_anew(lab: Lab, caplog: pytest.LogCaptureFixture) -> None:
    """They may change without a sign: bounds and numbers of rows stay the same."""
    file = lab.folder / "sales.db"
    lab.nodes(1, slots=1)
    cluster = lab.connect()
    for price in (2, 3):
        with contextlib.closing(sqlite3.connect(file)) as sales, sales:
            sales.execute("DROP TABLE IF EXISTS sales")
            sales.execute("CREATE TABLE sales (id INTEGER PRIMARY KEY, price INTEGER)")
            sales.executemany("INSERT INTO sales VALUES (?, ?)", [(number, price) for number in range(10)])
        parts = nb.keys(f"sqlite:///{file}", "sales", "id", rows=5)
        job = cluster.map_partitions(lambda part: int(part.read()["price"].sum()), parts, cache=True)
        assert job.results() == [5 * price, 5 * price]
    assert lab.tables.count("batch_cached") == 0
    assert "2 of 2 partitions are not cached: they hold <sales, " in caplog.text


def test_the_number_of_partitions_does_not_depend_on_the_nodes(lab: Lab) -> None:
    cluster = lab.connect()
    before = cluster.plan(double, range(1000), cache=True).partitions
    lab.nodes(1, slots=3)
    assert cluster.plan(double, range(1000), cache=True).partitions == before == 32


def test_a_plan_tells_what_the_cache_has_and_changes_nothing(lab: Lab) -> None:
    lab.audited = False  # a result is removed below
    lab.nodes(1, slots=2)
    cluster = lab.connect()
    cluster.map(double, range(10), chunk=2, cache=True).wait(60)
    lab.tables.change("DELETE FROM batch_results WHERE attempt = 1 AND step_execution_id = (SELECT step_execution_id "
                      "FROM batch_partitions WHERE partition_index = 1)")  # fmt: skip
    plan = cluster.plan(double, range(12), chunk=2, cache=True)
    assert plan.cached == 4
    assert "4 of 6 partitions have their results from the cache" in repr(plan)
    assert sum(node.partitions for node in plan.nodes) == 2
    whole = cluster.plan(double, range(4, 8), chunk=2, cache=True, sample=1)
    assert whole.cached == 2
    assert "It takes no computing: every result is there" in repr(whole)
    assert lab.tables.count("batch_cached") == 5
    assert cluster.plan(double, range(12), chunk=2).cached is None
    assert cluster.plan(double, range(12), chunk=2, cache=True, fresh=True).cached == 0


def test_large_results_are_taken_over_too(lab: Lab) -> None:
    lab.nodes(1, slots=2)
    cluster = lab.connect()

    def many(n: int) -> Any:
        import numpy

        return numpy.full(300_000, n)

    first = cluster.map(many, range(4), chunk=1, cache=True).wait(60)
    again = cluster.map(many, range(4), chunk=1, cache=True)
    assert again.state == "COMPLETED"
    for job in (first, again):
        assert [(int(value[0]), len(value)) for value in job.results()] == [(n, 300_000) for n in range(4)]
    assert cluster.map(many, range(4), chunk=1, cache=True, aggregate="count").result() == 4
    # A large result of another key is no more welcome than a small one.
    lab.audited = False
    mine, other = partition(lab, again, 0), partition(lab, again, 3)
    pointing = {"result_of": other.result_of, "attempt": other.attempt, "claim_token": other.claim_token}
    alter(lab, "batch_partitions", "step_execution_id = :id", pointing, id=mine.step_execution_id)
    assert again.frame()["error"].str.startswith("BAD_SIGNATURE").tolist() == [True, None, None, None]


# --- what nobody can exchange ----------------------------------------------------------------------------------------


@pytest.fixture
def taken(lab: Lab) -> Any:
    """Two cached jobs, and a third that took its results over from the first."""
    lab.audited = False  # what is altered below does not hold together any more
    lab.nodes(1, slots=2)
    cluster = lab.connect()
    doubled = cluster.map(double, range(4), chunk=2, cache=True).wait(60)
    tripled = cluster.map(triple, range(4), chunk=2, cache=True).wait(60)
    job = cluster.map(double, range(4), chunk=2, cache=True).wait(60)
    assert job.results() == [0, 2, 4, 6]
    return doubled, tripled, job


def partition(lab: Lab, job: Any, index: int = 0) -> Any:
    (row,) = lab.tables.rows(
        "SELECT * FROM batch_partitions WHERE job_execution_id = :job AND partition_index = :index",
        job=job.id, index=index,
    )  # fmt: skip
    return row


def alter(lab: Lab, table: str, where: str, values: dict[str, Any], **bound: Any) -> None:
    columns = ", ".join(f"{name} = :{name}" for name in values)
    assert lab.tables.change(f"UPDATE {table} SET {columns} WHERE {where}", **values, **bound) == 1


def refused(job: Any) -> bool:
    """Whether the first partition is refused and the second one read."""
    frame = job.frame()
    assert frame["value"].tolist()[2:] == [4, 6]
    return bool(frame["error"][:2].str.startswith("BAD_SIGNATURE").all() and frame["value"][:2].isna().all())


def test_the_result_of_another_key_cannot_be_put_in_its_place(lab: Lab, taken: Any) -> None:
    _, tripled, job = taken
    other, mine = partition(lab, tripled), partition(lab, job)
    pointing = {"result_of": other.step_execution_id, "attempt": other.attempt, "claim_token": other.claim_token}
    where, bound = "step_execution_id = :id", {"id": mine.step_execution_id}
    alter(lab, "batch_partitions", where, pointing, **bound)
    assert refused(job)
    # With its key, and with the signature that the key has there.
    alter(lab, "batch_partitions", where, {"cache_key": other.cache_key}, **bound)
    assert refused(job)
    alter(lab, "batch_partitions", where, {"cache_mac": other.cache_mac}, **bound)
    assert refused(job)


def test_an_entry_cannot_be_pointed_at_another_result(lab: Lab, taken: Any) -> None:
    doubled, tripled, job = taken
    source, other = partition(lab, doubled), partition(lab, tripled)
    (entry,) = lab.tables.rows("SELECT * FROM batch_cached WHERE cache_key = :key", key=other.cache_key)
    stolen = {"step_execution_id": entry.step_execution_id, "job_uid": entry.job_uid, "mac": entry.mac}
    alter(lab, "batch_cached", "cache_key = :key", stolen, key=source.cache_key)
    pointing = {"result_of": other.step_execution_id, "attempt": other.attempt, "claim_token": other.claim_token}
    alter(lab, "batch_partitions", "step_execution_id = :id", pointing, id=partition(lab, job).step_execution_id)
    assert refused(job)


def test_a_result_cannot_be_exchanged_where_it_is(lab: Lab, taken: Any) -> None:
    doubled, tripled, job = taken
    (result,) = lab.tables.rows(
        "SELECT body, mac FROM batch_results WHERE step_execution_id = :id",
        id=partition(lab, tripled).step_execution_id,
    )
    alter(
        lab, "batch_results", "step_execution_id = :id", {"body": result.body, "mac": result.mac},
        id=partition(lab, doubled).step_execution_id,
    )  # fmt: skip
    assert refused(job)


def test_what_was_not_taken_over_cannot_be_made_to_look_so(lab: Lab, taken: Any) -> None:
    """A job without the option has no key that anybody signed for it."""
    _, tripled, _ = taken
    plain = lab.connect().map(double, range(4), chunk=2).wait(60)
    other = partition(lab, tripled)
    names = ("attempt", "claim_token", "cache_key", "cache_mac")
    copied = {name: getattr(other, name) for name in names} | {"result_of": other.step_execution_id}
    alter(lab, "batch_partitions", "step_execution_id = :id", copied, id=partition(lab, plain).step_execution_id)
    assert refused(plain)


def test_an_altered_entry_is_dropped_and_its_partition_run(
    lab: Lab, taken: Any, caplog: pytest.LogCaptureFixture
) -> None:
    _, tripled, job = taken
    mine, other = partition(lab, job), partition(lab, tripled)
    pointing = {"step_execution_id": other.step_execution_id, "job_uid": tripled.uid}
    alter(lab, "batch_cached", "cache_key = :key", pointing, key=mine.cache_key)
    again = lab.connect().map(double, range(4), chunk=2, cache=True).wait(60)
    assert again.results() == [0, 2, 4, 6]
    assert "1 of 2 partitions" in again.note
    assert "1 entries of the cache are not signed with this cluster's key" in caplog.text
    # What was run instead has taken its place.
    assert "2 of 2 partitions" in lab.connect().map(double, range(4), chunk=2, cache=True).note


def test_an_entry_cannot_be_forged_for_what_nobody_computed(lab: Lab, taken: Any) -> None:
    _, tripled, _ = taken
    cluster = lab.connect()
    waiting = cluster.map(lambda n: 5 * n, range(4), chunk=2, cache=True, pin="nowhere")
    key = partition(lab, waiting).cache_key
    waiting.cancel()
    lab.tables.change(
        "INSERT INTO batch_cached SELECT :key, step_execution_id, job_uid, step_name, partition_index, mac, saved_time "
        "FROM batch_cached WHERE cache_key = :other",
        key=key, other=partition(lab, tripled).cache_key,
    )  # fmt: skip
    assert cluster.map(lambda n: 5 * n, range(4), chunk=2, cache=True).results() == [0, 5, 10, 15]


def test_a_node_enters_nothing_under_a_key_that_was_exchanged(lab: Lab) -> None:
    """Or whoever exchanged it would have the wrong value given to everybody."""
    lab.audited = False
    cluster = lab.connect()
    job = cluster.map(triple, range(4), chunk=2, cache=True)
    wanted = cluster.map(double, range(4), chunk=2, cache=True, pin="nowhere")
    alter(
        lab, "batch_partitions", "step_execution_id = :id", {"cache_key": partition(lab, wanted).cache_key},
        id=partition(lab, job).step_execution_id,
    )  # fmt: skip
    (node,) = lab.nodes(1, slots=1)
    assert job.wait(60).partitions()["exit_code"].tolist() == ["BAD_SIGNATURE", "COMPLETED"]
    assert "the stored cache key is not signed with this cluster's key" in job.partitions()["message"][0]
    assert node.running
    assert lab.tables.count("batch_cached") == 1


def test_nor_when_the_arguments_are_large(lab: Lab) -> None:
    lab.audited = False
    cluster = lab.connect(large_value="1kB")
    job = cluster.map(len, [bytes(5_000), bytes(6_000)], chunk=1, cache=True)
    wanted = cluster.map(len, [bytes(7_000)], chunk=1, cache=True, pin="nowhere")
    assert partition(lab, job).arguments is None
    alter(
        lab, "batch_partitions", "step_execution_id = :id", {"cache_key": partition(lab, wanted).cache_key},
        id=partition(lab, job).step_execution_id,
    )  # fmt: skip
    lab.nodes(1, slots=1)
    assert job.wait(60).partitions()["exit_code"].tolist() == ["BAD_SIGNATURE", "COMPLETED"]
    assert lab.tables.count("batch_cached") == 1


def test_nor_for_a_step_that_is_not_cached_at_all(lab: Lab) -> None:
    lab.audited = False
    cluster = lab.connect()
    job = cluster.pipeline("chain").map("first", double, range(2), chunk=1).map("second", triple).run()
    second = lab.tables.value(
        "SELECT min(p.step_execution_id) FROM batch_partitions p JOIN batch_step_execution s "
        "ON s.step_execution_id = p.master_step_execution_id WHERE s.step_name = 'second'"
    )
    alter(lab, "batch_partitions", "step_execution_id = :id", {"cache_key": "a" * 64}, id=second)
    lab.nodes(1, slots=1)
    assert job.wait(60).partitions()["exit_code"].tolist() == ["BAD_SIGNATURE", "COMPLETED"]
    assert lab.tables.count("batch_cached") == 0


def test_what_is_gone_is_run(lab: Lab, taken: Any) -> None:
    doubled, _, _ = taken
    gone = partition(lab, doubled).step_execution_id
    lab.tables.change("DELETE FROM batch_results WHERE step_execution_id = :id", id=gone)
    again = lab.connect().map(double, range(4), chunk=2, cache=True).wait(60)
    assert again.results() == [0, 2, 4, 6]
    assert "1 of 2 partitions" in again.note


def test_a_killed_node_leaves_no_entry_without_its_result(lab: Lab) -> None:
    (node,) = lab.nodes(1, slots=1)
    cluster = lab.connect()

    def slow(n: int) -> int:
        time.sleep(0.05)
        return n

    job = cluster.map(slow, range(40), chunk=1, cache=True)
    wait_until(lambda: lab.tables.count("batch_cached") >= 5)
    node.kill()
    lab.nodes(1, slots=2)
    assert job.wait(60).results() == list(range(40))
    dangling = "step_execution_id NOT IN (SELECT step_execution_id FROM batch_results)"
    assert lab.tables.count("batch_cached") == 40
    assert lab.tables.count("batch_cached", dangling) == 0
    assert "40 of 40" in cluster.map(slow, range(40), chunk=1, cache=True).note
