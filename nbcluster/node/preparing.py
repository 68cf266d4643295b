"""From a claim to what a child needs for it: the function, the arguments, both checked.  Opens nothing."""

from __future__ import annotations

from collections import OrderedDict

from nbcluster.node.calls import Call
from nbcluster.records import Claim, StepToRun
from nbcluster.store import Store
from nbcluster.store.partitions import checkpoints

_FUNCTION_CACHE_BYTES = 512 * 10**6


class Preparing:
    """Reads and checks what claims refer to.  Functions are read once while they stay in the cache."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._functions: OrderedDict[str, bytes] = OrderedDict()
        self._checked: set[int] = set()

    def call(self, claim: Claim) -> Call:
        """What the child gets.  Raises SignatureError when a payload was altered."""
        function = self._function(claim.step)
        assert claim.arguments is not None
        body = claim.arguments.body
        if claim.arguments_payload is not None:
            body = self._store.claims.arguments(claim.arguments_payload) or b""
        self._store.signer.check(
            claim.arguments.mac, "arguments", claim.step.uid, claim.step.name, claim.index, body=body
        )
        kept, saved = self._left(claim) if claim.has_checkpoint else ((), None)
        return Call(claim, function, (body,), kept, saved)

    def _left(self, claim: Claim) -> tuple[tuple[bytes, ...], bytes | None]:
        """What earlier attempts left: the outcome with good items, and what the function saved."""
        signer = self._store.signer
        left = {one.kind: checkpoints.check(signer, claim, one) for one in self._store.checkpoints.read(claim)}
        items = left.get(checkpoints.ITEMS)
        return () if items is None else checkpoints.unpack_items(items), left.get(checkpoints.USER)

    def keep_only(self, steps: set[int]) -> None:
        """Forget what was checked for steps that are not started any more."""
        self._checked &= steps

    def _function(self, step: StepToRun) -> bytes:
        """The function of a step: read once while it stays in the cache, checked once for each step."""
        body = self._functions.get(step.function_id)
        if body is None:
            body = self._store.jobs.function(step.function_id) or b""
        if step.step_execution_id not in self._checked:
            self._store.signer.check(step.function_mac, "function", step.uid, step.name, body=body)
            self._checked.add(step.step_execution_id)
        self._functions[step.function_id] = body
        self._functions.move_to_end(step.function_id)
        while len(self._functions) > 1 and sum(map(len, self._functions.values())) > _FUNCTION_CACHE_BYTES:
            self._functions.popitem(last=False)
        return body
