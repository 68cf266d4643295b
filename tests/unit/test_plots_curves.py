"""What the panels of a picture show, as numbers, and what their titles say."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from nbcluster.plots import facts
from nbcluster.plots.curves import durations, load, moved, rate, scaling, states
from nbcluster.plots.facts import TIMES
from nbcluster.plots.runs import Fate, Story, fate_of, story_of
from nbcluster.spans import Execution, JobSpans, Span


def span(partition: int, claimed: float, ended: float | None, **changes: Any) -> Span:
    seconds = None if ended is None else ended - claimed
    plain = Span("map", partition, 1, "alpha-1", "COMPLETED", claimed, ended, seconds, 1, True)
    return plain._replace(**changes)


def a_story(*spans: Span, state: str = "COMPLETED", length: float = 0.0, **changes: Any) -> Story:
    steps = tuple(dict.fromkeys(one.step for one in spans)) or ("map",)
    partitions = len({(one.step, one.partition) for one in spans})
    rows = JobSpans(steps, changes.pop("partitions", partitions), spans, **changes)
    return story_of("collatz", state, length, rows)


LOST = (
    span(0, 0, 1),
    span(1, 0, 4, node="beta-2", outcome="NODE_LOST", seconds=None, final=False),
    span(1, 4, 5, attempt=2),
    span(2, 0, 2, outcome="RETRIED", final=False),
    span(2, 2, 3, attempt=2),
)


# --- fates -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("outcome", "fate"),
    [("COMPLETED", Fate.COMPLETED), ("TIMEOUT", Fate.FAILED), ("UNSERIALIZABLE", Fate.FAILED), ("POISON", Fate.CRASHED),
     ("NODE_LOST", Fate.LOST), ("HANDED_BACK", Fate.STOPPED), ("RUNNING", Fate.RUNNING)],
)  # fmt: skip
def test_every_way_to_end_has_a_look(outcome: str, fate: Fate) -> None:
    assert fate_of(outcome) is fate


def test_nodes_are_in_the_order_in_which_people_count() -> None:
    story = a_story(*(span(place, 0, 1, node=f"lab{place}-x") for place in (10, 9, 1)))
    assert story.runs.nodes == ("lab1-x", "lab9-x", "lab10-x")


def test_a_lost_partition_is_tied_to_the_attempt_after_it() -> None:
    runs = a_story(*LOST).runs
    (found,) = moved(runs)
    assert (runs.partition[found.lost], runs.attempt[found.lost]) == (1, 1)
    assert (runs.partition[found.after], runs.attempt[found.after]) == (1, 2)


# --- states over time --------------------------------------------------------------------------------


def test_at_every_time_the_states_add_up_to_all_partitions() -> None:
    story = a_story(*LOST, span(3, 1, 2, outcome="FAILED"), partitions=7, carried=1, unbegun=(4.5,))
    found = states(story)
    total = found.completed + found.failed + found.stopped + found.running + found.waiting
    assert total.tolist() == [7.0] * len(total)
    assert (found.completed[0], found.completed[-1]) == (1.0, 4.0)
    assert (found.failed[-1], found.stopped[-1], found.running[-1]) == (1.0, 1.0, 0.0)


def test_what_runs_is_running_until_now() -> None:
    story = a_story(span(0, 1, None, outcome="RUNNING", final=False), state="STARTED", length=5.0, partitions=3)
    found = states(story)
    assert (found.running[0], found.running[-1], found.waiting[-1]) == (0.0, 1.0, 2.0)


def test_the_rate_counts_items_and_its_mean_is_over_the_whole_job() -> None:
    story = a_story(*(span(place, place, place + 1, items=10) for place in range(80)), length=100.0)
    found = rate(story)
    assert found.mean == pytest.approx(8.0)
    assert float((found.per_second * np.diff(found.edges)).sum()) == pytest.approx(800.0)


# --- lengths -----------------------------------------------------------------------------------------


def test_stragglers_are_named_with_their_node_slowest_first() -> None:
    plain = [span(place, 0, 1) for place in range(20)]
    story = a_story(*plain, span(20, 0, 9, node="beta-1"), span(21, 0, 4))
    found = durations(story)
    assert found is not None
    assert [(one.partition, one.node, one.times) for one in found.stragglers] == [
        (20, "beta-1", pytest.approx(9.0)),
        (21, "alpha-1", pytest.approx(4.0)),
    ]
    assert (found.number, found.straggling, found.median) == (22, 2, 1.0)


def test_a_step_that_is_slower_as_a_whole_has_no_stragglers_for_that() -> None:
    quick = [span(place, 0, 0.1) for place in range(9)]
    slow = [span(place, 0, 5, step="score") for place in range(5)]
    found = durations(a_story(*quick, *slow))
    assert found is not None
    assert found.stragglers == ()
    assert [(step, counts.sum()) for step, counts in found.counts] == [("map", 9.0), ("score", 5.0)]


def test_only_completed_partitions_have_a_length() -> None:
    assert durations(a_story(span(0, 0, 1, outcome="FAILED"))) is None


# --- very many ---------------------------------------------------------------------------------------


def test_many_nodes_share_rows_and_no_work_is_lost() -> None:
    story = a_story(*(span(place, 0, 2, node=f"n{place}-x") for place in range(130)))
    found = load(story, 60)
    assert len(found.rows) == 44
    assert sorted(place for row in found.rows for place in row) == list(range(130))
    widths = np.diff(found.edges)
    assert float((found.busy * widths).sum()) * 3 == pytest.approx(260.0)


# --- repeated runs -----------------------------------------------------------------------------------


def an_execution(job: int, slots: int, seconds: float) -> Execution:
    spans = [span(place, 0, seconds, node=f"n{place}-1") for place in range(slots)]
    return Execution(job, seconds, slots, tuple(spans))


def test_runs_are_compared_by_the_slots_that_worked_for_them() -> None:
    found = scaling([an_execution(1, 1, 12.0), an_execution(2, 2, 7.0), an_execution(3, 4, 4.0)])
    assert [(one.slots, one.nodes, one.seconds) for one in found] == [(1, 1, 12.0), (2, 2, 7.0), (4, 4, 4.0)]
    assert facts.of_scaling("fit", found) == f"fit: 4 slots are 3 {TIMES} as fast as 1; 4 {TIMES} would be ideal"


def test_an_execution_of_which_nothing_is_known_is_left_out() -> None:
    assert scaling([Execution(1, 3.0, 0, ())]) == []


# --- sentences ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.000027, "27 µs"), (0.0042, "4.2 ms"), (0.05, "50 ms"), (0.21, "0.21 s"), (9.94, "9.9 s"), (41.4, "41 s"),
     (99.9, "100 s"), (200, "3 min 20 s"), (3600, "1 h"), (7500, "2 h 5 min")],
)  # fmt: skip
def test_times_are_said_as_people_say_them(seconds: float, said: str) -> None:
    assert facts.lasting(seconds) == said


@pytest.mark.parametrize(
    ("number", "said"),
    [(22_800, "22,800 items/s"), (10, "10 items/s"), (1.25, "1.2 items/s"), (0.5, "30 items/min"),
     (0.01, "36 items/h")],
)  # fmt: skip
def test_a_rate_is_said_in_a_unit_of_its_size(number: float, said: str) -> None:
    assert facts.per_second(number) == said


def test_nodes_of_one_name_keep_what_tells_them_apart() -> None:
    assert facts.node_names(["lab-0a1b2c", "lab-9f8e7d", "gpu-1234"]) == ["lab-0a1b", "lab-9f8e", "gpu"]


def test_the_title_says_what_one_would_point_at() -> None:
    plain = [span(place, 0, 1) for place in range(12)]
    assert facts.headline(a_story(*plain)) == "collatz: 12 partitions on 1 node in 1 s"
    slow = facts.headline(a_story(*plain, span(12, 0, 9)))
    assert slow == f"collatz: 13 partitions on 1 node in 9 s; partition 12 took 9 {TIMES} the median"
    lost = facts.headline(a_story(*LOST))
    assert lost == (
        "collatz: 3 partitions on 2 nodes in 5 s; beta was lost and 1 partition ran again elsewhere; "
        "1 attempt had to be repeated"
    )


def test_the_title_of_a_job_that_runs_or_was_ended_says_how_far_it_came() -> None:
    half = [span(place, 0, 1) for place in range(2)]
    running = a_story(*half, state="STARTED", length=3.0, partitions=4)
    assert facts.headline(running) == "collatz: 2 of 4 partitions done on 1 node after 3 s"
    stopped = a_story(*half, state="STOPPED", length=3.0, partitions=4)
    assert facts.headline(stopped) == "collatz: stopped after 3 s on 1 node, 2 of 4 partitions done"
    resumed = a_story(*half, partitions=4, carried=2)
    assert facts.headline(resumed) == "collatz: 4 partitions on 1 node in 1 s, 2 of them done before"
    waiting = a_story(state="STARTED", length=2.0, partitions=4)
    assert facts.headline(waiting) == "collatz: 0 of 4 partitions done after 2 s"
