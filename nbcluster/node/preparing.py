"""From a claim to what a child needs for it: the function and its inputs, all checked.  Opens nothing."""

from __future__ import annotations

import contextlib
import logging
import os
from collections import OrderedDict
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from nbcluster import payload
from nbcluster.depot.names import is_reference
from nbcluster.depot.spool import SpoolFile, whole
from nbcluster.errors import SignatureError, ValueNotStored
from nbcluster.lifecycle import CALLBACKS, JobStatus, StepKind
from nbcluster.node.calls import Call
from nbcluster.outcome import write_outcome
from nbcluster.records import Claim, Reference, StepToRun
from nbcluster.signing import check_key, check_result
from nbcluster.store import Store
from nbcluster.store.partitions import checkpoints
from nbcluster.store.transport import Blob, Sealed

log = logging.getLogger(__name__)

_FUNCTION_CACHE_BYTES = 512 * 10**6
_BUNDLES_KEPT = 64
_BATCH = 256
"""Results of an earlier step that are read at once."""


_Given = bytes | Sealed | SignatureError
"""What an earlier step gave, where it is to be fetched, or why it may not be opened."""


class Preparing:
    """Reads and checks what claims refer to.  Functions are read once while they stay in the cache.

    Large values are left sealed: fetching them is for whoever has the time.  With ``children``
    large functions lie in files, for many processes to map, and results may be left in files.
    """

    def __init__(self, store: Store, *, children: bool = False) -> None:
        self._store = store
        self._children = children
        self._functions: OrderedDict[str, tuple[Blob, int]] = OrderedDict()
        self._checked: set[int] = set()
        self._bundles: OrderedDict[str, Blob] = OrderedDict()
        self._checked_bundles: set[int] = set()
        self._before: dict[int, int] = {}
        self._results: dict[int, _Given] = {}

    def call(self, claim: Claim) -> Call:
        """What the child gets.  Raises SignatureError when a payload was altered."""
        step, form = claim.step, ""
        if claim.cache_key is not None:  # or its result would be given to jobs that compute something else
            check_key(self._store.signer, claim.cache_mac or b"", step.uid, step.name, claim.index, key=claim.cache_key)
        kept, saved = self._left(claim) if claim.has_checkpoint else ((), None)
        if step.into_table is not None:
            form = self._store.database.dialect.rows_form
        function, modules, large = self._function(step), self._modules(step), self._store.transport.large
        room = partial(self._room, step.values_at if step.into_table is None else None)  # rows go through this node
        return Call(claim, function, self._inputs(claim), kept, saved, form, modules, room, large)

    def _room(self, at: str | None) -> SpoolFile | None:
        """Where a child may leave large values; without one they come as small ones do."""
        try:
            return self._store.transport.room(at)
        except ValueNotStored as error:
            log.warning("%s", error)
            return None

    def read_together(self, claims: Sequence[Claim]) -> None:
        """Read what earlier steps gave to these claims, before ``call`` is asked for each of them."""
        self._results.clear()
        chained = [claim for claim in claims if is_chained(claim.step)]
        for step in dict.fromkeys(claim.step for claim in chained):
            mine = {claim.index: claim for claim in chained if claim.step == step}
            assert step.input_of is not None
            for index, result in self._given(step, step.input_of, list(mine)).items():
                self._results[mine[index].partition_id] = result

    def _left(self, claim: Claim) -> tuple[tuple[bytes | Sealed, ...], bytes | None]:
        """What earlier attempts left: the outcome with good items, and what the function saved."""
        signer = self._store.signer
        items: tuple[bytes | Sealed, ...] = ()
        saved = None
        for one in self._store.checkpoints.read(claim):
            if one.reference is not None:
                _, errors, seconds = checkpoints.unpack_items(one.signed.body)
                items = (Sealed(one.reference, partial(checkpoints.check_items, signer, claim, one)), errors, seconds)
            elif one.kind == checkpoints.ITEMS:
                items = checkpoints.unpack_items(checkpoints.check(signer, claim, one))
            else:
                saved = checkpoints.check(signer, claim, one)
        return items, saved

    def keep_only(self, steps: set[int]) -> None:
        """Forget what was checked for steps that are not started any more."""
        self._checked &= steps
        self._checked_bundles &= steps
        self._before = {step: before for step, before in self._before.items() if step in steps}

    def _inputs(self, claim: Claim) -> tuple[bytes | Sealed, ...]:
        """What an earlier step gave to it, or gave in all; how the job ended; or its own arguments."""
        step = claim.step
        if is_chained(step):
            if claim.partition_id not in self._results:
                self.read_together([claim])
            return (_checked(self._results.pop(claim.partition_id)),)
        if step.input_of is not None:
            indexes = self._store.steps.completed(self._step_before(step, step.input_of))
            return tuple(map(_checked, self._given(step, step.input_of, indexes).values()))
        if step.kind in CALLBACKS:
            if step.mode != payload.OUTCOME:  # what is told is unsigned text, and must never be taken for a pickle
                raise SignatureError(f"step {step.name} was altered: it is a callback with the mode {step.mode!r}")
            status = JobStatus.COMPLETED if step.kind is StepKind.ON_SUCCESS else JobStatus.FAILED
            return (write_outcome(self._store.steps.outcome(step.job_execution_id, status)),)
        assert claim.arguments is not None
        if is_reference(claim.arguments_payload):
            assert claim.arguments_payload is not None
            where = Reference(claim.arguments_payload, step.values_at)
            identity = step.uid, step.name, claim.index
            return (self._store.transport.sealed_arguments(where, claim.arguments.mac, *identity),)
        body = claim.arguments.body
        if claim.arguments_payload is not None:
            body = self._store.claims.arguments(claim.arguments_payload) or b""
        self._store.signer.check(claim.arguments.mac, "arguments", step.uid, step.name, claim.index, body=body)
        return (body,)

    def _given(self, step: StepToRun, name: str, indexes: Sequence[int]) -> dict[int, _Given]:
        """What these partitions of the step ``name`` gave, or why it may not be opened; in the order asked for."""
        missing = f"the result of an earlier step, {name}, is not there any more"
        found: dict[int, _Given] = {index: SignatureError(missing) for index in indexes}
        before = self._step_before(step, name)
        for start in range(0, len(indexes), _BATCH):
            for stored in self._store.outcomes.read(before, indexes[start : start + _BATCH], arguments=False):
                if stored.result is None:
                    continue
                if stored.result.reference is not None:
                    found[stored.index] = self._store.transport.sealed_values(step.uid, name, stored)
                    continue
                try:
                    check_result(self._store.signer, step.uid, name, stored)
                    found[stored.index] = stored.result.values
                except SignatureError as error:  # it fails the partition that needs it, and no other
                    found[stored.index] = error
        return found

    def _step_before(self, step: StepToRun, name: str) -> int:
        if step.step_execution_id not in self._before:
            self._before[step.step_execution_id] = self._store.steps.id_of(step.job_execution_id, name) or 0
        return self._before[step.step_execution_id]

    def _function(self, step: StepToRun) -> Blob:
        """The function of a step: read once while it stays in the cache, checked once for each step."""
        blob, size = self._functions.get(step.function_id, (None, 0))
        if blob is None or step.step_execution_id not in self._checked:
            body = self._read(step.function_id) if blob is None else _body(blob)
            self._store.signer.check(step.function_mac, "function", step.uid, step.name, body=body)
            self._checked.add(step.step_execution_id)
            blob, size = (self._spooled(body) if blob is None else blob), len(body)
        self._functions[step.function_id] = blob, size
        self._functions.move_to_end(step.function_id)
        while len(self._functions) > 1 and sum(one[1] for one in self._functions.values()) > _FUNCTION_CACHE_BYTES:
            self._functions.popitem(last=False)
        return blob

    def _read(self, function_id: str) -> bytes:
        return self._store.jobs.function(function_id) or b""

    def _spooled(self, body: bytes) -> Blob:
        """A large function as a file, when children are to get it; they get it as it is when there is no room."""
        return self._filed(body) if len(body) > self._store.transport.large else body

    def _filed(self, body: bytes) -> Blob:
        """A file for many children, if there are any and there is room; else the bytes."""
        if not self._children:
            return body
        with contextlib.suppress(OSError, ValueNotStored):
            file = self._store.transport.room(None)
            with open(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb", buffering=0) as raw:
                whole(raw)(body)
            return file
        return body

    def _modules(self, step: StepToRun) -> Blob | None:
        """The modules that came with a step: read once while they stay in the cache, checked once for each step.

        They lie in a file, however small they are: processes that user code starts import from it too.
        """
        if step.bundle_id is None:
            return None
        blob = self._bundles.get(step.bundle_id)
        if blob is None or step.step_execution_id not in self._checked_bundles:
            body = (self._store.jobs.modules(step.bundle_id) or b"") if blob is None else _body(blob)
            self._store.signer.check(step.bundle_mac or b"", "modules", step.uid, step.name, body=body)
            self._checked_bundles.add(step.step_execution_id)
            blob = self._filed(body) if blob is None else blob
        self._bundles[step.bundle_id] = blob
        self._bundles.move_to_end(step.bundle_id)
        while len(self._bundles) > _BUNDLES_KEPT:
            self._bundles.popitem(last=False)
        return blob


def is_chained(step: StepToRun) -> bool:
    """Whether each of its partitions gets what the same partition of an earlier step gave."""
    return step.input_of is not None and step.kind is StepKind.PARTITIONED


def _body(blob: Blob) -> bytes:
    return blob if isinstance(blob, bytes) else Path(blob).read_bytes()


def _checked(result: _Given) -> bytes | Sealed:
    if isinstance(result, SignatureError):
        raise result
    return result
