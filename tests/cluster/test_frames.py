"""The frame of a job has the columns of what its function gave, from any kernel and while it still runs."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pytest

import nbcluster as nb
from tests.cluster.workload import Effects
from tests.waiting import wait_until

AFTER = ["error", "partition", "node", "attempt", "seconds"]
FLIGHTS = pd.DataFrame({"carrier": list("ABABC"), "delay": [1, 2, 3, 4, 5]})


def test_dicts_become_columns_and_a_failed_item_keeps_its_row(cluster: Any) -> None:
    def power(n: int) -> dict[str, Any]:
        return {"n": n, "square": n * n, "inverse": 1 / n}

    frame = cluster.map(power, range(4), chunk=2).frame()
    assert list(frame.columns) == ["input", "n", "square", "inverse", *AFTER]
    assert frame["square"].tolist() == [pd.NA, 1, 4, 9]
    assert str(frame["square"].dtype) == "Int64"
    assert frame["error"].tolist() == ["ZeroDivisionError: division by zero", None, None, None]
    assert frame["partition"].tolist() == [0, 0, 1, 1]


def test_frames_of_partitions_are_one_frame_with_their_keys(cluster: Any) -> None:
    def late(part: pd.DataFrame) -> pd.DataFrame:
        return part[part["delay"] > 1]

    job = cluster.map_partitions(late, nb.frame(FLIGHTS, by="carrier"))
    frame = job.frame()
    assert list(frame.columns) == ["input", "carrier", "delay", *AFTER]
    assert frame["carrier"].tolist() == ["A", "B", "B", "C"]
    assert frame["delay"].tolist() == [3, 2, 4, 5]
    keys = job.partitions()["key"]
    assert frame["input"].tolist() == [keys[0], keys[1], keys[1], keys[2]]
    assert frame["partition"].tolist() == [0, 1, 1, 2]
    inputs = [given for given, _ in sorted(job.as_completed(), key=lambda pair: pair[1]["delay"].sum())]
    assert all(isinstance(given, pd.DataFrame) for given in inputs)


def test_a_part_that_is_large_is_told_by_its_key_and_not_read_again(cluster: Any) -> None:
    job = cluster.map_partitions(len, nb.items(list(range(40_000)), 20_000)).wait()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("nbcluster.store.payloads.get", lambda *_: pytest.fail("it was read"))
        frame = job.frame()
    assert frame["input"].tolist() == ["0..19999", "20000..39999"]
    assert frame["value"].tolist() == [20_000, 20_000]
    assert [len(given) for given, _ in job.as_completed()] == [20_000, 20_000]


def test_frames_that_are_items_are_told_by_their_size(cluster: Any) -> None:
    frame = cluster.map(len, [FLIGHTS, FLIGHTS.iloc[:2]]).frame()
    assert frame["input"].tolist() == ["DataFrame of 5 x 2", "DataFrame of 2 x 2"]
    assert frame["value"].tolist() == [5, 2]


def test_one_call_and_every_step_of_a_pipeline_have_such_frames(cluster: Any) -> None:
    one = cluster.submit(lambda: pd.Series({"low": 1.5, "high": 2.5})).frame()
    assert one.loc[0, ["low", "high"]].tolist() == [1.5, 2.5]
    job = (
        cluster.pipeline()
        .map("pairs", lambda n: (n, n + 1), [1, 2, 3], chunk=2)
        .map("sums", lambda pair: {"sum": sum(pair)})
        .aggregate("all", pd.DataFrame)
        .run()
    )
    assert job.frame()["sum"].tolist() == [3, 5, 7]
    assert job.step("pairs").frame()[["value_0", "value_1"]].to_numpy().tolist() == [[1, 2], [2, 3], [3, 4]]
    assert job.step("sums").frame()["sum"].tolist() == [3, 5, 7]


def test_values_of_several_kinds_are_said_once(cluster: Any, caplog: pytest.LogCaptureFixture) -> None:
    job = cluster.map(lambda n: n or {"n": n}, range(3), name="mixed")
    with caplog.at_level(logging.WARNING, logger="nbcluster"):
        frames = [job.frame(), job.frame(), job.frame(partial=True)]
    assert all(frame["value"].tolist() == [{"n": 0}, 1, 2] for frame in frames)
    assert [record.getMessage() for record in caplog.records] == [
        "mixed: its values stay as they are, in the column value: they are of several kinds (dict, int)"
    ]


def test_while_it_runs_and_when_all_failed_a_frame_has_what_there_is(cluster: Any, tmp_path: Path) -> None:
    effects = Effects(tmp_path)
    work = effects.worker()
    job = cluster.map(lambda n: {"square": work(n)}, range(3), chunk=1)
    effects.open_gate(0)
    wait_until(lambda: len(job.frame(partial=True)) == 1)
    assert list(job.frame(partial=True).columns) == ["input", "square", *AFTER]
    effects.open_gate()
    assert job.frame()["square"].tolist() == [0, 1, 4]
    failed = cluster.map(lambda n: {"n": 1 // n}, [0, 0]).frame()
    assert list(failed.columns) == ["input", "value", *AFTER]
    assert failed["error"].notna().all()


def test_a_job_is_written_to_a_file_as_its_frame_has_it(cluster: Any, tmp_path: Path) -> None:
    def half(n: int) -> dict[str, Any]:
        return {"n": n, "half": n / 2, "inverse": 1 / n}

    job = cluster.map(half, range(1000), chunk=10)
    job.to_parquet(tmp_path / "all.parquet")
    frame = job.frame()
    with duckdb.connect(":memory:") as connection:
        found = connection.execute("SELECT * FROM read_parquet(?)", [str(tmp_path / "all.parquet")]).fetchall()
    plain = frame.astype("object").where(frame.notna(), None)
    assert found == list(plain.itertuples(index=False, name=None))
    job.to_csv(str(tmp_path / "all.csv"))
    again = pd.read_csv(tmp_path / "all.csv")
    assert again["half"].tolist()[1:] == frame["half"].tolist()[1:]
    assert again["error"].notna().tolist() == [True] + [False] * 999


def test_what_is_final_can_be_written_while_the_job_runs(cluster: Any, tmp_path: Path) -> None:
    effects = Effects(tmp_path)
    job = cluster.map(effects.worker(), range(3), chunk=1)
    with pytest.raises(nb.InputError, match="there is no folder"):
        job.to_csv(tmp_path / "no" / "all.csv")
    effects.open_gate(1)
    wait_until(lambda: len(job.frame(partial=True)) == 1)
    job.to_csv(tmp_path / "some.csv", partial=True)
    assert pd.read_csv(tmp_path / "some.csv")["value"].tolist() == [1]
    effects.open_gate()
    job.step(job.steps()[0]).to_csv(tmp_path / "all.csv")
    assert pd.read_csv(tmp_path / "all.csv")["value"].tolist() == [0, 1, 4]
