"""Carries large values between a node's spool and the place where they are kept, in threads of its own.

The worker goes on claiming and committing meanwhile.  What it hands over comes back: a call with its
inputs at hand, an outcome with a reference in place of its values, or why that was not possible.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import queue
import threading
import time
from collections import deque
from collections.abc import Callable

from nbcluster.errors import DatabaseUnreachable, NBClusterError, SignatureError, ValueNotStored
from nbcluster.lifecycle import ExitCode
from nbcluster.node.calls import Call, Filed, Outcome, Stored
from nbcluster.records import Reference
from nbcluster.store.transport import Sealed, Transport

log = logging.getLogger(__name__)

THREADS = 2
_AGAIN = 0.5
"""Seconds until a transfer that the database broke off begins again."""


class Porter:
    """Its threads start with the first value that is to be carried; ``notify`` is called when one has arrived."""

    def __init__(self, transport: Transport, notify: Callable[[], None] = lambda: None) -> None:
        self._transport = transport
        self.notify = notify
        self._errands: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._calls: deque[tuple[Call, NBClusterError | None]] = deque()
        self._outcomes: deque[Outcome] = deque()
        self._threads: list[threading.Thread] = []
        self._stopping = False

    def fetch(self, call: Call) -> None:
        """Bring the inputs of a call here and check them."""
        self._ask(lambda: self._fetch(call))

    def deliver(self, outcome: Outcome) -> None:
        """Store the values that a child left in a file."""
        self._ask(lambda: self._deliver(outcome))

    def drop(self, reference: Reference) -> None:
        """Remove a value that was stored for nothing."""
        self._ask(lambda: self._drop(reference))

    def carry(self, errand: Callable[[], None]) -> None:
        """Do this in one of the threads; again and again while it raises DatabaseError."""
        self._ask(errand)

    def sweep(self) -> None:
        """Remove what others stored for nothing and could not remove themselves."""
        self._ask(self._sweep)

    def take_calls(self) -> list[tuple[Call, NBClusterError | None]]:
        """The calls whose inputs arrived since the last time, or why they cannot."""
        return [self._calls.popleft() for _ in range(len(self._calls))]

    def take_outcomes(self) -> list[Outcome]:
        """The outcomes whose values were stored since the last time, or that failed for want of that."""
        return [self._outcomes.popleft() for _ in range(len(self._outcomes))]

    def stop(self) -> None:
        """Begin nothing more."""
        self._stopping = True
        for _ in self._threads:
            self._errands.put(lambda: None)

    def _ask(self, errand: Callable[[], None]) -> None:
        self._errands.put(errand)
        if len(self._threads) < THREADS:
            thread = threading.Thread(target=self._work, name="nbcluster-porter", daemon=True)
            self._threads.append(thread)
            thread.start()

    # --- the porter's threads -------------------------------------------------

    def _work(self) -> None:
        while not self._stopping:
            errand = self._errands.get()
            while not self._stopping:
                try:
                    errand()
                except DatabaseUnreachable as error:
                    log.warning("a large value: %s; trying again", error)
                    time.sleep(_AGAIN)
                    continue
                except Exception:
                    log.exception("a large value could not be carried")
                break
            del errand  # it may hold the last reference to a file

    def _fetch(self, call: Call) -> None:
        try:
            sealed = [one for one in (*call.inputs, *call.kept) if isinstance(one, Sealed)]
            brought = {id(one): self._transport.bring(one) for one in sealed}
        except DatabaseUnreachable:
            raise
        except Exception as error:  # whatever happened: the partition ends with it, and is not held for ever
            self._calls.append((call, _ours(error)))
        else:
            inputs, kept = (tuple(brought.get(id(one), one) for one in some) for some in (call.inputs, call.kept))
            self._calls.append((dataclasses.replace(call, inputs=inputs, kept=kept), None))
        self.notify()

    def _deliver(self, outcome: Outcome) -> None:
        filed = outcome.blobs[0]
        assert isinstance(filed, Filed)
        at = outcome.claim.step.values_at
        try:
            name = self._transport.take_in(filed.file, at)
        except DatabaseUnreachable:
            raise
        except Exception as error:
            self._outcomes.append(_failed(outcome, _ours(error)))
        else:
            stored = Stored(Reference(name, at, filed.size), filed.digest)
            self._outcomes.append(dataclasses.replace(outcome, blobs=(stored, *outcome.blobs[1:])))
        self.notify()

    def _drop(self, reference: Reference) -> None:
        with contextlib.suppress(OSError):  # the sweep removes what cannot be removed now
            self._transport.drop(reference)

    def _sweep(self) -> None:
        removed = self._transport.sweep()
        if removed:
            log.info("%d large values that nobody refers to were removed", removed)


def _ours(error: Exception) -> NBClusterError:
    """The error with one sentence about it."""
    if isinstance(error, NBClusterError):
        return error
    said = error.strerror if isinstance(error, OSError) else f"{type(error).__name__}: {error}"
    return ValueNotStored(f"a large value could not be carried by this node: {said}")


def _failed(outcome: Outcome, error: Exception) -> Outcome:
    """The outcome of a call whose values cannot be kept."""
    head = {
        "exit_code": ExitCode.FAILED.value,
        "message": str(error),
        "failed": outcome.claim.items,
        "peak": 0 if outcome.head is None else outcome.head["peak"],
    }
    return dataclasses.replace(outcome, head=head, blobs=())


def refusal(error: NBClusterError) -> ExitCode:
    """What a partition ends with whose inputs cannot be had."""
    return ExitCode.BAD_SIGNATURE if isinstance(error, SignatureError) else ExitCode.FAILED
