"""Adopting jobs whose master is gone.  They go on in place: nothing is computed again."""

from __future__ import annotations

import logging

from nbcluster.store import Store

log = logging.getLogger(__name__)


def adopt_orphans(store: Store, node_id: str, threshold: float) -> list[tuple[int, int]]:
    """Become master of running jobs whose lease lapsed; gives those, with their new terms.

    Two nodes may try at once: the compare-and-set on the term lets one of them win.
    """
    adopted = []
    for job_id, term in store.coordination.orphans(threshold):
        if store.coordination.take_over(job_id, term, node_id):
            log.warning("job %d: its master is gone; this node is its master now (term %d)", job_id, term + 1)
            adopted.append((job_id, term + 1))
    return adopted
