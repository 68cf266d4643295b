"""Rows that somebody altered or wrote without the key are refused before anything of them is opened."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest

import nbcluster as nb
from nbcluster.signing import shared_key_path
from tests.cluster.conftest import Lab


class Canary:
    """Opening its pickle leaves a file behind."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return open, (str(self.path), "w")


def double(n: int) -> int:
    return 2 * n


def blob(lab: Lab, statement: str, **bound: Any) -> bytes:
    return bytes(lab.tables.value(statement, **bound))


def flipped(data: bytes) -> bytes:
    """The same bytes with one bit changed in the middle."""
    place = len(data) // 2
    return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]


def test_altered_arguments_are_refused_and_the_others_go_on(lab: Lab) -> None:
    canary = lab.folder / "canary"
    cluster = lab.connect()
    job = cluster.map(double, range(6), chunk=1)

    def stored(column: str, index: int) -> bytes:
        return blob(lab, f"SELECT {column} FROM batch_partitions WHERE partition_index = :index", index=index)

    def alter(index: int, **columns: bytes) -> None:
        changes = ", ".join(f"{column} = :{column}" for column in columns)
        lab.tables.change(
            f"UPDATE batch_partitions SET {changes} WHERE partition_index = :index", index=index, **columns
        )

    alter(1, arguments=flipped(stored("arguments", 1)))
    alter(2, arguments=pickle.dumps([Canary(canary)]))
    alter(3, arguments=stored("arguments", 0), arguments_mac=stored("arguments_mac", 0))  # moved from another place
    alter(4, arguments_mac=b"")
    (node,) = lab.nodes(1, slots=2)
    partitions = job.wait(60).partitions()
    assert partitions["state"].tolist() == ["COMPLETED", *["FAILED"] * 4, "COMPLETED"]
    assert set(partitions["exit_code"][1:5]) == {"BAD_SIGNATURE"}
    assert all("is not signed with this cluster's key" in message for message in partitions["message"][1:5])
    assert node.said().count("refused: partition ") == 4
    frame = job.frame()
    assert frame["value"].dropna().tolist() == [0, 10]
    assert frame["error"][1:5].str.startswith("BAD_SIGNATURE").all()
    assert frame["input"].isna().tolist() == [False, *[True] * 4, False]
    assert not canary.exists()


def test_an_altered_function_is_refused_and_other_jobs_go_on(lab: Lab) -> None:
    canary = lab.folder / "canary"
    cluster = lab.connect()
    bad = cluster.map(double, range(4), chunk=1)
    lab.tables.change("UPDATE batch_payloads SET body = :body", body=pickle.dumps(Canary(canary)))
    good = cluster.map(lambda n: n + 1, range(4), chunk=1)
    (node,) = lab.nodes(1, slots=2)
    assert good.wait(60).results() == [1, 2, 3, 4]
    assert set(bad.wait(60).partitions()["exit_code"]) == {"BAD_SIGNATURE"}
    assert bad.frame()["value"].isna().all()
    assert node.running
    assert not canary.exists()


def test_altered_results_are_refused_and_the_others_are_read(lab: Lab) -> None:
    canary = lab.folder / "canary"
    lab.audited = False
    lab.nodes(1, slots=2)
    job = lab.connect().map(double, range(5), chunk=1).wait(60)
    which = "WHERE step_execution_id = (SELECT step_execution_id FROM batch_partitions WHERE partition_index = :index)"
    body = blob(lab, f"SELECT body FROM batch_results {which}", index=1)
    for index, altered in {1: flipped(body), 2: pickle.dumps([Canary(canary)])}.items():
        lab.tables.change(f"UPDATE batch_results SET body = :body {which}", index=index, body=altered)
    # A result of one attempt is none of another.
    lab.tables.change("UPDATE batch_partitions SET attempt = 2 WHERE partition_index = 3")
    frame = job.frame()
    assert frame["value"].dropna().tolist() == [0, 8]
    refused = "BAD_SIGNATURE: the stored result is not signed with this cluster's key"
    assert frame["error"][1:4].str.startswith(refused).all()
    for read in (job.results, lambda: list(job.iter()), lambda: list(job.as_completed())):
        with pytest.raises(nb.PartitionError, match=r"not signed with this cluster's key.*item \d of .*, partition \d"):
            read()
    # Looking opens nothing.
    assert job.snapshot().finished
    assert job.errors().empty
    assert not canary.exists()


def test_altered_error_texts_are_shown_and_not_opened(lab: Lab) -> None:
    lab.nodes(1, slots=1)
    job = lab.connect().map(lambda n: 1 // n, range(2), chunk=1).wait(60)
    forged = '[{"item": 0, "type": "Forged", "message": "by hand", "traceback": ""}]'
    lab.tables.change("UPDATE batch_results SET errors = :text WHERE errors LIKE '%ZeroDivision%'", text=forged)
    assert job.frame()["error"][0].startswith("BAD_SIGNATURE")
    assert job.frame()["value"][1] == 1


@pytest.mark.needs("login")
def test_a_node_with_another_key_does_not_start(lab: Lab, tmp_path: Path) -> None:
    other = tmp_path / "other.key"
    other.write_text("ab" * 32)
    other.chmod(0o600)
    job = lab.connect().map(double, range(4), chunk=1)
    node = lab.start_node(slots=1, key_file=other)
    node.process.wait(30)
    assert node.process.returncode == 2, node.said()
    assert "the key on this machine is not that of" in node.said()
    assert job.snapshot().partitions["PENDING"] == 4
    assert shared_key_path(job._store.cluster_id).exists()


def test_an_altered_result_is_refused_by_the_step_that_it_is_given_to(lab: Lab) -> None:
    canary, repaired = lab.folder / "canary", lab.folder / "repaired"
    flag = str(repaired)

    def second(n: int) -> int:
        from pathlib import Path

        if not Path(flag).exists():
            raise LookupError("not yet")
        return n + 1

    (node,) = lab.nodes(1, slots=1)
    job = lab.connect().pipeline().map("first", double, range(4), chunk=1).map("second", second).run()
    assert job.wait(60).state == "FAILED"
    first = job.step("first").partitions()["partition"].tolist()
    assert first == [0, 1, 2, 3]

    def alter(index: int, body: bytes) -> None:
        where = (
            "step_execution_id IN (SELECT p.step_execution_id FROM batch_partitions p JOIN batch_step_execution s "
            "ON s.step_execution_id = p.master_step_execution_id WHERE s.step_name = 'first' "
            "AND p.partition_index = :index)"
        )
        assert lab.tables.change(f"UPDATE batch_results SET body = :body WHERE {where}", index=index, body=body)

    alter(1, pickle.dumps([Canary(canary)]))
    repaired.touch()
    partitions = job.resume().wait(60).partitions()
    assert partitions["state"].tolist() == ["COMPLETED", "FAILED", "COMPLETED", "COMPLETED"]
    assert partitions["exit_code"][1] == "BAD_SIGNATURE"
    assert node.said().count("refused: partition ") == 1
    assert not canary.exists()


def test_a_callback_that_was_altered_to_open_what_it_is_told_is_refused(lab: Lab) -> None:
    told = str(lab.folder / "told")

    def tell(outcome: Any) -> None:
        from pathlib import Path

        Path(told).touch()

    job = lab.connect().map(double, range(2), on_success=tell)
    lab.tables.change("UPDATE batch_step_execution SET mode = 'items' WHERE step_name = 'on_success'")
    lab.nodes(1, slots=1)
    assert job.wait(60).state == "FAILED"
    assert job.step("on_success").partitions()["exit_code"].tolist() == ["BAD_SIGNATURE"]
    assert not Path(told).exists()
