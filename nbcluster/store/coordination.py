"""Who is master of a running job, and its one end.

The launcher takes the lease (``term`` 1) with the submission.  Whoever takes over
raises the term, and every write of a master names the term it was given, so the
writes of a former master change nothing.
"""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import ColumnElement, Connection, bindparam, case, func, insert, select, update

from nbcluster.lifecycle import (
    OPEN,
    ExitCode,
    JobStatus,
    PartitionStatus,
    final_job_status,
    job_sources,
)
from nbcluster.store.engine import Database
from nbcluster.store.partitions.release import Releases
from nbcluster.store.tables import coordination, events, job_execution, partitions, step_execution
from nbcluster.store.wakeup import WORK, job_topic


class Coordination:
    """``batch_job_coordination``, and the end of what it coordinates."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._dialect = database.dialect
        self._releases = Releases(database)
        self._build()

    def _build(self) -> None:
        """The statements that end a job, built once."""
        now = self._dialect.now()

        def number(condition: ColumnElement[bool]) -> ColumnElement[int]:
            return func.coalesce(func.sum(case((condition, 1), else_=0)), 0)

        stop = select(job_execution.c.stop_requested).where(job_execution.c.job_execution_id == bindparam("job"))
        self._count = select(
            stop.scalar_subquery(),
            number(partitions.c.status.in_(OPEN)),
            number(partitions.c.status == PartitionStatus.FAILED.value),
            number(partitions.c.exit_code == ExitCode.CANCELLED.value),
        ).where(partitions.c.master_step_execution_id == bindparam("step"))
        running = [status.value for status in job_sources(JobStatus.COMPLETED)]
        self._end_coordination = (
            update(coordination)
            .where(
                coordination.c.job_execution_id == bindparam("job"),
                coordination.c.master_step_execution_id == bindparam("step"),
                coordination.c.term == bindparam("its_term"),
                coordination.c.status.in_(running),
            )
            .values(status=bindparam("status"), last_updated=now)
        )
        ended = {
            "status": bindparam("status"),
            "exit_code": bindparam("exit_code"),
            "end_time": now,
            "last_updated": now,
        }
        self._end_step = (
            update(step_execution)
            .where(step_execution.c.step_execution_id == bindparam("step"), step_execution.c.status.in_(running))
            .values(**ended)
        )
        self._end_job = (
            update(job_execution)
            .where(job_execution.c.job_execution_id == bindparam("job"), job_execution.c.status.in_(running))
            .values(**ended)
        )
        self._completion = insert(events).values(event_time=now, phase="COMPLETION_DETECTED")

    def request_stop(self, job_id: int) -> bool:
        """Ask a running job to stop: what is PENDING fails as CANCELLED now, what runs is stopped by its node."""

        def work(connection: Connection) -> bool:
            asked = connection.execute(
                update(job_execution)
                .where(
                    job_execution.c.job_execution_id == job_id,
                    job_execution.c.status.in_(job_sources(JobStatus.STOPPED)),
                )
                .values(stop_requested=1, last_updated=self._dialect.now())
            ).rowcount
            if not asked:
                return False
            self._releases.cancel_pending(connection, job_id)
            self._database.announce(connection, [WORK, job_topic(job_id)])
            return True

        return self._database.write(work)

    def orphans(self, threshold: float, nodes_present: Iterable[str]) -> list[tuple[int, int, int]]:
        """Running jobs whose master is gone or silent: (job, step, term)."""
        lapsed = self._dialect.age(coordination.c.last_updated) > threshold
        gone = coordination.c.master_node_id.not_in(list(nodes_present))
        statement = select(
            coordination.c.job_execution_id, coordination.c.master_step_execution_id, coordination.c.term
        ).where(coordination.c.status == JobStatus.STARTED, lapsed | gone)
        rows = self._database.read(lambda connection: connection.execute(statement).all())
        return [(row[0], row[1], row[2]) for row in rows]

    def mastered_by(self, node_id: str) -> list[tuple[int, int, int]]:
        """Running jobs of which this node is master: (job, step, term)."""
        statement = select(
            coordination.c.job_execution_id, coordination.c.master_step_execution_id, coordination.c.term
        ).where(coordination.c.status == JobStatus.STARTED, coordination.c.master_node_id == node_id)
        rows = self._database.read(lambda connection: connection.execute(statement).all())
        return [(row[0], row[1], row[2]) for row in rows]

    def take_over(self, job_id: int, step_id: int, term: int, node_id: str) -> bool:
        """Become master of a job if its term is still ``term``; the term rises by one."""

        def work(connection: Connection) -> bool:
            now = self._dialect.now()
            taken = connection.execute(
                update(coordination)
                .where(
                    coordination.c.job_execution_id == job_id,
                    coordination.c.master_step_execution_id == step_id,
                    coordination.c.term == term,
                    coordination.c.status == JobStatus.STARTED,
                )
                .values(master_node_id=node_id, term=term + 1, last_updated=now)
            ).rowcount
            if taken:
                connection.execute(
                    insert(events).values(
                        event_time=now,
                        phase="TAKEN_OVER",
                        job_execution_id=job_id,
                        node_id=node_id,
                        detail=f"term {term + 1}",
                    )
                )
            return bool(taken)

        return self._database.write(work)

    def finish_if_complete(self, job_id: int, step_id: int, term: int) -> JobStatus | None:
        """End a job that has no open partition; None while it has, or when another is master now.

        Completeness is a query, never a counter.  Final partitions stay final, so what
        the query saw holds whenever this transaction commits.
        """
        named = {"job": job_id, "step": step_id, "its_term": term}

        def work(connection: Connection) -> JobStatus | None:
            stop, still_open, failed, cancelled = connection.execute(self._count, named).one()
            if stop and still_open:
                # What was handed back since the stop was asked for will never be claimed.
                self._releases.cancel_pending(connection, job_id)
                stop, still_open, failed, cancelled = connection.execute(self._count, named).one()
            if still_open:
                return None
            status = final_job_status(failed=failed, stop_requested=bool(stop), cancelled=cancelled)
            ended = named | {"status": status.value, "exit_code": status.value}
            if not connection.execute(self._end_coordination, ended).rowcount:
                return None
            connection.execute(self._end_step, ended)
            connection.execute(self._end_job, ended)
            connection.execute(self._completion, {"job_execution_id": job_id})
            self._database.announce(connection, [job_topic(job_id)])
            return status

        return self._database.write(work)
