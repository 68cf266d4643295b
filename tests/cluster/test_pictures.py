"""Pictures of real jobs: what they say is what happened."""

from __future__ import annotations

import time
from typing import Any

import pytest

from nbcluster.errors import InputError
from nbcluster.frames import Timeline
from nbcluster.plots.curves import moved
from nbcluster.plots.runs import Fate
from tests.cluster.conftest import Lab


def briefly(n: int) -> int:
    time.sleep(0.02)
    return n


def seldom(n: int) -> int:
    if n == 5:
        raise ValueError("five")
    return n


def test_the_pictures_of_a_job_tell_its_failures(cluster: Any) -> None:
    job = cluster.map(seldom, range(12), chunk=1, name="seldom").wait()
    assert "failed after" in job.plot().caption
    assert job.plot("gantt").caption.endswith("11 of 12 partitions done; 1 failed")
    assert job.plot("durations").caption.startswith("seldom: the median of 11 partitions is")
    assert "items/s on average" in job.plot("throughput", figsize=(5, 3)).caption
    with pytest.raises(InputError, match="there is no picture 'bars'"):
        job.plot("bars")


def test_repeated_runs_are_compared_and_one_that_failed_is_not(cluster: Any) -> None:
    for _ in range(2):
        job = cluster.map(briefly, range(8), chunk=1, name="again", fresh=True).wait()
    assert job.plot("scaling").caption.startswith("again: ")
    assert [one.partitions for one in cluster.store.spans.executions(job.id)] == [8, 8]
    failed = cluster.map(seldom, range(12), chunk=1, name="failing").wait()
    assert failed.plot("scaling").caption == "failing: no run of this code and input has been completed yet"


def test_the_timeline_shows_the_steps_of_a_pipeline(cluster: Any) -> None:
    steps = cluster.pipeline("nightly").map("load", briefly, range(6), chunk=1).map("score", seldom, after="load")
    job = steps.run().wait()
    timeline = job.timeline()
    assert isinstance(timeline, Timeline)
    assert timeline.plot().axes[0].get_legend() is not None
    said = {text.get_text() for text in timeline.plot().axes[0].get_legend().get_texts()}
    assert {"load", "score", "failed"} <= said
    assert timeline.plot().caption.startswith("nightly: failed after")


def test_what_a_killed_node_held_is_shown_as_lost_and_moved(lab: Lab) -> None:
    victim, survivor = lab.nodes(2, slots=2)
    cluster = lab.connect()
    job = cluster.map(lab.effects.worker(), range(12), chunk=1, name="worker")
    lab.effects.wait_for_begins(2, survivor.id)
    interrupted = {note.index for note in lab.effects.wait_for_begins(2, victim.id) if note.node == victim.id}
    assert job.plot().caption.startswith("worker: 0 of 12 partitions done")
    victim.kill()
    lab.effects.open_gate()
    job.wait(60)

    runs = job._story().runs
    lost = {
        (int(runs.partition[place]), runs.nodes[runs.node[place]]) for place in (runs.fate == Fate.LOST).nonzero()[0]
    }
    assert lost == {(index, victim.id) for index in interrupted}
    assert {runs.nodes[runs.node[one.after]] for one in moved(runs)} == {survivor.id}
    for picture in (job.plot("gantt"), job.timeline().plot()):
        assert "was lost and 2 partitions ran again elsewhere" in picture.caption
