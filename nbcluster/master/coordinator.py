"""Ending the jobs of one master."""

from __future__ import annotations

import logging

from nbcluster.store import Store

log = logging.getLogger(__name__)


def finish_complete_jobs(store: Store, node_id: str) -> int:
    """End every job of this master that has no open partition; gives how many are left running."""
    left = 0
    for job_id, step_id, term in store.coordination.mastered_by(node_id):
        status = store.coordination.finish_if_complete(job_id, step_id, term)
        if status is None:
            left += 1
        else:
            log.info("job %d ended %s", job_id, status)
    return left
