"""From a prepared job to a stored one: assign, sign, submit; or find the run of the same instance."""

from __future__ import annotations

import getpass
import hashlib
import logging
import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from nbcluster.cachedresult import CachedResult
from nbcluster.config import Settings
from nbcluster.errors import InputError, UnknownJob
from nbcluster.errortext import storable
from nbcluster.labels import fits, labels_of
from nbcluster.lifecycle import CALLBACKS, JobStatus, StepKind
from nbcluster.member import PYTHON
from nbcluster.newjob import NewJob, NewPartition, NewStep
from nbcluster.payload.beside import Bundled
from nbcluster.records import JobRow, Node, Signed, StepRow
from nbcluster.signing import sign_key
from nbcluster.store import Store
from nbcluster.store.jobs import Submitted
from nbcluster.strategies import Assignment, Candidate, Planned
from nbcluster.submitting.caching import taken
from nbcluster.submitting.sending import Sent, signed
from nbcluster.submitting.submission import Prepared, PreparedStep

log = logging.getLogger(__name__)

LOCAL, ANYBODY = "local", "scale_up"
"""The strategies of a step that the launcher runs, and of one that is a single partition for whoever is free."""

_LOOKS = 5


@dataclass(frozen=True, slots=True)
class Stored:
    """The job as it is now.  ``found`` is how the run that was there already stood; None for a new one."""

    row: JobRow
    found: JobStatus | None = None
    note: str | None = None
    whole: bool = False
    """Whether the cache had every partition of its only step: there is nothing to run."""


def candidates(nodes: Sequence[Node], python: str = PYTHON, require: Sequence[str] = ()) -> list[Candidate]:
    """The live nodes that could run a job of this Python version with these requirements."""
    able = [n for n in nodes if n.python == python and fits(require, labels_of(n.node_id, n.host, n.labels))]
    return [Candidate(node.node_id, node.slots, node.busy) for node in able]


def store_job(store: Store, prepared: Prepared, settings: Settings, master: str, nodes: Sequence[Node]) -> Stored:
    """Assign, sign and store; or attach to the run of the same instance, going on with it if it ended early."""
    with Sent(store) as sent:
        job = _job(prepared, settings, master, sent, nodes)
        for _ in range(_LOOKS):
            submitted = store.jobs.create(job)
            if submitted.found is None:
                sent.keep()
                _warn_of_changed(prepared)
                return _new(job, prepared, submitted)
            if submitted.found not in (JobStatus.FAILED, JobStatus.STOPPED):
                break
            own = any(step.own is not None for step in prepared.steps)
            resumed = store.jobs.resume(submitted.job_execution_id, master, own_local=own)
            if resumed is not None:
                done = len(store.steps.completed(submitted.step_execution_id))  # of the new one more may be done by now
                return _resumed(row_of(store, resumed.job_execution_id), submitted, done)
            # Another kernel was quicker to go on with it: that run is what the next look finds.
        return _attached(row_of(store, submitted.job_execution_id), submitted)


def _job(prepared: Prepared, settings: Settings, master: str, sent: Sent, nodes: Sequence[Node]) -> NewJob:
    return NewJob(
        name=prepared.name,
        uid=prepared.uid,
        user=user_name(),
        host=socket.gethostname()[:200],
        master_node_id=master,
        steps=tuple(_step(sent, prepared, step, settings, master, nodes) for step in prepared.steps),
        main_step=prepared.main.name,
        key=prepared.key,
        fresh=prepared.fresh,
        priority=prepared.priority,
        max_errors=prepared.max_errors,
        parameters=_parameters(prepared) if prepared.named else (),
    )


_told_of: set[str] = set()


def _warn_of_changed(prepared: Prepared) -> None:
    """Say once of each version that the nodes run another text of a module than this process does."""
    for modules in {step.modules.id: step.modules for step in prepared.steps if step.modules is not None}.values():
        if modules.changed and modules.id not in _told_of:
            _told_of.add(modules.id)
            log.warning(
                "changed since they were imported here: %s; the nodes run what is in the files now, and so does this "
                "process after importlib.reload() or a restart",
                ", ".join(modules.changed),
            )


def _new(job: NewJob, prepared: Prepared, submitted: Submitted) -> Stored:
    parts = [part for step in job.steps for part in step.partitions]
    number = sum(part.cached is not None for part in parts)
    note = f"{job.name}: {number} of {len(parts)} partitions have their results from the cache" if number else None
    return Stored(_as_row(job, prepared, submitted), None, note, whole=number == len(parts) > 0)


_SAME = "same code and inputs"


def _attached(row: JobRow, submitted: Submitted) -> Stored:
    paused = "it is paused and resume() lets it go on, " if row.paused and row.status is JobStatus.STARTED else ""
    note = f"{row.name}: re-attached to the run of {_clock(submitted.created)}, {paused}{_SAME}"
    return Stored(row, submitted.found, note)


def _resumed(row: JobRow, submitted: Submitted, completed: int) -> Stored:
    how = "failed" if submitted.found is JobStatus.FAILED else "was stopped"
    done = f"with {completed} of {row.partitions} partitions done"
    note = f"{row.name}: goes on with the run of {_clock(submitted.created)} that {how}, {done}, {_SAME}"
    return Stored(row, submitted.found, note)


def _clock(moment: datetime) -> str:
    """A time as its reader's clock shows it; with the date unless it is today's."""
    here = moment.astimezone()
    today = datetime.now(here.tzinfo).date()
    return f"{here:%H:%M}" if here.date() == today else f"{here:%Y-%m-%d %H:%M}"


def row_of(store: Store, job_id: int) -> JobRow:
    """A job that must be there.  Raises UnknownJob."""
    row = store.views.job(job_id)
    if row is None:
        raise UnknownJob(f"job {job_id} is gone")
    return row


def _parameters(prepared: Prepared) -> tuple[tuple[str, str, bool], ...]:
    """What the instance is made from, and what does not matter to it: (name, value, identifying)."""
    rows = []
    for step in prepared.steps:
        at = "" if step is prepared.main else f"{step.name}."
        rows += [(f"{at}code"[:100], step.code_id, True), (f"{at}mode"[:100], step.mode, True)]
        if step.inputs_id:
            rows.append((f"{at}inputs"[:100], step.inputs_id, True))
        if step.into is not None:
            rows.append((f"{at}into"[:100], repr(step.into), True))
        rows.append((f"{at}strategy"[:100], _strategy_name(step), False))
    rows.append(("user", user_name(), False))
    return tuple({name: (name, value, known) for name, value, known in rows}.values())


def _strategy_name(step: PreparedStep) -> str:
    if step.strategy is not None:
        return step.strategy.name
    return LOCAL if step.kind is StepKind.LOCAL else ANYBODY


def _step(
    sent: Sent,
    prepared: Prepared,
    step: PreparedStep,
    settings: Settings,
    master: str,
    nodes: Sequence[Node],
) -> NewStep:
    cached = _cached(sent.store, prepared, step)
    planned = [Planned(n, part.key, part.items) for n, part in enumerate(step.parts) if cached[n] is None]
    owner = master if step.kind is StepKind.LOCAL else None
    assignment = Assignment((owner,) * len(planned))
    if step.strategy is not None:
        assignment = step.strategy.assign(planned, candidates(nodes, require=step.rules.require))
    if step.into is not None and step.into.url is not None and sent.store.database.is_at(step.into.url):
        raise InputError(
            f"that is the cluster's own database: write into={step.into.name!r}, and each row is there exactly once"
        )
    mac = sent.store.signer.sign("function", prepared.uid, step.name, body=step.function)
    made = NewStep(
        name=step.name,
        mode=step.mode,
        strategy=_strategy_name(step),
        function=Signed(step.function, mac),
        function_id=hashlib.sha256(step.function).hexdigest(),
        source=storable(step.source),
        python=PYTHON,
        max_attempts=settings.max_attempts,
        max_result=settings.max_result,
        max_log=settings.max_log,
        fixed_nodes=assignment.only,
        fixed_count=assignment.count,
        transferable=step.transferable,
        kind=step.kind,
        after=step.after,
        input_of=step.input_of,
        retries=step.rules.retries,
        retry_on=step.rules.retry_on,
        retry_wait=step.rules.retry_wait,
        timeout=step.rules.timeout,
        require=step.rules.require,
        into_table=None if step.into is None or step.into.url is not None else step.into.name,
        if_exists="fail" if step.into is None else step.into.if_exists,
        # A callback gets its partition when it is known that it runs.
        partitions=() if step.kind in CALLBACKS else tuple(_partitions(sent, prepared.uid, step, assignment, cached)),
        values_at=step.values_at,
    )
    return made if step.modules is None else _with_modules(made, sent.store, prepared.uid, step.modules)


def _with_modules(step: NewStep, store: Store, uid: str, modules: Bundled) -> NewStep:
    """The step with the modules that travel, signed for it."""
    mac = store.signer.sign("modules", uid, step.name, body=modules.body)
    return replace(step, bundle_id=modules.id, bundle_mac=mac, bundle=modules.body)


def _cached(store: Store, prepared: Prepared, step: PreparedStep) -> Sequence[CachedResult | None]:
    """What the cache has for each partition.  A fresh run takes nothing, nor what waits for other steps."""
    if not any(step.cache_keys) or prepared.fresh or step.after:
        return (None,) * len(step.parts)
    return taken(store, step.cache_keys)


def _partitions(
    sent: Sent, uid: str, step: PreparedStep, assignment: Assignment, cached: Sequence[CachedResult | None]
) -> list[NewPartition]:
    signer = sent.store.signer
    given = step.arguments if step.arguments is not None else (None,) * len(step.parts)
    large = sent.send(given, step.values_at)
    keys = step.cache_keys or (None,) * len(step.parts)
    owners = iter(assignment.owners)
    return [
        NewPartition(
            index=index,
            key=_key(part.key, index),
            items=part.items,
            arguments=signed(signer, packed, reference, uid, step.name, index),
            arguments_payload=reference,
            assigned_node=next(owners) if found is None else None,
            transferable=step.transferable,
            cache_key=key,
            cache_mac=None if key is None else sign_key(signer, uid, step.name, index, key=key),
            cached=found,
        )
        for index, (part, packed, reference, key, found) in enumerate(
            zip(step.parts, given, large, keys, cached, strict=True)
        )
    ]


def _as_row(job: NewJob, prepared: Prepared, stored: Submitted) -> JobRow:
    main = next(step for step in job.steps if step.name == job.main_step)
    return JobRow(
        job_execution_id=stored.job_execution_id,
        name=job.name,
        user=job.user,
        host=job.host,
        status=JobStatus.STARTED,
        stop_requested=False,
        strategy=main.strategy,
        mode=main.mode,
        transferable=main.transferable,
        python=main.python,
        uid=job.uid,
        step_execution_id=stored.step_execution_id,
        step_name=main.name,
        master_node_id=job.master_node_id,
        term=1,
        source=main.source,
        created=stored.created,
        ended=None,
        elapsed=0.0,
        items=sum(part.items for part in prepared.main.parts),
        items_done=0,
        items_failed=0,
        partitions=len(prepared.main.parts),
        partitions_done=0,
        input_of=main.input_of,
    )


def only_step(row: JobRow) -> StepRow:
    """The step of a job that has no other, as its row tells it."""
    return StepRow(
        step_execution_id=row.step_execution_id,
        name=row.step_name,
        kind=StepKind.PARTITIONED,
        status=row.status,
        mode=row.mode,
        strategy=row.strategy,
        source=row.source,
        after=(),
        input_of=None,
        not_run=False,
    )


def _key(key: str, index: int) -> str:
    """A key that every database stores: printable, at most 100 characters, unique by its index."""
    plain = storable(key)
    return plain if len(plain) <= 100 else f"{plain[:80]}#{index}"


def user_name() -> str:
    """Who submits."""
    try:
        return getpass.getuser()[:100]
    except (KeyError, OSError):
        return str(os.getuid())
