"""Jobs of several steps: said in order, checked as they are said, stored all at once by ``run``."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self

from nbcluster import payload
from nbcluster.errors import InputError, PayloadError
from nbcluster.lifecycle import StepKind
from nbcluster.partitioners.base import Part
from nbcluster.rows.target import Table, target_of
from nbcluster.strategies import choose_strategy
from nbcluster.submitting import identity
from nbcluster.submitting.options import PRINTABLE, Options, caches, checked_callable, options_from, rules_of
from nbcluster.submitting.submission import (
    ON_FAILURE,
    ON_SUCCESS,
    Prepared,
    PreparedStep,
    aggregating,
    callbacks,
    checked_name,
    packed,
    prepare_step,
    source_of,
)
from nbcluster.tied import TiedToLauncher

if TYPE_CHECKING:
    from nbcluster.api import Cluster
    from nbcluster.handle import JobHandle

_STEP_OPTIONS = (
    "chunk", "partitions", "strategy", "nodes", "transferable", "max_capture", "retries", "retry_on", "retry_wait",
    "timeout", "require", "pin", "ship", "into", "if_exists", "results", "cache",
)  # fmt: skip

After = str | Iterable[str] | None


class Pipeline:
    """A job of several steps.

    A step starts when every step in its ``after`` is COMPLETED: by default the one said before
    it, else the named one or ones; ``after=[]`` starts at once.  What follows a step that did
    not complete is not started.  Nothing is stored and nothing runs before ``run()``.

    The job's items, and so ``results()`` and ``frame()`` of its handle, are those of the last
    step (callbacks aside); ``job.step(name)`` gives those of any other.
    """

    def __init__(self, cluster: Cluster, name: str | None = None) -> None:
        self._cluster = cluster
        self._name = None if name is None else checked_name(name, None)
        self._steps: list[PreparedStep] = []
        self._callbacks: dict[str, Callable[..., Any]] = {}

    def __repr__(self) -> str:
        told = ", ".join(step.name for step in self._steps) or "no step yet"
        return f"<Pipeline {self._name or 'without a name'}: {told}>"

    # --- steps ------------------------------------------------------------------

    def map(
        self, name: str, function: Callable[..., Any], items: Any = None, after: After = None, **options: Any
    ) -> Self:
        """Call ``function(item)`` for each item, on the nodes; options as in ``Cluster.map``.

        Without ``items`` it takes the values of the one step before it, partition by partition.
        """
        return self._mapped(name, function, items, after, payload.ITEMS, options)

    def starmap(
        self, name: str, function: Callable[..., Any], items: Any = None, after: After = None, **options: Any
    ) -> Self:
        """Like ``map``, with ``function(*item)``."""
        return self._mapped(name, function, items, after, payload.STAR, options)

    def map_partitions(
        self, name: str, function: Callable[..., Any], parts: Any = None, after: After = None, **options: Any
    ) -> Self:
        """Call ``function(part)`` once for each part of the split.

        Without ``parts`` a part is the list of the values of a partition of the step before it;
        after another ``map_partitions`` it is the value that this one gave.
        """
        return self._mapped(name, function, parts, after, payload.PARTITION, options)

    def local(self, name: str, function: Callable[..., Any], after: After = None) -> Self:
        """Run ``function`` in this process while it lives, else on a node.

        It gets the list of the values of the one step before it, or nothing without one.  A
        function that cannot be pickled runs all the same, as long as this process lives.
        """
        before = self._before(name, after)
        checked_callable(function, "the function of a local step")
        of = before[0] if len(before) == 1 else None
        mode = payload.CALL if of is None else payload.VALUES
        step = self._packed_local(name, mode, function)
        given = None if of is not None else (payload.pack(((), {})),)
        return self._add(
            replace(step, parts=(Part(name, 1, None),), arguments=given, after=before, input_of=of, own=function)
        )

    def aggregate(self, name: str, function: Callable[[list[Any]], Any] | str, after: After = None) -> Self:
        """Fold the list of all values of the one step before it, on a node.

        ``function`` may be the name of a fold: list, sum, mean, min, max, count, concat, frame.
        """
        before = self._before(name, after)
        if len(before) != 1:
            raise InputError(f"step {name!r} aggregates the values of one step; name it with after=")
        step = aggregating(name, function, before[0], self._options(Options()), self._cluster.settings)
        return self._add(step)

    def on_success(self, function: Callable[..., Any]) -> Self:
        """Call ``function(outcome)`` once, on a node, when every step is COMPLETED."""
        self._callbacks[ON_SUCCESS] = checked_callable(function, ON_SUCCESS)
        return self

    def on_failure(self, function: Callable[..., Any]) -> Self:
        """Call ``function(outcome)`` once, on a node, when a step FAILED; not when the job was stopped."""
        self._callbacks[ON_FAILURE] = checked_callable(function, ON_FAILURE)
        return self

    # --- running ----------------------------------------------------------------

    def run(
        self, fresh: bool = False, priority: int = 0, max_errors: int | None = None, announce: bool = True
    ) -> JobHandle:
        """Store the job with all its steps; from then on nothing of it can be lost.

        A pipeline with a name is the same job when it is run again with the same steps: it is
        re-attached to, or gone on with at its first unfinished step, unless ``fresh``.
        """
        if not self._steps:
            raise InputError("this pipeline has no step; say what it does with map(), local() or aggregate()")
        options = self._options(
            Options(
                fresh=fresh,
                priority=priority,
                max_errors=max_errors,
                on_success=self._callbacks.get(ON_SUCCESS),
                on_failure=self._callbacks.get(ON_FAILURE),
            )
        )
        called = callbacks(options, self._cluster.settings)
        return self._cluster.submit_prepared(
            Prepared.of(self._name or f"pipeline-{secrets.token_hex(3)}", [*self._steps, *called], options),
            announce=announce,
        )

    def _mapped(self, name: str, function: Any, items: Any, after: After, mode: str, given: dict[str, Any]) -> Self:
        options = self._options(options_from(given, _STEP_OPTIONS))
        before = self._before(name, after)
        if items is not None:
            nodes = self._cluster.nodes_for(options)
            step = prepare_step(name, function, items, mode, options, nodes, self._cluster.settings)
            return self._add(replace(step, after=before))
        checked_callable(function, f"the function of step {name!r}")
        source = self._source_of(name, before, options)
        if mode == payload.PARTITION and source.mode == payload.PARTITION:
            mode = payload.ITEMS  # the one value of each part: the function gets it and no list of one
        sizes = [1 if mode == payload.PARTITION else part.items for part in source.parts]
        parts = tuple(Part(part.key, size, None) for part, size in zip(source.parts, sizes, strict=True))
        return self._add(
            replace(
                self._packed(
                    name, StepKind.PARTITIONED, mode, function, options, target_of(options.into, options.if_exists)
                ),
                parts=parts,
                strategy=choose_strategy(options.strategy, options.nodes),
                transferable=options.transferable,
                rules=rules_of(options),
                after=before,
                input_of=source.name,
            )
        )

    def _source_of(self, name: str, before: tuple[str, ...], options: Options) -> PreparedStep:
        """The step whose partitions are taken over."""
        if caches(options):
            raise InputError(
                f"step {name!r} gets what the step before it gives, which is not known yet; give it items=, or leave "
                "cache= away"
            )
        if options.chunk is not None or options.partitions is not None:
            raise InputError(f"step {name!r} takes over the partitions of the step before it; leave chunk= away")
        if len(before) != 1:
            raise InputError(f"step {name!r} has no items and no single step before it; give it items=")
        source = next(step for step in self._steps if step.name == before[0])
        if source.kind is not StepKind.PARTITIONED:
            raise InputError(
                f"step {name!r} cannot take over the partitions of {source.name!r}, which is one value; give it "
                "items=, or let it follow a map"
            )
        return source

    def _before(self, name: str, after: After) -> tuple[str, ...]:
        """The names of the steps that it follows, each of them known; its own name is checked too."""
        known = [step.name for step in self._steps]
        if name in (ON_SUCCESS, ON_FAILURE):
            raise InputError(f"{name!r} is the name of the callback's step; give this one another name")
        if not isinstance(name, str) or not PRINTABLE.fullmatch(name):
            raise InputError(f"{str(name)[:60]!r} cannot name a step; use 1 to 100 printable characters")
        if name in known:
            raise InputError(f"there is a step {name!r} already; give this one another name")
        if after is None:
            return tuple(known[-1:])
        wanted = (after,) if isinstance(after, str) else tuple(after)
        for one in wanted:
            if one not in known:
                told = f"the steps so far are {', '.join(known)}" if known else "it is the first step"
                raise InputError(f"step {name!r} cannot come after {str(one)[:60]!r}: {told}")
        return tuple(dict.fromkeys(wanted))

    def _options(self, options: Options) -> Options:
        return replace(options, name=self._name)

    def _packed(
        self, name: str, kind: StepKind, mode: str, function: Any, options: Options, into: Table | None = None
    ) -> PreparedStep:
        return packed(name, kind, mode, function, self._options(options), self._cluster.settings, into)

    def _packed_local(self, name: str, mode: str, function: Any) -> PreparedStep:
        """A function that cannot travel may still run here; a node that must take it over will say so."""
        try:
            return self._packed(name, StepKind.LOCAL, mode, function, Options())
        except PayloadError as error:
            step = self._packed(name, StepKind.LOCAL, mode, TiedToLauncher(name, str(error)), Options())
            code_id = identity.of_function(function) if self._name is not None else ""
            return replace(step, code_id=code_id, source=source_of(function))

    def _add(self, step: PreparedStep) -> Self:
        self._steps.append(step)
        return self
