"""Values of some megabytes: there and back on every way, refused when altered, and no file left behind."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nbcluster as nb
from tests.cluster.conftest import Lab
from tests.waiting import wait_until

LENGTH = 400_000  # of an array: 3.2 MB
END_SESSIONS = (
    "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
    "WHERE datname = current_database() AND application_name LIKE 'nbcluster%'"
)
WAITING = (
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock' "
    "AND query LIKE '%batch_payloads%'"
)


def ramp(n: int) -> Any:
    return np.arange(n, n + LENGTH, dtype="float64")


@pytest.fixture(params=["as the database says", "a folder"])
def way(request: pytest.FixtureRequest, lab: Lab, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The options of a job whose values travel that way."""
    monkeypatch.setenv("XDG_STATE_HOME", str(lab.folder / "state"))  # where nodes and this kernel spool
    if request.param != "a folder":
        return {}
    (lab.folder / "share").mkdir()
    return {"results": f"file://{lab.folder}/share"}


def spooled(lab: Lab) -> list[Path]:
    """Files of processes, on their way."""
    return [path for path in lab.folder.rglob("spool-*/*") if path.is_file()]


def kept(lab: Lab) -> list[Path]:
    """Files of values, kept for good."""
    places = [*lab.folder.glob("cluster.db.values/*"), *lab.folder.glob("share/nbcluster-*/*")]
    return [path for path in places if path.is_file() and path.suffix != ".lock"]


def streams(lab: Lab) -> int:
    """Values that are kept in the database as chunks."""
    return int(lab.tables.value("SELECT count(DISTINCT payload_id) FROM batch_payloads WHERE payload_id LIKE 'own:%'"))


# --- there and back ------------------------------------------------------------------------------


def test_results_and_arguments_come_back(lab: Lab, way: dict[str, str]) -> None:
    lab.nodes(2, slots=1)
    cluster = lab.connect()
    arrays = [ramp(n) for n in range(6)]
    job = cluster.map(lambda array: array * 2, arrays, chunk=1, **way).wait(60)
    for value, given in zip(job.results(), arrays, strict=True):
        np.testing.assert_array_equal(value, given * 2)
        value[0] = 17.0  # it is the reader's own
    for item, given in zip(job.iter(), arrays, strict=True):
        np.testing.assert_array_equal(item, given * 2)
    assert [shown[:3].tolist() for shown in job.frame()["input"]] == [given[:3].tolist() for given in arrays]
    wait_until(lambda: not spooled(lab), message="that nothing is on its way")
    assert len(kept(lab)) + streams(lab) == 12
    assert (len(kept(lab)) == 0) == (streams(lab) == 12)


def test_what_a_function_changes_in_its_arguments_stays_with_it(lab: Lab, way: dict[str, str]) -> None:
    def change(array: Any) -> float:
        array[:] = 5.0
        return float(array.sum())

    lab.nodes(1, slots=1)
    job = lab.connect().map(change, [ramp(0), ramp(1)], chunk=1, **way).wait(60)
    assert job.results() == [5.0 * LENGTH] * 2
    assert [given[0] for given in job.frame()["input"]] == [0.0, 1.0]


def test_later_steps_get_large_values(lab: Lab, way: dict[str, str]) -> None:
    def halved(array: Any) -> Any:
        return array / 2

    lab.nodes(1, slots=2)
    pipe = lab.connect().pipeline()
    pipe.map("made", ramp, range(4), chunk=1, **way)
    pipe.map("halved", halved, after="made", **way)
    pipe.local("here", sum, after="halved")
    pipe.aggregate("there", sum, after="halved")
    job = pipe.run().wait(60)
    expected = sum(ramp(n) for n in range(4)) / 2
    for step in ("here", "there"):
        np.testing.assert_array_equal(job.step(step).results()[0], expected)


def test_a_large_function_is_fetched_once_and_mapped_by_each_child(lab: Lab, way: dict[str, str]) -> None:
    big = ramp(0)

    def use(n: int) -> tuple[float, bool]:
        with open("/proc/self/maps") as maps:
            return float(big[n]), any("/spool-" in line for line in maps)

    (node,) = lab.nodes(1, slots=2)
    job = lab.connect().map(use, range(20), chunk=1, **way).wait(60)
    assert job.results() == [(float(n), True) for n in range(20)]
    assert node.running


def test_a_retry_keeps_large_values_that_were_good(lab: Lab, way: dict[str, str]) -> None:
    ran = str(lab.folder / "ran")

    def sometimes(n: int) -> Any:
        with open(ran, "a") as file:
            file.write(f"{n}\n")
        if n == 1 and nb.current().attempt == 1:
            raise OSError("not yet")
        return np.full(300_000, float(n))

    lab.nodes(1, slots=1)
    job = lab.connect().map(sometimes, range(3), partitions=1, retries=2, retry_wait="10ms", **way).wait(60)
    assert [value[5] for value in job.results()] == [0.0, 1.0, 2.0]
    assert sorted(Path(ran).read_text().split()) == ["0", "1", "1", "2"]


def test_a_partition_is_replayed_with_its_large_arguments(lab: Lab, way: dict[str, str]) -> None:
    def total(array: Any) -> float:
        array += 1
        return float(array.sum())

    lab.nodes(1, slots=1)
    job = lab.connect().map(total, [ramp(3)], chunk=1, **way).wait(60)
    replay = job.replay(partition=0)
    assert replay == job.results() == job.replay(partition=0)


# --- what is altered or gone ---------------------------------------------------------------------


def altered(lab: Lab, index: int) -> None:
    """Change the stored result of a partition: one byte, or its last chunk is missing."""
    name = lab.tables.value(
        "SELECT payload_id FROM batch_results r JOIN batch_partitions p ON p.step_execution_id = r.step_execution_id "
        "WHERE p.partition_index = :index",
        index=index,
    )
    if name.startswith("own:"):
        last = "SELECT max(chunk) FROM batch_payloads WHERE payload_id = :name"
        lab.tables.change(f"DELETE FROM batch_payloads WHERE payload_id = :name AND chunk = ({last})", name=name)
    else:
        (file,) = [path for path in kept(lab) if path.name == name.removeprefix("file:")]
        body = bytearray(file.read_bytes())
        body[-1] ^= 1
        file.write_bytes(body)


def test_altered_values_are_refused_and_the_others_are_read(lab: Lab, way: dict[str, str]) -> None:
    lab.nodes(1, slots=2)
    job = lab.connect().map(ramp, range(3), chunk=1, **way).wait(60)
    altered(lab, 1)
    frame = job.frame()
    assert [value is None for value in frame["value"]] == [False, True, False]
    assert frame["error"][1].startswith("BAD_SIGNATURE: the stored result is not signed with this cluster's key")


def test_a_step_refuses_altered_values_of_the_one_before(lab: Lab, way: dict[str, str]) -> None:
    gate = lab.folder / "gate"

    def make(n: int) -> Any:
        import os
        import time

        while n == 2 and not os.path.exists(str(gate)):
            time.sleep(0.02)
        return np.full(300_000, float(n))

    lab.nodes(1, slots=2)
    pipe = lab.connect().pipeline()
    pipe.map("made", make, range(3), chunk=1, **way)
    pipe.map("used", lambda array: float(array[0]), after="made")
    job = pipe.run()
    wait_until(lambda: lab.tables.count("batch_results") == 2, message="two results")
    altered(lab, 1)
    gate.touch()
    partitions = job.wait(60).step("used").partitions()
    assert partitions["exit_code"].tolist() == ["COMPLETED", "BAD_SIGNATURE", "COMPLETED"]


def test_a_value_that_is_gone_is_told_beside_the_others(lab: Lab, way: dict[str, str]) -> None:
    lab.nodes(1, slots=1)
    job = lab.connect().map(ramp, range(2), chunk=1, **way).wait(60)
    for file in kept(lab):
        file.unlink()
    lab.tables.change("DELETE FROM batch_payloads WHERE payload_id LIKE 'own:%'")
    assert (
        job.frame()["error"].str.match(r"ValueLost: a large value (cannot be read from|is not in the database)").all()
    )


# --- no room, no folder --------------------------------------------------------------------------


def test_a_disk_that_is_full_fails_that_partition_and_leaves_no_file(lab: Lab, way: dict[str, str]) -> None:
    def full(n: int) -> Any:
        import resource

        most = 10**6 if n == 1 else resource.RLIM_INFINITY  # files end there as on a full disk
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, resource.RLIM_INFINITY))
        return np.full(300_000, float(n))

    lab.nodes(1, slots=1)
    job = lab.connect().map(full, range(3), chunk=1, **way).wait(60)
    partitions = job.partitions()
    assert partitions["state"].tolist() == ["COMPLETED", "FAILED", "COMPLETED"]
    assert partitions["message"][1].startswith("the result (2.4 MB) cannot be written to /")
    assert partitions["message"][1].endswith(": File too large; make room there, or return less")
    wait_until(lambda: not spooled(lab), message="that nothing is left on its way")
    assert len(kept(lab)) + streams(lab) == 2


def test_a_folder_that_a_node_cannot_reach_fails_only_what_is_large(lab: Lab) -> None:
    lab.nodes(1, slots=1)
    where = f"{lab.folder}/mount"
    job = lab.connect().map(bytes, [10, 3 * 10**6, 20], chunk=1, results=f"file://{where}").wait(60)
    partitions = job.partitions()
    assert partitions["state"].tolist() == ["COMPLETED", "FAILED", "COMPLETED"]
    assert partitions["message"][1] == (
        f"a large value cannot be written to {where}: No such file or directory; "
        "every node and kernel must be able to write there"
    )
    assert not os.path.exists(where)


def test_a_folder_that_the_kernel_cannot_reach_is_told_and_nothing_is_stored(lab: Lab) -> None:
    cluster = lab.connect()
    with pytest.raises(nb.ValueNotStored, match=r"a large value cannot be written to .*/mount: No such file"):
        cluster.map(len, [bytes(3 * 10**6)], results=f"file://{lab.folder}/mount")
    assert lab.tables.count("batch_job_execution") == 0


def test_what_is_no_address_is_refused(lab: Lab) -> None:
    with pytest.raises(nb.InputError, match="is no address of a folder; write for example 'file:///share/values'"):
        lab.connect().map(len, ["x"], results="somewhere")


# --- nothing is left -----------------------------------------------------------------------------


def test_a_submission_that_comes_to_nothing_leaves_nothing(
    lab: Lab, way: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster = lab.connect()

    def refuse(*_: object) -> None:
        raise nb.DatabaseError("no")

    monkeypatch.setattr(cluster.store.jobs, "create", refuse)
    with pytest.raises(nb.DatabaseError):
        cluster.map(len, [bytes(3 * 10**6)], **way)
    assert kept(lab) == []
    assert streams(lab) == 0


def test_running_a_named_cell_again_stores_its_arguments_once(lab: Lab, way: dict[str, str]) -> None:
    lab.nodes(1, slots=1)
    cluster = lab.connect()
    arrays = [ramp(0), ramp(1)]
    for _ in range(2):
        assert cluster.map(len, arrays, name="again", chunk=1, **way).wait(60).results() == [LENGTH] * 2
    assert len(kept(lab)) + streams(lab) == 2


def test_a_child_that_is_killed_leaves_no_file(lab: Lab, way: dict[str, str]) -> None:
    def dies(n: int) -> Any:
        import os
        import pickle
        import signal

        class Dies:
            def __reduce__(self) -> Any:  # while the node's file may be open
                os.kill(os.getpid(), signal.SIGKILL)

        if n == 1 and nb.current().attempt == 1:
            pickle.dumps(Dies())
        return np.full(300_000, float(n))

    lab.nodes(1, slots=1)
    job = lab.connect().map(dies, range(3), chunk=1, **way).wait(60)
    assert [value[0] for value in job.results()] == [0.0, 1.0, 2.0]
    wait_until(lambda: not spooled(lab), message="that nothing is left on its way")
    assert len(kept(lab)) + streams(lab) == 3


def test_a_node_that_is_killed_leaves_files_that_the_next_one_removes(lab: Lab, way: dict[str, str]) -> None:
    big, begun = ramp(0), lab.folder / "begun"

    def hold(n: int) -> Any:
        import os
        import time

        begun.touch()
        while nb.current().attempt == 1 and not os.path.exists(f"{begun}.never"):
            time.sleep(0.02)
        return big + n

    (node,) = lab.nodes(1, slots=1)
    job = lab.connect().map(hold, [1], **way)
    wait_until(begun.exists, message="that the partition runs")
    left = spooled(lab)
    assert left
    node.kill()
    assert all(path.exists() for path in left)
    lab.nodes(1, slots=1)
    np.testing.assert_array_equal(job.wait(60).results()[0], big + 1)
    assert not any(path.exists() for path in left)


def test_a_node_that_leaves_takes_its_spool_with_it(lab: Lab, way: dict[str, str]) -> None:
    (node,) = lab.nodes(1, slots=1)
    cluster = lab.connect()
    big = ramp(0)
    assert cluster.map(lambda n: big + n, [1], **way).wait(60).results()[0][0] == 1.0
    node.send(15)
    node.process.wait(30)
    cluster.close()
    assert list(lab.folder.rglob("spool-*")) == []


def test_a_frozen_node_s_late_values_are_dropped(lab: Lab, way: dict[str, str]) -> None:
    gate = lab.folder / "gate"

    def late(n: int) -> Any:
        import os
        import time

        first = nb.current().attempt == 1
        while first and not os.path.exists(str(gate)):
            time.sleep(0.02)
        return np.full(300_000, 10.0 * n + nb.current().attempt)

    (slow,) = lab.nodes(1, slots=1)
    job = lab.connect().map(late, [1], chunk=1, **way)
    wait_until(lambda: lab.tables.statuses(job.id).get("CLAIMED"), message="the claim")
    slow.freeze()
    lab.nodes(1, slots=1)
    assert job.wait(60).results()[0][0] == 12.0
    gate.touch()
    slow.thaw()
    wait_until(lambda: "FENCED" in slow.said(), message="that it notices")
    wait_until(lambda: not spooled(lab) and len(kept(lab)) + streams(lab) == 1, message="that its values are gone")
    assert job.results()[0][0] == 12.0


# --- a database that goes away -------------------------------------------------------------------


@pytest.mark.needs("sessions")
def test_sessions_that_end_in_the_middle_of_transfers(lab: Lab) -> None:
    lab.nodes(2, slots=1)
    cluster = lab.connect()
    job = cluster.map(ramp, range(24), chunk=1)
    for done in (0, 4, 8, 12):
        wait_until(lambda n=done: lab.tables.count("batch_results") >= n, message="progress")
        wait_until(lambda: lab.tables.value(END_SESSIONS), message="sessions to end")
    values = job.wait(60).results()
    assert [value[0] for value in values] == [float(n) for n in range(24)]
    assert set(job.partitions()["attempt"]) == {1}


@pytest.mark.needs("sessions")
def test_the_node_beats_and_commits_while_a_large_value_cannot_be_stored(lab: Lab) -> None:
    lab.nodes(1, slots=2)
    cluster = lab.connect()
    small = cluster.map(lab.effects.worker(), range(20), chunk=1)
    large = cluster.map(ramp, [7], chunk=1)
    lab.effects.wait_for_begins(2)
    with lab.tables.held("LOCK TABLE batch_payloads IN SHARE MODE"):  # nobody writes to it
        lab.effects.open_gate()
        assert small.wait(60).results() == [n * n for n in range(20)]
        wait_until(lambda: lab.tables.value(WAITING), message="an upload that waits")
        newest = "SELECT max(last_updated_time) FROM batch_nodes WHERE slots > 0"
        beat = lab.tables.value(newest)
        wait_until(lambda: lab.tables.value(newest) > beat, message="a beat")
        assert lab.tables.statuses(large.id) == {"CLAIMED": 1}
    assert large.wait(60).results()[0][0] == 7.0
