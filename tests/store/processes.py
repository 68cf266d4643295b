"""What other processes do in a race, each with a store and connections of its own."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from typing import Any

import pytest

from nbcluster.store import Store, open_store
from tests.builders import completed
from tests.store.acts import register, silence, take

START_TOGETHER = 0.3


@contextmanager
def opened(url: str, begin: float) -> Iterator[Store]:
    """An open store, at the moment ``begin``."""
    store = open_store(url)
    try:
        _wait_for(begin)
        yield store
    finally:
        store.close()


def _wait_for(begin: float) -> None:
    while time.time() < begin:  # the racers' own start, not a result that is waited for
        pass


def race(processes: Executor, racers: int, work: Callable[..., Any], *arguments: Any) -> list[Any]:
    """``work(*arguments, name, begin)`` in several processes from the same moment on."""
    begin = time.time() + START_TOGETHER
    running = [processes.submit(work, *arguments, f"racer{number}-1", begin) for number in range(racers)]
    return [one.result(60) for one in running]


def create_schema(url: str, _name: str, begin: float) -> str:
    """Open a database that nobody has used; gives the cluster's id."""
    _wait_for(begin)
    store = open_store(url, initialize="always")
    try:
        return store.cluster_id
    finally:
        store.close()


def claim_all(url: str, step_id: int, limit: int, name: str, begin: float) -> list[tuple[int, int]]:
    """Claim until there is nothing left; gives (partition, attempt) of each."""
    taken = []
    with opened(url, begin) as store:
        step = next(step for step in store.jobs.started_steps() if step.step_execution_id == step_id)
        while claims := take(store, step, name, limit):
            taken += [(claim.partition_id, claim.attempt) for claim in claims]
    return taken


def run_all(url: str, step_id: int, limit: int, name: str, begin: float) -> int:
    """Claim and finish until there is nothing left; gives how many were accepted."""
    accepted = 0
    with opened(url, begin) as store:
        step = next(step for step in store.jobs.started_steps() if step.step_execution_id == step_id)
        while claims := take(store, step, name, limit):
            accepted += len(store.finishes.finish([completed(claim, name.encode()) for claim in claims]))
    return accepted


def suspect(url: str, node_id: str, name: str, begin: float) -> tuple[int, int] | None:
    """Find a node silent; gives what was moved, or nothing when another was quicker."""
    with opened(url, begin) as store:
        return store.suspect(node_id, 10)


def take_over(url: str, job_id: int, step_id: int, term: int, name: str, begin: float) -> bool:
    """Become master; whether it succeeded."""
    with opened(url, begin) as store:
        return store.coordination.take_over(job_id, step_id, term, name)


def register_elsewhere(url: str, zone: str, node_id: str, silent_for: float) -> None:
    """Register a node from a machine in another time zone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TZ", zone)
        patch.setenv("PGTZ", zone)
        time.tzset()
        with opened(url, begin=0) as store:
            register(store, node_id)
            silence(store, node_id, silent_for)
    time.tzset()
