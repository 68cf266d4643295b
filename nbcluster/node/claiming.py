"""Which step a node claims from next, and how much: eligibility, order, numbers."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection

from nbcluster.node.executor import Executor
from nbcluster.node.pacing import Pace, wanted
from nbcluster.records import Claim, StepToRun
from nbcluster.store import Store

_STEAL_AFTER = 0.1


class Claiming:
    """Takes work for the slots of one node.

    ``take`` is told how many claims are held and is given a callable for each batch that
    it claimed: the batch is held before the next one is thought of.
    """

    def __init__(self, store: Store, executor: Executor, python: str, node_id: str) -> None:
        self._store = store
        self._executor = executor
        self._python = python
        self.node_id = node_id
        self._paces: dict[int, Pace] = {}
        self._idle_since: dict[int, float] = {}

    def pace(self, step: StepToRun) -> Pace:
        """What is known of how long the step's partitions take here."""
        return self._paces.setdefault(step.step_execution_id, Pace())

    @property
    def slowest(self) -> Pace | None:
        """The pace of the step whose partitions take longest."""
        return max(self._paces.values(), key=lambda one: one.seconds or 0.0, default=None)

    def might_claim(self, held: int) -> bool:
        """Whether any step could be wanted; spares the look at the steps when the queue is full."""
        slots, running = self._executor.ready, len(self._executor.running())
        queued = max(0, held - running)
        if running < slots or not self._paces:
            return queued < slots or not self._paces
        return any(wanted(slots, running, queued, pace) for pace in self._paces.values())

    def eligible_steps(self) -> list[StepToRun]:
        """The started steps that this node may run, in the order in which it should claim from them."""
        return [step for step in self._store.jobs.started_steps() if self._eligible(step)]

    def take(
        self, steps: list[StepToRun], held: Collection[object], hold: Callable[[list[Claim]], None]
    ) -> tuple[bool, float | None]:
        """Claim from ``steps``; gives whether there may be more at once, and a pause until the next look."""
        more, pause = False, None
        for step in steps:
            running = len(self._executor.running())
            queued = max(0, len(held) - running)
            # Work that may begin only once is marked as begun when it is claimed: never more than can begin.
            number = wanted(self._executor.ready, running, queued, self.pace(step), ahead=step.transferable)
            if number:
                claims, again = self._claim(step, number)
                hold(claims)
                pause = again if pause is None else pause
                more |= len(claims) == number or again is not None
        started = {step.step_execution_id for step in steps}
        self._paces = {step: pace for step, pace in self._paces.items() if step in started}
        self._idle_since = {step: since for step, since in self._idle_since.items() if step in started}
        return more, pause

    def _eligible(self, step: StepToRun) -> bool:
        if step.python != self._python or step.stop_requested or step.paused:
            return False
        if step.fixed_nodes is None or self.node_id in step.fixed_nodes:
            return True
        # A place among the nodes of a fixed_node_count step is free: before any node came, or after one was lost.
        return len(step.fixed_nodes) < (step.fixed_count or 1) and self._store.jobs.add_fixed_node(step, self.node_id)

    def _claim(self, step: StepToRun, number: int) -> tuple[list[Claim], float | None]:
        """Claim up to ``number``; also gives when to look again for work that others have not begun."""
        now = time.monotonic()
        idle_since = self._idle_since.get(step.step_execution_id)
        steal = idle_since is not None and now - idle_since >= _STEAL_AFTER
        claims = self._store.claims.claim(step, self.node_id, number, free=True, steal=steal)
        if claims:
            self._idle_since.pop(step.step_execution_id, None)
        if len(claims) == number or step.fixed_nodes is not None or steal:
            return claims, None
        self._idle_since.setdefault(step.step_execution_id, now)
        return claims, _STEAL_AFTER
