"""A strategy of the user's own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

from nbcluster.errors import InputError
from nbcluster.strategies.base import Assignment, Candidate, Planned


class Custom:
    """A function of (partitions, live nodes) that gives an owner or None for each partition.

    An owner is a node id, a node's name, or the Candidate itself.
    """

    def __init__(self, function: Callable[[Sequence[Planned], Sequence[Candidate]], Iterable[Any]], name: str) -> None:
        self._function = function
        self.name = name

    def assign(self, partitions: Sequence[Planned], candidates: Sequence[Candidate]) -> Assignment:
        answer: Any = self._function(list(partitions), list(candidates))
        given = answer.owners if isinstance(answer, Assignment) else answer
        if isinstance(given, str) or not isinstance(given, Iterable):
            raise InputError(f"the strategy {self.name} gave {type(given).__name__}, not a list of owners")
        owners = [getattr(owner, "node_id", owner) for owner in given]
        if len(owners) != len(partitions):
            raise InputError(
                f"the strategy {self.name} gave {len(owners)} owners for {len(partitions)} partitions; give one each"
            )
        known = {one.node_id: one.node_id for one in candidates} | {one.name: one.node_id for one in candidates}
        for owner in owners:
            if owner is not None and (not isinstance(owner, str) or owner not in known):
                raise InputError(
                    f"the strategy {self.name} named {owner!r}, which is no live node; use None for anyone"
                )
        chosen = tuple(None if owner is None else known[owner] for owner in owners)
        return replace(answer, owners=chosen) if isinstance(answer, Assignment) else Assignment(chosen)
