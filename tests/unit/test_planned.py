"""A plan's figures and words."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from nbcluster.payload import Capture
from nbcluster.submitting.plan import spread
from nbcluster.submitting.planned import NodePlan, Plan, remembered, sampled


def a_plan(**changes: Any) -> Plan:
    plan = Plan(
        name="scores",
        strategy="round_robin",
        sizes=(10, 10, 5),
        nodes=(NodePlan("alpha-1", 2, 2, 20), NodePlan("beta-2", 1, 1, 5), NodePlan("old-3", 4, 0, 0, "draining")),
        unassigned=0,
        captures=(),
        packages=(),
        function_size=500,
        limit=64_000_000,
        input_size=100,
        measured=None,
    )
    return dataclasses.replace(plan, **changes)


def test_what_a_sample_took_is_scaled_to_all_items_and_shared_by_the_slots() -> None:
    plan = a_plan(measured=sampled([0], 5, 2.0))
    assert (plan.items, plan.partitions, plan.slots) == (25, 3, 3)
    assert plan.computing == pytest.approx(10.0)
    # The longest partition, 10 of 25 items, is longer than a third of the whole.
    assert plan.duration == pytest.approx(4.0)
    assert "It takes about 4.0 s on 3 slots: 10.0 s of computing, from partition 0 run here in 2.0 s" in repr(plan)


def test_only_nodes_that_would_get_something_count() -> None:
    measured = remembered(2, 8, 100, 40.0)
    nodes = (NodePlan("alpha-1", 2, 3, 25), NodePlan("beta-2", 8, 0, 0))
    assert a_plan(nodes=nodes).slots == 2
    assert a_plan(nodes=nodes, unassigned=3).slots == 10
    nobody = a_plan(nodes=(NodePlan("old-3", 4, 0, 0, "draining"),), unassigned=3, measured=measured)
    assert (nobody.slots, nobody.duration) == (0, None)
    assert "It takes 10.0 s of computing, from 8 partitions of 2 earlier runs of this code" in repr(nobody)
    assert "No node could run it now" in repr(nobody)


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.0001, "less than 1 ms"), (0.25, "250 ms"), (100, "100.0 s"), (600, "10 min"), (9e4, "25.0 h")],
)
def test_times_read_well(seconds: float, said: str) -> None:
    assert f"{said} of computing" in repr(a_plan(measured=sampled([0], 25, seconds)))


def test_columns_are_aligned_and_obstacles_shown_only_if_there_are_some() -> None:
    lines = repr(a_plan()).splitlines()
    assert lines[2:6] == [
        "  node     slots  partitions  items  why none",
        "  alpha-1      2           2     20",
        "  beta-2       1           1      5",
        "  old-3        4           0      0  draining",
    ]
    assert "why none" not in repr(a_plan(nodes=(NodePlan("alpha-1", 2, 3, 25),)))
    assert "(no node is known)" in repr(a_plan(nodes=()))


def test_many_captures_are_summed_up() -> None:
    captures = tuple(Capture(f"name{n}", "list", 1000 - n) for n in range(14))
    assert "4 more" in repr(a_plan(captures=captures))
    assert "name9" in repr(a_plan(captures=captures))
    assert "name10 " not in repr(a_plan(captures=captures))


def test_names_cannot_act_on_the_page() -> None:
    html = a_plan(
        name="<script>",
        nodes=(NodePlan("<i>", 1, 1, 1, "<b>"),),
        captures=(Capture("<u>", "<s>", 1),),
        packages=("<a>",),
    )._repr_html_()
    for tag in ("<script>", "<i>", "<u>", "<s>", "<a>"):
        assert tag not in html


@pytest.mark.parametrize(
    ("total", "number", "places"),
    [(10, 1, [0]), (10, 2, [0, 9]), (10, 4, [0, 3, 6, 9]), (3, 3, [0, 1, 2]), (2, 9, [0, 1]), (1, 1, [0])],
)
def test_samples_are_spread_over_the_split(total: int, number: int, places: list[int]) -> None:
    assert spread(total, number) == places
