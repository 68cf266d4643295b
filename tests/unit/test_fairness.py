from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from nbcluster.node.fairness import by_priority, shares
from nbcluster.records import StepToRun
from tests.builders import a_step_to_run


def step(number: int, user: str = "ada", priority: int = 0) -> StepToRun:
    return a_step_to_run(step_execution_id=number, user=user, priority=priority)


def given_to(wanting: list[tuple[StepToRun, int]], **running: int) -> dict[int, int]:
    return {step.step_execution_id: number for step, number in shares(wanting, running)}


def test_a_higher_priority_comes_first_then_what_was_submitted_earlier() -> None:
    steps = [step(4), step(3, priority=5), step(2), step(1, priority=-1)]
    assert [[one.step_execution_id for one in group] for group in by_priority(steps)] == [[3], [2, 4], [1]]


def test_users_share_the_room_equally() -> None:
    assert given_to([(step(1, "ada"), 4), (step(2, "bob"), 4)]) == {1: 2, 2: 2}


def test_who_has_fewer_running_anywhere_gets_more_until_it_is_even() -> None:
    assert given_to([(step(1, "ada"), 4), (step(2, "bob"), 4)], ada=3, bob=1) == {2: 3, 1: 1}
    assert given_to([(step(1, "ada"), 2), (step(2, "bob"), 2)], ada=9) == {2: 2}


def test_of_equal_users_the_one_who_submitted_first_comes_first() -> None:
    assert given_to([(step(1, "ada"), 1), (step(2, "bob"), 1)]) == {1: 1}


def test_who_has_fewest_is_served_first() -> None:
    order = shares([(step(1, "ada"), 9), (step(2, "bob"), 9)], {"ada": 2})
    assert [one.user for one, _ in order] == ["bob", "ada"]


def test_many_jobs_of_one_user_weigh_no_more_than_one_of_another() -> None:
    wanting = [(step(number, "ada"), 4) for number in range(1, 20)] + [(step(20, "bob"), 4)]
    assert given_to(wanting) == {1: 2, 20: 2}


def test_a_step_whose_partitions_may_wait_behind_a_slot_finds_more_room() -> None:
    assert given_to([(step(1, "ada"), 2), (step(2, "bob"), 100)]) == {1: 1, 2: 99}


def test_a_step_without_room_gets_nothing() -> None:
    assert given_to([(step(1, "ada"), 0), (step(2, "ada"), 3), (step(3, "bob"), 0)]) == {2: 3}
    assert given_to([]) == {}


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 40)), max_size=8),
    st.dictionaries(st.sampled_from("abc"), st.integers(0, 50)),
)
def test_no_room_is_left_and_none_is_given_twice(rooms: list[tuple[str, int]], running: dict[str, int]) -> None:
    wanting = [(step(place, user), room) for place, (user, room) in enumerate(rooms)]
    found = shares(wanting, running)
    firsts: dict[str, int] = {}
    for user, room in rooms:
        if room:
            firsts.setdefault(user, room)
    assert sum(number for _, number in found) == max(firsts.values(), default=0)
    assert all(number > 0 for _, number in found)
