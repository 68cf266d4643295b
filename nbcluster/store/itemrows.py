"""One row an item of what is final, without its value: nothing that was computed is read, let alone opened."""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import case, func, null

from nbcluster.lifecycle import FINAL, ExitCode
from nbcluster.store.bulk import Columns, Field, Kind, Source
from nbcluster.store.stepnames import ABOUT_STEPS
from nbcluster.store.tables import partitions, results

_P, _R = partitions.c, results.c

ALONE = Source(partitions, _P.step_execution_id)
WITH_RESULTS = Source(
    partitions.outerjoin(results, _R.step_execution_id == func.coalesce(_P.result_of, _P.step_execution_id)),
    _P.step_execution_id,
)

_STEP, _ITEMS, _FINAL, _CLOCKED, _TOLD, _ENDED, _WHY = " of", " items", " final", " clocked", " told", " ended", " why"

_ALWAYS = {
    _STEP: Field(_P.master_step_execution_id, Kind.WHOLE),
    "partition": Field(_P.partition_index, Kind.WHOLE),
    _ITEMS: Field(_P.item_count, Kind.WHOLE),
    _FINAL: Field(case((_P.status.in_(FINAL), 1), else_=0), Kind.WHOLE),
}
_ASKED = {"node": Field(_P.assigned_node, Kind.TEXT), "attempt": Field(_P.attempt, Kind.WHOLE)}
_SECONDS = {_CLOCKED: Field(_R.seconds, Kind.BYTES)}
_ERRORS = {
    # Most have none, and that need not travel.
    _TOLD: Field(case((_R.errors != "[]", _R.errors), else_=null()), Kind.TEXT, wide=True),
    _ENDED: Field(case((_R.step_execution_id.is_(None), func.coalesce(_P.exit_code, "FAILED")), else_=null()),
                  Kind.TEXT, words=tuple(word.value for word in ExitCode)),
    _WHY: Field(case((_R.step_execution_id.is_(None), func.coalesce(_P.exit_message, "")), else_=null()),
                Kind.TEXT, wide=True),
}  # fmt: skip


def fields_of(columns: frozenset[str]) -> tuple[Source, dict[str, Field]]:
    """Where the columns of items come from, and what has to be read for them."""
    fields = _ALWAYS | {name: one for name, one in _ASKED.items() if name in columns}
    if "seconds" in columns:
        fields |= _SECONDS
    if {"error", "message"} & columns:
        fields |= _ERRORS
    return (ALONE if fields.keys().isdisjoint({_CLOCKED, _TOLD}) else WITH_RESULTS), fields


def by_item(found: Columns) -> Columns:
    """Partitions, all of their steps, as rows of the items of those that are final."""
    import numpy as np

    found = found.kept(np.lexsort((found.arrays["partition"], found.arrays[_STEP])))
    items, steps = found.arrays[_ITEMS], found.arrays[_STEP]
    ends = np.cumsum(items)
    # Items are counted through their step, also those of partitions that still run.
    first_of_step = np.searchsorted(steps, steps)
    begins = ends - items - (ends - items)[first_of_step]
    final = found.arrays[_FINAL] == 1
    found, items, begins = found.kept(final), items[final], begins[final]
    every = np.repeat(np.arange(found.rows), items)
    starts = np.cumsum(items) - items
    place = np.arange(len(every)) - starts[every]
    rows = {
        name: found.arrays[name][every]
        for name in ("partition", *_ASKED, *ABOUT_STEPS)
        if name in found.arrays
    }  # fmt: skip
    rows["item"] = begins[every] + place
    if _CLOCKED in found.arrays:
        rows["seconds"] = _seconds(found.arrays[_CLOCKED], items)
    if _TOLD in found.arrays:
        rows["error"], rows["message"] = _errors(found, items, starts)
    return Columns(len(every), rows)


def _seconds(clocked: Any, items: Any) -> Any:
    """The time of each item; NaN for those of partitions without a result."""
    import numpy as np

    unknown = np.full(1, np.nan).tobytes()
    told = (
        bytes(body) if body is not None and len(body) == 8 * count else unknown * count
        for body, count in zip(clocked.tolist(), items.tolist(), strict=True)
    )
    return np.frombuffer(b"".join(told), dtype=np.float64)


def _errors(found: Columns, items: Any, starts: Any) -> tuple[Any, Any]:
    """The type and the message of each item's error, None where there is none."""
    import numpy as np

    total = int(items.sum())
    types, messages = np.full(total, None, dtype=object), np.full(total, None, dtype=object)
    ended, why, told = found.arrays[_ENDED], found.arrays[_WHY], found.arrays[_TOLD]
    # A partition without a result failed for one reason, which is that of each of its items.
    for row in np.flatnonzero(ended != None):  # noqa: E711 -- element by element
        mine = slice(starts[row], starts[row] + items[row])
        types[mine], messages[mine] = ended[row], why[row]
    for row in np.flatnonzero(told != None):  # noqa: E711
        for error in json.loads(told[row]):
            types[starts[row] + error["item"]] = error["type"]
            messages[starts[row] + error["item"]] = error["message"]
    return types, messages
