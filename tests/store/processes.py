"""What other processes do in a race, each with a store and connections of its own."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from nbcluster.newjob import NewJob
from nbcluster.records import StepToRun
from nbcluster.store import Store, open_store
from tests.builders import completed
from tests.store.acts import register, silence, take
from tests.waiting import wait_until


@dataclass(frozen=True)
class Start:
    """Where racers wait for each other."""

    folder: str
    racers: int

    def line_up(self, name: str) -> None:
        """Go on when everybody is here."""
        Path(self.folder, name).touch()
        wait_until(lambda: len(os.listdir(self.folder)) >= self.racers, message="the other racers", interval=0.001)

    def let_another_in(self, name: str) -> None:
        """Go on when somebody else has tried too: however slow the machine, it is a race."""
        Path(self.folder, f"{name}.began").touch()
        wait_until(lambda: len(os.listdir(self.folder)) >= self.racers + 2, message="another racer", interval=0.001)


@contextmanager
def opened(url: str, name: str = "", start: Start | None = None) -> Iterator[Store]:
    """An open store, when everybody has one."""
    store = open_store(url)
    try:
        if start is not None:
            start.line_up(name)
        yield store
    finally:
        store.close()


def race(processes: Executor, racers: int, work: Callable[..., Any], *arguments: Any) -> list[Any]:
    """``work(*arguments, name, start)`` in several processes, all from the same moment on."""
    with tempfile.TemporaryDirectory() as folder:
        start = Start(folder, racers)
        running = [processes.submit(work, *arguments, f"racer{number}-1", start) for number in range(racers)]
        return [one.result(60) for one in running]


def started_step(store: Store, step_id: int) -> StepToRun:
    return next(step for step in store.jobs.started_steps() if step.step_execution_id == step_id)


def create_schema(url: str, name: str, start: Start) -> str:
    """Open a database that nobody has used; gives the cluster's id."""
    start.line_up(name)
    store = open_store(url, initialize="always")
    try:
        return store.cluster_id
    finally:
        store.close()


def claim_all(url: str, step_id: int, limit: int, name: str, start: Start) -> list[tuple[int, int]]:
    """Claim until there is nothing left; gives (partition, attempt) of each."""
    taken = []
    with opened(url, name, start) as store:
        step = started_step(store, step_id)
        claims = take(store, step, name, limit)
        start.let_another_in(name)
        while claims:
            taken += [(claim.partition_id, claim.attempt) for claim in claims]
            claims = take(store, step, name, limit)
    return taken


def run_all(url: str, step_id: int, limit: int, name: str, start: Start) -> int:
    """Claim and finish until there is nothing left; gives how many were accepted."""
    accepted = 0
    with opened(url, name, start) as store:
        step = started_step(store, step_id)
        while claims := take(store, step, name, limit):
            accepted += len(store.finishes.finish([completed(claim, name.encode()) for claim in claims]))
    return accepted


def suspect(url: str, node_id: str, name: str, start: Start) -> tuple[int, int] | None:
    """Find a node silent; gives what was moved, or nothing when another was quicker."""
    with opened(url, name, start) as store:
        return store.suspect(node_id, 10)


def take_over(url: str, job_id: int, term: int, name: str, start: Start) -> bool:
    """Become master; whether it succeeded."""
    with opened(url, name, start) as store:
        return store.coordination.take_over(job_id, term, name)


def nodes_seen(url: str) -> list[str]:
    """Who is registered, as another process sees it."""
    with opened(url) as store:
        return [node.node_id for node in store.nodes.all()]


def register_elsewhere(url: str, zone: str, node_id: str, silent_for: float) -> None:
    """Register a node from a machine in another time zone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TZ", zone)
        patch.setenv("PGTZ", zone)
        time.tzset()
        with opened(url) as store:
            register(store, node_id)
            silence(store, node_id, silent_for)
    time.tzset()


def submit_named(url: str, job: NewJob, name: str, start: Start) -> tuple[int, str | None]:
    """Submit a job as a kernel of its own; gives its id and the state of the run that was there."""
    with opened(url, name, start) as store:
        submitted = store.jobs.create(replace(job, uid=name, master_node_id=name))
        return submitted.job_execution_id, submitted.found
