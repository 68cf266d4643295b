from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from nbcluster.lifecycle import JobStatus, NodeStatus, StepKind
from nbcluster.obstacles import obstacles
from nbcluster.records import Node, Progress, StepRow
from nbcluster.shown import JobSnapshot, NodeWork, Standing, Tally, pace, pace_of_all
from nbcluster.snapshots.job import node_views
from nbcluster.snapshots.stepwatch import StepMoment, worth_showing
from tests.builders import PYTHON, a_node, a_progress

URL = "sqlite:///cluster.db"


def why(*nodes: Node, progress: Progress | None = None, require: tuple[str, ...] = ()) -> tuple[str, ...]:
    return obstacles(progress or a_progress(pending=3), nodes, PYTHON, URL, silent_after=10.0, require=require)


# --- why nothing moves ---------------------------------------------------------------------------


def test_with_a_live_node_nothing_is_in_the_way() -> None:
    assert why(a_node()) == ()


def test_without_a_node_the_commands_that_start_one_are_told() -> None:
    (sentence,) = why()
    assert "No node is alive." in sentence
    assert "%nbcluster up 2" in sentence
    assert f"nbcluster-node --url '{URL}'" in sentence


@pytest.mark.parametrize(
    "silent",
    [a_node(heartbeat_age=42.4), a_node(status=NodeStatus.UNREACHABLE, heartbeat_age=42.4)],
    ids=["silent", "unreachable"],
)
def test_when_all_nodes_are_silent_it_is_told_since_when_and_how_much_waits(silent: Node) -> None:
    (sentence,) = why(silent, a_node("b-1", heartbeat_age=99.0))
    assert sentence.endswith("(3 partitions wait; the last heartbeat was 42 s ago)")


def test_a_kernel_is_no_node_that_could_work() -> None:
    (sentence,) = why(a_node(slots=0))
    assert sentence.startswith("No node is alive.")
    assert "heartbeat" not in sentence


def test_a_node_of_another_python_is_named() -> None:
    assert why(a_node(), a_node("b-1", python="3.12")) == (
        "Node b-1 runs Python 3.12, this job needs 3.11: it stays idle for it",
    )


def test_when_no_node_has_the_right_python_it_is_told_which_to_start() -> None:
    sentences = why(a_node("b-1", python="3.12"))
    assert sentences[-1] == "No node can run this job: start one with Python 3.11"


def test_a_label_that_no_node_has_is_named_with_the_command_that_helps() -> None:
    (sentence,) = why(a_node(), a_node("b-1", labels=("mem=16",)), require=("gpu", "mem>=8"))
    assert sentence == "No live node has gpu: start one with nbcluster-node --label gpu --label mem=8"
    assert why(a_node(labels=("gpu", "mem=8")), require=("gpu", "mem>=8")) == ()


def test_labels_that_no_node_has_together_are_named_together() -> None:
    (sentence,) = why(a_node(labels=("gpu",)), a_node("b-1", labels=("mem=64",)), require=("gpu", "mem>=32"))
    assert sentence.startswith("No live node has gpu and mem>=32 together: start one")


def test_a_node_or_a_machine_that_is_not_there_is_named() -> None:
    (sentence,) = why(a_node(), require=("node=alpha",))
    assert sentence == "No live node has node=alpha: start one with nbcluster-node --node-id-prefix alpha"
    (sentence,) = why(a_node(), require=("host=lab7",))
    assert sentence == "No live node has host=lab7: start one with nbcluster-node on lab7"
    assert why(a_node("alpha-1", host="lab7"), require=("node=alpha", "host=lab7")) == ()


def test_when_the_only_fitting_node_has_another_python_that_is_told() -> None:
    first, second = why(a_node(), a_node("b-1", python="3.12", labels=("gpu",)), require=("gpu",))
    assert first.startswith("Node b-1 runs Python 3.12, this job needs 3.11")
    assert second == "No node can run this job: start one with Python 3.11 and --label gpu"


def test_without_a_node_the_command_has_the_labels() -> None:
    (sentence,) = why(require=("gpu", "mem>=32"))
    assert sentence.endswith(f"nbcluster-node --url '{URL}' --label gpu --label mem=32")


@pytest.mark.parametrize("changes", [{"status": JobStatus.COMPLETED}, {"pending": 0, "claimed": 0, "completed": 3}])
def test_of_a_job_that_needs_nobody_nothing_is_told(changes: dict[str, Any]) -> None:
    assert why(progress=a_progress(**changes)) == ()


# --- nodes of a job ------------------------------------------------------------------------------


def some_work(node: str = "a-1", completed: int = 0, **changes: Any) -> NodeWork:
    return replace(NodeWork(node, 0, completed, completed, 10 * completed, float(completed), 0, 0, 30.0), **changes)


def test_live_workers_are_shown_with_what_they_did() -> None:
    (view,) = node_views(
        [a_node("gpu-box-1", slots=4, busy=1), a_node("kernel-1", slots=0)], [some_work("gpu-box-1", 7)]
    )
    assert (view.name, view.load, view.done, view.status) == ("gpu-box", 0.25, 7, "ACTIVE")


def test_those_that_worked_and_are_gone_are_shown_too() -> None:
    alive, gone = node_views([a_node("a-1")], [some_work("a-1", 1), some_work("b-9", 5)])
    assert (gone.node_id, gone.name, gone.status, gone.done) == ("b-9", "b", "GONE", 5)
    assert math.isnan(gone.heartbeat_age)
    assert alive.status == "ACTIVE"


def test_a_node_that_only_began_and_is_gone_is_nobody_to_show() -> None:
    assert node_views([], [some_work("b-9", 0, running=1)]) == ()


# --- how quickly things go -----------------------------------------------------------------------


def test_the_pace_is_that_of_the_recent_past() -> None:
    quick = some_work(completed=1000, seconds=9999.0, recent_partitions=6, recent_items=60, recent_seconds=20.0)
    assert pace(quick) == 3.0
    assert pace_of_all([quick, replace(quick, node="b-1", recent_items=20), some_work()]) == 4.0


def test_when_little_ended_lately_the_pace_is_that_of_what_runs() -> None:
    assert pace(some_work(completed=10, running=2, recent_partitions=2, recent_items=20)) == 20.0


@pytest.mark.parametrize("work", [some_work(), some_work(running=2), some_work(completed=10)])
def test_without_anything_to_go_by_there_is_no_pace(work: NodeWork) -> None:
    assert pace(work) is None
    assert pace_of_all([work]) is None


def test_a_pause_does_not_slow_the_pace() -> None:
    before = some_work(completed=10, running=2)
    assert pace(replace(before, recent_seconds=30.0)) == pace(replace(before, recent_seconds=1.0))


def test_the_progress_of_a_step_at_one_moment() -> None:
    standing = Standing(JobStatus.STARTED, stop_requested=True, paused=False, ended=None, elapsed=1.0)
    progress = StepMoment(Tally("ccfsr..", 70), 40, 12, (), (), (), None).progress(standing)
    assert (progress.pending, progress.claimed, progress.completed, progress.failed) == (2, 1, 2, 2)
    assert (progress.cancelled, progress.items, progress.items_done, progress.items_failed) == (1, 70, 40, 12)
    assert progress.stop_requested


# --- which step tells most -----------------------------------------------------------------------


def a_step(name: str, status: JobStatus, not_run: bool = False) -> StepRow:
    return StepRow(1, name, StepKind.PARTITIONED, status, "items", "round_robin", "", (), None, not_run)


@pytest.mark.parametrize(
    ("load", "clean", "score", "shown"),
    [
        (a_step("load", JobStatus.STARTED), JobStatus.CREATED, JobStatus.CREATED, "load"),
        (a_step("load", JobStatus.COMPLETED), JobStatus.STARTED, JobStatus.CREATED, "clean"),
        (a_step("load", JobStatus.COMPLETED), JobStatus.COMPLETED, JobStatus.CREATED, "score"),
        (a_step("load", JobStatus.STARTED), JobStatus.COMPLETED, JobStatus.STARTED, "score"),
        (a_step("load", JobStatus.COMPLETED), JobStatus.COMPLETED, JobStatus.FAILED, "score"),
    ],
)
def test_the_step_that_tells_most(load: StepRow, clean: JobStatus, score: JobStatus, shown: str) -> None:
    main = a_step("score", score)
    assert worth_showing([load, a_step("clean", clean), main], main).name == shown


def test_the_step_that_brought_the_job_down_tells_most() -> None:
    main = a_step("score", JobStatus.FAILED, not_run=True)
    assert worth_showing([a_step("load", JobStatus.FAILED), main], main).name == "load"


# --- plain figures -------------------------------------------------------------------------------


def a_snapshot(**changes: Any) -> JobSnapshot:
    from datetime import UTC, datetime

    plain: dict[str, Any] = {
        "job_id": 1, "name": "j", "user": "ada", "status": "STARTED", "stop_requested": False,
        "created": datetime(2024, 1, 1, tzinfo=UTC), "ended": None, "elapsed": 10.0, "strategy": "round_robin",
        "transferable": True, "python": PYTHON, "partitions": {"PENDING": 1, "CLAIMED": 2, "COMPLETED": 3, "FAILED": 4},
        "items": 100, "items_done": 25, "items_failed": 0, "grid": "", "nodes": (), "errors": (),
        "obstacles": (), "log_tail": "", "rate": 2.5,
    }  # fmt: skip
    return JobSnapshot(**plain | changes)


def test_the_remaining_time_follows_from_the_rate() -> None:
    assert a_snapshot().remaining == pytest.approx(30.0)


@pytest.mark.parametrize("changes", [{"rate": None}, {"rate": 0.0}, {"status": "COMPLETED"}])
def test_without_a_rate_and_after_the_end_no_remaining_time_is_told(changes: dict[str, Any]) -> None:
    assert a_snapshot(**changes).remaining is None


def test_the_end_is_known() -> None:
    assert not a_snapshot().finished
    assert all(a_snapshot(status=status).finished for status in ("COMPLETED", "FAILED", "STOPPED"))
