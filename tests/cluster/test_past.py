"""What nodes and partitions there were at an earlier moment, also of nodes that are long gone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pandas as pd
import pytest

import nbcluster as nb
from tests.waiting import wait_until


def clock(cluster: Any) -> datetime:
    """The database's time, after everything that has happened so far."""
    now: datetime = cluster.store.past.clock()[0]
    wait_until(lambda: cluster.store.past.clock()[0] > now)
    return now


def by_name(nodes: pd.DataFrame) -> pd.DataFrame:
    return nodes.sort_values("node", ignore_index=True)


def test_the_past_has_the_nodes_and_partitions_of_then(lab: Any) -> None:
    cluster = lab.connect()
    first, second = lab.nodes(2, slots=1, labels="gpu,mem=64")
    job = cluster.map(lab.effects.worker(), range(4), chunk=1, name="four")
    lab.effects.wait_for_begins(2)
    early = clock(cluster)
    nodes_before = cluster.nodes().drop(columns=["heartbeat_age", "started"])
    before = cluster.partitions(job.id)
    lab.effects.open_gate(0)
    wait_until(lambda: cluster.partitions(job.id)["state"].tolist().count("COMPLETED") == 1)
    lab.effects.wait_for_begins(3)
    middle = clock(cluster)
    first.kill()
    lab.effects.open_gate()
    job.wait(60)
    wait_until(lambda: first.id not in set(cluster.nodes()["node"]))
    late = clock(cluster)

    past = cluster.as_of(early)
    pd.testing.assert_frame_equal(by_name(past.nodes().drop(columns="started")), by_name(nodes_before))
    assert nodes_before["busy"].tolist() == [1, 1]
    assert set(past.nodes()["node"]) == {first.id, second.id}
    assert cluster.node_id in set(past.nodes(all=True)["node"])
    shown = ["partition", "key", "state", "node", "attempt", "items", "transferable"]
    claimed = before["state"] == "CLAIMED"
    then = past.partitions("four")
    assert then[shown][claimed].equals(before[shown][claimed])
    assert then["state"].tolist() == before["state"].tolist()
    assert "progress" not in then.columns
    assert sorted(cluster.as_of(middle).partitions("four")["state"].astype(str)) == [
        "CLAIMED", "CLAIMED", "COMPLETED", "PENDING",
    ]  # fmt: skip
    now = cluster.as_of(late)
    assert now.nodes()["node"].tolist() == [second.id]
    assert now.nodes()["busy"].tolist() == [0]
    whole = cluster.partitions(job.id).drop(columns="progress")
    assert now.partitions(job.id).equals(whole)


def test_a_name_means_the_newest_execution_of_then(cluster: Any) -> None:
    earlier = cluster.map(abs, range(2), chunk=1, name="nightly").wait()
    then = clock(cluster)
    later = cluster.map(abs, range(3), chunk=1, name="nightly").wait()
    assert len(cluster.as_of(then).partitions("nightly")) == 2
    assert len(cluster.as_of(clock(cluster)).partitions("nightly")) == 3
    with pytest.raises(nb.InputError, match=r"^nightly was not there at .*: it was submitted at "):
        cluster.as_of(then).partitions(later.id)
    assert len(cluster.as_of(then).partitions(earlier.id)) == 2
    with pytest.raises(nb.UnknownJob):
        cluster.as_of(then).partitions("nowhere")


def test_a_time_of_which_nothing_is_known_is_refused(cluster: Any) -> None:
    with pytest.raises(nb.InputError, match=r"^as_of: .* is not yet, it is "):
        cluster.as_of(datetime.now(UTC) + timedelta(hours=1))
    with pytest.raises(nb.InputError, match=r"^as_of: nothing is known of .*; the first thing that is recorded is of "):
        cluster.as_of("2001-01-01")
    assert repr(cluster.as_of(clock(cluster))).startswith("<Past 20")


def test_a_resumed_execution_has_what_it_took_over_from_its_beginning(cluster: Any, tmp_path: Any) -> None:
    gate = str(tmp_path / "gate")

    def late(n: int) -> int:
        import os

        if n and not os.path.exists(gate):
            raise FileNotFoundError(gate)
        return n

    job = cluster.map(late, range(2), chunk=1, name="late").wait()
    failed = clock(cluster)
    (tmp_path / "gate").touch()
    job.resume().wait()
    assert cluster.as_of(failed).partitions("late")["state"].tolist() == ["COMPLETED", "FAILED"]
    first = job.created + timedelta(microseconds=1)
    assert cluster.as_of(first).partitions(job.id)["state"].tolist() == ["COMPLETED", "PENDING"]
    assert cluster.as_of(clock(cluster)).partitions("late")["state"].tolist() == ["COMPLETED", "COMPLETED"]
