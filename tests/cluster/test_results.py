"""Every way of fanning out gives right values, in order, in frames of the right shape."""

from __future__ import annotations

import linecache
import threading
from typing import Any

import pandas as pd
import pytest

import nbcluster as nb
from tests.cluster.workload import squares
from tests.waiting import wait_until

FRAME = ["input", "value", "error", "partition", "node", "attempt", "seconds"]


def cube(n: int) -> int:
    return n**3


def in_a_cell(source: str, name: str) -> Any:
    """The function ``f`` of a cell: it lives in __main__, and its source in linecache only."""
    linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
    namespace: dict[str, Any] = {"__name__": "__main__"}
    exec(compile(source, name, "exec"), namespace)
    return namespace["f"]


def test_map_gives_a_row_for_each_input_in_input_order(cluster: Any) -> None:
    job = cluster.map(cube, range(100), chunk=7, name="cubes")
    assert job.results() == [n**3 for n in range(100)]
    frame = job.frame()
    assert list(frame.columns) == FRAME
    assert frame["input"].tolist() == list(range(100))
    assert frame["value"].tolist() == [n**3 for n in range(100)]
    assert frame["error"].isna().all()
    assert frame["partition"].tolist() == [n // 7 for n in range(100)]
    assert (frame["attempt"] == 1).all()
    assert (frame["seconds"] >= 0).all()
    assert set(frame["node"]) <= set(cluster.nodes()["node"])
    whole = ["input", "value", "partition", "attempt"]
    assert [str(dtype) for dtype in frame[[*whole, "seconds"]].dtypes] == ["int64"] * len(whole) + ["float64"]
    assert repr(job) == "<Job cubes: COMPLETED, 100 of 100 items>"
    assert job.state == "COMPLETED"
    assert job.done()


def test_four_partitions_for_each_live_slot_unless_told_otherwise(cluster: Any) -> None:
    sizes = {
        "default": cluster.map(cube, range(1000)),
        "partitions": cluster.map(cube, range(1000), partitions=3),
        "chunk": cluster.map(cube, range(1000), chunk=400),
    }
    numbers = {how: len(job.wait().partitions()) for how, job in sizes.items()}
    assert numbers == {"default": 16, "partitions": 3, "chunk": 3}


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        ([1, 2, 3], "int64"),
        ([1.5, 2.5, 3.5], "float64"),
        ([True, False, True], "bool"),
        (["a", "b", "ü"], "object"),
        ([1, None, 3], "object"),
        ([[1, 2], [3], []], "object"),
        ([{1: "a"}, {2: "b"}, {}], "object"),
    ],
)
def test_a_frame_keeps_the_dtype_of_its_values(cluster: Any, values: list[Any], dtype: str) -> None:
    frame = cluster.map(lambda place: values[place], range(3)).frame()
    assert frame["value"].tolist() == values
    assert str(frame["value"].dtype) == dtype


def test_starmap_submit_and_map_partitions(cluster: Any) -> None:
    assert cluster.starmap(pow, [(2, 3), (3, 2), (10, 0)]).results() == [8, 9, 1]
    assert cluster.submit(lambda a, b=0, *, c: (a, b, c), 1, b=2, c=3).result() == (1, 2, 3)
    assert cluster.submit(lambda: None).result() is None
    parts = cluster.map_partitions(squares, nb.items(range(10), 4)).frame()
    assert parts["value"].tolist() == [[0, 1, 4, 9], [16, 25, 36, 49], [64, 81]]
    assert [list(part) for part in parts["input"]] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]


def test_ranges_and_frames_are_split_without_being_unrolled(cluster: Any) -> None:
    kinds = cluster.map_partitions(lambda part: (type(part).__name__, len(part), part[0]), nb.ranges(0, 10, chunk=4))
    assert kinds.results() == [("range", 4, 0), ("range", 4, 4), ("range", 2, 8)]
    assert cluster.map(cube, nb.ranges(10, 0, -3)).results() == [1000, 343, 64, 1]
    data = pd.DataFrame({"carrier": list("ABABC"), "delay": [1, 2, 3, 4, 5]})
    by_carrier = cluster.map_partitions(lambda part: int(part["delay"].sum()), nb.frame(data, by="carrier"))
    assert by_carrier.results() == [4, 6, 5]
    assert cluster.map(lambda row: row["delay"] * 2, nb.frame(data, rows=2)).results() == [2, 4, 6, 8, 10]


def test_values_arrive_in_order_and_as_completed(cluster: Any) -> None:
    job = cluster.map(cube, range(40), chunk=3)
    assert list(job.iter()) == [n**3 for n in range(40)]
    again = cluster.map(cube, range(40), chunk=3)
    assert sorted(again.as_completed()) == [(n, n**3) for n in range(40)]


def test_a_partial_frame_has_the_rows_of_what_is_final(cluster: Any, tmp_path: Any) -> None:
    gate = str(tmp_path / "gate")

    def held(n: int) -> int:
        import os
        import time

        while n == 3 and not os.path.exists(gate):
            time.sleep(0.01)
        return n

    job = cluster.map(held, range(4), chunk=1)
    wait_until(lambda: len(job.frame(partial=True)) == 3)
    partial = job.frame(partial=True)
    assert partial["input"].tolist() == [0, 1, 2]
    assert list(partial.columns) == FRAME
    assert not job.done()
    (tmp_path / "gate").touch()
    assert job.frame()["value"].tolist() == [0, 1, 2, 3]


def test_a_callback_runs_once_when_the_job_is_final(cluster: Any) -> None:
    called: list[str] = []
    told = threading.Event()

    def done(job: Any) -> None:
        called.append(job.state)
        told.set()

    job = cluster.map(cube, range(5))
    job.add_done_callback(done)
    assert told.wait(30)
    job.wait()
    assert called == ["COMPLETED"]


def test_a_worker_can_ask_where_it_runs(cluster: Any) -> None:
    def who(_n: int) -> tuple[Any, ...]:
        here = nb.current()
        return here.job, here.index, here.partition_key, here.attempt, here.node, here.transferable

    frame = cluster.map(who, range(6), chunk=2, name="who", transferable=False).frame()
    for row in frame.itertuples():
        index = row.input // 2
        told = row.value_0, row.value_1, row.value_2, row.value_3, row.value_4, row.value_5
        assert told == ("who", index, f"{2 * index}..{2 * index + 1}", 1, row.node, False)
    with pytest.raises(nb.UsageError, match="only inside a function that runs on a node"):
        nb.current()


def test_partitions_and_nodes_of_a_job(cluster: Any) -> None:
    job = cluster.map(cube, range(10), chunk=4).wait()
    partitions = job.partitions()
    assert partitions["key"].tolist() == ["0..3", "4..7", "8..9"]
    assert partitions["items"].tolist() == [4, 4, 2]
    assert set(partitions["state"]) == {"COMPLETED"}
    assert job.nodes()["done"].sum() == 3
    nodes = cluster.nodes()
    assert nodes["slots"].tolist() == [2, 2]
    assert set(nodes["state"]) == {"ACTIVE"}
    listed = cluster.jobs()
    assert listed.loc[listed["job"] == job.id, ["items", "done", "failed"]].values.tolist() == [[10, 10, 0]]


def test_one_failing_item_of_a_thousand(cluster: Any) -> None:
    cell = "def f(n):\n    if n == 617:\n        raise ValueError('bad date')\n    return n + 1\n"
    function = in_a_cell(cell, "<cell 7>")
    job = cluster.map(function, range(1000))
    frame = job.frame()
    assert job.state == "FAILED"
    assert frame["input"].tolist() == list(range(1000))
    assert str(frame["value"].dtype) == "Int64"
    assert frame["value"].isna().sum() == 1
    assert frame.loc[frame["error"].isna(), "value"].tolist() == [n + 1 for n in range(1000) if n != 617]
    assert frame.loc[617, "error"] == "ValueError: bad date"
    errors = job.errors()
    assert len(errors) == 1
    assert errors.loc[0, ["item", "error", "message"]].tolist() == [617, "ValueError", "bad date"]
    assert 'File "<cell 7>", line 3, in f' in errors.loc[0, "traceback"]
    assert "raise ValueError('bad date')" in errors.loc[0, "traceback"]
    assert "nbcluster" not in errors.loc[0, "traceback"]
    assert job.traceback(int(errors.loc[0, "partition"])) == errors.loc[0, "traceback"]
    with pytest.raises(nb.JobFailed, match="1 of 1000 items failed\n  1 x ValueError: bad date, first at item 617"):
        job.results()
    assert "999 of 1000 items" in repr(job)


def test_a_none_result_is_no_failure(cluster: Any) -> None:
    def some(n: int) -> int | None:
        if n == 1:
            raise KeyError("gone")
        return None

    frame = cluster.map(some, range(3)).frame()
    assert frame["value"].tolist() == [None, None, None]
    assert frame["error"].tolist() == [None, "KeyError: 'gone'", None]


def test_iter_stops_at_a_failed_item_with_its_traceback(cluster: Any) -> None:
    values = cluster.map(lambda n: 1 // (2 - n), range(4), chunk=1).iter()
    assert [next(values), next(values)] == [0, 1]
    with pytest.raises(nb.PartitionError, match="ZeroDivisionError") as caught:
        next(values)
    assert caught.value.index == 2
    assert caught.value.error_type == "ZeroDivisionError"
    assert "1 // (2 - n)" in str(caught.value)


def test_as_completed_gives_the_good_ones_and_then_says_what_failed(cluster: Any) -> None:
    job = cluster.map(lambda n: 1 // (2 - n), range(4), chunk=1)
    got = []
    with pytest.raises(nb.JobFailed, match="1 of 4 items failed"):
        got.extend(job.as_completed())
    assert sorted(got) == [(0, 0), (1, 1), (3, -1)]


def test_attach_by_name_finds_the_newest_job_of_that_name(cluster: Any) -> None:
    cluster.map(cube, range(2), name="twice").wait()
    second = cluster.map(cube, range(3), name="twice").wait()
    assert cluster.job("twice").id == second.id
    assert cluster.job(second.id).results() == [0, 1, 8]
    with pytest.raises(nb.UnknownJob, match="there is no job 'nowhere'"):
        cluster.job("nowhere")


def test_fifty_megabytes_there_and_back(cluster: Any) -> None:
    megabytes = bytes(range(256)) * (50 * 4000)
    job = cluster.map(lambda data: data[::-1], [megabytes], name="large")
    assert job.results()[0] == megabytes[::-1]
    captured = cluster.submit(lambda: len(megabytes))
    assert captured.result() == len(megabytes)


def test_numbers_out_of_a_frame_are_numbers(cluster: Any) -> None:
    import numpy as np

    job = cluster.map(_printed, range(6), chunk=np.int64(2)).wait()
    last = job.partitions().partition.iloc[-1]
    assert job.logs(last).splitlines() == ["item 4", "item 5"]
    assert job.traceback(last) == ""


def _printed(n: int) -> None:
    print("item", n)
