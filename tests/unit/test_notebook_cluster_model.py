"""What the view of a cluster says, and that its skins show it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from nbcluster.lifecycle import NodeStatus
from nbcluster.notebook import cluster_model, cluster_render
from nbcluster.notebook.cluster_model import MOST_HAPPENINGS, MOST_NODES, ClusterView, view_of
from nbcluster.notebook.watching import Looking
from nbcluster.snapshots.cluster import MOST_JOBS, ClusterSnapshot, JobLine
from nbcluster.store.overviews import Happening
from tests.builders import a_node

EVIL = "<script>alert(1)</script>\x1b[2J\u202e"
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def a_line(**changes: Any) -> JobLine:
    plain = JobLine(
        job_id=1, name="collatz", user="ada", status="STARTED", paused=False, stopping=False, items=10_000, done=4_120,
        failed=0, running=4, waiting=30, elapsed=5.0,
    )  # fmt: skip
    return replace(plain, **changes)


def a_snapshot(**changes: Any) -> ClusterSnapshot:
    plain = ClusterSnapshot(
        url="sqlite:///x.db",
        silent_after=10.0,
        nodes=(a_node("a-1", busy=2), a_node("b-1", busy=2), a_node("c-1")),
        throughput={"a-1": 12.0, "b-1": 0.1},
        jobs=(a_line(), a_line(job_id=2, name="scores", running=0, waiting=90)),
        running_jobs=2,
        waiting_partitions=120,
        happenings=(),
    )
    return replace(plain, **changes)


def happened(phase: str, **changes: Any) -> Happening:
    return Happening(1.0, NOON, phase, None, None, None, 0)._replace(**changes)


def test_the_headline_reads_like_a_sentence() -> None:
    view = view_of(a_snapshot())
    assert view.headline == (
        "cluster: working, 3 nodes alive, 4 of 6 slots busy; 2 jobs running, 120 partitions waiting"
    )


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({}, "working"),
        ({"nodes": (a_node(),)}, "waiting"),
        ({"nodes": (a_node(),), "waiting_partitions": 0}, "idle"),
        ({"nodes": ()}, "no node"),
        ({"nodes": (a_node(heartbeat_age=11.0),)}, "no node"),
    ],
)
def test_the_word_for_a_cluster(changes: dict[str, Any], word: str) -> None:
    assert view_of(a_snapshot(**changes)).word == word


def test_without_a_node_the_view_says_how_to_start_one() -> None:
    view = view_of(a_snapshot(nodes=()))
    assert view.sentence == "no node alive; 2 jobs running, 120 partitions waiting"
    (note,) = view.notes
    assert "%nbcluster up 2" in note
    assert "nbcluster-node --url 'sqlite:///x.db'" in note


# --- nodes ---------------------------------------------------------------------------------------


def cells(view: ClusterView, node: str) -> dict[str, str]:
    (row,) = [row for row in view.nodes if row.cells[0] == node]
    return dict(zip(cluster_model.NODE_COLUMNS, row.cells, strict=True))


def test_a_node_is_shown_with_everything_that_tells_of_it() -> None:
    assert cells(view_of(a_snapshot()), "a-1") == {
        "node": "a-1", "state": "working", "heartbeat": "just now", "busy": "2 of 2", "load": "100%",
        "throughput": "12/s", "version": "0.0", "python": "3.11", "labels": "",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "state", "heartbeat"),
    [
        ({}, "idle", "just now"),
        ({"heartbeat_age": 4.9}, "idle", "just now"),
        ({"heartbeat_age": 6.04}, "idle", "5 s ago"),
        ({"heartbeat_age": 75.0}, "silent", "1 min ago"),
        ({"status": NodeStatus.UNREACHABLE}, "silent", "just now"),
        ({"status": NodeStatus.DRAINING}, "draining", "just now"),
        ({"status": NodeStatus.DRAINING, "heartbeat_age": 60.0}, "silent", "1 min ago"),
    ],
)
def test_the_state_of_a_node(changes: dict[str, Any], state: str, heartbeat: str) -> None:
    found = cells(view_of(a_snapshot(nodes=(a_node("n-1", **changes),))), "n-1")
    assert (found["state"], found["heartbeat"]) == (state, heartbeat)


@pytest.mark.parametrize(
    ("rate", "said"),
    [(0.0, ""), (0.05, "3/min"), (12.0, "12/s"), (1234.5, "1,230/s")],
)
def test_throughput_in_the_unit_that_says_most(rate: float, said: str) -> None:
    assert cells(view_of(a_snapshot(throughput={"a-1": rate})), "a-1")["throughput"] == said


def test_of_many_nodes_the_silent_and_the_busiest_are_shown() -> None:
    nodes = [a_node(f"n-{number:03}", slots=4, busy=number % 3) for number in range(200)]
    nodes[77] = a_node("n-077", heartbeat_age=99.0)
    nodes[99] = a_node("n-099", status=NodeStatus.DRAINING)
    view = view_of(a_snapshot(nodes=tuple(nodes), throughput={"n-150": 9.0}))
    names = [row.cells[0] for row in view.nodes]
    assert len(names) == MOST_NODES
    assert names == sorted(names)
    assert {"n-077", "n-099", "n-150"} <= set(names)
    assert view.more_nodes.startswith("and 185 more nodes, ")
    assert "n-077" in view.notes[0]


# --- jobs ----------------------------------------------------------------------------------------


def job_row(**changes: Any) -> cluster_model.JobRow:
    (row,) = view_of(a_snapshot(jobs=(a_line(**changes),))).jobs
    return row


def test_a_running_job_has_its_rate_and_what_is_left() -> None:
    row = job_row()
    assert (row.word, row.done, row.rate, row.left, row.note) == ("running", "4,120 of 10,000", "824/s", "7 s", "")
    assert row.share == pytest.approx(0.412)


@pytest.mark.parametrize(
    ("changes", "word", "note"),
    [
        ({"running": 0}, "waiting", "its turn comes when a slot is free"),
        ({"running": 0, "reasons": ("No live node has gpu",)}, "waiting", "No live node has gpu"),
        ({"paused": True}, "paused", "%nbcluster resume 1"),
        ({"stopping": True}, "stopping", ""),
        ({"running": 0, "waiting": 0}, "running", ""),
        ({"failed": 1}, "running", "1 item failed"),
        ({"status": "FAILED", "failed": 7, "running": 0}, "failed", "7 items failed"),
        ({"status": "COMPLETED", "running": 0}, "completed", ""),
        ({"status": "STOPPED", "running": 0}, "stopped", ""),
    ],
)
def test_what_is_said_of_a_job(changes: dict[str, Any], word: str, note: str) -> None:
    row = job_row(**changes)
    assert (row.word, row.note) == (word, note)
    assert bool(row.rate) == (word == "running")


def test_jobs_that_wait_for_a_node_do_not_repeat_what_stands_above() -> None:
    reasons = ("No node is alive. Start one here",)
    view = view_of(a_snapshot(nodes=(), jobs=(a_line(running=0, reasons=reasons),)))
    assert view.jobs[0].note == "for a node"


def test_a_thousand_jobs_are_numbered() -> None:
    lines = tuple(a_line(job_id=number) for number in range(MOST_JOBS))
    assert view_of(a_snapshot(jobs=lines, running_jobs=1000)).more_jobs == f"and {1000 - MOST_JOBS} more running jobs"
    assert view_of(a_snapshot(jobs=(a_line(), a_line(status="FAILED")), running_jobs=1)).more_jobs == ""


def test_an_empty_job_is_done() -> None:
    assert job_row(items=0, done=0).share == 1.0


def test_what_failed_has_its_own_part_of_the_bar() -> None:
    row = job_row(items=100, done=40, failed=10)
    assert (row.share, row.failed) == (0.3, 0.1)


# --- what happened -------------------------------------------------------------------------------


def test_what_happened_is_told_in_words() -> None:
    view = view_of(
        a_snapshot(
            happenings=(
                happened("NODE_UNREACHABLE", node="a-1", detail="silent for 10.2 s"),
                happened("COMPLETED", job="collatz", node="a-1", partitions=9),
                happened("FAILED", job="collatz", node="b-1", partitions=2),
                happened("NODE_LEFT", node="kernel-0123", detail="in good order"),
                happened("COMPLETION_DETECTED", job="collatz"),
            )
        )
    )
    clock = f"{NOON.astimezone():%H:%M:%S}"
    assert view.happenings == (
        f"{clock} a-1 is lost (silent for 10.2 s)",
        f"{clock} collatz: 2 partitions failed on b-1",
        f"{clock} collatz has ended",
    )


def test_only_the_latest_are_told() -> None:
    many = tuple(happened("RECEIVED", job=f"job-{number}") for number in range(100))
    assert len(view_of(a_snapshot(happenings=many)).happenings) == MOST_HAPPENINGS


def test_a_cluster_at_rest_looks_the_same_a_second_later() -> None:
    def at_rest(age: float) -> ClusterSnapshot:
        return a_snapshot(
            nodes=(a_node("a-1", heartbeat_age=age),), throughput={}, running_jobs=1,
            jobs=(a_line(running=0, elapsed=age), a_line(status="COMPLETED", running=0)),
            happenings=(happened("RECEIVED", job="collatz", age=age),),
        )  # fmt: skip

    assert view_of(at_rest(0.3)) == view_of(at_rest(3.1))


# --- the skins -----------------------------------------------------------------------------------


def an_evil_snapshot() -> ClusterSnapshot:
    return a_snapshot(
        url=EVIL,
        nodes=(a_node(f"{EVIL}-1", labels=(EVIL,), version=EVIL, python=EVIL), a_node(f"{EVIL}-2", heartbeat_age=99.0)),
        jobs=(a_line(name=EVIL, user=EVIL, running=0, reasons=(EVIL,)),),
        happenings=(happened("FAILED", job=EVIL, node=EVIL, detail=EVIL, partitions=1),),
    )


def test_what_users_wrote_acts_neither_in_html_nor_in_a_terminal() -> None:
    view = view_of(an_evil_snapshot())
    assert "<script" not in cluster_render.page(view) + cluster_render.remnant(view)
    assert not set(cluster_model.text(view)) & set("\x1b\u202e")


def test_the_page_shows_every_block_and_says_states_in_words() -> None:
    page = cluster_render.page(view_of(a_snapshot(happenings=(happened("RECEIVED", job="collatz"),))))
    for text in ('aria-label="Nodes"', 'aria-label="Jobs"', 'role="progressbar"', "working", "running", "submitted"):
        assert text in page


def test_a_bar_of_nothing_has_no_filled_part() -> None:
    empty, some = (cluster_render.jobs(view_of(a_snapshot(jobs=(a_line(done=done),)))) for done in (0, 1))
    assert "width:" not in empty
    assert "width:0.0%" in some


def test_as_text_the_tables_are_aligned_and_empty_columns_are_left_out() -> None:
    lines = cluster_model.text(view_of(a_snapshot())).splitlines()
    heading = next(line for line in lines if line.startswith("node"))
    rows = [line for line in lines if line[:3] in ("a-1", "b-1", "c-1")]
    assert "labels" not in heading
    assert {row.index("0.0") for row in rows} == {heading.index("version")}
    assert lines[0] == view_of(a_snapshot()).headline


def test_only_a_view_that_has_ended_tells_when_it_was_seen() -> None:
    view = replace(view_of(a_snapshot()), at="12:34:56")
    assert "12:34:56" not in cluster_render.page(view)
    assert "as it was at 12:34:56" in cluster_render.page(replace(view, closed=True))


def test_an_empty_cluster_has_a_page_and_a_text() -> None:
    view = view_of(a_snapshot(nodes=(), jobs=(), running_jobs=0, waiting_partitions=0))
    assert "<table" not in cluster_render.page(view)
    assert len(cluster_model.text(view).splitlines()) == 2


# --- what it looks at -----------------------------------------------------------------------------


def test_a_view_of_a_closed_connection_does_not_look_again() -> None:
    looks: list[int] = []
    over = False

    def look() -> ClusterView:
        looks.append(1)
        return view_of(a_snapshot())

    looking = Looking(look, lambda: over)
    looking()
    over = True
    assert looking() == view_of(a_snapshot())
    assert len(looks) == 1
