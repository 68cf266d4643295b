"""From a function and an input to a stored job: pack, split, assign, sign, submit."""

from __future__ import annotations

import getpass
import hashlib
import itertools
import os
import re
import secrets
import socket
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, SupportsIndex

from nbcluster import payload
from nbcluster.config import Settings, parse_size
from nbcluster.errors import InputError
from nbcluster.labels import fits, labels_of
from nbcluster.lifecycle import JobStatus
from nbcluster.member import PYTHON
from nbcluster.partitioner import Part, as_partitioner, choose_partitions, countable, with_chunk
from nbcluster.records import JobRow, NewJob, NewPartition, NewStep, Node, Signed
from nbcluster.store import Store
from nbcluster.store.jobs import Submitted
from nbcluster.strategies import Assignment, AssignmentStrategy, Candidate, Planned, choose_strategy

_NAME = re.compile(r"[^\x00-\x1f\x7f\ud800-\udfff]{1,100}")
_STEP = "map"


@dataclass(frozen=True, kw_only=True)
class Options:
    """What ``map`` and its siblings take besides the function and the input."""

    name: str | None = None
    chunk: int | None = None
    partitions: int | None = None
    strategy: Any = "round_robin"
    nodes: int | None = None
    transferable: bool = True
    max_capture: Any = None
    source: str | None = None


@dataclass(frozen=True)
class Prepared:
    """A job that is checked and packed, ready to be stored."""

    name: str
    uid: str
    mode: str
    function: bytes
    parts: tuple[Part, ...]
    arguments: tuple[bytes, ...]
    strategy: AssignmentStrategy
    transferable: bool
    source: str


def prepare(function: Any, source: Any, mode: str, options: Options, slots: int, settings: Settings) -> Prepared:
    """Check and pack everything; nothing is written before all of it is known to be good.

    Raises InputError or PayloadError with one sentence.
    """
    if not callable(function):
        raise InputError(f"the first argument must be a function, not {type(function).__name__}")
    strategy = choose_strategy(options.strategy, options.nodes)
    wanted = _wanted_partitions(options, slots)
    parts = _split(source, mode, options, wanted)
    limit = settings.max_capture if options.max_capture is None else parse_size(options.max_capture, "max_capture")
    packed = payload.pack_function(function, limit)
    arguments = _pack_parts(parts, mode)
    return Prepared(
        name=_checked_name(options.name, function),
        uid=secrets.token_hex(16),
        mode=mode,
        function=packed,
        parts=tuple(parts),
        arguments=arguments,
        strategy=strategy,
        transferable=options.transferable,
        source=options.source if options.source is not None else _source_of(function),
    )


def _wanted_partitions(options: Options, slots: int) -> int:
    if options.chunk is not None and options.partitions is not None:
        raise InputError("give chunk= or partitions=, not both")
    if options.partitions is not None and (not isinstance(options.partitions, SupportsIndex) or options.partitions < 1):
        raise InputError(f"partitions is {options.partitions!r}; it must be a whole number of at least 1")
    return choose_partitions(slots, options.partitions)


def _split(source: Any, mode: str, options: Options, wanted: int) -> Sequence[Part]:
    if mode == payload.CALL:
        return [Part("call", 1, source)]
    parts = with_chunk(as_partitioner(source), options.chunk).parts(wanted)
    if mode == payload.PARTITION:
        # The function is called once with a part: that is one item, however many rows the part has.
        return [Part(part.key, 1, part.value) for part in parts]
    for place, part in enumerate(parts):
        if not countable(part.value):
            raise InputError(
                f"part {place} of the split is a {type(part.value).__name__}, which is no sequence of items; "
                "use map_partitions, which calls the function once with each part"
            )
        if mode == payload.STAR and not all(isinstance(item, (tuple, list)) for item in part.value):
            raise InputError("starmap needs a tuple of arguments for each call, for example [(1, 2), (3, 4)]")
    return parts


def _pack_parts(parts: Sequence[Part], mode: str) -> tuple[bytes, ...]:
    packed, first = [], 0
    for part in parts:
        names = _argument_names(part.value) if mode == payload.CALL else (f"item {n}" for n in itertools.count(first))
        packed.append(payload.pack_arguments(part.value, names, f"partition {part.key}"))
        first += part.items
    return tuple(packed)


def _argument_names(call: tuple[Sequence[Any], dict[str, Any]]) -> Iterator[str]:
    yield from (f"argument {place}" for place in range(1, len(call[0]) + 1))
    yield from (f"argument {name!r}" for name in call[1])


def _checked_name(name: str | None, function: Any) -> str:
    if name is None:
        own = getattr(function, "__name__", "")
        return f"{own if own.isidentifier() else 'map'}-{secrets.token_hex(3)}"
    if not isinstance(name, str) or not _NAME.fullmatch(name) or name.strip() != name or name.isdigit():
        raise InputError(
            f"{str(name)[:60]!r} cannot name a job; use 1 to 100 printable characters that are not only digits"
        )
    return name


def _source_of(function: Any) -> str:
    import inspect

    try:
        return inspect.getsource(function)
    except (OSError, TypeError):
        return ""


def candidates(nodes: Sequence[Node], python: str = PYTHON, require: Sequence[str] = ()) -> list[Candidate]:
    """The live nodes that could run a job of this Python version with these requirements."""
    able = [n for n in nodes if n.python == python and fits(require, labels_of(n.node_id, n.host, n.labels))]
    return [Candidate(node.node_id, node.slots, node.busy) for node in able]


def store_job(store: Store, prepared: Prepared, settings: Settings, master: str, alive: Sequence[Candidate]) -> JobRow:
    """Assign, sign and store; gives the job as it now is."""
    planned = [Planned(index, part.key, part.items) for index, part in enumerate(prepared.parts)]
    assignment = prepared.strategy.assign(planned, alive)
    job = NewJob(
        name=prepared.name,
        uid=prepared.uid,
        user=user_name(),
        host=socket.gethostname()[:200],
        master_node_id=master,
        steps=(_step(store, prepared, settings, assignment),),
        main_step=_STEP,
        key=prepared.uid,
    )
    return _as_row(job, prepared, store.jobs.create(job))


def _as_row(job: NewJob, prepared: Prepared, stored: Submitted) -> JobRow:
    return JobRow(
        job_execution_id=stored.job_execution_id,
        name=job.name,
        user=job.user,
        host=job.host,
        status=JobStatus.STARTED,
        stop_requested=False,
        strategy=job.steps[0].strategy,
        mode=job.steps[0].mode,
        transferable=prepared.transferable,
        python=job.steps[0].python,
        uid=job.uid,
        step_execution_id=stored.step_execution_id,
        step_name=job.steps[0].name,
        master_node_id=job.master_node_id,
        term=1,
        source=job.steps[0].source,
        created=stored.created,
        ended=None,
        elapsed=0.0,
        items=sum(part.items for part in prepared.parts),
        items_done=0,
        items_failed=0,
        partitions=len(prepared.parts),
        partitions_done=0,
    )


def _step(store: Store, prepared: Prepared, settings: Settings, assignment: Assignment) -> NewStep:
    mac = store.signer.sign("function", prepared.uid, _STEP, body=prepared.function)
    return NewStep(
        name=_STEP,
        mode=prepared.mode,
        strategy=prepared.strategy.name,
        function=Signed(prepared.function, mac),
        function_id=hashlib.sha256(prepared.function).hexdigest(),
        source=_storable(prepared.source),
        python=PYTHON,
        max_attempts=settings.max_attempts,
        max_result=settings.max_result,
        max_log=settings.max_log,
        fixed_nodes=assignment.only,
        fixed_count=assignment.count,
        transferable=prepared.transferable,
        partitions=tuple(_partitions(store, prepared, assignment)),
    )


def _partitions(store: Store, prepared: Prepared, assignment: Assignment) -> list[NewPartition]:
    sign: Callable[..., bytes] = store.signer.sign
    return [
        NewPartition(
            index=index,
            key=_key(part.key, index),
            items=part.items,
            arguments=Signed(body, sign("arguments", prepared.uid, _STEP, index, body=body)),
            assigned_node=owner,
            transferable=prepared.transferable,
        )
        for index, (part, body, owner) in enumerate(
            zip(prepared.parts, prepared.arguments, assignment.owners, strict=True)
        )
    ]


def _key(key: str, index: int) -> str:
    """A key that every database stores: printable, at most 100 characters, unique by its index."""
    plain = _storable(key)
    return plain if len(plain) <= 100 else f"{plain[:80]}#{index}"


def _storable(text: str) -> str:
    """Text without what some databases refuse: NUL and lone surrogates."""
    return text.replace("\0", "\\0").encode("utf-8", "backslashreplace").decode()


def user_name() -> str:
    """Who submits."""
    try:
        return getpass.getuser()[:100]
    except (KeyError, OSError):
        return str(os.getuid())
