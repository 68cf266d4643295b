"""The commands that change something: stop a job, go on with it, send a node away."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from nbcluster.cli.connecting import cluster_of, count
from nbcluster.errors import UsageError

if TYPE_CHECKING:
    from nbcluster.handle import JobHandle


def cancel(options: argparse.Namespace) -> int:
    """Stop a job and wait until nothing of it runs."""
    from nbcluster.cli.listing import clean

    with cluster_of(options) as cluster:
        job = cluster.job(options.job)
        name = clean(job.name)
        if job.done():
            print(f"{name} has ended already: {job.state}")
            return 0
        job.cancel(now=options.now)
        seen = job.snapshot()
    kept = f"{seen.items_done - seen.items_failed} of {count(seen.items, 'item')} are kept"
    further = f"; nbcluster resume {seen.job_id} goes on" if seen.status == "STOPPED" else ""
    print(f"{name}: {seen.status}, {kept}{further}")
    return 0


def pause(options: argparse.Namespace) -> int:
    """Begin no more of a job's partitions."""
    from nbcluster.cli.listing import clean

    with cluster_of(options) as cluster:
        job = cluster.job(options.job)
        job.pause()
        running = job.snapshot().partitions["CLAIMED"]
    still = f", {count(running, 'partition')} still running" if running else ""
    print(f"{clean(job.name)}: paused{still}; nbcluster resume {job.id} goes on")
    return 0


def resume(options: argparse.Namespace) -> int:
    """Go on with a job."""
    with cluster_of(options) as cluster:
        return _gone_on(cluster.job(options.job).resume())


def retry(options: argparse.Namespace) -> int:
    """Run failed partitions again."""
    with cluster_of(options) as cluster:
        job = cluster.job(options.job)
        return _gone_on(job.retry(None if options.partition is None else partition_number(options.partition)))


def drain(options: argparse.Namespace) -> int:
    """Let a node finish what it runs, and leave."""
    from nbcluster.cli.listing import clean

    with cluster_of(options) as cluster:
        drained = cluster.drain(options.node)
    print(f"{clean(', '.join(drained))} will finish what it runs, and then leave")
    return 0


def partition_number(text: str) -> int:
    """The number of a partition.  Raises UsageError."""
    if not text.isdecimal():
        raise UsageError(f"{text!r} is no partition number; they count from 0")
    return int(text)


def _gone_on(job: JobHandle) -> int:
    from nbcluster.cli.listing import clean

    seen = job.snapshot()
    left = seen.partitions["PENDING"] + seen.partitions["CLAIMED"]
    print(f"{clean(seen.name)} goes on as job {seen.job_id}: {count(left, 'partition')} to run")
    for obstacle in seen.obstacles:
        print(clean(obstacle))
    return 0
