"""``await job`` and ``async for``: the event loop goes on meanwhile, and nothing is left when it is cancelled."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from nbcluster.errors import JobFailed, PartitionError
from tests.waiting import wait_until


def held(gate: str) -> Callable[[int], int]:
    def wait_for_the_gate(n: int) -> int:
        while not os.path.exists(gate):
            time.sleep(0.01)
        return n * n

    return wait_for_the_gate


def reciprocal(n: int) -> float:
    return 1 / n


async def opened(gate: Path) -> None:
    """Opens the gate from the event loop: one that is blocked never gets here."""
    await asyncio.sleep(0)
    gate.touch()


def waiting_threads() -> list[str]:
    names = ("nbcluster-await", "nbcluster-iter", "nbcluster-as-completed")
    return [thread.name for thread in threading.enumerate() if thread.name.startswith(names)]


def nothing_is_left(cluster: Any) -> None:
    wait_until(lambda: not waiting_threads(), message=waiting_threads)
    assert not [topic for topic in cluster.store.wakeup._callbacks if topic.startswith("job")]


def run(coroutine: Awaitable[Any]) -> Any:
    """Run it to its end, in at most a minute."""

    async def bounded() -> Any:
        async with asyncio.timeout(60):
            return await coroutine

    return asyncio.run(bounded())


def test_an_awaited_job_gives_its_handle(cluster: Any, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    job = cluster.map(held(str(gate)), range(4))

    async def both() -> Any:
        return await asyncio.gather(job, opened(gate))

    assert run(both())[0] is job
    assert job.done()
    assert job.results() == [0, 1, 4, 9]
    nothing_is_left(cluster)


def test_several_jobs_are_awaited_at_once(cluster: Any, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    jobs = [cluster.map(held(str(gate)), range(number)) for number in (2, 3)]

    async def all_of_them() -> list[Any]:
        *ended, _ = await asyncio.gather(*jobs, jobs[0].step(jobs[0].steps()[0]), opened(gate))
        return [one.state for one in ended]

    assert run(all_of_them()) == ["COMPLETED"] * 3
    nothing_is_left(cluster)


def test_a_job_that_ended_is_awaited_in_no_time(cluster: Any) -> None:
    job = cluster.map(reciprocal, [1]).wait()

    async def again() -> Any:
        return await job

    assert run(again()) is job


def test_awaiting_a_failed_job_raises_nothing_its_results_do(cluster: Any) -> None:
    job = cluster.map(reciprocal, [1, 0])

    async def wait() -> Any:
        return await job

    assert run(wait()).state == "FAILED"
    with pytest.raises(JobFailed):
        job.results()


@pytest.mark.parametrize("how", ["timeout", "cancel"])
def test_a_cancelled_await_ends_the_waiting_and_not_the_job(cluster: Any, tmp_path: Path, how: str) -> None:
    gate = tmp_path / "gate"
    job = cluster.map(held(str(gate)), range(4))

    async def give_up() -> None:
        if how == "timeout":
            await asyncio.wait_for(job, 0.05)
        task = asyncio.ensure_future(job)
        await asyncio.sleep(0.05)
        task.cancel()
        await task

    with pytest.raises(TimeoutError if how == "timeout" else asyncio.CancelledError):
        run(give_up())
    assert not job.snapshot().stop_requested
    assert job.state == "STARTED"
    nothing_is_left(cluster)
    gate.touch()
    assert job.results() == [0, 1, 4, 9]


def test_values_come_in_input_order(cluster: Any, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    job = cluster.map(held(str(gate)), range(250), chunk=3)

    async def read() -> list[int]:
        opening = asyncio.create_task(opened(gate))
        values = [value async for value in job]
        await opening
        return values

    assert run(read()) == [n * n for n in range(250)]
    nothing_is_left(cluster)


def test_inputs_and_values_come_as_partitions_finish(cluster: Any, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    job = cluster.map(held(str(gate)), range(250), chunk=3)

    async def read() -> dict[int, int]:
        opening = asyncio.create_task(opened(gate))
        pairs = {given: value async for given, value in job.as_completed()}
        await opening
        return pairs

    assert run(read()) == {n: n * n for n in range(250)}
    nothing_is_left(cluster)


def test_what_is_good_comes_before_the_error(cluster: Any) -> None:
    job = cluster.map(reciprocal, [4, 2, 0, 1], partitions=1)
    got: list[Any] = []

    async def values() -> None:
        async for value in job:
            got.append(value)  # noqa: PERF401 -- the error comes meanwhile

    async def pairs() -> None:
        async for pair in job.as_completed():
            got.append(pair)  # noqa: PERF401

    with pytest.raises(PartitionError, match="item 2"):
        run(values())
    with pytest.raises(JobFailed):
        run(pairs())
    assert got == [0.25, 0.5, (4, 0.25), (2, 0.5), (1, 1.0)]
    nothing_is_left(cluster)


def test_a_loop_that_is_left_early_leaves_nothing(cluster: Any, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    gate.touch()
    done = cluster.map(held(str(gate)), range(4)).wait()
    endless = cluster.map(held(str(tmp_path / "closed")), range(4))

    async def leave() -> int:
        async for value in done:  # noqa: B007
            break
        reading = asyncio.create_task(anext(aiter(endless)))
        await asyncio.sleep(0.05)
        reading.cancel()
        return int(value)

    assert run(leave()) == 0
    nothing_is_left(cluster)
    endless.cancel(now=True)
