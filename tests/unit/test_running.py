from __future__ import annotations

from collections.abc import Iterator

import pytest

import nbcluster as nb
from nbcluster.errors import UsageError
from nbcluster.running import Current, set_current


@pytest.fixture(autouse=True)
def afterwards_outside() -> Iterator[None]:
    yield
    set_current(None)


def test_outside_of_a_partition_there_is_nothing_to_ask_about() -> None:
    with pytest.raises(UsageError, match=r"^nb\.current\(\) answers only inside a function that runs on a node$"):
        nb.current()


def test_inside_a_partition_it_answers() -> None:
    here = Current(job="collatz", index=3, partition_key="31..40", attempt=2, node="a-1", transferable=False)
    set_current(here)
    assert nb.current() is here
    assert (nb.current().node, nb.current().attempt, nb.current().transferable) == ("a-1", 2, False)


def test_after_a_partition_it_answers_no_more() -> None:
    set_current(Current("collatz", 0, "0..9", 1, "a-1", True))
    set_current(None)
    with pytest.raises(UsageError):
        nb.current()


def test_what_it_answers_cannot_be_changed() -> None:
    here = Current("collatz", 0, "0..9", 1, "a-1", True)
    with pytest.raises(AttributeError):
        here.attempt = 7  # type: ignore[misc]
