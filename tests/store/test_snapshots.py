"""Snapshots of a job, one after the other: each says what a fresh look would say."""

from __future__ import annotations

from dataclasses import replace

import pytest

from nbcluster.errors import UnknownJob
from nbcluster.records import StepToRun
from nbcluster.shown import JobSnapshot
from nbcluster.snapshots.job import Snapshots
from nbcluster.store import Store
from tests.builders import a_new_partition, completed, failed, handed_back
from tests.store.acts import change, register, run, statements_of, submit, take


def snapshots(store: Store, step: StepToRun) -> Snapshots:
    job = store.views.job(step.job_execution_id)
    assert job is not None
    return Snapshots(store, job, silent_after=10.0)


def timeless(snapshot: JobSnapshot) -> JobSnapshot:
    """Without what goes on by itself."""
    nodes = tuple(replace(node, heartbeat_age=0.0, rate=None) for node in snapshot.nodes)
    running = tuple(replace(one, seconds=0.0) for one in snapshot.running)
    return replace(snapshot, elapsed=0.0, rate=None, nodes=nodes, running=running)


def test_looking_again_and_again_says_what_a_fresh_look_says(store: Store) -> None:
    register(store, "a-1", "b-1")
    step = submit(store, [a_new_partition(index, items=10) for index in range(40)])
    watched = snapshots(store, step)
    claims = take(store, step, "a-1", limit=30)
    acts = (
        lambda: None,
        lambda: store.finishes.finish([completed(claims[0], log=b"first"), failed(claims[1], failed_items=4)]),
        lambda: store.finishes.finish([completed(claim) for claim in claims[2:20]]),
        lambda: store.finishes.finish([handed_back(claims[20]), failed(claims[21], "KeyError: 'x'")]),
        lambda: store.finishes.finish([completed(claim, log=b"b") for claim in take(store, step, "b-1", limit=3)]),
        lambda: store.finishes.finish([failed(claims[22], "KeyError: 'x'"), failed(claims[23], "KeyError: 'x'")]),
        lambda: store.coordination.request_stop(step.job_execution_id),
        lambda: store.finishes.finish([completed(claim) for claim in claims[24:]]),
        lambda: store.advancing.advance(step.job_execution_id, 1),
    )
    for act in acts:
        act()
        assert timeless(watched.take()) == timeless(snapshots(store, step).take())
    last = watched.take()
    assert (last.status, last.items, last.items_done) == ("STOPPED", 400, 400)
    assert [(group.message, group.count) for group in last.errors] == [("bad", 4), ("'x'", 3)]
    assert {node.node_id: node.done for node in last.nodes} == {"a-1": 25, "b-1": 3}


def test_when_nothing_changed_ended_partitions_are_not_read_again(store: Store) -> None:
    step = submit(store, 5)
    store.finishes.finish([failed(claim, log=b"printed") for claim in take(store, step, limit=3)])
    watched = snapshots(store, step)
    first = statements_of(store, watched.take)
    again = statements_of(store, watched.take)
    assert len(again) < len(first)
    assert not [statement for statement, _ in again if "batch_logs" in statement or "batch_results" in statement]


def test_a_job_that_runs_tells_how_quickly(store: Store) -> None:
    step = submit(store, [a_new_partition(index, items=10) for index in range(8)])
    register(store, "a-1")
    claims = take(store, step, "a-1", limit=4)
    watched = snapshots(store, step)
    assert watched.take().rate is None
    store.finishes.finish([completed(claims[0], seconds=2.0), completed(claims[1], seconds=2.0)])
    seen = watched.take()
    assert seen.rate == pytest.approx(2 * 20 / 4.0)
    assert seen.remaining == pytest.approx(60 / seen.rate)
    assert seen.nodes[0].rate == seen.rate


def test_a_paused_job_tells_no_rate_of_nodes_that_rest(store: Store) -> None:
    step = submit(store, 8)
    register(store, "a-1")
    watched = snapshots(store, step)
    store.finishes.finish([completed(claim) for claim in take(store, step, "a-1", limit=4)])
    store.coordination.pause(step.job_execution_id, paused=True)
    assert watched.take().nodes[0].rate is None


def test_the_partition_that_printed_last_is_named(store: Store) -> None:
    step = submit(store, 3)
    watched = snapshots(store, step)
    assert (watched.take().log_tail, watched.take().log_partition) == ("", None)
    claims = take(store, step)
    store.finishes.finish([completed(claims[2], log=b"hello \xff")])
    store.finishes.finish([completed(claims[0])])
    assert (watched.take().log_tail, watched.take().log_partition) == ("hello \N{REPLACEMENT CHARACTER}", 2)


def test_a_job_whose_rows_are_gone_is_unknown(store: Store) -> None:
    step = submit(store)
    watched = snapshots(store, step)
    run(store, step)
    change(store, "DELETE FROM batch_job_coordination")
    for table in ("batch_partitions", "batch_step_execution", "batch_job_execution"):
        change(store, f"DELETE FROM {table}")
    with pytest.raises(UnknownJob, match="rows were deleted"):
        watched.take()
