"""Claims what the slots can start soon, and records how it ended.

One thread, one pass at a time: record what ended, stop what is to stop, claim
more.  It is woken by an ended partition, by an announcement of work, or by the
poll.  Outcomes are kept until the database took or refused them.
"""

from __future__ import annotations

import heapq
import logging
import random
import time
from collections.abc import Callable

from nbcluster.errors import DatabaseError, NBClusterError, PayloadError, SignatureError
from nbcluster.lifecycle import CALLBACKS, PartitionStatus, StopRequest
from nbcluster.node import conclusion, porter
from nbcluster.node.calls import Call, Filed, Outcome, Stored
from nbcluster.node.claiming import Claiming
from nbcluster.node.executor import Executor
from nbcluster.node.pacing import HAND_BACK_AFTER, gathering, is_stuck
from nbcluster.node.porter import Porter
from nbcluster.node.preparing import Preparing
from nbcluster.node.reporting import Reporting
from nbcluster.node.sharing import Sharing
from nbcluster.records import Claim, Finish, NewNode
from nbcluster.store import Store

log = logging.getLogger(__name__)

COMPARE_EVERY = 0.5
"""Seconds between two comparisons of this node's claims here and in the database, after a connection broke."""

COMPARE_RARELY = 60.0
"""The same while none broke: there is no way known in which they could differ."""


class Worker:
    """The work of one node.  ``in_touch`` tells whether its heartbeats arrive, so that it may claim."""

    def __init__(self, store: Store, executor: Executor, node: NewNode, in_touch: Callable[[], bool]) -> None:
        self._store = store
        self._executor = executor
        self._claiming = Claiming(store, executor, node)
        self._preparing = Preparing(store, children=True)
        self._porter = Porter(store.transport)
        self._in_touch = in_touch
        self._node_id = node.node_id
        self._reporting = Reporting(store, executor, self._holds)
        self._sharing = Sharing(store, executor, self._porter)
        self._stops: dict[int, StopRequest] = {}
        self._retries_at: list[float] = []
        self._revalidate = False
        self._held: dict[int, tuple[Claim, float]] = {}
        self._delivering: dict[int, Claim] = {}
        """Held as well; their children are done, and their values are on their way."""
        self._unrecorded: list[Finish] = []
        self._unprepared: list[list[Claim]] = []
        self._compared_at, self._compared_after = time.monotonic(), store.database.interruptions
        self._maybe_work = True
        self._check_stops = True
        self.draining = False

    @property
    def busy(self) -> int:
        """Partitions that children run now."""
        return len(self._executor.running())

    @property
    def held(self) -> int:
        """Claims that are not recorded as ended."""
        return len(self._held) + len(self._delivering)

    def carried(self, notify: Callable[[], None]) -> None:
        """Call ``notify`` whenever a large value has arrived; and clean up what others left of theirs."""
        self._porter.notify = notify
        self._porter.sweep()

    def close(self) -> None:
        """Carry no more values."""
        self._porter.stop()

    def announced(self) -> None:
        """Somebody says that there is work, or that a job is to stop."""
        self._maybe_work = self._check_stops = True

    def interrupted(self) -> None:
        """A pass did not come to its end: the next one looks at everything again."""
        self._revalidate = self._maybe_work = self._check_stops = True

    def moved(self, node_id: str) -> None:
        """This node was thought lost, and goes on as ``node_id``: its claims may be somebody else's now."""
        self._node_id = self._claiming.node_id = node_id
        self._revalidate = self._maybe_work = True

    def gathering(self) -> float:
        """Seconds for which the next pass may wait, so that it commits more at once."""
        queued = len(self._held) - len(self._executor.running()) - self._executor.ended
        pace = self._claiming.slowest
        return gathering(self._executor.ready, max(0, queued), pace) if pace else 0.0

    # --- one pass -------------------------------------------------------------

    def work(self) -> float | None:
        """One pass; gives the pause until the next one, in seconds, when it must be short."""
        if self._revalidate:
            self._drop_moved()
        outcomes = self._executor.take_outcomes()
        outcomes += self._porter.take_outcomes()
        self._sharing.collect()
        self._reporting.collect()  # after the outcomes, and stored before them: whoever saved had not ended yet
        self._conclude(outcomes)
        self._reporting.save()
        self._record()
        self._reporting.progress()
        # Flags are lowered before what they ask for is read: news that comes meanwhile raises them again.
        check_stops, self._check_stops = self._check_stops, False
        if check_stops and self._held:
            self._stop_cancelled()
        self._hand_back_stuck()
        self._prepare()
        self._begin_fetched()
        self._look_for_retries()
        self._maybe_work |= self._was_interrupted()
        if self.draining or not self._maybe_work or self._laden or not self._in_touch():
            return self._pause()
        return self._claim_more()

    def _pause(self) -> float | None:
        if self._unrecorded:
            return 0.0
        queued = len(self._held) - len(self._executor.running())
        pauses = [HAND_BACK_AFTER / 2] if queued > 0 else []
        if self._executor.running():
            pauses.append(self._reporting.pause)
        if self._retries_at:
            pauses.append(max(0.0, self._retries_at[0] - time.monotonic()))
        if self._was_interrupted():
            pauses.append(COMPARE_EVERY)
        return min(pauses, default=None)

    def _was_interrupted(self) -> bool:
        """Whether an answer may have been lost since the last comparison of claims."""
        return self._store.database.interruptions != self._compared_after

    def _look_for_retries(self) -> None:
        """Whether one that was recorded here is due: nobody announces it."""
        while self._retries_at and self._retries_at[0] <= time.monotonic():
            heapq.heappop(self._retries_at)
            self._maybe_work = True

    # --- record -----------------------------------------------------------------

    def _conclude(self, outcomes: list[Outcome]) -> None:
        for outcome in outcomes:
            claim, values = outcome.claim, outcome.blobs[0] if outcome.blobs else None
            if not self._holds(claim):  # it was moved while it ran, and its child stopped for that
                self._forget(values)
                continue
            if outcome.head is not None and claim.partition_id in self._held:
                self._claiming.pace(claim.step).observe([outcome.taken])
            if isinstance(values, Filed):
                del self._held[claim.partition_id]
                self._delivering[claim.partition_id] = claim
                self._porter.deliver(outcome)
                continue
            finish = self._finish_for(outcome)
            if finish.result is None:
                self._forget(values)
            self._unrecorded.append(finish)

    def _forget(self, values: object) -> None:
        """What was stored for an outcome that is not recorded is nobody's."""
        if isinstance(values, Stored):
            self._porter.drop(values.reference)

    @property
    def _laden(self) -> bool:
        """Whether values pile up here faster than they leave."""
        return len(self._delivering) > 2 * self._executor.slots

    def _record(self) -> None:
        if not self._unrecorded:
            return
        accepted = self._commit(self._unrecorded)
        for finish in self._unrecorded:
            claim = finish.claim
            if self._holds(claim):
                self._held.pop(claim.partition_id, None)
                self._delivering.pop(claim.partition_id, None)
            if finish.retry_after is not None:
                heapq.heappush(self._retries_at, time.monotonic() + finish.retry_after)
            if claim.partition_id not in accepted:
                if finish.result is not None and finish.result.reference is not None:
                    self._porter.drop(finish.result.reference)
                log.warning(
                    "FENCED: partition %d of %s, attempt %d, belongs to another node by now; its outcome is dropped",
                    claim.index, claim.step.job_name, claim.attempt,
                )  # fmt: skip
        self._unrecorded = []
        self._maybe_work = True

    def _holds(self, claim: Claim) -> bool:
        """Whether this very claim is held: a partition that was moved may have come back as a later attempt."""
        held = self._held.get(claim.partition_id, (self._delivering.get(claim.partition_id),))[0]
        return held is not None and held.token == claim.token

    def _finish_for(self, outcome: Outcome) -> Finish:
        stop = self._stops.get(outcome.claim.step.step_execution_id, StopRequest.NONE)
        return conclusion.finish_for(outcome, self._store.signer, stop=stop, chance=random.random())

    def _commit(self, finishes: list[Finish]) -> set[int]:
        try:
            return self._store.finishes.finish(finishes)
        except DatabaseError as error:
            if error.exit_code == 3:
                raise
        # One bad row must not spoil the others: what fails alone is recorded as failed.
        accepted: set[int] = set()
        for finish in finishes:
            try:
                accepted |= self._store.finishes.finish([finish])
            except DatabaseError as error:
                if error.exit_code == 3:
                    raise
                if finish.result is not None and finish.result.reference is not None:
                    self._porter.drop(finish.result.reference)
                accepted |= self._store.finishes.finish([conclusion.unstorable(finish, error)])
        return accepted

    # --- stop and hand back -------------------------------------------------------

    def _stop_cancelled(self) -> None:
        # The callback of a job with too many errors is what comes of its stop, and no part of what is stopped.
        errors, started = StopRequest.TOO_MANY_ERRORS, self._store.jobs.started_steps()
        stopped = [s for s in started if s.stop_requested is not errors or s.kind not in CALLBACKS]
        self._stops = {s.step_execution_id: s.stop_requested for s in stopped if s.stop_requested}
        for how, stop in (
            (StopRequest.STOP, self._executor.cancel),
            (StopRequest.NOW, self._executor.kill),
            (StopRequest.TOO_MANY_ERRORS, self._executor.take_back),
        ):
            stop({c.partition_id for c, _ in self._held.values() if self._stops.get(c.step.step_execution_id) is how})

    def _hand_back_stuck(self) -> None:
        """Give back what waits behind a partition that turned out to be long."""
        now = time.monotonic()
        running = self._executor.running()
        begun = {claim.partition_id for claim, _ in running}
        waiting = {
            claim.partition_id: claim
            for claim, since in self._held.values()
            if claim.partition_id not in begun and now - since > HAND_BACK_AFTER
        }
        if not waiting:
            return
        pace = self._claiming.pace(next(iter(waiting.values())).step)
        if is_stuck(self._executor.ready, [seconds for _, seconds in running], len(waiting), pace):
            for claim, seconds in running:
                self._claiming.pace(claim.step).slow_down(seconds)
            self._executor.take_back(set(waiting))

    def hand_back_queued(self) -> None:
        """Give back everything that no child has begun."""
        self._executor.take_back_queued()

    def hand_back_all(self) -> None:
        """Stop every child's work and give it back."""
        self._executor.cancel(set(self._held))

    def _drop_moved(self) -> None:
        """Forget the claims that were moved while this node was out of touch, and stop their children."""
        self._revalidate = False
        # What has ended is for its commit to decide: that may have succeeded without our hearing of it.
        ended = {finish.claim.partition_id for finish in self._unrecorded}
        held = [*(claim for claim, _ in self._held.values()), *self._delivering.values()]
        claims = [claim for claim in held if claim.partition_id not in ended]
        mine = self._store.claims.still_owned(claims)
        lost = {claim.partition_id for claim in claims} - mine
        for partition_id in lost:
            self._held.pop(partition_id, None)
            self._delivering.pop(partition_id, None)
        if lost:
            log.warning("FENCED: %d partitions were moved while this node was out of touch; it drops them", len(lost))
            self._executor.cancel(lost)
            self._store.finishes.fenced([claim for claim in claims if claim.partition_id in lost])

    # --- claim --------------------------------------------------------------------

    def _claim_more(self) -> float | None:
        if not self._claiming.might_claim(len(self._held)):
            return self._pause()
        self._maybe_work = False
        steps = self._claiming.eligible_steps()
        self._give_back_unknown()
        more, pause = self._claiming.take(steps, self._held, self._hold)
        self._maybe_work |= more
        self._preparing.keep_only({step.step_execution_id for step in steps})
        return pause if pause is not None else self._pause()

    def _hold(self, claims: list[Claim]) -> None:
        now = time.monotonic()
        for claim in claims:
            self._held[claim.partition_id] = (claim, now)
        self._unprepared.append(claims)
        self._prepare()

    def _prepare(self) -> None:
        """Hand claims to the children.  What the database interrupts here is taken up by the next pass."""
        while self._unprepared:
            claims = self._unprepared[0]
            once = [claim for claim in claims if not claim.transferable]
            begun = self._store.claims.start(once) if once else set()
            self._preparing.read_together(claims)
            calls: list[Call] = []
            for claim in claims:
                if not claim.transferable and claim.partition_id not in begun:
                    self._held.pop(claim.partition_id, None)
                    continue
                try:
                    calls.append(self._preparing.call(claim))
                except (SignatureError, PayloadError) as error:
                    self._refuse(claim, error)
            for call in calls:
                if call.sealed:
                    self._porter.fetch(call)
            self._executor.submit([call for call in calls if not call.sealed])
            self._unprepared.pop(0)

    def _begin_fetched(self) -> None:
        """Hand the calls to the children whose large inputs have arrived."""
        calls: list[Call] = []
        for call, error in self._porter.take_calls():
            claim = call.claim
            if not self._holds(claim):
                continue
            if error is not None:
                self._refuse(claim, error)
            elif self.draining or self._stops.get(claim.step.step_execution_id):
                self._unrecorded.append(self._finish_for(Outcome(claim, started=False)))
            else:
                calls.append(call)
        if calls:
            self._executor.submit(calls)

    def _refuse(self, claim: Claim, error: NBClusterError) -> None:
        log.error("refused: partition %d of %s: %s", claim.index, claim.step.job_name, error)
        code = porter.refusal(error)
        self._unrecorded.append(Finish(claim, PartitionStatus.FAILED, code, str(error), failed_items=claim.items))

    def _give_back_unknown(self) -> None:
        """Return claims that are ours in the database but not here: the answer to their COMMIT was lost."""
        now, interruptions = time.monotonic(), self._store.database.interruptions
        due = COMPARE_EVERY if self._was_interrupted() else COMPARE_RARELY
        if now - self._compared_at < due:
            return
        self._compared_at, self._compared_after = now, interruptions
        known = {(claim.partition_id, claim.token) for claim, _ in self._held.values()}
        known |= {(claim.partition_id, claim.token) for claim in self._delivering.values()}
        unknown = [one for one in self._store.claims.held_by(self._node_id) if (one[0], one[1]) not in known]
        if unknown:
            log.warning("%d claims of this node were not known to it and are given back", len(unknown))
            self._store.claims.give_back(self._node_id, unknown)
