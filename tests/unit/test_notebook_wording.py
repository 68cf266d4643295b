"""Times, rates and foreign text in words."""

from __future__ import annotations

import math

import pytest

from nbcluster.notebook.wording import about, ago, clean, clean_block, duration, rate, roughly


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-1.0, "0.0 s"),
        (0.04, "0.0 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (59.4, "59 s"),
        (59.6, "1 min"),
        (200, "3 min 20 s"),
        (3599.6, "1 h"),
        (7500, "2 h 5 min"),
        (200_000, "2 d 7 h"),
        (172_800, "2 d"),
    ],
)
def test_durations_have_two_units_at_most(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_a_time_that_goes_on_does_not_change_all_the_while() -> None:
    said = [roughly(seconds) for seconds in range(600)]
    assert len(set(said)) == 12 + 9
    assert (said[0], said[14], said[59], said[60], said[179]) == ("0 s", "10 s", "55 s", "1 min", "2 min")
    assert roughly(7_530) == "2 h 5 min"


def test_a_heartbeat_that_comes_in_time_always_says_the_same() -> None:
    assert {ago(tenth / 10) for tenth in range(50)} == {"just now"}
    assert (ago(9.9), ago(42), ago(150), ago(math.nan)) == ("5 s ago", "40 s ago", "2 min ago", "")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.1, "1 s"), (7.2, "7 s"), (23, "25 s"), (57.9, "60 s"), (61, "1 min"), (205, "3 min"), (5_880, "1 h 38 min")],
)
def test_what_is_left_is_a_guess(seconds: float, text: str) -> None:
    assert about(seconds) == text


@pytest.mark.parametrize(
    ("per_second", "text"),
    [
        (12_345, "12,300/s"), (812.4, "812/s"), (9.96, "10/s"), (2.44, "2.4/s"), (1, "1/s"),
        (0.8, "48/min"), (1 / 60, "1/min"), (0.001, "3.6/h"), (0, "0/h"),
    ],
)  # fmt: skip
def test_a_rate_has_the_unit_in_which_it_can_be_imagined(per_second: float, text: str) -> None:
    assert rate(per_second) == text


def test_foreign_text_cannot_act() -> None:
    assert clean("a\x1b[2Jb\x1b]0;title\x07c\x1b(B") == "abcB"
    assert clean("a\nb\tc") == "a b c"
    assert clean("x" * 300) == "x" * 200 + " ..."
    assert "\u202e" not in clean("gnp\u202eexe")
    assert clean_block("10%\r20%\r30%\ndone\r\n") == "30%\ndone"
    assert clean_block("a" * 5000).endswith("a" * 100)
    assert len(clean_block("a" * 5000)) < 4100
