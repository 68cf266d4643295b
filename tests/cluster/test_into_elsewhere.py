"""Rows for another database: at least once, and never half."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

import nbcluster as nb
from tests.cluster.conftest import Lab
from tests.cluster.tables import SQUARES, UsersTables, outcome_of


def a_dict(n: int) -> dict[str, int]:
    return {"n": n, "square": n * n}


@pytest.fixture
def elsewhere(tmp_path: Any) -> Iterator[UsersTables]:
    found = UsersTables(f"sqlite:///{tmp_path / 'elsewhere.db'}")
    yield found
    found.engine.dispose()


def a_table(elsewhere: UsersTables) -> Any:
    return nb.table("t", url=str(elsewhere.engine.url), at_least_once=True)


def test_a_table_of_another_database_is_made_and_appended_to(cluster: Any, elsewhere: UsersTables) -> None:
    for run in range(2):
        job = cluster.map(a_dict, range(10 * run, 10 * run + 10), chunk=1, into=a_table(elsewhere))
        assert job.results() == [1] * 10
    assert elsewhere.rows("SELECT n FROM t ORDER BY n") == [(n,) for n in range(20)]


def test_what_another_database_refuses_fails_its_partition_which_writes_nothing_there(
    cluster: Any, elsewhere: UsersTables
) -> None:
    elsewhere.run("CREATE TABLE t (n INTEGER PRIMARY KEY, square INTEGER CHECK (square < 50))")
    told = outcome_of(cluster.map(a_dict, range(10), chunk=2, into=a_table(elsewhere), retries=1, retry_wait=0))
    assert list(told) == [4]
    assert "elsewhere.db did not take the rows: CHECK constraint failed" in told[4]
    assert elsewhere.rows("SELECT n, square FROM t ORDER BY n") == SQUARES[:8]
    told = outcome_of(cluster.map(lambda n: {"cube": n**3}, range(1), into=a_table(elsewhere)))
    assert "table t has no column 'cube'" in told[0]


def test_a_database_that_cannot_be_reached_is_tried_again_and_its_password_is_not_told(cluster: Any) -> None:
    into = nb.table("t", url="postgresql://ada:secret@127.0.0.1:1/lab", at_least_once=True)
    job = cluster.map(a_dict, range(1), into=into, retries=1, retry_wait=0).wait()
    told = outcome_of(job)[0]
    assert "table t at postgresql://ada:***@127.0.0.1:1/lab did not take the rows: connection failed" in told
    assert job.partitions()["attempt"].tolist() == [2]
    assert "secret" not in f"{told}{job.attempts()['message'].tolist()}{job.traceback(0)}"


def test_the_clusters_own_database_by_its_url_is_refused_for_there_rows_are_exactly_once(
    cluster: Any, shared_lab: Lab
) -> None:
    into = nb.table("t", url=shared_lab.url, at_least_once=True)
    with pytest.raises(nb.InputError, match="that is the cluster's own database: write into='t'"):
        cluster.map(a_dict, range(1), into=into)
