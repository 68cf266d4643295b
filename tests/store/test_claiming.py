"""Which work a node takes when there is more than it can hold: one round of claims, by hand."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import pytest

from nbcluster.lifecycle import StepKind, StopRequest
from nbcluster.node.claiming import Claiming
from nbcluster.records import Claim, StepToRun
from nbcluster.store import Store
from tests.builders import a_new_node, a_new_partition, a_new_step
from tests.store import acts
from tests.store.acts import register, statements_of, submit, take


class Slots:
    """The executor as the claims see it: so many children, all idle."""

    def __init__(self, ready: int) -> None:
        self.ready = ready

    def running(self) -> list[Any]:
        return []


def a_node(store: Store, slots: int, node_id: str = "a-1", labels: tuple[str, ...] = ()) -> Claiming:
    executor: Any = Slots(slots)
    return Claiming(store, executor, replace(a_new_node(node_id), labels=labels))


def one_round(claiming: Claiming) -> list[Claim]:
    """What the node claims now."""
    held: list[Claim] = []
    claiming.take(claiming.eligible_steps(), held, held.extend)
    return held


def per_step(claims: list[Claim], *steps: StepToRun) -> list[int]:
    return [sum(claim.step.step_execution_id == step.step_execution_id for claim in claims) for step in steps]


# --- order ---------------------------------------------------------------------------------------


def test_a_higher_priority_is_claimed_first_whenever_it_was_submitted(store: Store) -> None:
    low, high = submit(store, 9), submit(store, 2, priority=3)
    assert per_step(one_round(a_node(store, 5)), low, high) == [3, 2]


def test_of_equal_priority_the_earlier_job_of_a_user_is_claimed_first(store: Store) -> None:
    first, second = submit(store, 3), submit(store, 3)
    assert per_step(one_round(a_node(store, 4)), first, second) == [3, 1]


def test_two_users_share_the_slots_of_a_node(store: Store) -> None:
    ada, bob = submit(store, 9), submit(store, 9, user="bob")
    assert per_step(one_round(a_node(store, 4)), ada, bob) == [2, 2]


def test_who_runs_least_in_the_whole_cluster_comes_next(store: Store) -> None:
    ada, bob = submit(store, 9), submit(store, 9, user="bob")
    take(store, ada, "b-1", limit=3)
    assert per_step(one_round(a_node(store, 3)), ada, bob) == [0, 3]
    assert per_step(one_round(a_node(store, 4, "c-1")), ada, bob) == [2, 2]


def test_a_priority_goes_before_fairness(store: Store) -> None:
    ada, bob = submit(store, 9, priority=1), submit(store, 9, user="bob")
    take(store, ada, "b-1", limit=5)
    assert per_step(one_round(a_node(store, 3)), ada, bob) == [3, 0]


def test_what_one_user_leaves_over_the_others_take(store: Store) -> None:
    ada, bob = submit(store, 1), submit(store, 9, user="bob")
    assert per_step(one_round(a_node(store, 6)), ada, bob) == [1, 5]


def test_a_single_user_costs_no_look_at_who_runs_what(store: Store) -> None:
    submit(store, 9)
    submit(store, 9)
    node = a_node(store, 2)
    assert not [one for one, _ in statements_of(store, lambda: one_round(node)) if "count(" in one.lower()]
    submit(store, 9, user="bob")
    other = a_node(store, 2, "b-1")
    assert len([one for one, _ in statements_of(store, lambda: one_round(other)) if "count(" in one.lower()]) == 1


# --- what is left alone --------------------------------------------------------------------------


@pytest.mark.parametrize("how", [StopRequest.STOP, StopRequest.NOW, StopRequest.TOO_MANY_ERRORS])
def test_a_job_that_is_to_stop_is_left_alone(store: Store, how: StopRequest) -> None:
    step = submit(store, 3)
    acts.change(store, "UPDATE batch_job_execution SET stop_requested = :how", how=int(how))
    assert one_round(a_node(store, 2)) == []
    assert acts.statuses(store, step) == ["PENDING"] * 3


def test_a_paused_job_is_left_alone_until_it_goes_on(store: Store) -> None:
    step = submit(store, 3)
    assert store.coordination.pause(step.job_execution_id, paused=True)
    assert one_round(a_node(store, 2)) == []
    assert store.coordination.pause(step.job_execution_id, paused=False)
    assert len(one_round(a_node(store, 2))) == 2


def test_a_local_step_is_left_to_its_launcher_until_that_is_lost(store: Store) -> None:
    register(store, "kernel-1", slots=0)
    local = a_new_step(kind=StepKind.LOCAL)
    submit(store, [a_new_partition(0, assigned_node="kernel-1")], step=local)
    node = a_node(store, 2)
    for _ in range(3):  # also when the node has been idle for long enough to take the work of others
        assert one_round(node) == []
        time.sleep(0.1)
    acts.lose(store, "kernel-1")
    assert len(one_round(node)) == 1


@pytest.mark.parametrize(
    ("require", "fits"),
    [
        ((), True),
        (("gpu",), True),
        (("gpu", "mem>=32"), True),
        (("mem>=100",), False),
        (("tpu",), False),
        (("node=box",), True),
        (("node=box-1",), True),
        (("node=other",), False),
        (("host=host",), True),
    ],
)
def test_only_what_a_node_has_the_labels_for_is_claimed(store: Store, require: tuple[str, ...], fits: bool) -> None:
    submit(store, 2, step=a_new_step(require=require))
    assert len(one_round(a_node(store, 2, "box-1", labels=("gpu", "mem=64")))) == (2 if fits else 0)


def test_labels_are_kept_with_the_node(store: Store) -> None:
    store.nodes.register(replace(a_new_node("box-1"), labels=("gpu", "mem=64")))
    (node,) = store.nodes.all()
    assert node.labels == ("gpu", "mem=64")
    assert not node.watched
