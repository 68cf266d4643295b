"""The nodes of a job in words."""

from __future__ import annotations

from dataclasses import replace

from nbcluster.notebook import render
from nbcluster.notebook.model import view_of
from nbcluster.notebook.node_rows import COLUMNS, COLUMNS_AFTER, row_of
from tests.unit.test_notebook_model import a_node_view, a_snapshot, completed


def test_a_node_while_the_job_runs() -> None:
    assert dict(zip(COLUMNS, row_of(a_node_view(rate=812.0), finished=False), strict=True)) == {
        "node": "lab-1",
        "state": "active",
        "heartbeat": "just now",
        "busy": "1 of 2",
        "load": "50%",
        "rate": "812/s",
        "done": "3",
        "version": "0.1.0",
        "python": "3.11",
    }


def test_a_node_afterwards() -> None:
    assert dict(zip(COLUMNS_AFTER, row_of(a_node_view(rate=812.0), finished=True), strict=True)) == {
        "node": "lab-1",
        "state": "active",
        "slots": "2",
        "done": "3",
        "version": "0.1.0",
        "python": "3.11",
    }


def test_a_node_that_is_gone_shows_what_it_did() -> None:
    gone = a_node_view("old-1", status="GONE", slots=0, busy=0, load=0.0, heartbeat_age=float("nan"), python="", done=9)
    for snapshot in (a_snapshot(nodes=(gone,)), completed(nodes=(gone,))):
        view = view_of(snapshot)
        row = dict(zip(view.node_columns, view.node_rows[0], strict=True))
        assert (row["node"], row["state"], row["done"]) == ("old-1", "gone", "9")


def test_many_nodes_show_a_window_with_the_lost_ones() -> None:
    nodes = [a_node_view(f"n-{number}", done=number) for number in range(40)]
    nodes[3] = replace(nodes[3], status="UNREACHABLE")
    view = view_of(a_snapshot(nodes=tuple(nodes)))
    assert len(view.node_rows) == 12
    assert view.more_nodes == 28
    assert view.node_rows[0][:2] == ("n-3", "unreachable")
    assert "and 28 more nodes" in render.nodes(view)
