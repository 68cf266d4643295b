"""Whose work comes next: priority, then the user with the fewest running partitions, then submission.  Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby

from nbcluster.records import StepToRun

Wanting = tuple[StepToRun, int]
"""A step, and for how many of its partitions a node has room."""


def by_priority(steps: Sequence[StepToRun]) -> list[list[StepToRun]]:
    """The steps in groups of one priority, highest first; within a group as they were submitted."""
    ordered = sorted(steps, key=lambda step: (-step.priority, step.step_execution_id))
    return [list(group) for _, group in groupby(ordered, key=lambda step: step.priority)]


def users(steps: Sequence[StepToRun]) -> set[str]:
    """Who submitted these steps."""
    return {step.user for step in steps}


def shares(wanting: Sequence[Wanting], running: Mapping[str, int]) -> list[Wanting]:
    """Divide a node's room between the users of one priority; steps that get nothing are left out.

    One partition after the other goes to the user who has the fewest in the whole cluster
    (``running``, and what was given here), of equal ones to the first in ``wanting``.  A
    user's share goes to the first of his steps.  The room is that of the step that sees
    most: long partitions find less than short ones, of which some may wait behind a slot.
    """
    first: dict[str, Wanting] = {}
    for step, number in wanting:
        if number > 0:
            first.setdefault(step.user, (step, number))
    given = dict.fromkeys(first, 0)
    total = 0
    while able := [user for user, (_, number) in first.items() if total < number]:
        next_one = min(able, key=lambda user: running.get(user, 0) + given[user])
        given[next_one] += 1
        total += 1
    ordered = sorted(first, key=lambda user: running.get(user, 0))
    return [(first[user][0], given[user]) for user in ordered if given[user]]
