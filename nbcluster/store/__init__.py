"""The meeting place: the only package that talks to a database.

``open_store(url)`` gives a Store, the facade of the parts.  Each part answers one
question; statements are written once, and a dialect answers what differs.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from sqlalchemy import Connection

from nbcluster.config import LARGE_VALUE, state_directory
from nbcluster.errors import ConfigError
from nbcluster.signing import Signer, embedded_key, make_missing_key, shared_key
from nbcluster.store import schema
from nbcluster.store.advancing import Advancing
from nbcluster.store.asking import Asking
from nbcluster.store.cached import CachedResults
from nbcluster.store.checkups import Checkups
from nbcluster.store.coordination import Coordination
from nbcluster.store.deleting import Deletions
from nbcluster.store.engine import Database
from nbcluster.store.environments import Environments
from nbcluster.store.history import History
from nbcluster.store.jobs import JobRepository
from nbcluster.store.lookout import Lookout
from nbcluster.store.nodes import NodeRegistry
from nbcluster.store.outcomes import Outcomes
from nbcluster.store.overviews import Overviews
from nbcluster.store.partitions import Checkpoints, Claims, Finishes, Releases, Reports
from nbcluster.store.past import PastViews
from nbcluster.store.presence import Presence, presence_for
from nbcluster.store.shared import SharedInputs
from nbcluster.store.spans import Spans
from nbcluster.store.standing import Standings
from nbcluster.store.steps import StepViews
from nbcluster.store.tables import SCHEMA_VERSION
from nbcluster.store.transport import Transport
from nbcluster.store.upgrade import upgrade
from nbcluster.store.views import Views
from nbcluster.store.wakeup import MASTERS, Wakeup, wakeup_for

__all__ = ["SCHEMA_VERSION", "Store", "open_store"]

# What happens behind the scenes is for a node's log.  Without a handler Python would print it into whichever
# cell of a notebook is running.
log = logging.getLogger(__name__)
log.addHandler(logging.NullHandler())


@dataclass(frozen=True)
class Store:
    """The parts of one open database."""

    database: Database
    cluster_id: str
    signer: Signer
    nodes: NodeRegistry
    environments: Environments
    checkups: Checkups
    jobs: JobRepository
    coordination: Coordination
    advancing: Advancing
    claims: Claims
    checkpoints: Checkpoints
    reports: Reports
    finishes: Finishes
    releases: Releases
    outcomes: Outcomes
    transport: Transport
    cached: CachedResults
    shared: SharedInputs
    views: Views
    standings: Standings
    overviews: Overviews
    history: History
    spans: Spans
    asking: Asking
    deletions: Deletions
    past: PastViews
    steps: StepViews
    wakeup: Wakeup
    presence: Presence
    lookout: Lookout

    @property
    def url(self) -> str:
        """The URL as it may be shown."""
        return self.database.url

    @property
    def closed(self) -> bool:
        """Whether ``close`` was called."""
        return self.database.closed

    # What touches several parts commits in one transaction, or a crash between two would hide work for ever.

    def suspect(self, node_id: str, threshold: float | None) -> tuple[int, int] | None:
        """Mark a silent node UNREACHABLE and move its work: (moved, failed); None when it beat meanwhile.

        Without a ``threshold``: a node whose sign of life is gone; None when it says by now that it holds none.
        """

        def work(connection: Connection) -> tuple[int, int] | None:
            if threshold is None:
                marked = self.nodes.mark_vanished(connection, node_id)
            else:
                marked = self.nodes.mark_unreachable(connection, node_id, threshold)
            if not marked:
                return None
            self.jobs.drop_fixed_node(connection, node_id)
            return self.releases.release_lost(connection, node_id)

        return self.database.write(work)

    def remove_silent(self, node_id: str, threshold: float) -> bool:
        """Remove an UNREACHABLE node that stays silent, with whatever it still held."""

        def work(connection: Connection) -> bool:
            if not self.nodes.remove_silent(connection, node_id, threshold):
                return False
            self.releases.release_lost(connection, node_id)
            return True

        return self.database.write(work)

    def release_orphans(self) -> int:
        """Move what belongs to nodes that are not registered any more; gives how many partitions."""
        moved = 0
        for owner in self.database.read(self.releases.ownerless):
            moved += sum(self.database.write(partial(self.releases.release_lost, node_id=owner)))
        return moved

    def deregister(self, node_id: str) -> None:
        """An orderly end: what the node still holds or was assigned is free, and its row goes, at once."""

        def work(connection: Connection) -> None:
            self.jobs.drop_fixed_node(connection, node_id)
            self.releases.release_lost(connection, node_id)
            self.nodes.remove(connection, node_id)
            self.database.announce(connection, [MASTERS])

        self.database.write(work)

    def close(self) -> None:
        """Close every connection and stop listening."""
        self.transport.close()
        self.presence.close()
        self.wakeup.close()
        self.database.close()


def open_store(
    url: str,
    *,
    initialize: str = "embedded",
    key_file: str = "",
    pool_size: int = 2,
    spool: str = "",
    large_value: int = LARGE_VALUE,
) -> Store:
    """Connect, check the schema (and make it where ``initialize`` allows), find the key.

    ``spool`` is the folder for large values on their way; one in the user's state folder by default.
    ``large_value`` is the size in bytes above which values travel apart from their rows.

    Raises DatabaseUnreachable, LoginRefused, SchemaMissing, SchemaTooOld, SchemaTooNew or ConfigError,
    each with one sentence that says what to do.
    """
    database = Database(url, pool_size)
    embedded = database.dialect.file
    try:
        allowed = initialize == "always" or (initialize == "embedded" and embedded is not None)
        created = allowed and schema.create(database)
        if allowed and not created and (was := upgrade(database)) is not None:
            log.info("%s: the tables are upgraded from schema version %d to %d", database.url, was, SCHEMA_VERSION)
        signer = _signer(database, key_file, created=created)
    except BaseException:
        database.close()
        raise
    folder = Path(spool) if spool else state_directory() / "spool"
    return _store(database, signer, Transport(database, signer, folder, large_value))


def _store(database: Database, signer: Signer, transport: Transport) -> Store:
    """A store with its parts."""
    wakeup = wakeup_for(database)
    database.after_commit = wakeup.announce
    presence = presence_for(database, wakeup)
    return Store(
        database=database,
        cluster_id=signer.cluster_id,
        signer=signer,
        nodes=NodeRegistry(database),
        environments=Environments(database),
        checkups=Checkups(database),
        jobs=JobRepository(database),
        coordination=Coordination(database),
        advancing=Advancing(database),
        claims=Claims(database),
        checkpoints=Checkpoints(database),
        reports=Reports(database),
        finishes=Finishes(database),
        releases=Releases(database),
        outcomes=Outcomes(database),
        transport=transport,
        cached=CachedResults(database),
        shared=SharedInputs(database),
        views=Views(database),
        standings=Standings(database),
        overviews=Overviews(database),
        history=History(database),
        spans=Spans(database),
        asking=Asking(database),
        deletions=Deletions(database),
        past=PastViews(database),
        steps=StepViews(database),
        wakeup=wakeup,
        presence=presence,
        lookout=Lookout(database, presence),
    )


def _signer(database: Database, key_file: str, *, created: bool) -> Signer:
    """The signer with the cluster's key.  Whoever made the tables of a shared database makes its key, as init does.

    Raises SchemaMissing, SchemaTooOld, SchemaTooNew or ConfigError.
    """
    cluster_id = schema.check(database)
    embedded = database.dialect.file
    if embedded is not None:
        key = embedded_key(embedded)
    else:
        if created:
            make_missing_key(cluster_id, key_file)
        key = shared_key(cluster_id, key_file)
    signer = Signer(cluster_id, key)
    if created and embedded is None:
        schema.record_key(database, signer.mark)
    if schema.key_mark(database) not in (None, signer.mark):
        raise ConfigError(
            f"the key on this machine is not that of {database.url}: copy the file {cluster_id}.key from a machine "
            "whose nodes work, or name the right one with NBCLUSTER_KEY_FILE"
        )
    return signer
