"""Who is master of a running job, and its one end.

The launcher takes the lease (``term`` 1) with the submission.  Whoever takes over
raises the term, and every write of a master names the term it was given, so the
writes of a former master change nothing.
"""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import Connection, exists, func, insert, select, update

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

        def work(connection: Connection) -> JobStatus | None:
            self._cancel_left_over(connection, job_id)
            still_open = exists().where(partitions.c.master_step_execution_id == step_id, partitions.c.status.in_(OPEN))
            if connection.scalar(select(still_open)):
                return None
            status = self._outcome(connection, job_id, step_id)
            now = self._dialect.now()
            mine = connection.execute(
                update(coordination)
                .where(
                    coordination.c.job_execution_id == job_id,
                    coordination.c.master_step_execution_id == step_id,
                    coordination.c.term == term,
                    coordination.c.status.in_(job_sources(status)),
                )
                .values(status=status, last_updated=now)
            ).rowcount
            if not mine:
                return None
            self._end_rows(connection, job_id, step_id, status)
            self._database.announce(connection, [job_topic(job_id)])
            return status

        return self._database.write(work)

    def _cancel_left_over(self, connection: Connection, job_id: int) -> None:
        """In a job that was asked to stop, what was handed back meanwhile will never be claimed."""
        stop = select(job_execution.c.stop_requested).where(job_execution.c.job_execution_id == job_id)
        if connection.scalar(stop):
            self._releases.cancel_pending(connection, job_id)

    def _outcome(self, connection: Connection, job_id: int, step_id: int) -> JobStatus:
        failed, cancelled = connection.execute(
            select(
                func.count(),
                func.count().filter(partitions.c.exit_code == ExitCode.CANCELLED),
            ).where(partitions.c.master_step_execution_id == step_id, partitions.c.status == PartitionStatus.FAILED)
        ).one()
        stop = connection.scalar(
            select(job_execution.c.stop_requested).where(job_execution.c.job_execution_id == job_id)
        )
        return final_job_status(failed=failed, stop_requested=bool(stop), cancelled=cancelled)

    def _end_rows(self, connection: Connection, job_id: int, step_id: int, status: JobStatus) -> None:
        now = self._dialect.now()
        ended = {"status": status, "exit_code": status.value, "end_time": now, "last_updated": now}
        connection.execute(
            update(step_execution)
            .where(step_execution.c.step_execution_id == step_id, step_execution.c.status.in_(job_sources(status)))
            .values(**ended)
        )
        connection.execute(
            update(job_execution)
            .where(job_execution.c.job_execution_id == job_id, job_execution.c.status.in_(job_sources(status)))
            .values(**ended)
        )
        connection.execute(insert(events).values(event_time=now, phase="COMPLETION_DETECTED", job_execution_id=job_id))
