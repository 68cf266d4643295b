"""Which step a node claims from next, and how much: eligibility, order, numbers."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection

from nbcluster.labels import fits, labels_of
from nbcluster.lifecycle import CALLBACKS, StepKind
from nbcluster.node.executor import Executor
from nbcluster.node.fairness import by_priority, shares, users
from nbcluster.node.pacing import Pace, wanted
from nbcluster.records import Claim, NewNode, StepToRun
from nbcluster.store import Store

_STEAL_AFTER = 0.1


class Claiming:
    """Takes work for the slots of one node.

    ``take`` is told how many claims are held and is given a callable for each batch that
    it claimed: the batch is held before the next one is thought of.
    """

    def __init__(self, store: Store, executor: Executor, node: NewNode) -> None:
        self._store = store
        self._labels = node.labels
        self._host = node.host
        self._executor = executor
        self._python = node.python
        self.node_id = node.node_id
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
        if not slots:
            return False  # no child is up: the first that is wakes the node
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
        taking = _Taking(self, hold)
        for group in by_priority(steps):
            wanting = [(step, number) for step in group if (number := self._wanted(step, held))]
            if len(users([step for step, _ in wanting])) > 1:
                for step, share in shares(wanting, self._store.claims.running_by_user()):
                    taking.claim(step, share)
            # What a user's share left over is for whoever has more work.
            for step, _ in wanting:
                taking.claim(step, self._wanted(step, held))
        started = {step.step_execution_id for step in steps}
        self._paces = {step: pace for step, pace in self._paces.items() if step in started}
        self._idle_since = {step: since for step, since in self._idle_since.items() if step in started}
        return taking.more, taking.pause

    def _wanted(self, step: StepToRun, held: Collection[object]) -> int:
        running = len(self._executor.running())
        queued = max(0, len(held) - running)
        # Work that may begin only once is marked as begun when it is claimed: never more than can begin.
        return wanted(self._executor.ready, running, queued, self.pace(step), ahead=step.transferable)

    def _eligible(self, step: StepToRun) -> bool:
        # Who failed too often is stopped, and its callback told: that is no part of what is stopped.
        stopped = step.stop_requested and step.kind not in CALLBACKS
        if step.python != self._python or stopped or step.paused:
            return False
        if step.require and not fits(step.require, labels_of(self.node_id, self._host, self._labels)):
            return False
        if step.fixed_nodes is None or self.node_id in step.fixed_nodes:
            return True
        # A place among the nodes of a fixed_node_count step is free: before any node came, or after one was lost.
        return len(step.fixed_nodes) < (step.fixed_count or 1) and self._store.jobs.add_fixed_node(step, self.node_id)

    def claim(self, step: StepToRun, number: int) -> tuple[list[Claim], float | None]:
        """Claim up to ``number``; also gives when to look again for work that others have not begun."""
        if step.kind is StepKind.LOCAL:
            # Its launcher runs it; only when that is lost it belongs to nobody, and any node may.
            return self._store.claims.claim(step, self.node_id, number, free=True, steal=False), None
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


class _Taking:
    """One round of claims: what it brought so far."""

    def __init__(self, claiming: Claiming, hold: Callable[[list[Claim]], None]) -> None:
        self._claiming = claiming
        self._hold = hold
        self._exhausted: set[int] = set()
        self.more = False
        self.pause: float | None = None

    def claim(self, step: StepToRun, number: int) -> None:
        """Claim up to ``number`` from a step, unless this round has found its end."""
        if not number or step.step_execution_id in self._exhausted:
            return
        claims, again = self._claiming.claim(step, number)
        self._hold(claims)
        if len(claims) < number:
            self._exhausted.add(step.step_execution_id)
        self.pause = again if self.pause is None else self.pause
        self.more |= len(claims) == number or again is not None
