"""The lease of a running job: who is its master, and what may be asked of it.

The launcher takes the lease (``term`` 1) with the submission.  Whoever takes over
raises the term, and every write of a master names the term it was given, so the
writes of a former master change nothing.  A job has one coordination row for each
step; those that are not final carry the lease and are always written together.
"""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import Connection, bindparam, exists, func, select, update

from nbcluster.lifecycle import PRESENT, JobStatus, Phase, StopRequest, job_sources
from nbcluster.store.engine import BULK, Database
from nbcluster.store.events import EventLog
from nbcluster.store.partitions.release import Releases
from nbcluster.store.tables import coordination, job_execution, nodes
from nbcluster.store.wakeup import WORK, job_topic

UNFINISHED = (JobStatus.CREATED.value, JobStatus.STARTED.value)


class Lease(NamedTuple):
    """That somebody is master of a running job: since which term, and how many of its steps have not ended."""

    job_id: int
    term: int
    open_steps: int


_MASTERED = (
    select(coordination.c.job_execution_id, func.max(coordination.c.term), func.count())
    .where(coordination.c.status.in_(UNFINISHED), coordination.c.master_node_id == bindparam("me"))
    .group_by(coordination.c.job_execution_id)
    .order_by(coordination.c.job_execution_id)
)


class Coordination:
    """``batch_job_coordination``: leases, and a user's wishes for a running job."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._dialect = database.dialect
        self._releases = Releases(database)
        self._events = EventLog(database)

    # --- what a user asks ---------------------------------------------------

    def request_stop(self, job_id: int, how: StopRequest = StopRequest.STOP) -> bool:
        """Ask a running job to stop: what is PENDING fails as CANCELLED now, what runs is stopped by its node.

        A stop that was asked for may become a stop NOW.  False when the job has ended, or
        was asked for more before.
        """

        def work(connection: Connection) -> bool:
            asked = connection.execute(
                update(job_execution)
                .where(
                    job_execution.c.job_execution_id == job_id,
                    job_execution.c.status.in_(job_sources(JobStatus.STOPPED)),
                    job_execution.c.stop_requested.in_(_weaker(how)),
                )
                .values(stop_requested=how, paused=0, last_updated=self._dialect.now())
            ).rowcount
            if not asked:
                return False
            self._events.record(connection, Phase.STOP_REQUESTED, job=job_id, detail=how.name)
            self._releases.cancel_pending(connection, job_id)
            self._database.announce(connection, [WORK, job_topic(job_id)])
            return True

        return self._database.write(work, patience=BULK)

    def pause(self, job_id: int, *, paused: bool) -> bool:
        """Keep the partitions of a running job from being claimed, or let them be claimed again.

        What runs, runs on.  False when the job has ended or is as asked already.
        """

        def work(connection: Connection) -> bool:
            changed = connection.execute(
                update(job_execution)
                .where(
                    job_execution.c.job_execution_id == job_id,
                    job_execution.c.status == JobStatus.STARTED,
                    job_execution.c.stop_requested == StopRequest.NONE,
                    job_execution.c.paused == int(not paused),
                )
                .values(paused=int(paused), last_updated=self._dialect.now())
            ).rowcount
            if changed:
                self._events.record(connection, Phase.PAUSED if paused else Phase.UNPAUSED, job=job_id)
                self._database.announce(connection, [WORK, job_topic(job_id)])
            return bool(changed)

        return self._database.write(work)

    def paused(self, job_id: int) -> bool:
        """Whether a running job is paused."""
        statement = select(job_execution.c.paused).where(
            job_execution.c.job_execution_id == job_id, job_execution.c.status == JobStatus.STARTED
        )
        return bool(self._database.read(lambda connection: connection.scalar(statement)))

    # --- the lease ----------------------------------------------------------

    def orphans(self, threshold: float) -> list[tuple[int, int]]:
        """Running jobs whose master is not there, or has not renewed its lease for so long: (job, term)."""
        lapsed = self._dialect.age(coordination.c.last_updated) > threshold
        gone = ~exists().where(nodes.c.node_id == coordination.c.master_node_id, nodes.c.status.in_(PRESENT))
        statement = (
            select(coordination.c.job_execution_id, func.max(coordination.c.term))
            .where(coordination.c.status.in_(UNFINISHED), lapsed | gone)
            .group_by(coordination.c.job_execution_id)
            .order_by(coordination.c.job_execution_id)
        )
        rows = self._database.read(lambda connection: connection.execute(statement).all())
        return [(row[0], row[1]) for row in rows]

    def mastered_by(self, node_id: str) -> list[Lease]:
        """The leases of this node's running jobs."""
        rows = self._database.read(lambda connection: connection.execute(_MASTERED, {"me": node_id}).all())
        return [Lease(*row) for row in rows]

    def take_over(self, job_id: int, term: int, node_id: str) -> bool:
        """Become master of a job if its term is still ``term``; the term rises by one."""

        def work(connection: Connection) -> bool:
            taken = connection.execute(
                update(coordination)
                .where(
                    coordination.c.job_execution_id == job_id,
                    coordination.c.term == term,
                    coordination.c.status.in_(UNFINISHED),
                )
                .values(master_node_id=node_id, term=term + 1, last_updated=self._dialect.now())
            ).rowcount
            if taken:
                self._events.record(connection, Phase.TAKEN_OVER, job=job_id, node=node_id, term=term + 1)
            return bool(taken)

        return self._database.write(work)


def _weaker(how: StopRequest) -> list[int]:
    """The requests that ``how`` may repeat or replace: a user's wish replaces a limit, and NOW replaces all."""
    order = [StopRequest.NONE, StopRequest.TOO_MANY_ERRORS, StopRequest.STOP, StopRequest.NOW]
    return [int(one) for one in order[: order.index(how) + 1]]
