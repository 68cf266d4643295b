"""Moving the jobs of one master on."""

from __future__ import annotations

import logging

from nbcluster.store import Store

log = logging.getLogger(__name__)


def advance_jobs(store: Store, node_id: str) -> int:
    """Start and end what is due in every job of this master; gives how many are left running."""
    left = 0
    for job_id, term in store.coordination.mastered_by(node_id):
        status = store.advancing.advance(job_id, term)
        if status is None:
            left += 1
        else:
            log.info("job %d ended %s", job_id, status)
    return left
