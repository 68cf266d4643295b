from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbcluster.node import cadence
from nbcluster.node.cadence import SCANS, SWEEPS, Due, poll_pause, scan_pause, sweep_pause
from tests.clock import Clock


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(cadence, "time", made)
    return made


def test_a_few_members_look_at_the_configured_interval() -> None:
    assert [sweep_pause(1.0, members, working=True) for members in (1, 2, 4)] == [1.0, 1.0, 1.0]
    assert scan_pause(10.0, 3) == 10.0


@given(st.integers(1, 1000), st.floats(0.1, 10))
def test_all_members_together_look_no_oftener_than_a_few_times_in_a_second(members: int, interval: float) -> None:
    assert members / sweep_pause(interval, members, working=True) <= max(SWEEPS, members / interval)
    assert sweep_pause(interval, members, working=True) >= max(interval, 0.999 * members / SWEEPS)
    assert scan_pause(interval, members) >= 0.999 * members / SCANS


def test_while_no_job_runs_looks_are_rarer() -> None:
    assert sweep_pause(1.0, 8, working=False) == 2 * sweep_pause(1.0, 8, working=True)
    assert sweep_pause(1.0, 2, working=False) == 1.0


def test_what_is_announced_need_not_be_polled_for_often() -> None:
    assert poll_pause(1.0, announced=False) == 1.0
    assert poll_pause(1.0, announced=True) == 10.0
    assert poll_pause(1.0, 400, announced=True) == 40.0


def test_the_first_time_is_now_and_the_next_within_the_pause(clock: Clock) -> None:
    due = Due()
    assert due.left == 0
    lefts = set()
    for _ in range(50):
        due.again(10.0)
        assert 5.0 <= due.left <= 10.0
        lefts.add(due.left)
    assert len(lefts) > 10, "never quite regularly"
    clock.now += 10.0
    assert due.left == 0


def test_it_can_come_sooner_and_never_later(clock: Clock) -> None:
    due = Due()
    due.again(10.0)
    due.sooner(2.0)
    assert due.left == 2.0
    due.sooner(5.0)
    assert due.left == 2.0
