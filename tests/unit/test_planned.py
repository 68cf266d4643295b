"""A plan's figures and words."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

import pytest

from nbcluster.payload import Capture
from nbcluster.payload.beside import BundledFile
from nbcluster.submitting.plan import spread
from nbcluster.submitting.planned import NodePlan, PartPlan, Plan, remembered, sampled


def a_plan(**changes: Any) -> Plan:
    plan = Plan(
        name="scores",
        strategy="round_robin",
        parts=tuple(PartPlan(f"part-{n}", size, 40, "alpha-1") for n, size in enumerate((10, 10, 5))),
        nodes=(NodePlan("alpha-1", 2, 2, 20), NodePlan("beta-2", 1, 1, 5), NodePlan("old-3", 4, 0, 0, "draining")),
        captures=(),
        packages=(),
        function_size=500,
        limit=64_000_000,
        measured=None,
    )
    return dataclasses.replace(plan, **changes)


def free(*items: int) -> tuple[PartPlan, ...]:
    """Partitions for whichever node is free."""
    return tuple(PartPlan(f"part-{n}", size, 40) for n, size in enumerate(items))


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
    assert a_plan(nodes=nodes, parts=free(10, 10, 5)).slots == 10
    nobody = a_plan(nodes=(NodePlan("old-3", 4, 0, 0, "draining"),), parts=free(10, 10, 5), measured=measured)
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
    assert lines[6:10] == [
        "  node     slots  partitions  items  why none",
        "  alpha-1      2           2     20",
        "  beta-2       1           1      5",
        "  old-3        4           0      0  draining",
    ]
    assert "why none" not in repr(a_plan(nodes=(NodePlan("alpha-1", 2, 3, 25),)))
    assert "(no node is known)" in repr(a_plan(nodes=()))


def test_the_partitions_are_shown_and_of_many_the_first_and_the_last() -> None:
    assert repr(a_plan(split="ranges(0, 25): 25 numbers")).splitlines()[2:6] == [
        "Split: ranges(0, 25): 25 numbers",
        "  partition  key     items      size  node",
        "          0  part-0     10  40 bytes  alpha-1",
        "          1  part-1     10  40 bytes  alpha-1",
    ]
    lines = repr(a_plan(parts=free(*range(1, 1001)))).splitlines()
    assert [line.split()[0] for line in lines[3:11]] == ["0", "1", "2", "3", "4", "...", "998", "999"]
    assert "993 more" in lines[8]
    assert "node" not in lines[2]
    assert "1,000 partitions for whichever node is free" in lines
    long = a_plan(parts=(PartPlan("k" * 90, 1),), split="\n".join(f"line {n}" for n in range(40)))
    assert "k" * 56 + " ..." in repr(long)
    assert "  ... 28 lines more" in repr(long)


def test_a_split_without_parts_says_so() -> None:
    lines = repr(a_plan(parts=())).splitlines()
    assert lines[0] == "Plan of scores: nothing to do, for the split has no parts, by round_robin; nothing was stored"
    assert "No node could run it now" not in repr(a_plan(parts=(), nodes=()))


def test_what_the_cache_has_is_not_computed() -> None:
    parts = (PartPlan("a", 10, 1, None, cached=True), PartPlan("b", 10, 1, "alpha-1"))
    plan = a_plan(parts=parts, measured=sampled([1], 10, 2.0), caching=True)
    assert (plan.cached, plan.unassigned, plan.computing, plan.duration) == (1, 0, 2.0, 2.0)
    assert "from the cache" in repr(plan)
    assert "1 of 2 partitions have their results from the cache" in repr(plan)
    whole = a_plan(parts=parts[:1], caching=True, nodes=())
    assert "No node could run it now" not in repr(whole)


def test_a_plan_as_a_frame_has_a_row_for_each_partition() -> None:
    frame = a_plan(parts=(PartPlan("a", 3, 70, "alpha-1"), PartPlan("b", 2, 50, None, cached=True))).frame()
    assert frame.columns.tolist() == ["partition", "key", "items", "size", "node", "holds", "cached"]
    assert frame.iloc[0].tolist() == [0, "a", 3, 70, "alpha-1", "", False]
    assert frame["node"].isna().tolist() == [False, True]
    assert frame["cached"].tolist() == [False, True]
    assert a_plan(parts=()).frame().empty


def test_modules_that_travel_are_listed() -> None:
    modules = tuple(BundledFile(f"m{n}", f"/home/me/m{n}.py", 100) for n in range(12))
    text = repr(a_plan(modules=modules, modules_size=1234, changed=("m3",)))
    assert (
        "Modules beside the notebook go with it (1.23 kB packed; ship=False, --no-ship: the nodes have them):" in text
    )
    assert re.search(r"\n  m9 +/home/me/m9.py +100 bytes\n", text)
    assert "2 more" in text
    assert "m10" not in text
    assert "Changed since they were imported here, and sent as they are in the files: m3" in text
    assert "beside the notebook" not in repr(a_plan())


def test_a_node_without_a_package_is_named() -> None:
    nodes = (NodePlan("alpha-1", 1, 1, 1, lacks=("scipy", "torch")), NodePlan("old-3", 1, 0, 0, "draining", ("x",)))
    text = repr(a_plan(nodes=nodes))
    assert "alpha-1 has no scipy, torch: what needs it fails there" in text
    assert "old-3 has no" not in text


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
        parts=(PartPlan("<em>", 1, 1, "<h1>"),),
        split="<h2>\n<h3>",
        modules=(BundledFile("<h4>", "<h5>", 1),),
    )._repr_html_()
    for tag in ("<script>", "<i>", "<u>", "<s>", "<a>", "<em>", "<h1>", "<h2>", "<h3>", "<h4>", "<h5>"):
        assert tag not in html


@pytest.mark.parametrize(
    ("total", "number", "places"),
    [(10, 1, [0]), (10, 2, [0, 9]), (10, 4, [0, 3, 6, 9]), (3, 3, [0, 1, 2]), (2, 9, [0, 1]), (1, 1, [0])],
)
def test_samples_are_spread_over_the_split(total: int, number: int, places: list[int]) -> None:
    assert spread(total, number) == places
