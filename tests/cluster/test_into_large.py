"""Rows that are many, and what goes wrong with them on their way."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import nbcluster as nb
from tests.cluster.conftest import Lab
from tests.cluster.tables import UsersTables, outcome_of
from tests.waiting import wait_until

EACH = 40_000


def wide(part: int) -> Any:
    """Some megabytes of rows."""
    numbers = np.arange(part * EACH, (part + 1) * EACH)
    return pd.DataFrame({"n": numbers, "half": numbers / 2, "text": "a text that is repeated\n" * 2, "raw": b"\0\xff"})


@pytest.fixture
def kept_here(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the lab's processes keep what is on its way."""
    monkeypatch.setenv("XDG_STATE_HOME", str(lab.folder / "state"))
    return lab.folder


def on_their_way(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("spool-*/*") if path.is_file()]


def test_many_rows_go_by_a_file_that_is_gone_afterwards(lab: Lab, kept_here: Path) -> None:
    lab.nodes(1, slots=2)
    tables = UsersTables(lab.url)
    job = lab.connect().map(wide, range(3), chunk=1, into="t")
    assert job.results() == [EACH] * 3
    (found,) = tables.rows("SELECT count(*), count(DISTINCT n), sum(half), min(text), max(length(raw)) FROM t")
    assert found == (3 * EACH, 3 * EACH, sum(n / 2 for n in range(3 * EACH)), "a text that is repeated\n" * 2, 2)
    wait_until(lambda: not on_their_way(kept_here), message="that nothing is left on its way")
    tables.close()


def test_many_rows_of_which_one_is_refused_leave_no_row_and_no_file(lab: Lab, kept_here: Path) -> None:
    lab.nodes(1, slots=2)
    tables = UsersTables(lab.url)
    tables.run(f"CREATE TABLE t (n BIGINT CHECK (n <> {2 * EACH - 1}), half FLOAT, text TEXT, raw {tables.bytes})")
    told = outcome_of(lab.connect().map(wide, range(3), chunk=1, into="t", if_exists="append"))
    assert list(told) == [1]
    assert "table t refused the rows, and none of its partition were written" in told[1]
    assert tables.rows(f"SELECT n / {EACH}, count(*) FROM t GROUP BY 1 ORDER BY 1") == [(0, EACH), (2, EACH)]
    wait_until(lambda: not on_their_way(kept_here), message="that nothing is left on its way")
    tables.close()


def test_more_rows_than_a_result_may_have_fail_their_partition(lab: Lab, kept_here: Path) -> None:
    lab.nodes(1)
    told = outcome_of(lab.connect(max_result="2MB").map(wide, range(1), into="t"))
    assert "the rows are larger than max_result; make the partitions smaller" in told[0]
    wait_until(lambda: not on_their_way(kept_here), message="that nothing is left on its way")


def test_a_disk_that_is_full_fails_the_partition_and_leaves_no_file(lab: Lab, kept_here: Path) -> None:
    lab.nodes(1)

    def on_a_full_disk(part: int) -> Any:
        import resource
        import signal

        import nbcluster as nb

        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # a file that grows too large then says why
        resource.setrlimit(
            resource.RLIMIT_FSIZE, (1 << 20, resource.RLIM_INFINITY) if nb.current().attempt == 1 else LIFTED
        )
        return wide(part)

    job = lab.connect().map(on_a_full_disk, range(1), into="t", retries=1, retry_wait=0)
    assert job.results() == [EACH]
    first = job.attempts()["message"].tolist()[0]
    assert "its rows cannot be written to" in first
    assert "make room there" in first
    wait_until(lambda: not on_their_way(kept_here), message="that nothing is left on its way")


LIFTED = (-1, -1)


def test_a_child_that_is_killed_while_it_writes_rows_leaves_no_file(lab: Lab, kept_here: Path) -> None:
    lab.nodes(1)

    def dies(part: int) -> Any:
        import signal

        class Deadly:
            """The first attempt dies when its rows are already in the file."""

            dtype = "object"

            def tolist(self) -> Any:
                os.kill(os.getpid(), signal.SIGKILL)

        rows = wide(part)
        return [rows, rows, {"n": Deadly()}] if nb.current().attempt == 1 else rows

    job = lab.connect().map(dies, range(1), into="t")
    assert job.results() == [EACH]
    assert job.attempts()["outcome"].tolist()[:1] == ["CRASHED"]
    wait_until(lambda: not on_their_way(kept_here), message="that nothing is left on its way")
