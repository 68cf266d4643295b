"""The children of a node: one thread and one selector for all of them.

Calls go in, outcomes come out.  A child that dies costs the partition it ran and
is replaced at once; nothing that user code does stops this thread.
"""

from __future__ import annotations

import logging
import os
import selectors
import signal
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from nbcluster.node import wire
from nbcluster.node.slot import Output, Slot
from nbcluster.records import Claim

log = logging.getLogger(__name__)

_RESPAWN_PAUSE = 1.0
_CUT_OFF = "it closed its link to the node, or spoilt it, and was killed"
CANCELLED = "cancelled"
"""The death of a child that was told to stop its partition."""


@dataclass(frozen=True, slots=True)
class Call:
    """A claimed partition with everything a child needs for it.

    ``inputs`` are its own arguments, or what earlier steps gave.
    """

    claim: Claim
    function: bytes
    inputs: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a call ended: the child's own words, or what is known of its death.

    ``head`` is None when the child died; ``death`` then says how.  ``started`` is False
    for a call that was taken back before it reached a child.  ``interrupted`` says that the
    node told it to stop.  ``seconds`` is the time that user code ran, ``taken`` the time
    that the slot was taken.
    """

    claim: Claim
    started: bool
    head: dict[str, Any] | None = None
    blobs: tuple[bytes, ...] = ()
    log: bytes = b""
    death: str = ""
    seconds: float = 0.0
    taken: float = 0.0
    interrupted: bool = False


@dataclass(slots=True)
class _Busy:
    call: Call
    began: float
    interrupted_at: float | None = None


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

    def take_back_queued(self) -> None:
        """Give every call back that no child has begun."""
        self._ask(lambda: self._cancel({call.claim.partition_id for call in self._queue}))

    def stop(self, timeout: float = 10.0) -> None:
        """Kill every child and end the thread."""
        self._stopping = True
        self._wake()
        if self._thread.is_alive():
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
        except (ValueError, KeyError, TypeError) as error:
            log.warning("slot %d: its child said nonsense (%s) and is replaced", slot.number, error)
            self._bury(slot)

    def _heard(self, slot: Slot, head: dict[str, Any], blobs: list[bytes]) -> None:
        if head["type"] == wire.READY:
            slot.ready = True
            self._notify()
            return
        busy = self._running[slot.number]
        if head["type"] != wire.OUTCOME or head["call"] != busy.call.claim.partition_id:
            raise ValueError(f"an answer to {head.get('call')!r}")
        seconds = float(head["seconds"])
        slot.read_output()
        del self._running[slot.number]
        self._report(
            Outcome(
                claim=busy.call.claim,
                started=True,
                head=head,
                blobs=tuple(blobs),
                log=slot.output.take(),
                seconds=seconds,
                taken=time.monotonic() - busy.began,
                interrupted=busy.interrupted_at is not None,
            )
        )

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
        self._running[slot.number] = _Busy(call, time.monotonic())
        if claim.step.function_id not in slot.loaded:
            slot.send({"type": wire.FUNCTION, "id": claim.step.function_id}, (call.function,))
            slot.remember(claim.step.function_id)
        slot.send(
            {
                "type": wire.RUN,
                "call": claim.partition_id,
                "function": claim.step.function_id,
                "mode": claim.step.mode,
                "items": claim.items,
                "inputs": len(call.inputs),
                "max_result": claim.step.max_result,
                "current": {
                    "job": claim.step.job_name,
                    "index": claim.index,
                    "partition_key": claim.key,
                    "attempt": claim.attempt,
                    "node": claim.node_id,
                    "transferable": claim.transferable,
                },
            },
            call.inputs,
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
                log.error("slot %d: its child ended while starting (%s): %s", slot.number, _death(code), text)
            return
        self._respawn_at[slot.number] = 0.0  # it had work: the next partition should not wait
        self._report(
            Outcome(
                claim=busy.call.claim,
                started=True,
                log=slot.output.take(),
                death=CANCELLED if busy.interrupted_at is not None else _CUT_OFF if slot.lingered else _death(code),
                seconds=time.monotonic() - busy.began,
            )
        )

    def _forget(self, slot: Slot) -> None:
        for descriptor in (slot.link, slot.output_fd):
            try:
                self._selector.unregister(descriptor)
            except KeyError:
                continue  # its end was closed before
        self._slots[slot.number] = None

    def _cancel(self, partition_ids: set[int]) -> None:
        kept = deque(call for call in self._queue if call.claim.partition_id not in partition_ids)
        for call in self._queue:
            if call.claim.partition_id in partition_ids:
                self._report(Outcome(call.claim, started=False))
        self._queue = kept
        for number, busy in self._running.items():
            slot = self._slots[number]
            if busy.call.claim.partition_id in partition_ids and busy.interrupted_at is None and slot is not None:
                busy.interrupted_at = time.monotonic()
                slot.interrupt()

    def _kill_overdue(self) -> None:
        now = time.monotonic()
        for number, busy in self._running.items():
            slot = self._slots[number]
            if slot is not None and busy.interrupted_at is not None and now - busy.interrupted_at > self._grace:
                slot.kill()

    def _patience(self) -> float | None:
        """How long the selector may sleep."""
        now = time.monotonic()
        moments = [at for number, at in self._respawn_at.items() if self._slots[number] is None]
        moments += [b.interrupted_at + self._grace for b in self._running.values() if b.interrupted_at is not None]
        return max(0.01, min(moments) - now) if moments else None

    def _close(self) -> None:
        for slot in list(self._slots.values()):
            if slot is not None:
                self._forget(slot)
                slot.kill()
                slot.bury()
        self._selector.close()
        os.close(self._wake_reader)
        os.close(self._wake_writer)


def _death(code: int) -> str:
    """What a return code says."""
    if code < 0:
        try:
            name = signal.Signals(-code).name
        except ValueError:
            name = f"signal {-code}"
        hint = " (out of memory, perhaps)" if name == "SIGKILL" else ""
        return f"killed by {name}{hint}"
    return f"exit code {code}"
