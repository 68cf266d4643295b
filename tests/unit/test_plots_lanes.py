"""Which attempts stand side by side in a picture, and how busy a node was."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbcluster.plots.lanes import busy, seats_of, smeared
from nbcluster.plots.runs import Fate, Runs, runs_of
from nbcluster.spans import Span


def span(claimed: float, ended: float | None, seconds: float | None = None, **changes: Any) -> Span:
    plain = Span("map", 0, 1, "a-1", "COMPLETED", claimed, ended, seconds, 1, True)
    return plain._replace(**changes)


def runs(*spans: Span, now: float = 100.0) -> Runs:
    return runs_of(spans, ("map",), now)


def overlaps(found: Runs, slots: dict[str, int] | None = None) -> list[tuple[int, int]]:
    """Pairs that stand in one lane at one time."""
    seats = seats_of(found, slots or {})
    pairs = []
    for one in range(len(found)):
        for other in range(one):
            same = found.node[one] == found.node[other] and seats.lane[one] == seats.lane[other]
            if same and min(seats.end[one], seats.end[other]) - max(seats.begin[one], seats.begin[other]) > 1e-9:
                pairs.append((other, one))
    return pairs


def test_what_ran_one_after_the_other_and_was_recorded_together_stands_in_one_lane() -> None:
    found = runs(*(span(0.0, 1.0, 0.1, partition=place) for place in range(10)))
    seats = seats_of(found, {})
    assert seats.lanes.tolist() == [1]
    assert not overlaps(found)
    assert (seats.end - seats.begin).tolist() == pytest.approx([0.1] * 10)
    assert seats.begin.min() >= -1e-9


def test_what_cannot_have_run_one_after_the_other_stands_in_two_lanes() -> None:
    found = runs(span(0.0, 1.0, 0.9), span(0.0, 1.0, 0.9, partition=1))
    assert seats_of(found, {}).lanes.tolist() == [2]
    assert not overlaps(found)


def test_a_node_that_is_alive_has_the_lanes_of_its_slots() -> None:
    assert seats_of(runs(span(0.0, 1.0, 0.5)), {"a-1": 4}).lanes.tolist() == [4]


def test_what_was_lost_begins_when_its_lane_was_free() -> None:
    found = runs(
        span(0.0, 1.0, 1.0),
        span(0.9, 5.0, None, partition=1, outcome="NODE_LOST", final=False),
    )
    seats = seats_of(found, {})
    assert seats.lanes.tolist() == [1]
    assert seats.begin.tolist() == pytest.approx([0.0, 1.0])


def test_what_was_claimed_ahead_and_never_began_stands_in_a_lane_of_its_own() -> None:
    ran = [span(0.0, 2.0, 2.0)]
    lost = [span(1.0 + place / 10, 5.0, None, partition=1 + place, outcome="NODE_LOST") for place in range(3)]
    seats = seats_of(runs(*ran, *lost), {})
    assert seats.lanes.tolist() == [2]
    assert seats.lane.tolist() == [0, 0, 1, 1]


def test_what_still_runs_lasts_until_now() -> None:
    found = runs(span(3.0, None, outcome="RUNNING", final=False), now=7.5)
    assert found.fate.tolist() == [Fate.RUNNING]
    assert seats_of(found, {}).end.tolist() == [7.5]


moments = st.floats(0, 50).map(lambda value: round(value, 3))


@given(st.lists(st.tuples(moments, st.floats(0.001, 10), st.floats(0, 3)), min_size=1, max_size=40))
def test_no_two_attempts_overlap_in_a_lane_and_each_keeps_its_length(pieces: list[tuple[float, float, float]]) -> None:
    found = runs(*(
        span(claimed, claimed + waited + seconds, seconds, partition=place)
        for place, (claimed, seconds, waited) in enumerate(pieces)
    ))  # fmt: skip
    seats = seats_of(found, {})
    assert not overlaps(found)
    assert seats.end - seats.begin == pytest.approx(found.seconds)
    assert (seats.end <= found.end + 1e-9).all()


# --- how busy --------------------------------------------------------------------------------------


@given(st.lists(st.tuples(st.floats(0, 10), st.floats(0, 5)), max_size=30), st.integers(1, 40))
def test_how_busy_a_node_was_adds_up_to_the_work(pieces: list[tuple[float, float]], bins: int) -> None:
    begin = np.array([piece[0] for piece in pieces])
    end = np.array([piece[0] + piece[1] for piece in pieces])
    edges = np.linspace(0.0, 15.0, bins + 1)
    row = np.zeros(len(pieces), dtype=np.int64)
    found = busy(begin, end, np.ones(len(pieces)), row, 1, edges)
    assert float((found * np.diff(edges)).sum()) == pytest.approx(float((end - begin).sum()), abs=1e-6)


def test_each_bin_tells_how_many_ran_on_average() -> None:
    edges = np.linspace(0.0, 4.0, 5)
    found = busy(np.array([0.5, 1.0]), np.array([2.0, 2.5]), np.ones(2), np.array([0, 1]), 2, edges)
    assert found.tolist() == [pytest.approx([0.5, 1.0, 0.0, 0.0]), pytest.approx([0.0, 1.0, 0.5, 0.0])]


def test_work_that_was_recorded_together_is_spread_over_the_time_since_the_record_before() -> None:
    first = [span(0.0, 1.0, 0.5, partition=0)]
    together = [span(0.0, 2.0, 0.1, partition=1 + place) for place in range(10)]
    begin, end, weight = smeared(runs(*first, *together))
    assert begin[1:].tolist() == pytest.approx([1.0] * 10)
    assert float((weight * (end - begin)).sum()) == pytest.approx(1.5)
