"""Sums over the partitions that ended, which grow with each look."""

from __future__ import annotations

from typing import Any

from nbcluster.shown import Ended, NodeWork, Running
from nbcluster.snapshots.ledger import RECENTLY, Ledger

NOW = 1000.0


def ended(partition: int, **changes: Any) -> Ended:
    return Ended(partition, "a-1", 10, 0, 0.5, 1.0, 2.0, "COMPLETED", None)._replace(**changes)


def failed(partition: int, message: str = "ValueError: bad", items: int = 1) -> Ended:
    return ended(partition, exit_code="FAILED", message=message, failed_items=items)


def looked(ledger: Ledger, letters: str, *rows: Ended, now: float = NOW) -> None:
    """One look, at which exactly these partitions are new."""
    assert ledger.missing(letters) == [row.partition for row in rows]
    ledger.enter(letters, rows, now)


def work(ledger: Ledger, now: float = NOW, **running: Running) -> dict[str, NodeWork]:
    return {one.node: one for one in ledger.works(running, now)}


def test_each_ended_partition_is_asked_for_once() -> None:
    ledger = Ledger()
    looked(ledger, "c.rfs", ended(0), failed(3), ended(4))
    looked(ledger, "cr.fs")
    looked(ledger, "ccrfs", ended(1))
    assert (ledger.items_done, ledger.items_failed) == (40, 1)


def test_of_many_partitions_those_that_ended_are_found() -> None:
    ledger, letters = Ledger(), "." * 5000
    assert ledger.missing(letters) == []
    ledger.enter(letters, [], NOW)
    last = letters[:511] + "cc" + letters[513:4999] + "f"
    assert ledger.missing(last) == [511, 512, 4999]


def test_the_work_of_a_node() -> None:
    ledger = Ledger()
    looked(ledger, "ccf", ended(0), ended(1, node="b-1"), failed(2))
    known = work(ledger, **{"a-1": Running(2, 0.1)})
    assert set(known) == {"a-1", "b-1"}
    assert known["a-1"] == NodeWork("a-1", 2, 1, 2, 20, 1.0, 2, 20, 2.0)
    assert known["b-1"].running == 0


def test_what_is_recent_passes() -> None:
    ledger = Ledger()
    looked(ledger, "ccc", ended(0, ended_ago=1.0), ended(1, ended_ago=20.0), ended(2, ended_ago=RECENTLY))
    assert work(ledger)["a-1"].recent_partitions == 2
    later = work(ledger, now=NOW + 15)["a-1"]
    assert (later.recent_partitions, later.recent_items, later.recent_seconds) == (1, 10, 17.0)
    last = work(ledger, now=NOW + 100)["a-1"]
    assert (last.recent_partitions, last.recent_items, last.ended, last.recent_seconds) == (0, 0, 3, RECENTLY)


def test_a_node_that_has_not_ended_anything_is_at_it_since_its_first_claim() -> None:
    assert work(Ledger(), **{"a-1": Running(1, 12.0)})["a-1"].recent_seconds == 12.0


def test_what_was_stopped_or_carried_over_is_nobodys_work() -> None:
    ledger = Ledger()
    looked(ledger, "scc", ended(0), ended(1, ended_ago=None), ended(2, node=None))
    assert work(ledger) == {}
    assert ledger.items_done == 30


def test_failures_are_grouped_and_counted_by_items_the_most_frequent_first() -> None:
    ledger = Ledger()
    looked(ledger, "fff.", failed(0, "KeyError: a"), failed(1, items=7), failed(2, "KeyError: a"))
    assert [(group.message, group.number, group.first_partition) for group in ledger.groups(5)] == [
        ("ValueError: bad", 7, 1),
        ("KeyError: a", 2, 0),
    ]
    assert len(ledger.groups(1)) == 1


def test_a_partition_that_failed_as_a_whole_counts_as_one() -> None:
    ledger = Ledger()
    looked(ledger, "f", ended(0, exit_code="POISON", message="it killed 3 processes"))
    assert [(group.exit_code, group.number) for group in ledger.groups(5)] == [("POISON", 1)]
    assert ledger.items_failed == 0


def test_what_a_stop_kept_from_its_end_is_no_failure() -> None:
    ledger = Ledger()
    looked(ledger, "s", ended(0, exit_code="CANCELLED", failed_items=10))
    assert ledger.groups(5) == []
