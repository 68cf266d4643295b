"""One moment of a cluster: which jobs are shown, how fast nodes are, why jobs wait."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from nbcluster.lifecycle import StepKind
from nbcluster.snapshots.cluster import MOST_JOBS, most_telling, reasons_of, throughput
from nbcluster.store.overviews import Happening, JobHead
from tests.builders import PYTHON, a_node, a_step_to_run

URL = "sqlite:///x.db"


def a_head(job_id: int) -> JobHead:
    return JobHead(job_id, f"job-{job_id}", "ada", "STARTED", False, False, job_id, 1.0)


def ended(age: float, node: str = "a-1", partitions: int = 1, phase: str = "COMPLETED") -> Happening:
    return Happening(age, datetime(2026, 1, 1, tzinfo=UTC), phase, "job", node, None, partitions)


def test_jobs_that_nodes_work_on_are_shown_before_those_that_wait() -> None:
    heads = [a_head(number) for number in range(1000, 0, -1)]
    shown = most_telling(heads, claimed={3: 1, 900: 2}, pending={500: 1, 501: 1})
    assert [head.job_id for head in shown][:5] == [900, 3, 501, 500, 1000]
    assert len(shown) == MOST_JOBS


@pytest.mark.parametrize(
    ("happenings", "rates"),
    [
        ([], {}),
        ([ended(0.5, partitions=10)], {"a-1": 0.5}),  # one end says nothing of how long it took
        ([ended(1.0, partitions=10), ended(4.0, partitions=10)], {"a-1": 5.0}),
        ([ended(0.1), ended(0.2)], {"a-1": 2.0}),
        ([ended(2.0), ended(10.0), ended(1.0, "b-1"), ended(2.0, "b-1")], {"a-1": 0.2, "b-1": 1.0}),
        ([ended(2.0, phase="FAILED"), ended(4.0)], {"a-1": 0.5}),
        ([ended(2.0, phase="CLAIMED"), ended(60.0)], {}),
    ],
)
def test_the_throughput_of_a_node_is_that_of_its_last_ends(
    happenings: list[Happening], rates: dict[str, float]
) -> None:
    assert throughput(happenings) == pytest.approx(rates)


def reasons(steps: list[Any], nodes: list[Any], pending: dict[int, int]) -> dict[int, tuple[str, ...]]:
    return reasons_of(steps, nodes, pending, URL, 10.0)


def a_step(job: int, **changes: Any) -> Any:
    return a_step_to_run(job_execution_id=job, python=PYTHON, **changes)


def test_a_job_that_some_node_can_run_waits_for_its_turn_only() -> None:
    nodes = [a_node("a-1"), a_node("b-1", python="3.9")]
    assert reasons([a_step(1)], nodes, {1: 5}) == {1: ()}


def test_a_job_that_no_node_can_run_says_what_it_lacks() -> None:
    (said,) = reasons([a_step(1, require=("gpu",))], [a_node("a-1")], {1: 5})[1]
    assert "gpu" in said


def test_without_a_node_all_that_wait_are_counted() -> None:
    found = reasons([a_step(1), a_step(2)], [a_node("a-1", heartbeat_age=60.0)], {1: 5, 2: 7})
    assert found[1] == found[2]
    assert "12 partitions wait" in found[1][0]


def test_steps_that_wait_for_nobody_have_no_reason() -> None:
    steps = [a_step(1), a_step(2, kind=StepKind.LOCAL)]
    assert reasons(steps, [], {2: 5}) == {}


def test_a_job_with_two_steps_says_the_same_reason_once() -> None:
    assert len(reasons([a_step(1), a_step(1)], [], {1: 2})[1]) == 1
