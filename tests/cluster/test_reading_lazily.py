"""What a job gave is opened when somebody asks for it, and no more of it than that."""

from __future__ import annotations

import logging
import tracemalloc
from typing import Any

import pytest

OPENED = "opened-here"


class Seen:
    """Leaves a trace in the process that opens it: a logger of its number."""

    def __init__(self, n: int) -> None:
        self.n = n

    def __reduce__(self) -> tuple[Any, ...]:
        return logging.getLogger, (f"{OPENED}.{self.n}",)


def opened() -> int:
    return sum(name.startswith(f"{OPENED}.") for name in logging.Logger.manager.loggerDict)


@pytest.fixture(autouse=True)
def _nothing_opened_yet() -> None:
    for name in [name for name in logging.Logger.manager.loggerDict if name.startswith(OPENED)]:
        del logging.Logger.manager.loggerDict[name]


def test_ten_thousand_results_stay_closed_until_somebody_asks(cluster: Any) -> None:
    job = cluster.map(Seen, range(10_000), chunk=100).wait()
    job.partitions()
    job.errors()
    job.snapshot()
    job.timeline()
    assert cluster.sql("SELECT count(*) AS n FROM results WHERE job = :job", job=job.id)["n"].tolist() == [10_000]
    assert opened() == 0
    values = job.iter()
    assert next(values).name == f"{OPENED}.0"
    assert opened() == 100
    assert sum(1 for _ in values) == 9_999
    assert opened() == 10_000


@pytest.mark.parametrize("way", ["iter", "as_completed"])
def test_values_that_together_are_large_are_in_memory_one_by_one(cluster: Any, way: str) -> None:
    inputs = [bytes([n]) * 500_000 for n in range(40)]
    job = cluster.map(lambda data: data[::-1], inputs, chunk=1).wait()
    del inputs
    tracemalloc.start()
    try:
        number = sum(1 for _ in getattr(job, way)())
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert number == 40
    assert peak < 10_000_000  # all of them are 20 MB, with their inputs 40
