"""Gathering what the doctor looks at, from the database and from this process."""

from __future__ import annotations

import sys
from collections.abc import Callable

from nbcluster import __version__, environment
from nbcluster.config import Settings
from nbcluster.diagnosing.checks import Facts, HeldUp, diagnose, not_connected
from nbcluster.diagnosing.diagnosis import Diagnosis
from nbcluster.diagnosing.differences import ThisProcess
from nbcluster.errors import NBClusterError
from nbcluster.member import PYTHON
from nbcluster.snapshots.cluster import held_up
from nbcluster.store import SCHEMA_VERSION, Store

_KEY_SHOWN = 12


def examine(work: Callable[[], Diagnosis]) -> Diagnosis:
    """What ``work`` finds, or that the database cannot be used."""
    try:
        return work()
    except NBClusterError as error:
        return not_connected(error)


def findings(store: Store, settings: Settings, origin: str, *, magic: str = "%nbcluster", given: str = "") -> Diagnosis:
    """Look at everything.  ``magic`` and ``given`` begin and end the commands of cures.

    Raises DatabaseError when the database goes away meanwhile.
    """
    return diagnose(gather(store, settings, origin, magic, given))


def gather(store: Store, settings: Settings, origin: str, magic: str, given: str) -> Facts:
    """The facts.  Raises DatabaseError."""
    silent_after = settings.unreachable_node_threshold
    return Facts(
        url=store.url,
        origin=origin,
        embedded=store.database.dialect.file is not None,
        checkup=store.checkups.look(),
        schema_version=SCHEMA_VERSION,
        key=store.signer.mark[:_KEY_SHOWN],
        nodes=tuple(store.nodes.observed()),
        silent_after=silent_after,
        python=PYTHON,
        version=__version__,
        here=this_process(),
        environments=store.environments.all(),
        running_jobs=store.overviews.running_jobs(),
        held_up=tuple(
            HeldUp(head.name, head.job_id, head.user, waiting, head.paused, reasons)
            for head, waiting, reasons in held_up(store, silent_after)
        ),
        magic=magic,
        given=given,
    )


def this_process() -> ThisProcess:
    """What is installed here, what the names of the notebook (or script) come from, and what is imported."""
    return ThisProcess(
        packages=environment.installed().packages,
        used=environment.used(vars(sys.modules["__main__"])),
        imported=environment.imported(),
    )
