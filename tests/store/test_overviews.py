"""The whole cluster at a glance, in a handful of statements."""

from __future__ import annotations

from nbcluster.snapshots.cluster import MOST_JOBS, held_up, take_cluster_snapshot
from nbcluster.store import Store
from nbcluster.store.overviews import Counts
from tests.builders import a_new_partition, a_new_step
from tests.store.acts import change, earlier, register, run, silence, statements_of, submit, take


def test_running_and_ended_jobs_are_told_newest_first(store: Store) -> None:
    register(store, "a-1")
    first, second, third = (submit(store, 2, name=name) for name in ("first", "second", "third"))
    run(store, second)
    store.advancing.advance(second.job_execution_id, 1)
    assert [head.name for head in store.overviews.running(10)] == ["third", "first"]
    assert [(head.name, head.status) for head in store.overviews.ended(10)] == [("second", "COMPLETED")]
    assert store.overviews.running(1)[0].step_id == third.step_execution_id
    assert store.overviews.running_jobs() == 2
    assert first.job_execution_id in {head.job_id for head in store.overviews.running(10)}


def test_partitions_are_counted_by_job(store: Store) -> None:
    register(store, "a-1")
    one, two = submit(store, 5), submit(store, 3)
    take(store, one, limit=2)
    assert store.overviews.claimed() == {one.job_execution_id: 2}
    assert store.overviews.pending() == {one.job_execution_id: 3, two.job_execution_id: 3}


def test_items_are_counted_for_the_steps_that_are_asked_for(store: Store) -> None:
    register(store, "a-1")
    one = submit(store, [a_new_partition(0, items=10), a_new_partition(1, items=5)])
    submit(store, 3)
    run(store, one)
    assert store.overviews.counts([one.step_execution_id]) == {one.step_execution_id: Counts(15, 15, 0)}
    assert store.overviews.counts([]) == {}


def test_what_happened_is_told_newest_first_with_its_job(store: Store) -> None:
    register(store, "a-1")
    step = submit(store, 3, name="scores")
    run(store, step)
    store.deregister("a-1")
    found = store.overviews.happenings(100)
    assert (found[0].phase, found[0].node, found[0].job) == ("NODE_LEFT", "a-1", None)
    (completed,) = [one for one in found if one.phase == "COMPLETED"]
    assert (completed.job, completed.node, completed.partitions) == ("scores", "a-1", 3)
    assert all(0.0 <= one.age < 600.0 for one in found)
    assert len(store.overviews.happenings(2)) == 2


def test_one_moment_has_nodes_jobs_and_why_they_wait(store: Store) -> None:
    register(store, "a-1")
    register(store, "kernel-1", slots=0)
    working = submit(store, 4, name="working")
    submit(store, 3, name="unfit", step=a_new_step(require=("gpu",)))
    take(store, working, limit=2)
    seen = take_cluster_snapshot(store, 10.0)
    assert [node.node_id for node in seen.nodes] == ["a-1"]
    assert seen.nodes[0].busy == 2
    assert (seen.running_jobs, seen.waiting_partitions) == (2, 5)
    lines = {line.name: line for line in seen.jobs}
    assert (lines["working"].running, lines["working"].waiting, lines["working"].reasons) == (2, 2, ())
    assert "gpu" in lines["unfit"].reasons[0]


def test_of_many_jobs_a_window_is_counted(store: Store) -> None:
    for _ in range(MOST_JOBS + 5):
        submit(store, 1)
    seen = take_cluster_snapshot(store, 10.0)
    assert len(seen.jobs) == MOST_JOBS
    assert seen.running_jobs == seen.waiting_partitions == MOST_JOBS + 5


def test_more_jobs_cost_no_more_statements(store: Store) -> None:
    register(store, "a-1")

    def statements() -> int:
        return len(statements_of(store, lambda: take_cluster_snapshot(store, 10.0)))

    submit(store, 2)
    before = statements()
    for _ in range(20):
        submit(store, 2)
    assert statements() <= before


def test_jobs_of_which_nothing_moves_are_held_up(store: Store) -> None:
    register(store, "a-1")
    unfit = submit(store, 3, name="unfit", step=a_new_step(require=("gpu",)))
    paused = submit(store, 2, name="paused")
    submit(store, 2, name="its turn comes")
    assert store.coordination.pause(paused.job_execution_id, paused=True)
    found = {head.name: (waiting, bool(reasons)) for head, waiting, reasons in held_up(store, 10.0)}
    assert found == {"unfit": (3, True), "paused": (2, False)}
    silence(store, "a-1", 60.0)
    assert len(held_up(store, 10.0)) == 3
    change(store, "DELETE FROM batch_partitions")
    assert held_up(store, 10.0) == []
    assert unfit.job_execution_id


def test_jobs_are_listed_by_number_or_by_age(store: Store) -> None:
    old, new = submit(store, 1, name="old"), submit(store, 1, name="new")
    for step in (old, new):
        run(store, step)
        store.advancing.advance(step.job_execution_id, 1)
    running = submit(store, 1, name="running")
    submit(store, 1, name="newest")
    earlier(
        store, "batch_job_execution", "create_time", 3 * 86400.0, "job_execution_id IN (:old, :running)",
        old=old.job_execution_id, running=running.job_execution_id,
    )  # fmt: skip

    def names(limit: int, since: float | None = None) -> list[str]:
        return [row.name for row in store.views.listed(limit, since)]

    assert names(50) == ["newest", "running", "new", "old"]
    assert names(1) == ["newest", "running"]
    assert names(50, since=86400.0) == ["newest", "new"]
    assert names(50, since=7 * 86400.0) == ["newest", "running", "new", "old"]
