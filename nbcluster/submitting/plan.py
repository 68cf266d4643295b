"""A job before it is one: checked, packed and assigned as if it were submitted, and nothing written."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from typing import Any

from nbcluster import payload
from nbcluster.cachedresult import CachedResult
from nbcluster.config import Settings, parse_size
from nbcluster.environment import distributions_of
from nbcluster.errors import InputError
from nbcluster.here import Call, Here
from nbcluster.labels import labels_of, missing
from nbcluster.lifecycle import NodeStatus
from nbcluster.member import PYTHON
from nbcluster.partitioners.base import Nodes, Part, Partitioner, countable
from nbcluster.partitioners.base import several as count_of
from nbcluster.partitioners.choosing import FromFunction, as_partitioner
from nbcluster.partitioners.handle import Handle
from nbcluster.payload import beside
from nbcluster.records import Node
from nbcluster.running import Current
from nbcluster.store import Store
from nbcluster.strategies import Planned
from nbcluster.submitting import caching, identity
from nbcluster.submitting.options import Options
from nbcluster.submitting.planned import Measured, NodePlan, PartPlan, Plan, remembered, sampled
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
    if mode != payload.CALL:
        source = as_partitioner(source)  # what can be read only once is split and described from here on
    prepared = prepare(function, source, mode, options, nodes, settings)
    main = prepared.main
    limit = settings.max_capture if options.max_capture is None else parse_size(options.max_capture, "max_capture")
    with payload.by_value(payload.modules_of(payload.modules_named(options.ship))):
        captures = tuple(payload.captures_of(function, limit))
        packages = _packages(function, main)
        code_id = identity.of_function(function)
    measured = _sampled(prepared, settings, sample) if sample else _remembered(store, code_id, main.function)
    known = caching.known(store, main.cache_keys).results if main.cache_keys and not options.fresh else ()
    parts = _part_plans(store, settings, main, known)
    modules = main.modules
    return Plan(
        # The name that would be made up has random letters: nothing to remember.
        name=prepared.name if options.name is not None else getattr(function, "__name__", "map"),
        strategy=main.strategy.name if main.strategy is not None else "",
        parts=parts,
        nodes=tuple(_node_plans(store, settings, main, parts, packages)),
        captures=captures,
        packages=packages,
        function_size=len(main.function),
        limit=limit,
        measured=measured,
        split="" if mode == payload.CALL else described(source),
        modules=modules.files if modules is not None else (),
        modules_size=len(modules.body) if modules is not None else 0,
        changed=modules.changed if modules is not None else (),
        caching=bool(main.cache_keys),
    )


def described(partitioner: Partitioner) -> str:
    """What a partitioner says of itself; its kind, if it says nothing."""
    kind = type(partitioner)
    if isinstance(partitioner, FromFunction):
        return f"what {getattr(partitioner.function, '__name__', 'a function')} gives"
    return kind.__name__ if kind.__repr__ is object.__repr__ else repr(partitioner)


def _packages(function: Any, main: PreparedStep) -> tuple[str, ...]:
    """The packages that the function and the modules that travel with it import, and that do not travel."""
    found = payload.packages_of(function)
    if main.modules is not None:
        travelling = {file.name.partition(".")[0] for file in main.modules.files}
        found = (found | beside.packages_beside(main.refers)) - travelling
    return tuple(sorted(found))


# --- who gets what --------------------------------------------------------------------


def _part_plans(
    store: Store, settings: Settings, main: PreparedStep, known: Sequence[CachedResult | None]
) -> tuple[PartPlan, ...]:
    """The partitions with who would run each: nobody those whose results are there."""
    assert main.strategy is not None
    left = [place for place in range(len(main.parts)) if not known or known[place] is None]
    planned = [Planned(place, main.parts[place].key, main.parts[place].items) for place in left]
    workers = store.nodes.workers(settings.unreachable_node_threshold)
    chosen = main.strategy.assign(planned, candidates(workers, require=main.rules.require)).owners
    owners = dict(zip(left, chosen, strict=True))
    assert main.arguments is not None
    sized = zip(main.parts, main.arguments, strict=True)
    return tuple(
        PartPlan(part.key, part.items, body.size, owners.get(place), place not in owners, _held(part, main.mode))
        for place, (part, body) in enumerate(sized)
    )


def _held(part: Part, mode: str) -> str:
    """How much there is in a part whose items do not tell: it is read where it arrives, or given as a whole."""
    several = list(part.value) if type(part.value) is list else [part.value]
    handles = [one for one in several if isinstance(one, Handle)]
    if handles:
        rows = [getattr(one, "rows", None) for one in handles]
        known = [count for count in rows if isinstance(count, int)]
        if len(known) == len(rows):
            return count_of(sum(known), "row")
        sizes = [one.reads for one in handles if one.reads is not None]
        return payload.format_size(sum(sizes)) if len(sizes) == len(handles) else ""
    if mode != payload.PARTITION or not countable(part.value):
        return ""
    return count_of(len(part.value), "row" if hasattr(part.value, "iloc") else "item")


def _node_plans(
    store: Store, settings: Settings, main: PreparedStep, parts: Sequence[PartPlan], packages: Sequence[str]
) -> list[NodePlan]:
    told = store.environments.all() if packages else {}
    homes = distributions_of(packages) if told else {}
    plans = []
    for node in store.nodes.all():
        if node.slots:
            mine = [part.items for part in parts if part.node == node.node_id]
            obstacle = obstacle_of(node, main.rules.require, settings.unreachable_node_threshold)
            has = told.get(node.environment or "")
            lacks = tuple(name for name, home in homes.items() if has is not None and not home & set(has.packages))
            plans.append(NodePlan(node.node_id, node.slots, len(mine), sum(mine), obstacle, lacks))
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


def _remembered(store: Store, code_id: str, function: bytes) -> Measured | None:
    speed = store.history.speed(code_id, hashlib.sha256(function).hexdigest())
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
