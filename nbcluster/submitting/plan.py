"""A job before it is one: checked, packed and assigned as if it were submitted, and nothing written."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from nbcluster import payload
from nbcluster.config import Settings, parse_size
from nbcluster.errors import InputError
from nbcluster.here import Call, Here
from nbcluster.labels import labels_of, missing
from nbcluster.lifecycle import NodeStatus
from nbcluster.member import PYTHON
from nbcluster.partitioners.base import Nodes
from nbcluster.records import CachedResult, Node
from nbcluster.running import Current
from nbcluster.store import Store
from nbcluster.strategies import Planned
from nbcluster.submitting import caching, identity
from nbcluster.submitting.options import Options
from nbcluster.submitting.planned import Measured, NodePlan, Plan, remembered, sampled
from nbcluster.submitting.storing import candidates
from nbcluster.submitting.submission import Prepared, PreparedStep, prepare

MODES = {
    "map": payload.ITEMS,
    "starmap": payload.STAR,
    "map_partitions": payload.PARTITION,
    "submit": payload.CALL,
}
"""Ways to fan out, by the name of their method."""

NODE = "sample"
"""The name of the node that a function is told while it is timed."""


def mode_of(how: str) -> str:
    """The mode of a method's name.  Raises InputError."""
    if how not in MODES:
        raise InputError(f"how is {how!r}; it must be one of {', '.join(MODES)}")
    return MODES[how]


def make_plan(
    store: Store, settings: Settings, function: Any, source: Any, mode: str, options: Options, nodes: Nodes, sample: int
) -> Plan:
    """Everything that can be known before; ``sample`` partitions are run here and timed.

    Raises InputError or PayloadError as submitting does; what the function raises passes through.
    """
    if isinstance(sample, bool) or not isinstance(sample, int) or sample < 0:
        raise InputError(f"sample is {sample!r}; it must be a whole number of partitions, 0 or more")
    prepared = prepare(function, source, mode, options, nodes, settings)
    main = prepared.main
    limit = settings.max_capture if options.max_capture is None else parse_size(options.max_capture, "max_capture")
    sizes = tuple(part.items for part in main.parts)
    with payload.by_value(payload.modules_of(payload.modules_named(options.ship))):
        captures = tuple(payload.captures_of(function, limit))
        packages = tuple(sorted(payload.packages_of(function)))
        code_id = identity.of_function(function)
    measured = _sampled(prepared, settings, sample) if sample else _remembered(store, code_id)
    known = caching.known(store, main.cache_keys).results if main.cache_keys and not options.fresh else ()
    owners = _owners(store, settings, main, known)
    return Plan(
        # The name that would be made up has random letters: nothing to remember.
        name=prepared.name if options.name is not None else getattr(function, "__name__", "map"),
        strategy=main.strategy.name if main.strategy is not None else "",
        sizes=sizes,
        nodes=tuple(_node_plans(store, settings, main, owners)),
        unassigned=owners.count(None) - _number(known),
        captures=captures,
        packages=packages,
        function_size=len(main.function),
        limit=limit,
        input_size=sum(one.size for one in main.arguments or ()),
        measured=measured,
        cached=_number(known) if main.cache_keys else None,
        to_run=tuple(size for size, one in zip(sizes, known, strict=True) if one is None) if known else None,
    )


def _number(known: Sequence[CachedResult | None]) -> int:
    return sum(one is not None for one in known)


# --- who gets what --------------------------------------------------------------------


def _owners(
    store: Store, settings: Settings, main: PreparedStep, known: Sequence[CachedResult | None]
) -> tuple[str | None, ...]:
    """Who would run each partition; nobody those whose results are there."""
    assert main.strategy is not None
    left = [place for place in range(len(main.parts)) if not known or known[place] is None]
    planned = [Planned(place, main.parts[place].key, main.parts[place].items) for place in left]
    workers = store.nodes.workers(settings.unreachable_node_threshold)
    chosen = main.strategy.assign(planned, candidates(workers, require=main.rules.require)).owners
    owners = dict(zip(left, chosen, strict=True))
    return tuple(owners.get(place) for place in range(len(main.parts)))


def _node_plans(store: Store, settings: Settings, main: PreparedStep, owners: Sequence[str | None]) -> list[NodePlan]:
    plans = []
    for node in store.nodes.all():
        if node.slots:
            mine = [part.items for part, owner in zip(main.parts, owners, strict=True) if owner == node.node_id]
            obstacle = obstacle_of(node, main.rules.require, settings.unreachable_node_threshold)
            plans.append(NodePlan(node.node_id, node.slots, len(mine), sum(mine), obstacle))
    return plans


def obstacle_of(node: Node, require: Sequence[str], silent_after: float) -> str:
    """Why a node would run nothing of it; empty when it may."""
    if node.status is NodeStatus.DRAINING:
        return "draining: it begins nothing more"
    if node.status is not NodeStatus.ACTIVE or node.heartbeat_age > silent_after:
        return f"silent for {node.heartbeat_age:.0f} s"
    if node.python != PYTHON:
        return f"runs Python {node.python}, this needs {PYTHON}"
    lacking = missing(require, labels_of(node.node_id, node.host, node.labels))
    return f"lacks {', '.join(lacking)}" if lacking else ""


# --- how long -------------------------------------------------------------------------


def _remembered(store: Store, code_id: str) -> Measured | None:
    speed = store.history.speed(code_id)
    return None if speed is None else remembered(*speed)


def _sampled(prepared: Prepared, settings: Settings, number: int) -> Measured:
    """Run a few partitions, from the packed bytes that a node would get, and time them."""
    main = prepared.main
    places = spread(len(main.parts), number)
    shipped = payload.unpack(main.function, f"the function of {prepared.name}")
    began = time.perf_counter()
    for place in places:
        _call(prepared, settings, shipped, place).opened().run()
    seconds = time.perf_counter() - began
    return sampled(places, sum(main.parts[place].items for place in places), seconds)


def _call(prepared: Prepared, settings: Settings, shipped: payload.Shipped, place: int) -> Call:
    main = prepared.main
    assert main.arguments is not None
    current = Current(
        job=prepared.name,
        index=place,
        partition_key=main.parts[place].key,
        attempt=1,
        node=NODE,
        transferable=main.transferable,
        idempotency_key=f"{prepared.uid}/{main.name}/{place}",
    )
    first = sum(part.items for part in main.parts[:place])
    what = f"partition {place} of {prepared.name}"
    return Call(what, main.mode, shipped, (main.arguments[place].body(),), current, Here(settings.max_result), first)


def spread(total: int, number: int) -> list[int]:
    """``number`` places out of ``total``, from the first to the last and evenly in between; all if there are fewer."""
    if number >= total:
        return list(range(total))
    if number == 1:
        return [0]
    return [round(place * (total - 1) / (number - 1)) for place in range(number)]
