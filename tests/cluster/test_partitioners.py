"""Every partitioner with real nodes: what the function gets there, and what is told when it cannot get it."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pytest

import nbcluster as nb
from nbcluster.errors import FileNotSeen, InputError, JobFailed
from tests.cluster.conftest import Lab, about_processes


def told(given: Any) -> str:
    """What the function got: type, and content where that is short."""
    return f"{type(given).__name__} {given}"


def rows(part: Any) -> list[int]:
    """What a handle reads."""
    return [int(number) for number in part.read()["n"]]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """The numbers 0 to 4999 as a.csv, a.parquet in row groups of 2048, and table t of a.db."""
    frame = pd.DataFrame({"n": range(5000), "even": [n % 2 == 0 for n in range(5000)]})
    frame.to_csv(tmp_path / "a.csv", index=False)
    with duckdb.connect() as duck:
        duck.execute(
            f"COPY (SELECT * FROM frame) TO '{tmp_path}/a.parquet' (FORMAT parquet, ROW_GROUP_SIZE 2048)",
        )
    with sqlite3.connect(tmp_path / "a.db") as database:
        frame.to_sql("t", database, index=False)
    return tmp_path


def test_values_arrive_as_what_they_are(cluster: Any) -> None:
    assert cluster.map_partitions(told, nb.ranges(4, chunk=2)).results() == ["range range(0, 2)", "range range(2, 4)"]
    assert cluster.map_partitions(told, nb.items(["", "b"], 1)).results() == ["list ['']", "list ['b']"]
    assert cluster.map_partitions(told, nb.dates("2013-01", "2013-02", "M")).results() == [
        "Period 2013-01", "Period 2013-02",
    ]  # fmt: skip
    assert cluster.map_partitions(told, nb.grid(a=[1, 2])).results() == ["dict {'a': 1}", "dict {'a': 2}"]


def test_map_gives_each_of_them(cluster: Any) -> None:
    assert cluster.map(told, nb.ranges(2)).results() == ["int 0", "int 1"]
    assert cluster.map(told, nb.dates("2013-01", "2013-03", "M"), chunk=2).results() == [
        "Period 2013-01", "Period 2013-02", "Period 2013-03",
    ]  # fmt: skip
    assert cluster.map(told, nb.grid(a=[1, 2])).results() == ["dict {'a': 1}", "dict {'a': 2}"]
    frame = pd.DataFrame({"a": [1, 2]}, index=["x", "x"])
    assert cluster.map(lambda row: (type(row).__name__, row.name, int(row.a)), nb.frame(frame)).results() == [
        ("Series", "x", 1), ("Series", "x", 2),
    ]  # fmt: skip


def test_files_arrive_as_plain_paths(cluster: Any, data: Path) -> None:
    paths = [str(data / name) for name in ("a.csv", "a.db", "a.parquet")]
    assert cluster.map(told, nb.files(data / "a.*")).results() == [f"str {path}" for path in paths]
    assert cluster.map_partitions(told, nb.files(data / "a.*", per=2)).results() == [
        f"list {paths[:2]}", f"list {paths[2:]}",
    ]  # fmt: skip


@pytest.mark.parametrize("how", ["map", "map_partitions"])
def test_handles_read_on_the_node(cluster: Any, data: Path, how: str) -> None:
    sources = {
        "csv": (nb.csv(data / "a.csv", "20kB"), 3),
        "parquet": (nb.parquet(data / "a.parquet", per="row_group"), 3),
        "keys": (nb.keys(f"sqlite:///{data / 'a.db'}", "t", "n", rows=2000), 3),
        "sql": (nb.sql(f"SELECT n FROM '{data}/a.parquet' WHERE n < 300", rows=100), 3),
    }
    for name, (source, count) in sources.items():
        found = getattr(cluster, how)(rows, source).results()
        assert len(found) == count, name
        wanted = list(range(300 if name == "sql" else 5000))
        assert [number for part in found for number in part] == wanted, name


def test_partitions_are_called_by_what_they_are(cluster: Any, data: Path) -> None:
    job = cluster.map_partitions(rows, nb.parquet(data / "a.parquet", per="row_group")).wait()
    assert list(job.partitions()["key"]) == ["a.parquet#0", "a.parquet#1", "a.parquet#2"]
    job = cluster.map(told, nb.grid(lr=[0.1], depth=[3, 5])).wait()
    assert list(job.partitions()["key"]) == ["lr=0.1, depth=3", "lr=0.1, depth=5"]


def test_a_split_of_ones_own_is_told_the_nodes_and_may_give_handles(cluster: Any, data: Path) -> None:
    asked: list[tuple[int, int, int]] = []

    def halves(nodes: Any) -> list[Any]:
        asked.append((int(nodes), nodes.slots, nodes.partitions))
        return list(nb.parquet(data / "a.parquet", per="row_group").split(nodes))[:nodes]

    found = cluster.map(rows, halves).results()
    assert asked == [(2, 4, 16)]
    assert [len(part) for part in found] == [2048, 2048]


def test_a_named_job_over_files_is_another_one_when_a_file_changes(cluster: Any, data: Path) -> None:
    def run() -> Any:
        return cluster.map_partitions(rows, nb.csv(data / "a.csv"), name=f"rows of {data.name}", announce=False).wait()

    first, again = run(), run()
    assert again.id == first.id
    (data / "a.csv").write_text("n\n7\n")
    changed = run()
    assert changed.id != first.id
    assert changed.results() == [[7]]


def test_an_input_without_rows_is_a_job_without_partitions_and_is_told(
    cluster: Any, data: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (data / "empty.csv").write_text("n\n")
    job = cluster.map_partitions(rows, nb.csv(data / "empty.csv")).wait(timeout=30)
    assert job.results() == []
    assert "empty.csv' has no rows: there is nothing to map" in caplog.text


@pytest.mark.parametrize("how", ["map", "map_partitions"])
@about_processes
def test_a_file_that_a_node_does_not_see_fails_that_partition_only(lab: Lab, data: Path, how: str) -> None:
    (data / "b.csv").write_text("n\n1\n")
    cluster = lab.connect()
    by_path = getattr(cluster, how)(told, nb.files(data / "*.csv"), name="by path")
    by_handle = getattr(cluster, how)(rows, nb.csv(data / "*.csv"), name="by handle")
    os.unlink(data / "b.csv")  # only the kernel saw it
    (node,) = lab.nodes()
    for job in (by_path, by_handle):
        with pytest.raises(JobFailed, match=r"b\.csv: put it where every node sees it"):
            job.wait(timeout=60).results()
        (error,) = job.errors().to_dict("records")
        assert error["error"] == "nbcluster.errors.FileNotSeen"
        assert error["message"].startswith(f"{node.id} cannot see {data}/b.csv: put it where every node sees it")
        assert list(job.partitions()["state"]) == ["COMPLETED", "FAILED"]


@about_processes
def test_a_file_that_changed_since_the_split_fails_its_partition(lab: Lab, data: Path) -> None:
    cluster = lab.connect()
    job = cluster.map_partitions(rows, nb.csv(data / "a.csv"))
    (data / "a.csv").write_text("n\n1\n")
    lab.nodes()
    with pytest.raises(JobFailed, match=r"FileChanged: .*a\.csv has changed since it was split"):
        job.wait(timeout=60).results()


def test_what_cannot_be_split_stores_nothing(cluster: Any, data: Path) -> None:
    before = len(cluster.jobs(all=True))
    for source in (
        lambda: nb.files(data / "none*"),
        lambda: nb.parquet(data),
        lambda: nb.keys(f"sqlite:///{data / 'a.db'}", "t", "day"),
        lambda: nb.files([data / "a.csv", data / "*.csv"]),
    ):
        with pytest.raises(InputError):
            cluster.map(told, source())
    assert len(cluster.jobs(all=True)) == before


@about_processes
def test_a_replay_says_that_the_file_is_not_here_either(lab: Lab, data: Path) -> None:
    cluster = lab.connect()
    job = cluster.map_partitions(rows, nb.csv(data / "a.csv"))
    os.unlink(data / "a.csv")
    lab.nodes()
    with pytest.raises(JobFailed):
        job.wait(timeout=60).results()
    with pytest.raises(FileNotSeen, match=rf"cannot see {data}/a\.csv: put it where every node sees it"):
        job.replay(0)
