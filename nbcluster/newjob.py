"""A job on its way into the database.  Plain values."""

from __future__ import annotations

from dataclasses import dataclass

from nbcluster.cachedresult import CachedResult
from nbcluster.lifecycle import StepKind
from nbcluster.records import Signed


@dataclass(frozen=True, slots=True)
class NewPartition:
    """One piece of a split, before it is stored: its key, its arguments and its wished owner.

    ``arguments`` is None when it gets what an earlier step gives.
    """

    index: int
    key: str
    items: int
    arguments: Signed | None
    assigned_node: str | None = None
    transferable: bool = True
    cache_key: str | None = None
    cache_mac: bytes | None = None
    cached: CachedResult | None = None
    """The result that it takes over instead of being run, if that is still there when it is stored."""
    arguments_payload: str | None = None
    """Refers to large arguments, which are stored already; the body of ``arguments`` is empty then."""


@dataclass(frozen=True, slots=True)
class NewStep:
    """The step of a job to be stored: the function and how its partitions are given out."""

    name: str
    mode: str
    strategy: str
    function: Signed
    function_id: str
    source: str
    python: str
    max_attempts: int
    max_result: int
    max_log: int
    fixed_nodes: tuple[str, ...] | None = None
    fixed_count: int | None = None
    transferable: bool = True
    kind: StepKind = StepKind.PARTITIONED
    after: tuple[str, ...] = ()
    input_of: str | None = None
    retries: int = 0
    retry_on: tuple[str, ...] | None = None
    retry_wait: float = 1.0
    timeout: float | None = None
    require: tuple[str, ...] = ()
    into_table: str | None = None
    if_exists: str = "fail"
    values_at: str | None = None
    bundle_id: str | None = None
    bundle_mac: bytes | None = None
    bundle: bytes | None = None
    """The modules that travel: what is stored under ``bundle_id``, unless it is there already."""
    partitions: tuple[NewPartition, ...] = ()


@dataclass(frozen=True, slots=True)
class NewJob:
    """A job as it is submitted: everything that appears together or not at all.

    ``key`` identifies the instance among those of its name; ``fresh`` asks for a new
    execution even when the instance has one.
    """

    name: str
    uid: str
    user: str
    host: str
    master_node_id: str
    steps: tuple[NewStep, ...]
    main_step: str
    key: str
    fresh: bool = False
    priority: int = 0
    max_errors: int | None = None
    parameters: tuple[tuple[str, str, bool], ...] = ()
    """(name, value, whether it is part of the instance's identity)."""
