from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbcluster.node.pacing import HAND_BACK_AFTER, HELD_PER_SLOT, LARGEST_CLAIM, Pace, is_stuck, retry_pause, wanted


def a_pace(seconds: float | None) -> Pace:
    pace = Pace()
    pace.observe([] if seconds is None else [seconds])
    return pace


UNKNOWN = a_pace(None)
LONG = a_pace(10.0)
SHORT = a_pace(0.001)


def test_before_anything_is_known_one_is_claimed_for_each_free_slot() -> None:
    assert wanted(slots=4, running=1, queued=0, pace=UNKNOWN) == 3
    assert wanted(slots=4, running=1, queued=2, pace=UNKNOWN) == 1
    assert wanted(slots=4, running=4, queued=0, pace=UNKNOWN) == 0


def test_long_partitions_are_claimed_only_when_a_slot_can_begin_them() -> None:
    assert wanted(slots=4, running=1, queued=0, pace=LONG) == 3
    assert wanted(slots=4, running=4, queued=0, pace=LONG) == 0
    assert wanted(slots=4, running=2, queued=2, pace=LONG) == 0


def test_short_partitions_are_claimed_ahead() -> None:
    assert wanted(slots=2, running=2, queued=0, pace=SHORT) == pytest.approx(2 * HELD_PER_SLOT / 0.001, abs=1)


def test_a_queue_that_is_more_than_half_full_is_left_alone() -> None:
    full = wanted(slots=2, running=2, queued=0, pace=SHORT)
    assert wanted(slots=2, running=2, queued=full // 2 + 1, pace=SHORT) == 0
    assert wanted(slots=2, running=2, queued=full // 2 - 1, pace=SHORT) > 0


def test_a_claim_has_a_largest_size() -> None:
    assert wanted(slots=64, running=0, queued=0, pace=a_pace(0.0)) == LARGEST_CLAIM


@given(
    slots=st.integers(1, 64),
    running=st.integers(0, 80),
    queued=st.integers(0, 1000),
    seconds=st.none() | st.floats(0, 1e6),
)
def test_what_is_wanted_has_bounds_and_leaves_no_slot_idle(
    slots: int, running: int, queued: int, seconds: float | None
) -> None:
    number = wanted(slots, running, queued, a_pace(seconds))
    assert 0 <= number <= LARGEST_CLAIM
    assert queued + number >= min(slots - running, LARGEST_CLAIM)


def test_a_pace_follows_what_it_sees() -> None:
    pace = a_pace(1.0)
    pace.observe([2.0] * 50)
    assert pace.seconds == pytest.approx(2.0)


def test_a_partition_that_runs_long_slows_the_pace_and_never_quickens_it() -> None:
    pace = a_pace(0.001)
    pace.slow_down(5.0)
    pace.slow_down(1.0)
    assert pace.seconds == 5.0
    unknown = Pace()
    unknown.slow_down(3.0)
    assert unknown.seconds == 3.0


BRIEF, LASTING = HAND_BACK_AFTER / 10, HAND_BACK_AFTER * 10


@pytest.mark.parametrize(
    ("slots", "running_for", "waiting", "pace", "stuck"),
    [
        (2, [LASTING], 5, LONG, False),
        (2, [LASTING, LASTING], 1, SHORT, True),
        (2, [LASTING, BRIEF], 10, SHORT, False),
        (2, [LASTING, BRIEF], 10, LONG, True),
        (2, [BRIEF, BRIEF], 5000, SHORT, True),
        (1, [BRIEF], 1, UNKNOWN, False),
    ],
    ids=[
        "a slot is free", "every slot is taken for long", "one slot moves on", "those before take long",
        "too many wait", "nothing is known yet",
    ],
)  # fmt: skip
def test_what_waits_is_stuck_when_no_slot_will_begin_it_soon(
    slots: int, running_for: list[float], waiting: int, pace: Pace, stuck: bool
) -> None:
    assert is_stuck(slots, running_for, waiting, pace) is stuck


# --- another try ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("errors", "longest"), [(0, 1.0), (1, 2.0), (5, 32.0), (6, 60.0), (10_000, 60.0)])
def test_the_pause_before_a_retry_doubles_up_to_a_minute(errors: int, longest: float) -> None:
    assert retry_pause(1.0, errors, 0.0) == longest
    assert retry_pause(1.0, errors, 1.0) == 0.75 * longest


def test_no_pause_stays_none() -> None:
    assert retry_pause(0.0, 7, 0.3) == 0.0
