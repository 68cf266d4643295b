"""The children of a node: one thread and one selector for all of them.

Calls go in, outcomes come out.  A child that dies costs the partition it ran and
is replaced at once; nothing that user code does stops this thread.
"""

from __future__ import annotations

import logging
import math
import os
import selectors
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from nbcluster.node import wire
from nbcluster.node.calls import CANCELLED, CUT_OFF, TIMED_OUT, Call, Need, Outcome, Save, death_by
from nbcluster.node.slot import Output, Slot
from nbcluster.records import Claim

log = logging.getLogger(__name__)

_RESPAWN_PAUSE = 1.0
_HEARD = (wire.OUTCOME, wire.SAVE, wire.NEED)


@dataclass(slots=True)
class _Busy:
    call: Call
    began: float
    killed_at: float
    """When it will be killed, whatever it does; infinite without a timeout."""
    interrupted: bool = False


class Executor:
    """``slots`` warm children, and a short queue of calls for them."""

    def __init__(self, slots: int, interrupt_grace: float, threads: int, notify: Callable[[], None]) -> None:
        self.slots = slots
        self._grace = interrupt_grace
        self._threads = threads
        self._notify = notify
        self._selector = selectors.DefaultSelector()
        self._wake_reader, self._wake_writer = os.pipe()
        os.set_blocking(self._wake_reader, False)
        os.set_blocking(self._wake_writer, False)
        self._selector.register(self._wake_reader, selectors.EVENT_READ)
        self._requests: deque[Callable[[], None]] = deque()
        self._queue: deque[Call] = deque()
        self._slots: dict[int, Slot | None] = dict.fromkeys(range(slots))
        self._running: dict[int, _Busy] = {}
        self._respawn_at = dict.fromkeys(range(slots), 0.0)
        self._outcomes: deque[Outcome] = deque()
        self._saves: deque[Save] = deque()
        self._needs: deque[Need] = deque()
        self._stopping = False
        self._thread = threading.Thread(target=self._loop, name="nbcluster-executor", daemon=True)

    # --- called by other threads ----------------------------------------------

    def start(self) -> None:
        """Start the children."""
        self._thread.start()

    def submit(self, calls: list[Call]) -> None:
        """Run these as soon as slots are free."""
        self._ask(lambda: self._queue.extend(calls))

    def take_outcomes(self) -> list[Outcome]:
        """What ended since the last time."""
        taken = []
        while self._outcomes:
            taken.append(self._outcomes.popleft())
        return taken

    def take_saves(self) -> list[Save]:
        """What running functions want to be stored, since the last time."""
        taken = []
        while self._saves:
            taken.append(self._saves.popleft())
        return taken

    def take_needs(self) -> list[Need]:
        """The shared values that running functions wait for, since the last time."""
        return [self._needs.popleft() for _ in range(len(self._needs))]

    def answer(self, asked: Save | Need, complaint: str = "", **more: str) -> None:
        """Tell a function that what it asked for is done, or why it is not."""
        self._ask(lambda: self._answer(asked, {"error": complaint, **more}))

    def progress(self) -> list[tuple[Claim, float, str]]:
        """How far running functions say they are: claim, fraction, message."""
        told = []
        for number, busy in list(self._running.items()):
            slot = self._slots[number]
            found = None if slot is None else slot.board.read(busy.call.claim.partition_id)
            if found is not None:
                told.append((busy.call.claim, *found))
        return told

    @property
    def ready(self) -> int:
        """Slots whose child is up.  Only for these is anything claimed."""
        return sum(slot is not None and slot.ready for slot in list(self._slots.values()))

    @property
    def ended(self) -> int:
        """Outcomes that nobody took yet."""
        return len(self._outcomes)

    def running(self) -> list[tuple[Claim, float]]:
        """Each partition that a child runs now, and for how many seconds."""
        now = time.monotonic()
        return [(busy.call.claim, now - busy.began) for busy in list(self._running.values())]

    def cancel(self, partition_ids: set[int]) -> None:
        """Stop these: queued ones come back unstarted, running ones get SIGINT and then SIGKILL."""
        self._ask(lambda: self._cancel(partition_ids))

    def kill(self, partition_ids: set[int]) -> None:
        """Stop these at once: queued ones come back unstarted, the children of running ones get SIGKILL."""
        self._ask(lambda: self._cancel(partition_ids, grace=0.0))

    def take_back(self, partition_ids: set[int]) -> None:
        """Give back those of these calls that no child has begun."""
        self._ask(lambda: self._take_back(partition_ids))

    def take_back_queued(self) -> None:
        """Give every call back that no child has begun."""
        self._ask(lambda: self._take_back({call.claim.partition_id for call in self._queue}))

    def stop(self, timeout: float = 10.0) -> None:
        """Kill every child and end the thread."""
        if self._thread.is_alive():  # else its pipe is closed, and that descriptor may be something else by now
            self._stopping = True
            self._wake()
            self._thread.join(timeout)

    def _ask(self, action: Callable[[], None]) -> None:
        self._requests.append(action)
        self._wake()

    def _wake(self) -> None:
        try:
            os.write(self._wake_writer, b"x")
        except (BlockingIOError, OSError):
            return  # it has been told already, or has ended

    # --- the executor's thread --------------------------------------------------

    def _loop(self) -> None:
        try:
            while not self._stopping:
                self._spawn_missing()
                self._dispatch()
                for key, events in self._selector.select(self._patience()):
                    self._handle(key, events)
                while self._requests:
                    self._requests.popleft()()
                self._kill_overdue()
        finally:
            self._close()

    def _handle(self, key: selectors.SelectorKey, events: int) -> None:
        if key.fd == self._wake_reader:
            os.read(self._wake_reader, 4096)
            return
        number, kind = key.data
        slot = self._slots[number]
        if slot is None or key.fileobj not in (slot.link, slot.output_fd):
            return  # an event of a child that was buried in this very turn
        if kind == "output":
            if not slot.read_output():
                self._selector.unregister(slot.output_fd)
            return
        if events & selectors.EVENT_WRITE:
            slot.flush()
            self._watch(slot)
        if events & selectors.EVENT_READ:
            self._hear(slot)

    def _hear(self, slot: Slot) -> None:
        try:
            data = slot.link.recv(1 << 20)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._bury(slot)
            return
        try:
            for head, blobs in slot.decoder.feed(data):
                self._heard(slot, head, blobs)
        except (ValueError, LookupError, TypeError, AttributeError, OSError) as error:
            log.warning("slot %d: its child said nonsense (%s) and is replaced", slot.number, error)
            self._bury(slot)

    def _heard(self, slot: Slot, head: dict[str, Any], blobs: list[bytes]) -> None:
        if head["type"] == wire.READY:
            slot.ready = True
            self._notify()
            return
        busy = self._running[slot.number]
        if head["call"] != busy.call.claim.partition_id or head["type"] not in _HEARD:
            raise ValueError(f"an answer to {head.get('call')!r}")
        if head["type"] == wire.SAVE:
            self._saves.append(Save(busy.call.claim, int(head["number"]), blobs[0]))
            self._notify()
            return
        if head["type"] == wire.NEED:
            self._needs.append(Need(busy.call.claim, int(head["number"]), str(head["id"])))
            self._notify()
            return
        seconds, values = float(head["seconds"]), slot.collect(busy.call, head, blobs)
        slot.read_output()
        del self._running[slot.number]
        self._report(
            Outcome(
                claim=busy.call.claim,
                started=True,
                head=head,
                blobs=values,
                log=slot.output.take(),
                seconds=seconds,
                taken=time.monotonic() - busy.began,
                interrupted=busy.interrupted,
            )
        )

    def _answer(self, asked: Save | Need, told: dict[str, str]) -> None:
        for number, busy in self._running.items():
            slot = self._slots[number]
            if slot is not None and busy.call.claim == asked.claim:
                slot.send({"type": wire.SAVED, "number": asked.number, **told})
                self._watch(slot)

    def _report(self, outcome: Outcome) -> None:
        self._outcomes.append(outcome)
        self._notify()

    def _dispatch(self) -> None:
        for number, slot in self._slots.items():
            if not self._queue:
                return
            if slot is not None and slot.ready and number not in self._running:
                self._begin(slot, self._queue.popleft())

    def _begin(self, slot: Slot, call: Call) -> None:
        claim = call.claim
        slot.output = Output(claim.step.max_log)
        slot.board.clear()
        began = time.monotonic()
        self._running[slot.number] = _Busy(call, began, began + (claim.step.timeout or math.inf))
        slot.give(call)
        slot.send(
            {
                "type": wire.RUN,
                "call": claim.partition_id,
                "function": call.function_key,
                "mode": claim.step.mode,
                "items": claim.items,
                "inputs": len(call.inputs),
                "saved": call.saved is not None,
                "max_result": claim.step.max_result,
                "room": slot.room(call),
                "large": call.large,
                "rows_form": call.rows_form,
                "current": {
                    "job": claim.step.job_name,
                    "index": claim.index,
                    "partition_key": claim.key,
                    "attempt": claim.attempt,
                    "node": claim.node_id,
                    "transferable": claim.transferable,
                    "idempotency_key": claim.idempotency_key,
                },
            },
            (*call.blobs, *(() if call.saved is None else (call.saved,))),
        )
        self._watch(slot)

    def _watch(self, slot: Slot) -> None:
        wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if slot.wants_to_send else 0)
        self._selector.modify(slot.link, wanted, (slot.number, "link"))

    # --- life and death of children ---------------------------------------------

    def _spawn_missing(self) -> None:
        now = time.monotonic()
        for number, slot in self._slots.items():
            if slot is None and now >= self._respawn_at[number]:
                self._spawn(number)

    def _spawn(self, number: int) -> None:
        self._respawn_at[number] = time.monotonic() + _RESPAWN_PAUSE
        try:
            slot = Slot(number, self._threads)
        except OSError as error:
            log.error("slot %d: no child can be started (%s); trying again", number, error)
            return
        self._slots[number] = slot
        self._selector.register(slot.link, selectors.EVENT_READ, (number, "link"))
        self._selector.register(slot.output_fd, selectors.EVENT_READ, (number, "output"))

    def _bury(self, slot: Slot) -> None:
        self._forget(slot)
        code = slot.bury()
        busy = self._running.pop(slot.number, None)
        if busy is None:
            if not slot.ready:
                text = slot.output.take().decode("utf-8", "replace")[-500:]
                log.error("slot %d: its child ended while starting (%s): %s", slot.number, death_by(code), text)
            return
        self._respawn_at[slot.number] = 0.0  # it had work: the next partition should not wait
        self._report(
            Outcome(
                claim=busy.call.claim,
                started=True,
                log=slot.output.take(),
                death=_death_of(busy, slot, code),
                seconds=time.monotonic() - busy.began,
                peak=slot.peak,
            )
        )

    def _forget(self, slot: Slot) -> None:
        for descriptor in (slot.link, slot.output_fd):
            try:
                self._selector.unregister(descriptor)
            except KeyError:
                continue  # its end was closed before
        self._slots[slot.number] = None

    def _take_back(self, partition_ids: set[int]) -> None:
        kept = deque(call for call in self._queue if call.claim.partition_id not in partition_ids)
        for call in self._queue:
            if call.claim.partition_id in partition_ids:
                self._report(Outcome(call.claim, started=False))
        self._queue = kept

    def _cancel(self, partition_ids: set[int], grace: float | None = None) -> None:
        self._take_back(partition_ids)
        now = time.monotonic()
        for number, busy in self._running.items():
            slot = self._slots[number]
            if busy.call.claim.partition_id not in partition_ids or slot is None:
                continue
            if not busy.interrupted:
                busy.interrupted = True
                busy.killed_at = now + self._grace
                slot.interrupt()
            if grace is not None:
                busy.killed_at = min(busy.killed_at, now + grace)

    def _kill_overdue(self) -> None:
        now = time.monotonic()
        for number, busy in self._running.items():
            slot = self._slots[number]
            if slot is not None and now >= busy.killed_at:
                slot.kill()

    def _patience(self) -> float | None:
        """How long the selector may sleep."""
        moments = [at for number, at in self._respawn_at.items() if self._slots[number] is None]
        moments += [busy.killed_at for busy in self._running.values()]
        earliest = min(moments, default=math.inf)
        return None if math.isinf(earliest) else max(0.01, earliest - time.monotonic())

    def _close(self) -> None:
        for slot in list(self._slots.values()):
            if slot is not None:
                self._forget(slot)
                slot.kill()
                slot.bury()
        self._selector.close()
        os.close(self._wake_reader)
        os.close(self._wake_writer)


def _death_of(busy: _Busy, slot: Slot, code: int) -> str:
    """Why a child with work ended."""
    if busy.interrupted:
        return CANCELLED
    if time.monotonic() >= busy.killed_at:
        return TIMED_OUT
    return CUT_OFF if slot.lingered else death_by(code)
