"""Looking at a whole cluster: who is there, what runs, what is wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nbcluster.config import Settings, parse_duration
from nbcluster.diagnosing.diagnosis import Diagnosis
from nbcluster.diagnosing.examining import examine, findings
from nbcluster.errors import UnknownJob
from nbcluster.lifecycle import JobStatus
from nbcluster.past import Past, past_of
from nbcluster.records import JobRow, Node
from nbcluster.snapshots.cluster import ClusterSnapshot, take_cluster_snapshot
from nbcluster.snapshots.job import Overview
from nbcluster.store import Store
from nbcluster.submitting.storing import user_name

if TYPE_CHECKING:
    import pandas as pd


class Overseeing:
    """What a cluster is asked about itself; changes nothing."""

    store: Store
    settings: Settings
    url_origin: str
    """Where the URL comes from, as ``config.origin_of`` says it."""

    def workers(self) -> list[Node]:
        """The nodes that take work now."""
        return list(self.store.nodes.workers(self.settings.unreachable_node_threshold))

    def nodes(self, all: bool = False) -> pd.DataFrame:
        """One row a node, by the database's clock; ``all`` shows kernels too."""
        from nbcluster.frames import nodes_frame

        return nodes_frame(node for node in self.store.nodes.observed() if all or node.slots)

    def jobs(self, all: bool = False, since: str | float | None = None) -> pd.DataFrame:
        """The newest 50 jobs and every running one; ``all`` shows the newest 1000.

        ``since``, in seconds or as "7d", shows instead what was submitted in that time (1000 at most).
        """
        from nbcluster.frames import jobs_frame

        age = None if since is None else parse_duration(since, "since")
        return jobs_frame(self.store.views.listed(1000 if all else 50, age))

    def shares(self) -> pd.DataFrame:
        """One row a value that somebody shared and nobody deleted: id, user, size (bytes), created (UTC)."""
        from nbcluster.frames import shares_frame

        return shares_frame(self.store.shared.all())

    def as_of(self, time: Any) -> Past:
        """Nodes and partitions as they were: ``nc.as_of("14:05").nodes()``, ``nc.as_of("10m").partitions("scores")``.

        ``time`` is a datetime, a text ("14:05" today, "2026-11-22 14:05"; in the zone of this process unless it names
        one), or how long ago ("10m", seconds, a timedelta).  Raises InputError for a time that has not come yet, and
        for one before all that is recorded.
        """
        return past_of(self.store, time, self.row_called)

    def row_called(self, name_or_id: str | int) -> JobRow:
        """The newest job of that name, or the one with that id.  Raises UnknownJob."""
        wanted = str(name_or_id).strip()
        number = int(wanted) if wanted.isdecimal() and len(wanted) < 19 else None  # ids have 64 bits
        row = self.store.views.job_named(wanted) if number is None else self.store.views.job(number)
        if row is None:
            known = ", ".join(dict.fromkeys(job.name for job in self.store.views.jobs(running_only=False, limit=5)))
            hint = f"the latest are {known}" if known else "no job was submitted here yet"
            raise UnknownJob(f"there is no job {wanted!r} in {self.store.url}; {hint}")
        return row

    def job_names(self) -> list[str]:
        """Names of the newest jobs, for completion."""
        return list(dict.fromkeys(row.name for row in self.store.views.jobs(running_only=False, limit=50)))

    def node_names(self) -> list[str]:
        """What ``drain`` takes, for completion: names of nodes, then their ids."""
        workers = [node for node in self.store.nodes.all() if node.slots]
        return list(dict.fromkeys([*(node.name for node in workers), *(node.node_id for node in workers)]))

    def overview(self) -> Overview:
        """The numbers of the one-line status."""
        workers = self.workers()
        running, me = self.store.views.jobs(running_only=True), user_name()
        return Overview(
            url=self.store.url,
            nodes=len(workers),
            slots=sum(node.slots for node in workers),
            running_jobs=sum(row.status is JobStatus.STARTED for row in running),
            waiting_partitions=self.store.views.waiting(),
            mine=tuple((r.name, r.items_done, r.items) for r in running if r.user == me),
        )

    def snapshot(self) -> ClusterSnapshot:
        """Everything that ``watch()`` shows, as plain values."""
        return take_cluster_snapshot(self.store, self.settings.unreachable_node_threshold)

    def doctor(self) -> Diagnosis:
        """Examine everything that work here rests on; each finding that is not ok has its cure.

        The database and where its URL comes from, the time of a round trip, the clocks, the
        rights of this login, tables and key; the nodes, and how their Python, nbcluster and
        packages differ from this process's; the jobs that are held up.
        """
        return examine(lambda: findings(self.store, self.settings, self.url_origin))
