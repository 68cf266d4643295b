"""A stored partition once more, in this process: the code and inputs that a node got, checked before they are opened.

Only reads the database.  It runs in every mode as a node runs it, and without its bounds: all items are
computed, also those that a retry would not compute again, and no timeout applies.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from nbcluster import payload
from nbcluster.errors import InputError, PayloadError
from nbcluster.here import Call, Here, users_part
from nbcluster.lifecycle import ExitCode, JobStatus, PartitionStatus
from nbcluster.member import PYTHON
from nbcluster.node.preparing import Preparing, is_chained
from nbcluster.outcome import read_outcome
from nbcluster.payload import beside
from nbcluster.postmortem import post_mortem
from nbcluster.records import Claim, StepToRun
from nbcluster.running import Current
from nbcluster.store import Store
from nbcluster.store.partitions import checkpoints
from nbcluster.store.partitions.claim import LastClaim
from nbcluster.store.transport import Blob, Sealed
from nbcluster.submitting.submission import MAIN

NODE = "replay"
"""The name of the node that a replayed function is told."""

_FATAL = (ExitCode.CRASHED, ExitCode.POISON)


@dataclass(frozen=True, slots=True)
class Replay:
    """A partition that is ready to run here.  ``warning`` says why one may think twice."""

    call: Call
    last: LastClaim

    @property
    def attempt(self) -> int:
        """The attempt that it is."""
        return self.call.current.attempt

    @property
    def warning(self) -> str:
        """Why one may think twice before it runs in this process; mostly empty."""
        if self.last.exit_code in _FATAL:
            return f"{self.call.what} killed its process on the node ({self.last.exit_message}); it may kill this one"
        if self.last.status is PartitionStatus.CLAIMED:
            return f"{self.call.what} is running on {self.last.claim.node_id} just now; what it does, it does twice"
        return ""

    def run(self, *, pdb: bool = False) -> Any:
        """The values: a list, one for each item; of a function that is called once, its value.

        With ``pdb`` an exception is first looked at in the debugger.
        """
        __tracebackhide__ = True
        opened = self.call.opened()
        try:
            values = opened.run()
        except Exception as error:
            error.__traceback__ = users_part(error.__traceback__)
            if pdb:
                post_mortem(error)
            raise
        return values[0] if self.call.single else values

    def passed(self) -> str:
        """That all went well, in one sentence."""
        count = self.last.claim.items
        items = "" if self.call.single else f": {count} item{'s' if count != 1 else ''}"
        said = f"{self.call.what}, attempt {self.attempt}{items} passed here"
        if self.last.status is PartitionStatus.FAILED and self.attempt == self.last.claim.attempt:
            said += f"; on {self.last.claim.node_id or 'its node'} it failed: {self.last.exit_message}"
        return said

    def inputs(self) -> Any:
        """What the partition is given, as it was split."""
        bodies = self.call.inputs
        with payload.rebuilding(f"the input of {self.call.what}"), self.call.in_place():
            if self.call.mode == payload.OUTCOME:
                return read_outcome(bytes(bodies[0]))
            if self.call.mode == payload.VALUES:
                return [value for body in bodies for value in payload.load(body)]
            return payload.load(bodies[0])


def prepare_replay(store: Store, step_id: int, index: int, attempt: int | None, first_item: int) -> Replay:
    """Read and check what partition ``index`` of a step got; ``attempt`` is by default its last, or its first to come.

    Raises InputError for an attempt that there is not or inputs that are not there yet, PayloadError when
    this Python cannot rebuild it, SignatureError when it was altered.
    """
    step = store.jobs.step(step_id)
    last = store.claims.last(step, index) if step is not None else None
    if step is None or last is None:
        raise InputError(f"partition {index} is not there any more; the job was deleted")
    what = f"partition {index} of {_name(step)}"
    if step.python != PYTHON:
        raise PayloadError(
            f"{what} needs Python {step.python} and this is Python {PYTHON}, which cannot rebuild its code; "
            f"replay it in a kernel with Python {step.python}"
        )
    chosen = _attempt(last, attempt, what)
    _check_inputs(store, step, index, what)
    # What an attempt leaves for the next one is read below: a node skips what is done, a replay does not.
    ready = Preparing(store).call(_without_checkpoint(last.claim))
    current = Current(
        job=step.job_name,
        index=index,
        partition_key=last.claim.key,
        attempt=chosen,
        node=NODE,
        transferable=last.claim.transferable,
        idempotency_key=last.claim.idempotency_key,
    )
    modules = _modules(ready.modules)
    assert isinstance(ready.function, bytes)
    with payload.using(modules):
        shipped: payload.Shipped = payload.unpack(ready.function, f"the function of {_name(step)}")
    line = Here(step.max_result, _checkpoint(store, last.claim, chosen))
    inputs = [_opened(store, one) for one in ready.inputs]
    return Replay(Call(what, step.mode, shipped, inputs, current, line, first_item, modules), last)


def _opened(store: Store, given: Blob | Sealed) -> payload.Body:
    """The checked bytes of an input; not to be written to, so that each run gets it anew."""
    if isinstance(given, bytes):
        return given
    assert isinstance(given, Sealed)
    return memoryview(store.transport.open(given)).toreadonly()


def _modules(body: Blob | None) -> payload.Bundle | None:
    """The modules that came with it; None when this process has them: then its breakpoints are in the right ones."""
    if body is None:
        return None
    assert isinstance(body, bytes)  # there are no children to leave them in a file for
    bundle = payload.unpack_modules(body)
    return None if beside.same_here(bundle) else bundle


def _name(step: StepToRun) -> str:
    """How messages call a step: by its job's name alone when it is the one of ``map`` and its siblings."""
    return step.job_name if step.name == MAIN else f"step {step.name} of {step.job_name}"


def _attempt(last: LastClaim, wanted: int | None, what: str) -> int:
    """The attempt to be replayed: one that was, or the one that would come next."""
    made = last.claim.attempt
    to_come = last.status is not PartitionStatus.COMPLETED and last.status is not PartitionStatus.CLAIMED
    if wanted is None:
        return made + 1 if last.status is PartitionStatus.PENDING else made
    highest = made + to_come
    if isinstance(wanted, bool) or not isinstance(wanted, int) or not 1 <= wanted <= highest:
        had = f"it had {made} attempt{'s' if made != 1 else ''}" if made else "no attempt was made yet"
        next_one = f", and {highest} would be the next" if to_come else ""
        raise InputError(f"there is no attempt {wanted!r} of {what}: {had}{next_one}")
    return wanted


def _check_inputs(store: Store, step: StepToRun, index: int, what: str) -> None:
    """Say what is missing when the step before it has not given it yet."""
    if step.input_of is None:
        return
    before = store.steps.id_of(step.job_execution_id, step.input_of) or 0
    if is_chained(step):
        if all(stored.result is None for stored in store.outcomes.read(before, [index], arguments=False)):
            raise InputError(f"{what} has no input yet: it gets what partition {index} of {step.input_of} gives")
        return
    status = store.steps.progress(before).status
    if status is not JobStatus.COMPLETED:
        raise InputError(f"{what} has no input yet: it gets every value of {step.input_of}, which is {status}")


def _checkpoint(store: Store, claim: Claim, attempt: int) -> bytes | None:
    """What the attempt found: the last that was saved, unless it or a later one saved that itself."""
    if not claim.has_checkpoint:
        return None
    for one in store.checkpoints.read(claim):
        if one.kind == checkpoints.USER and one.attempt < attempt:
            return checkpoints.check(store.signer, claim, one)
    return None


def _without_checkpoint(claim: Claim) -> Claim:
    return replace(claim, has_checkpoint=False)
