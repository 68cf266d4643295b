"""From stored results to values: check the signature, then open, in input order and in batches."""

from __future__ import annotations

import array
import json
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from nbcluster import payload
from nbcluster.errors import PayloadError, SignatureError
from nbcluster.lifecycle import ExitCode
from nbcluster.records import ItemError, JobRow, Reference, Signed, StoredResult
from nbcluster.store import Store

BATCH = 256
"""Partitions that are read at once: the kernel never holds more unread results than these."""


_WITHOUT_INPUTS = (payload.VALUES, payload.OUTCOME)
"""Modes whose one call is given everything: too much to be shown beside its value."""


_bundles: OrderedDict[str, payload.Bundle] = OrderedDict()
"""Modules of jobs whose values were read here: read again, values are of the same classes."""
_BUNDLES_KEPT = 32


def _modules_of(store: Store, step_id: int) -> payload.Bundle | None:
    """The modules that came with a step, checked; None without any.  Raises SignatureError."""
    step = store.jobs.step(step_id)
    if step is None or step.bundle_id is None:
        return None
    body = store.jobs.modules(step.bundle_id) or b""
    store.signer.check(step.bundle_mac or b"", "modules", step.uid, step.name, body=body)
    if step.bundle_id not in _bundles:
        _bundles[step.bundle_id] = payload.unpack_modules(body)
    _bundles.move_to_end(step.bundle_id)
    while len(_bundles) > _BUNDLES_KEPT:
        _bundles.popitem(last=False)
    return _bundles[step.bundle_id]


@dataclass(frozen=True, slots=True)
class Item:
    """One input with what became of it.  ``seconds`` is the time on the node, NaN when it did not run."""

    index: int
    input: Any
    value: Any
    error: ItemError | None
    partition: int
    node: str | None
    attempt: int
    seconds: float
    size: int = 0
    """Its share of the bytes that the values of its partition have in the store."""


class ResultReader:
    """The results of one job.  ``told``: inputs that are large things are given as a few words about them."""

    def __init__(self, store: Store, job: JobRow, *, told: bool = False) -> None:
        self._store = store
        self._job = job
        self._told = told

    def items(
        self, indexes: Sequence[int], first_items: Sequence[int], *, inputs: bool, values: bool = True
    ) -> Iterator[Item]:
        """The items of final partitions ``indexes``, whose first items are at ``first_items``.

        Without ``inputs`` and ``values`` nothing is unpickled; both are None then.
        """
        first = dict(zip(indexes, first_items, strict=True))
        own = inputs and self._job.input_of is None and self._job.mode not in _WITHOUT_INPUTS
        for start in range(0, len(indexes), BATCH):
            batch = indexes[start : start + BATCH]
            chained = self._chained(batch) if inputs and self._job.input_of is not None else {}
            for closed in self._store.outcomes.read(self._job.step_execution_id, batch, arguments=own, fetch=False):
                by_key = self._told and self._job.mode == payload.PARTITION and _apart(closed)
                one = self._store.outcomes.fetched(closed, values=values, arguments=not by_key)
                given = [one.key] if by_key else self._inputs(one) if own else chained.get(one.index, ())
                if self._told:
                    given = [_in_words(value, one.key, self._job.mode) for value in given]
                yield from self._items_of(one, first[one.index], given, opened=values)

    def _chained(self, indexes: Sequence[int]) -> dict[int, Sequence[Any]]:
        """The inputs of partitions that were given what an earlier step gave."""
        before = self._job.input_of
        step = self._store.steps.id_of(self._job.job_execution_id, before) if before is not None else None
        if step is None or before is None or self._job.mode in _WITHOUT_INPUTS:
            return {}
        found: dict[int, Sequence[Any]] = {}
        for stored in self._store.outcomes.read(step, indexes, arguments=False):
            if stored.result is None:
                continue
            try:
                body = self._store.transport.values(self._job.uid, before, stored)
                values = self._opened(body, f"the result of partition {stored.index} of {before}")
            except (SignatureError, PayloadError):
                continue
            found[stored.index] = [values] if self._job.mode == payload.PARTITION else values
        return found

    def _items_of(self, stored: StoredResult, first: int, given: Sequence[Any], *, opened: bool) -> Iterator[Item]:
        values, seconds, errors = self._values(stored) if opened else self._closed(stored)
        size = _size(stored) // max(1, stored.items)
        for place in range(stored.items):
            yield Item(
                index=first + place,
                input=given[place] if place < len(given) else None,
                value=values[place],
                error=errors.get(place),
                partition=stored.index,
                node=stored.node,
                attempt=stored.attempt,
                seconds=seconds[place],
                size=size,
            )

    def errors(self, indexes: Sequence[int], first_items: Sequence[int]) -> Iterator[Item]:
        """The failed items of these partitions, as texts: nothing is unpickled."""
        first = dict(zip(indexes, first_items, strict=True))
        for start in range(0, len(indexes), BATCH):
            batch = indexes[start : start + BATCH]
            for one in self._store.outcomes.read(self._job.step_execution_id, batch, arguments=False, fetch=False):
                for place, error in self._errors(one).items():
                    yield Item(
                        first[one.index] + place, None, None, error, one.index, one.node, one.attempt, float("nan")
                    )

    def _errors(self, stored: StoredResult) -> dict[int, ItemError]:
        if stored.result is None:
            return _whole_partition(stored)
        return {error.item: error for error in item_errors(stored.result.errors)}

    def _values(self, stored: StoredResult) -> tuple[list[Any], list[float], dict[int, ItemError]]:
        count = stored.items
        if stored.result is None:
            return [None] * count, [float("nan")] * count, _whole_partition(stored)
        try:
            body = self._store.transport.values(self._job.uid, self._job.step_name, stored)
            values = self._opened(body, f"the result of partition {stored.index}")
        except (SignatureError, PayloadError) as error:  # it stands beside its items; the others are readable
            kind = ExitCode.BAD_SIGNATURE.value if isinstance(error, SignatureError) else type(error).__name__
            return [None] * count, [float("nan")] * count, _of_all_items(count, kind, str(error))
        seconds = array.array("d", stored.result.seconds).tolist()
        return values, seconds, self._errors(stored)

    def _opened(self, body: payload.Body, what: str) -> Any:
        """What checked bytes hold; where modules are not here, by those that came with the job."""
        try:
            return payload.unpack(body, what)
        except PayloadError as error:
            missing = isinstance(error.__cause__, ModuleNotFoundError)
            bundle = _modules_of(self._store, self._job.step_execution_id) if missing else None
            if bundle is None:
                raise
        with payload.using(bundle):
            return payload.unpack(body, what)

    def _closed(self, stored: StoredResult) -> tuple[list[Any], list[float], dict[int, ItemError]]:
        """What is known of a result that stays closed."""
        nothing = [None] * stored.items
        if stored.result is None:
            return nothing, [float("nan")] * stored.items, _whole_partition(stored)
        return nothing, array.array("d", stored.result.seconds).tolist(), self._errors(stored)

    def _inputs(self, stored: StoredResult) -> Sequence[Any]:
        assert stored.arguments is not None
        try:
            body = self._arguments(stored, stored.arguments, stored.arguments_reference)
            given = self._opened(body, f"the arguments of partition {stored.index}")
        except (SignatureError, PayloadError):
            return [None] * stored.items
        if self._job.mode == payload.PARTITION:
            return [given]
        if self._job.mode == payload.CALL:
            positional, named = given
            return [positional[0] if len(positional) == 1 and not named else (*positional, *named.values())]
        if hasattr(given, "iloc"):
            return list(given.index)
        return list(given)

    def _arguments(self, stored: StoredResult, sent: Signed, where: Reference | None) -> payload.Body:
        """The checked arguments of a partition, still closed."""
        identity = self._job.uid, self._job.step_name, stored.index
        if where is not None:
            transport = self._store.transport
            return transport.open(transport.sealed_arguments(where, sent.mac, *identity))
        self._store.signer.check(sent.mac, "arguments", *identity, body=sent.body)
        return sent.body


def batches(items: Iterable[Item], most: int, size: int) -> Iterator[list[Item]]:
    """Items in lists of at most ``most``, fewer when they have ``size`` bytes together; the last one may be more."""
    batch: list[Item] = []
    taken = 0
    for item in items:
        batch.append(item)
        taken += item.size
        if len(batch) >= most or taken >= size:
            yield batch
            batch, taken = [], 0
    if batch:
        yield batch


def _apart(stored: StoredResult) -> bool:
    """Whether its arguments are too large for its row."""
    return stored.arguments_reference is not None or stored.arguments_unfetched is not None


def _size(stored: StoredResult) -> int:
    """Bytes that its values have in the store."""
    if stored.result is None:
        return 0
    reference = stored.result.reference
    return len(stored.result.values) if reference is None else reference.size


def _in_words(given: Any, key: str, mode: str) -> Any:
    """A frame, or what reads one, as its partition's key, or its size; everything else as it is."""
    if not hasattr(given, "iloc") and not callable(getattr(given, "read", None)):
        return given
    if mode == payload.PARTITION:
        return key
    shape = getattr(given, "shape", None)
    if shape is None:
        return str(given)
    return f"{type(given).__name__} of {' x '.join(map(str, shape))}"


def _whole_partition(stored: StoredResult) -> dict[int, ItemError]:
    """A partition without a result failed for one reason, which is that of each of its items."""
    return _of_all_items(stored.items, stored.exit_code or "FAILED", stored.exit_message or "")


def _of_all_items(count: int, error_type: str, message: str) -> dict[int, ItemError]:
    return {place: ItemError(place, error_type, message, "") for place in range(count)}


def item_errors(text: str) -> list[ItemError]:
    """The errors of a partition, from their stored text."""
    return [
        ItemError(int(error["item"]), str(error["type"]), str(error["message"]), str(error["traceback"]))
        for error in json.loads(text)
    ]
