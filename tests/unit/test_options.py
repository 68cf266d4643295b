"""What the options may be, one sentence for each that they may not."""

from __future__ import annotations

import re
from typing import Any

import pytest

from nbcluster.errors import UsageError
from nbcluster.submitting.options import Options, limit_of, options_from, priority_of, rules_of


def rules(**given: Any) -> Any:
    return rules_of(Options(**given))


class OwnError(Exception):
    pass


def test_nothing_is_retried_or_limited_unless_asked() -> None:
    found = rules()
    assert (found.retries, found.retry_on, found.retry_wait, found.timeout, found.require) == (0, None, 1.0, None, ())
    assert limit_of(Options()) is None
    assert priority_of(Options()) == 0


@pytest.mark.parametrize(
    ("given", "names"),
    [
        (OSError, ("OSError",)),
        ("TimeoutError", ("TimeoutError",)),
        ((OSError, "requests.exceptions.Timeout"), ("OSError", "requests.exceptions.Timeout")),
        ([OSError, OSError], ("OSError",)),
        (OwnError, (f"{__name__}.OwnError",)),
    ],
)
def test_errors_worth_a_retry_are_kept_by_name(given: Any, names: tuple[str, ...]) -> None:
    assert rules(retry_on=given).retry_on == names


def test_durations_may_have_units() -> None:
    found = rules(retry_wait="500ms", timeout="2m")
    assert (found.retry_wait, found.timeout) == (0.5, 120.0)
    assert rules(retry_wait=0).retry_wait == 0.0


def test_a_pin_is_a_requirement_like_others() -> None:
    assert rules(require=["gpu", "mem>=32"], pin="alpha").require == ("gpu", "mem>=32", "node=alpha")


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"retries": -1}, "retries is -1; it must be a whole number of at least 0"),
        ({"retries": True}, "retries is True; it must be a whole number of at least 0"),
        ({"retries": 1.5}, "retries is 1.5; it must be a whole number of at least 0"),
        ({"retry_on": int}, "retry_on holds \"<class 'int'>\", which is no exception type; write for example"),
        ({"retry_on": "no name"}, "retry_on holds 'no name', which is no exception type"),
        ({"retry_on": []}, "retry_on names no exception type; leave it out to retry after any error"),
        ({"retry_wait": "soon"}, "retry_wait: 'soon' is no duration"),
        ({"timeout": 0}, "timeout: 0 is no positive duration"),
        ({"timeout": "x"}, "timeout: 'x' is no duration"),
        ({"require": ["a b"]}, "require: 'a b' is no requirement"),
        ({"pin": 7}, "pin is 7; it must be"),
    ],
)
def test_what_an_option_may_not_be_is_said_in_a_sentence(given: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UsageError, match=f"^{re.escape(sentence)}"):
        rules(**given)


def test_limits_and_priorities_are_whole_numbers() -> None:
    assert limit_of(Options(max_errors=0)) == 0
    assert priority_of(Options(priority=-5)) == -5
    with pytest.raises(UsageError, match=r"^max_errors is -1; it must be a whole number of at least 0$"):
        limit_of(Options(max_errors=-1))
    with pytest.raises(UsageError, match=r"^priority is 'high'; it must be a whole number between"):
        priority_of(Options(priority="high"))  # type: ignore[arg-type]


def test_an_unknown_option_is_named() -> None:
    with pytest.raises(UsageError, match=r"^unknown option chunks, tries; known are name, chunk, "):
        options_from({"chunks": 1, "tries": 2, "chunk": 3})
