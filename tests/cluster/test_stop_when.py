"""A job is stopped as soon as what it gave so far is enough."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import nbcluster as nb
from tests.cluster.workload import Effects


@pytest.fixture
def effects(tmp_path: Path) -> Effects:
    return Effects(tmp_path)


def test_it_stops_when_the_frame_so_far_is_enough(cluster: Any, effects: Effects) -> None:
    job = cluster.map(effects.worker(), range(40), chunk=1, name="enough")

    def enough(frame: pd.DataFrame) -> bool:
        return frame["value"].sum() >= 14

    for place in range(4):
        effects.open_gate(place)
    assert job.stop_when(enough) is job
    assert job.state == "STOPPED"
    good = job.frame().query("error.isna()")
    assert good["value"].tolist() == [0, 1, 4, 9]
    effects.open_gate()
    assert job.resume().results() == [n * n for n in range(40)]


def test_every_frame_is_in_input_order_and_has_more_rows_than_the_one_before(cluster: Any, effects: Effects) -> None:
    job = cluster.map(effects.worker(), range(6), chunk=2)
    frames: list[pd.DataFrame] = []

    def never(frame: pd.DataFrame) -> bool:
        frames.append(frame)
        effects.open_gate()
        return False

    effects.open_gate(2)
    assert job.stop_when(never).state == "COMPLETED"
    assert [frame["input"].is_monotonic_increasing for frame in frames] == [True] * len(frames)
    sizes = [len(frame) for frame in frames]
    assert sizes == sorted(set(sizes))
    assert frames[0]["input"].tolist() == [4, 5]
    pd.testing.assert_frame_equal(frames[-1], job.frame())


def test_what_the_function_raises_leaves_and_the_job_goes_on(cluster: Any, effects: Effects) -> None:
    job = cluster.map(effects.worker(), range(4), chunk=1)
    effects.open_gate(0)
    with pytest.raises(KeyError, match="loss"):
        job.stop_when(lambda frame: frame["loss"].min() < 1)
    with pytest.raises(KeyboardInterrupt):
        job.stop_when(interrupted)
    assert not job.done()
    effects.open_gate()
    assert job.results() == [0, 1, 4, 9]


def interrupted(_frame: pd.DataFrame) -> bool:
    raise KeyboardInterrupt


def test_it_waits_no_longer_than_it_is_told(cluster: Any, effects: Effects) -> None:
    job = cluster.map(effects.worker(), range(4), chunk=1, name="slow")
    with pytest.raises(nb.WaitTimeout, match=r"slow is still running after 0\.2 s; it goes on"):
        job.stop_when(lambda frame: False, timeout=0.2)
    effects.open_gate()
    assert job.stop_when(lambda frame: len(frame) == 4).state in ("COMPLETED", "STOPPED")


def test_of_a_job_that_has_ended_it_sees_everything_once(cluster: Any) -> None:
    job = cluster.map(lambda n: {"inverse": 1 / n}, [0, 1, 2], chunk=1).wait()
    seen: list[pd.DataFrame] = []
    assert job.stop_when(lambda frame: seen.append(frame) or True, timeout=10) is job
    assert job.state == "FAILED"
    assert len(seen) == 1
    pd.testing.assert_frame_equal(seen[0], job.frame())


def test_an_answer_that_is_neither_true_nor_false_is_refused(cluster: Any) -> None:
    job = cluster.map(abs, range(3)).wait()
    with pytest.raises(nb.InputError, match=r"^stop_when: the function gave a Series; let it give one True or False"):
        job.stop_when(lambda frame: frame["value"] > 1)
    with pytest.raises(nb.InputError, match=r"^stop_when's function of a frame must be a function, not float"):
        job.stop_when(0.5)
