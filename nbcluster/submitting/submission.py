"""From functions and inputs to steps that are checked and packed; nothing is written here."""

from __future__ import annotations

import itertools
import logging
import secrets
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from nbcluster import payload
from nbcluster.config import Settings, parse_size
from nbcluster.errors import InputError, TooLarge
from nbcluster.lifecycle import CALLBACKS, StepKind
from nbcluster.partitioners.base import Nodes, Part, countable, positive
from nbcluster.partitioners.choosing import as_partitioner, cut
from nbcluster.payload import beside
from nbcluster.rows.target import Table, target_of
from nbcluster.strategies import AssignmentStrategy, choose_strategy
from nbcluster.submitting import caching, identity
from nbcluster.submitting.aggregators import aggregator
from nbcluster.submitting.options import (
    PRINTABLE,
    Options,
    Rules,
    address_of,
    caches,
    checked_callable,
    limit_of,
    priority_of,
    rules_of,
)

log = logging.getLogger(__name__)

MAIN = "map"
"""The one step of ``map`` and its siblings; its items are the job's items."""
AGGREGATE, ON_SUCCESS, ON_FAILURE = "aggregate", "on_success", "on_failure"
"""The names of the steps that these options make."""


@dataclass(frozen=True)
class PreparedStep:
    """A step that is checked and packed.

    ``arguments`` are None when the partitions get what the step ``input_of`` gave.
    ``own`` is the function object itself, for a step that the launcher runs.
    """

    name: str
    kind: StepKind
    mode: str
    function: bytes
    source: str
    parts: tuple[Part, ...] = ()
    arguments: tuple[payload.Packed, ...] | None = None
    strategy: AssignmentStrategy | None = None
    transferable: bool = True
    rules: Rules = field(default_factory=Rules)
    after: tuple[str, ...] = ()
    input_of: str | None = None
    own: Callable[..., Any] | None = None
    values_at: str | None = None
    """Where large values travel; None for the place that the database says."""
    refers: frozenset[str] = frozenset()
    """Modules that its function and its arguments refer to by name, wherever those are from."""
    shipped: frozenset[str] | None = frozenset()
    """Packages that went with the function; None when no module is to travel besides."""
    modules: beside.Bundled | None = None
    """The modules beside the notebook that travel."""
    code_id: str = ""
    inputs_id: str = ""
    """Digests of what the function is and of what it is given; empty in a job without a name."""
    into: Table | None = None
    cache_keys: tuple[str | None, ...] = ()
    """What each partition computes, as a digest, or None where that cannot be told; empty without ``cache=True``."""


@dataclass(frozen=True)
class Prepared:
    """A job that is checked and packed, ready to be stored."""

    name: str
    uid: str
    steps: tuple[PreparedStep, ...]
    main: PreparedStep
    named: bool
    fresh: bool = False
    priority: int = 0
    max_errors: int | None = None

    @classmethod
    def of(cls, name: str, steps: Sequence[PreparedStep], options: Options) -> Prepared:
        """The job of these steps.  Its items are those of the last one, callbacks and ``aggregate=`` aside."""
        # What one step gives may be of a module that another step's function never names.
        names = frozenset().union(*(step.refers for step in steps))
        with_modules = [replace(step, modules=_bundled(names, step.shipped)) for step in steps]
        ordinary = [step for step in with_modules if step.kind not in CALLBACKS]
        return cls(
            name=name,
            uid=secrets.token_hex(16),
            steps=tuple(with_modules),
            main=next((step for step in ordinary if step.name == MAIN and options.aggregate is not None), ordinary[-1]),
            named=options.name is not None,
            fresh=options.fresh,
            priority=priority_of(options),
            max_errors=limit_of(options),
        )

    @property
    def key(self) -> str:
        """What tells this instance from others of its name; a job without a name is like no other."""
        if not self.named:
            return self.uid
        return identity.combined(
            (
                (step.name, step.kind.value, step.mode, step.after, step.input_of, step.code_id, step.inputs_id)
                + (() if step.into is None else (step.into.name, step.into.if_exists, step.into.url))
            )
            for step in self.steps
        )


def prepare(function: Any, source: Any, mode: str, options: Options, nodes: Nodes, settings: Settings) -> Prepared:
    """Check and pack a job of one mapped step; nothing is written before all of it is known to be good.

    Raises InputError or PayloadError with one sentence.
    """
    main = prepare_step(MAIN, function, source, mode, options, nodes, settings)
    steps = [main]
    if options.aggregate is not None:
        steps.append(aggregating(AGGREGATE, options.aggregate, MAIN, options, settings))
    steps += callbacks(options, settings)
    return Prepared.of(checked_name(options.name, function), steps, options)


def prepare_step(
    name: str, function: Any, source: Any, mode: str, options: Options, nodes: Nodes, settings: Settings
) -> PreparedStep:
    """A step with a split of its own."""
    if not callable(function):
        raise InputError(f"the first argument must be a function, not {type(function).__name__}")
    strategy = choose_strategy(options.strategy, options.nodes)
    rules = rules_of(options)
    into = target_of(options.into, options.if_exists)
    if into is not None and caches(options):
        raise InputError(
            f"cache=True takes results over without running anything, which would write no row into {into.name!r}; "
            "leave cache= or into= away"
        )
    parts, given = _split(source, mode, options, nodes)
    step = packed(name, StepKind.PARTITIONED, mode, function, options, settings, into=into)
    with payload.noticing() as named:
        arguments = _pack_parts(parts, mode)
    keys: tuple[str | None, ...] = ()
    if caches(options):
        with payload.by_value(payload.modules_of(payload.modules_named(options.ship))):
            keys = caching.keys_of(function, mode, parts)
    return replace(
        step,
        parts=tuple(parts),
        arguments=arguments,
        refers=step.refers | named,
        strategy=strategy,
        transferable=options.transferable,
        rules=rules,
        inputs_id=identity.of_inputs(given) if options.name is not None else "",
        cache_keys=keys,
    )


def packed(
    name: str,
    kind: StepKind,
    mode: str,
    function: Any,
    options: Options,
    settings: Settings,
    into: Table | None = None,
    **more: Any,
) -> PreparedStep:
    """A step with its function packed, and identified if the job has a name."""
    limit = settings.max_capture if options.max_capture is None else parse_size(options.max_capture, "max_capture")
    modules = payload.modules_of(payload.modules_named(options.ship))
    shipped = None if options.ship is False else frozenset(name.partition(".")[0] for name in modules)
    with payload.by_value(modules):  # what travels with the function counts as it is, and not by its name
        code_id = identity.of_function(function) if options.name is not None else ""
    source = options.source if options.source is not None and name == MAIN else source_of(function)
    with payload.noticing() as named:
        body = payload.pack_function(function, limit, modules, into)
    _check_size(_bundled(named, shipped), limit)
    return PreparedStep(
        name=name,
        kind=kind,
        mode=mode,
        function=body,
        source=source,
        refers=frozenset(named),
        shipped=shipped,
        code_id=code_id,
        values_at=address_of(options, settings),
        into=into,
        **more,
    )


def _bundled(names: Collection[str], shipped: frozenset[str] | None) -> beside.Bundled | None:
    return None if shipped is None else beside.bundled(names, shipped)


def _check_size(modules: beside.Bundled | None, limit: int) -> None:
    if modules is None or len(modules.body) <= limit:
        return
    size, most = payload.format_size(len(modules.body)), max(modules.files, key=lambda file: file.size)
    raise TooLarge(
        f"the modules beside the notebook that the function imports ({len(modules.files)}, together {size}) exceed "
        f"max_capture ({payload.format_size(limit)}), the largest being {most.name} ({payload.format_size(most.size)});"
        " install them on the nodes and say ship=False, or raise the limit with max_capture (--max-capture 2GB)"
    )


def aggregating(name: str, how: Any, of: str, options: Options, settings: Settings) -> PreparedStep:
    """The step that folds the values of the step ``of``."""
    function = aggregator(how)
    one = (Part(name, 1, None),)
    # Tried again like an item; where and for how long the items run says nothing of the fold.
    rules = replace(rules_of(options), timeout=None, require=())
    step = packed(
        name, StepKind.AGGREGATE, payload.VALUES, function, options, settings, parts=one, after=(of,), input_of=of
    )
    return replace(step, rules=rules)


def callbacks(options: Options, settings: Settings) -> list[PreparedStep]:
    """The steps that are told how everything ended."""
    found = []
    for name, kind in ((ON_SUCCESS, StepKind.ON_SUCCESS), (ON_FAILURE, StepKind.ON_FAILURE)):
        function = getattr(options, name)
        if function is not None:
            checked_callable(function, name)
            found.append(packed(name, kind, payload.OUTCOME, function, options, settings))
    return found


def _split(source: Any, mode: str, options: Options, nodes: Nodes) -> tuple[Sequence[Part], Any]:
    """The parts, and what was split as it counts: it can be read again, which an iterator cannot."""
    if options.chunk is not None and options.partitions is not None:
        raise InputError("give chunk= or partitions=, not both")
    if mode == payload.CALL:
        positive(options.partitions, "partitions")
        return [Part("call", 1, source)], source
    partitioner = as_partitioner(source)
    if caches(options):
        nodes = Nodes(caching.PARTITIONS, 1, caching.PARTITIONS)  # equal inputs are cut alike whatever nodes there are
    parts = cut(partitioner, nodes, options.chunk, options.partitions)
    given = source if hasattr(source, "dtype") else partitioner.identity(parts)
    if not parts:
        log.warning("%s", partitioner.nothing())
    if mode == payload.PARTITION:
        # The function is called once with a part: that is one item, however many rows the part has.
        return [Part(part.key, 1, part.value) for part in parts], given
    parts = [Part(part.key, 1, [part.value]) if part.single else part for part in parts]
    for place, part in enumerate(parts):
        if not countable(part.value):
            raise InputError(
                f"part {place} of the split is a {type(part.value).__name__}, which is no sequence of items; "
                "use map_partitions, which calls the function once with each part"
            )
        if mode == payload.STAR and not all(isinstance(item, (tuple, list)) for item in part.value):
            raise InputError("starmap needs a tuple of arguments for each call, for example [(1, 2), (3, 4)]")
    return parts, given


def _pack_parts(parts: Sequence[Part], mode: str) -> tuple[payload.Packed, ...]:
    packed, first = [], 0
    for part in parts:
        names = _argument_names(part.value) if mode == payload.CALL else (f"item {n}" for n in itertools.count(first))
        packed.append(payload.pack_arguments(part.value, names, f"partition {part.key}"))
        first += part.items
    return tuple(packed)


def _argument_names(call: tuple[Sequence[Any], dict[str, Any]]) -> Iterator[str]:
    yield from (f"argument {place}" for place in range(1, len(call[0]) + 1))
    yield from (f"argument {name!r}" for name in call[1])


def checked_name(name: str | None, function: Any) -> str:
    """The name of a job: what was given, checked, or one made from the function's."""
    if name is None:
        own = getattr(function, "__name__", "")
        return f"{own if own.isidentifier() else 'map'}-{secrets.token_hex(3)}"
    if not isinstance(name, str) or not PRINTABLE.fullmatch(name) or name.strip() != name or name.isdigit():
        raise InputError(
            f"{str(name)[:60]!r} cannot name a job; use 1 to 100 printable characters that are not only digits"
        )
    return name


def source_of(function: Any) -> str:
    """The text of a function; empty when there is none."""
    import inspect

    try:
        return inspect.getsource(function)
    except (OSError, TypeError):
        return ""
