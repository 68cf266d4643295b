from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from nbcluster.errors import DatabaseUnreachable
from nbcluster.service import Service
from tests.waiting import wait_until

FOREVER = 3600.0


@contextmanager
def running(work: Callable[[], float | None], interval: float) -> Iterator[Service]:
    service = Service("test", work, interval)
    service.start()
    try:
        yield service
    finally:
        service.stop()


def test_the_first_pass_runs_at_once() -> None:
    ran = threading.Event()
    with running(ran.set, FOREVER):
        assert ran.wait(10)


def test_a_wake_up_runs_the_next_pass_now() -> None:
    passes: list[None] = []
    with running(lambda: passes.append(None), FOREVER) as service:
        wait_until(lambda: len(passes) == 1)
        service.wake()
        wait_until(lambda: len(passes) == 2)


def test_passes_repeat() -> None:
    passes: list[None] = []
    with running(lambda: passes.append(None), 0.001):
        wait_until(lambda: len(passes) > 3)


def test_a_pass_may_ask_for_a_shorter_pause() -> None:
    passes: list[None] = []

    def work() -> float:
        passes.append(None)
        return 0.001

    with running(work, FOREVER):
        wait_until(lambda: len(passes) > 3)


def test_a_pass_that_fails_is_tried_again_soon(caplog: pytest.LogCaptureFixture) -> None:
    passes: list[None] = []

    def work() -> None:
        passes.append(None)
        if len(passes) < 3:
            raise ValueError("a bug")

    with caplog.at_level(logging.INFO), running(work, FOREVER) as service:
        wait_until(lambda: len(passes) == 3)
        wait_until(lambda: service.failures == 0)
    assert "test: a pass failed" in caplog.text
    assert "ValueError: a bug" in caplog.text


def test_a_database_that_is_away_is_said_once_and_its_return_too(caplog: pytest.LogCaptureFixture) -> None:
    passes: list[None] = []

    def work() -> None:
        passes.append(None)
        if len(passes) < 4:
            raise DatabaseUnreachable("it is away")

    with caplog.at_level(logging.INFO), running(work, 0.001) as service:
        wait_until(lambda: len(passes) >= 4 and service.failures == 0)
    assert [record.getMessage() for record in caplog.records] == [
        "test: it is away",
        "test: working again after 3 failed passes",
    ]


def test_after_the_stop_nothing_runs() -> None:
    passes: list[None] = []
    with running(lambda: passes.append(None), 0.001):
        wait_until(lambda: passes)
    assert not [thread for thread in threading.enumerate() if thread.name == "nbcluster-test"]


def test_a_pass_may_stop_its_own_service() -> None:
    ended = threading.Event()

    def work() -> None:
        service.stop()
        ended.set()

    service = Service("test", work, FOREVER)
    service.start()
    assert ended.wait(10)
