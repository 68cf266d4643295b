"""A job that is not wanted any more: every row of it goes, and then the values that only it referred to."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from sqlalchemy import ColumnElement, Connection, Select, delete, or_, select

from nbcluster.depot.names import is_reference
from nbcluster.lifecycle import JOB_FINAL, JobStatus
from nbcluster.records import Reference
from nbcluster.store.engine import BULK, Database
from nbcluster.store.tables import (
    attempts,
    cached,
    checkpoints,
    coordination,
    events,
    job_execution,
    job_execution_params,
    job_instance,
    logs,
    partitions,
    payloads,
    results,
    shared,
    step_execution,
    targets,
)


@dataclass(frozen=True, slots=True)
class Deleted:
    """What became of a job that was to be deleted.

    ``running`` and ``takers`` say why it is still there: executions that have not ended, and jobs that took over
    results of it.  ``left`` are the values that no row refers to any more.
    """

    executions: int = 0
    running: int = 0
    takers: tuple[int, ...] = ()
    left: tuple[Reference, ...] = field(default=())


class Deletions:
    """Removing jobs."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def delete(self, uid: str) -> Deleted:
        """Delete all executions of a job, in one transaction; nothing when one runs or another job needs its results.

        The values that ``left`` names are for the caller to remove.
        """
        return self._database.write(lambda connection: _delete(connection, uid), patience=BULK)


def _delete(connection: Connection, uid: str) -> Deleted:
    found = connection.execute(
        select(job_execution.c.job_execution_id, job_execution.c.job_instance_id, job_execution.c.status)
        .where(job_execution.c.job_uid == uid)
        .with_for_update()  # of two who delete it, or one who resumes it, the second sees what the first did
    ).all()
    running = sum(JobStatus(row.status) not in JOB_FINAL for row in found)
    if not found or running:
        return Deleted(running=running)
    jobs = [row.job_execution_id for row in found]
    mine = select(partitions.c.step_execution_id).where(partitions.c.job_execution_id.in_(jobs))
    # Whoever takes a result over holds its entry: after this nobody new does, and who did is seen below.
    connection.execute(delete(cached).where(cached.c.step_execution_id.in_(mine)))
    takers = connection.execute(
        select(partitions.c.job_execution_id)
        .where(partitions.c.result_of.in_(mine), partitions.c.job_execution_id.not_in(jobs))
        .distinct()
        .order_by(partitions.c.job_execution_id)
    ).scalars()
    if needing := tuple(takers):
        connection.rollback()
        return Deleted(takers=needing)
    apart, contents = _values(connection, uid, jobs, mine)
    _delete_rows(connection, uid, jobs, mine, {row.job_instance_id for row in found})
    _delete_contents(connection, contents)
    return Deleted(executions=len(jobs), left=tuple(apart))


def _values(
    connection: Connection, uid: str, jobs: Sequence[int], mine: Select[tuple[int]]
) -> tuple[set[Reference], set[str]]:
    """What its rows refer to: values with a name of their own, and contents that others may refer to as well."""
    place = step_execution.c.values_at
    step = partitions.join(step_execution, step_execution.c.step_execution_id == partitions.c.master_step_execution_id)
    own = partitions.c.job_execution_id.in_(jobs)
    result = step.join(results, results.c.step_execution_id == partitions.c.step_execution_id)
    statements = (
        select(results.c.payload_id, place).select_from(result).where(own, results.c.payload_id.is_not(None)),
        select(partitions.c.arguments_payload, place)
        .select_from(step)
        .where(own, partitions.c.arguments_payload.is_not(None)),
        select(checkpoints.c.payload_id, place)
        .join(step_execution, step_execution.c.step_name == checkpoints.c.step_name)
        .where(
            checkpoints.c.job_uid == uid,
            checkpoints.c.payload_id.is_not(None),
            step_execution.c.job_execution_id.in_(jobs),
        ),
    )
    named = {(row[0], row[1]) for statement in statements for row in connection.execute(statement)}
    steps = select(step_execution.c.function_id, step_execution.c.bundle_id).where(
        step_execution.c.job_execution_id.in_(jobs)
    )
    contents = {name for row in connection.execute(steps) for name in row if name is not None}
    contents |= {name for name, _ in named if not is_reference(name)}
    return {Reference(name, at) for name, at in named if is_reference(name)}, contents


def _delete_rows(
    connection: Connection, uid: str, jobs: Sequence[int], mine: Select[tuple[int]], instances: Iterable[int]
) -> None:
    for table in (logs, attempts, results):
        connection.execute(delete(table).where(table.c.step_execution_id.in_(mine)))
    for table in (checkpoints, targets):
        connection.execute(delete(table).where(table.c.job_uid == uid))
    for table in (partitions, coordination, step_execution, job_execution_params, events, job_execution):
        connection.execute(delete(table).where(table.c.job_execution_id.in_(jobs)))
    others = select(job_execution.c.job_instance_id).where(
        job_execution.c.job_instance_id == job_instance.c.job_instance_id
    )
    connection.execute(
        delete(job_instance).where(job_instance.c.job_instance_id.in_(list(instances)), ~others.exists())
    )


def _delete_contents(connection: Connection, names: Iterable[str]) -> None:
    """Delete what is stored by its content, unless somebody else refers to it."""
    for name in sorted(names):
        # Who stores the same content at this moment holds it until their reference can be seen, or waits for us.
        held = select(payloads.c.chunk).where(payloads.c.payload_id == name).with_for_update()
        connection.execute(held).all()
        if connection.execute(select(payloads.c.chunk).where(payloads.c.payload_id == name, _referred(name))).first():
            continue
        connection.execute(delete(payloads).where(payloads.c.payload_id == name))


def _referred(name: str) -> ColumnElement[bool]:
    columns = (
        step_execution.c.function_id, step_execution.c.bundle_id, results.c.payload_id, partitions.c.arguments_payload,
        checkpoints.c.payload_id, shared.c.payload_id,
    )  # fmt: skip
    return or_(*(select(column).where(column == name).exists() for column in columns))
