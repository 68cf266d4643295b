"""Errors in groups, and what is said of them."""

from __future__ import annotations

import pytest

from nbcluster.failures import Group, advice, groups_of, summary, with_tracebacks
from nbcluster.reading import Item
from nbcluster.records import ItemError


def failed(index: int, kind: str = "ValueError", message: str = "bad", traceback: str = "") -> Item:
    error = ItemError(index, kind, message, traceback)
    return Item(index, None, None, error, index // 10, "alpha-1", 1, 0.0)


def hint(partition: int) -> str:
    return f"job.replay({partition})"


def test_groups_are_by_type_and_message_the_largest_first() -> None:
    found = groups_of(
        [failed(3, "KeyError"), failed(11), failed(12), failed(20, message="worse"), failed(25, "KeyError")]
    )
    assert [(one.error_type, one.message, one.count, one.first_item, one.first_partition) for one in found] == [
        ("KeyError", "bad", 2, 3, 0),
        ("ValueError", "bad", 2, 11, 1),
        ("ValueError", "worse", 1, 20, 2),
    ]
    assert groups_of([]) == []


def test_a_group_has_the_first_traceback_that_is_known() -> None:
    (group,) = groups_of([failed(1), failed(2, traceback="Traceback 2"), failed(3, traceback="Traceback 3")])
    assert group.traceback == "Traceback 2"


def test_three_groups_are_told_and_the_rest_is_counted() -> None:
    groups = groups_of([failed(n, message=str(n)) for n in range(5)])
    assert summary("scores", groups, 9, hint) == (
        "scores: 5 of 9 items failed\n"
        "  1 x ValueError: 0, first at item 0 (partition 0); replay with job.replay(0)\n"
        "  1 x ValueError: 1, first at item 1 (partition 0); replay with job.replay(0)\n"
        "  1 x ValueError: 2, first at item 2 (partition 0); replay with job.replay(0)\n"
        "  and 2 more kinds of error"
    )
    assert with_tracebacks("scores", groups, 9, hint).count("ValueError") == 5


@pytest.mark.parametrize("kind", ["CRASHED", "POISON", "CANCELLED", "BAD_SIGNATURE"])
def test_what_teaches_nothing_here_is_not_to_be_replayed(kind: str) -> None:
    assert advice(kind, hint(1)) == ""
    assert "replay" not in Group(kind, "", 1, 0, 0, "").line(hint)
    assert Group(kind, "", 1, 0, 0, "").line(hint).startswith(f"1 x {kind}, first at")


def test_other_errors_are() -> None:
    for kind in ("ValueError", "TIMEOUT", "UNSERIALIZABLE", "NODE_LOST"):
        assert advice(kind, hint(1)) == "; replay with job.replay(1)"
