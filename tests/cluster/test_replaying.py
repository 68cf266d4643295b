"""A partition once more in the kernel: the same code, the same inputs, and nothing of it in the database."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import nbcluster as nb
from nbcluster.errors import InputError, JobFailed, PayloadError, SignatureError
from tests.cluster.conftest import Lab
from tests.waiting import wait_until

EVERYTHING = ("batch_job_execution", "batch_step_execution", "batch_partitions", "batch_attempts", "batch_results",
              "batch_logs", "batch_checkpoints", "batch_events")  # fmt: skip


def contents(lab: Lab) -> dict[str, list[Any]]:
    return {table: [tuple(row) for row in lab.tables.rows(f"SELECT * FROM {table}")] for table in EVERYTHING}


def halves(n: int) -> float:
    return 10 / (n - 4)


# --- every way in which a function is called ----------------------------------------------------------------------


def test_items_are_called_one_by_one_as_on_the_node(cluster: Any) -> None:
    job = cluster.map(lambda n: n * 2, range(7), chunk=3).wait()
    assert [job.replay(index) for index in range(3)] == [[0, 2, 4], [6, 8, 10], [12]]
    assert [list(job.inputs(index)) for index in range(3)] == [[0, 1, 2], [3, 4, 5], [6]]


def test_tuples_are_spread_over_the_arguments(cluster: Any) -> None:
    job = cluster.starmap(lambda a, b: a - b, [(5, 1), (6, 2), (7, 4)], chunk=2).wait()
    assert [job.replay(0), job.replay(1)] == [[4, 4], [3]]
    assert job.inputs(0) == [(5, 1), (6, 2)]


def test_a_function_of_a_part_gives_its_value_and_no_list(cluster: Any) -> None:
    frame = pd.DataFrame({"n": range(5)})
    job = cluster.map_partitions(lambda part: int(part["n"].sum()), nb.frame(frame, rows=2)).wait()
    assert [job.replay(index) for index in range(3)] == [1, 5, 4]
    pd.testing.assert_frame_equal(job.inputs(1), frame.iloc[2:4])


def test_rows_of_a_frame_are_items(cluster: Any) -> None:
    job = cluster.map(lambda row: int(row["n"]) + 1, pd.DataFrame({"n": range(4)}), partitions=2).wait()
    assert job.replay(1) == [3, 4]


def test_a_submitted_call_has_its_arguments(cluster: Any) -> None:
    job = cluster.submit(lambda a, b=0: a - b, 5, b=2).wait()
    assert job.replay(0) == 3
    assert job.inputs(0) == ((5,), {"b": 2})


def test_a_step_gets_what_the_step_before_it_gave(cluster: Any) -> None:
    job = (
        cluster.pipeline()
        .map("load", lambda n: n * 10, range(4), chunk=2)
        .map("score", lambda n: n + 1)
        .aggregate("report", sum)
        .run()
        .wait()
    )
    assert job.step("load").replay(1) == [20, 30]
    assert job.step("score").replay(1) == [21, 31]
    assert job.step("score").inputs(1) == [20, 30]
    assert job.step("report").inputs(0) == [1, 11, 21, 31]
    assert job.step("report").replay(0) == job.replay(0) == 64


def test_a_callback_is_told_how_the_job_ended(cluster: Any) -> None:
    job = cluster.map(halves, [4, 5], chunk=1, on_failure=lambda outcome: [part.index for part in outcome.failed])
    job.wait()
    assert job.step("on_failure").replay(0) == [0]
    assert job.step("on_failure").inputs(0).status == "FAILED"


# --- what fails -----------------------------------------------------------------------------------------------------


def test_the_functions_own_exception_comes_with_its_frames_and_says_which_item(cluster: Any) -> None:
    job = cluster.map(halves, range(8), name="halves", chunk=3, fresh=True).wait()
    with pytest.raises(ZeroDivisionError) as caught:
        job.replay(1)
    frame = caught.traceback[-1].frame
    assert (frame.code.name, frame.f_locals) == ("halves", {"n": 4})
    assert caught.value.__notes__ == ["(item 4, in partition 1 of halves: 4)"]


def test_messages_say_how_to_replay(cluster: Any) -> None:
    job = cluster.map(halves, range(8), name="halves", chunk=3, fresh=True)
    with pytest.raises(JobFailed, match=r"first at item 4 \(partition 1\); replay with job.replay\(1\)"):
        job.results()
    with pytest.raises(nb.PartitionError, match=r"attempt 1\); replay with job.replay\(1\)"):
        list(job.iter())
    assert "; replay with scores.replay(1)" in job.failure("scores")
    folded = cluster.map(abs, range(3), aggregate=lambda values: values[99])
    with pytest.raises(nb.PartitionError, match=r"; replay with job.step\('aggregate'\).replay\(0\)"):
        folded.result()
    with pytest.raises(IndexError):
        folded.step("aggregate").replay(0)


def test_all_kinds_of_errors_with_a_traceback_each(cluster: Any) -> None:
    def check(n: int) -> int:
        if n in (2, 3):
            raise ValueError("bad date")
        return 10 // (n - 7)

    job = cluster.map(check, range(8), name="check", chunk=4, fresh=True).wait()
    head, first, second = job.traceback().split("\n\n")
    assert head == "check: 3 of 8 items failed"
    assert first.startswith(
        "2 x ValueError: bad date, first at item 2 (partition 0); replay with job.replay(0)\nTraceb"
    )
    assert 'raise ValueError("bad date")' in first
    assert second.startswith("1 x ZeroDivisionError: ")
    assert "return 10 // (n - 7)" in second
    assert cluster.map(abs, range(3)).wait().traceback() == ""


def test_what_killed_its_process_is_said_before_it_runs(lab: Lab, caplog: pytest.LogCaptureFixture) -> None:
    marker = str(lab.folder / "dead")

    def die(n: int) -> int:
        import os
        import signal

        if not os.path.exists(marker):
            os.kill(os.getpid(), signal.SIGKILL)
        return n

    lab.nodes(1, slots=1)
    job = lab.connect(max_attempts=1).map(die, [1], transferable=False).wait(60)
    assert "replay" not in job.failure()
    Path(marker).touch()
    assert job.replay(0) == [1]
    assert "killed its process on the node (" in caplog.text


# --- what the function may ask ----------------------------------------------------------------------------------------


def test_the_function_learns_what_it_learned_on_the_node(cluster: Any) -> None:
    def asks(_n: int) -> tuple[Any, ...]:
        here = nb.current()
        here.progress(0.5, "half")
        return here.job, here.index, here.attempt, here.partition_key, here.idempotency_key, here.cancelled

    job = cluster.map(asks, range(2), name="asks", chunk=1, fresh=True)
    assert [job.replay(index)[0] for index in range(2)] == job.results()
    with pytest.raises(nb.UsageError, match="only inside a function"):
        nb.current()


def test_an_attempt_finds_the_checkpoint_that_it_found(cluster: Any) -> None:
    def count(_n: int) -> Any:
        here = nb.current()
        found = here.checkpoint
        here.save((found or 0) + 1)
        if found is None:
            raise OSError("once")
        if here.node != "replay":
            raise ValueError("for good")
        return found, here.attempt

    job = cluster.map(count, [0], retries=1, retry_on=OSError, retry_wait="10ms").wait()
    # The second attempt saved something itself: what it found is gone, and the first found nothing.
    for attempt in (1, 2, None):
        with pytest.raises(OSError, match="once"):
            job.replay(0, attempt=attempt)
    assert job.replay(0, attempt=3) == [(2, 3)]


def test_saving_complains_as_on_a_node(cluster: Any) -> None:
    def save(_n: int) -> None:
        import threading

        if nb.current().node == "replay":
            nb.current().save(threading.Lock())

    job = cluster.map(save, [0]).wait()
    with pytest.raises(nb.CannotPickle, match="the checkpoint"):
        job.replay(0)


def test_nothing_is_written(lab: Lab) -> None:
    def talk(n: int) -> float:
        here = nb.current()
        here.progress(0.3)
        here.save(n)
        print("said")
        return 10 / (n - 4)

    lab.nodes(1, slots=2)
    job = lab.connect().map(talk, range(6), chunk=3).wait(60)
    before = contents(lab)
    job.replay(0)
    with pytest.raises(ZeroDivisionError):
        job.replay(1)
    job.inputs(1)
    assert contents(lab) == before


def test_what_runs_on_a_node_can_be_run_here_too_and_is_said(lab: Lab, caplog: pytest.LogCaptureFixture) -> None:
    gate = str(lab.folder / "gate")

    def wait_there(n: int) -> int:
        import os
        import time

        while nb.current().node != "replay" and not os.path.exists(gate):
            time.sleep(0.02)
        return n

    (node,) = lab.nodes(1, slots=1)
    job = lab.connect().map(wait_there, [7])
    wait_until(lambda: lab.tables.count("batch_partitions", "status = 'CLAIMED'"), message="a claim")
    assert job.replay(0) == [7]
    assert f"is running on {node.id} just now; what it does, it does twice" in caplog.text
    Path(gate).touch()
    assert job.wait(30).results() == [7]


# --- before and long after --------------------------------------------------------------------------------------------


def test_what_no_node_has_begun_can_be_tried(lab: Lab) -> None:
    job = lab.connect().map(lambda n: (n, nb.current().attempt), range(4), chunk=2)
    assert job.replay(1) == [(2, 1), (3, 1)]
    with pytest.raises(InputError, match=r"no attempt 2 of partition 1 of .*: no attempt was made yet, and 1 would be"):
        job.replay(1, attempt=2)


def test_inputs_that_are_not_there_yet_are_named(lab: Lab) -> None:
    pipeline = lab.connect().pipeline("night").map("load", abs, range(4), chunk=2).map("score", abs)
    job = pipeline.aggregate("report", sum).run()
    with pytest.raises(InputError, match="partition 1 of step score of night has no input yet: it gets what partition"):
        job.step("score").replay(1)
    with pytest.raises(InputError, match="it gets every value of score, which is CREATED"):
        job.step("report").replay(0)


REPLAY = """
import sys, traceback
import nbcluster as nb
job = nb.connect(sys.argv[1]).job("old")
print(job.replay(0))
try:
    job.replay(1)
except ZeroDivisionError:
    traceback.print_exc(file=sys.stdout)
"""

LAUNCH = """
import linecache, sys
import nbcluster as nb
text = "def share(n):\\n    part = n - 2\\n    return 1 / part\\n"
linecache.cache["<cell 7>"] = (len(text), None, text.splitlines(True), "<cell 7>")
exec(compile(text, "<cell 7>", "exec"))
nb.connect(sys.argv[1]).map(share, range(4), name="old", chunk=2).wait()
"""


def test_a_new_kernel_replays_with_the_cells_own_lines(lab: Lab) -> None:
    lab.nodes(1, slots=2)
    launching = lab.kernel(LAUNCH, lab.url)
    wait_until(lambda: not launching.running, message="the end of the job's kernel")
    replaying = lab.kernel(REPLAY, lab.url)
    wait_until(lambda: not replaying.running, message="the end of the new kernel")
    said = replaying.said()
    assert said.startswith("[-0.5, -1.0]\n"), said
    assert '  File "<cell 7>", line 3, in share\n    return 1 / part\n' in said
    lab.expected_in_logs = True


# --- what cannot be replayed ------------------------------------------------------------------------------------------


def test_a_partition_or_attempt_that_there_is_not(cluster: Any) -> None:
    job = cluster.map(abs, range(4), name="four", chunk=2, fresh=True).wait()
    for wrong in (2, -1, "1", 1.0):
        with pytest.raises(InputError, match=r"four has no partition .*; they are numbered 0 to 1"):
            job.replay(wrong)
    for attempt in (0, 2, 99, "1", True):
        with pytest.raises(InputError, match=r"there is no attempt .* of partition 1 of four: it had 1 attempt$"):
            job.replay(1, attempt=attempt)
    good = cluster.map(abs, [1], on_success=print, on_failure=print).wait()
    with pytest.raises(InputError, match="on_failure has no partitions yet"):
        good.step("on_failure").replay(0)


def test_another_python_is_named(lab: Lab) -> None:
    job = lab.connect().map(abs, range(2), name="snake")
    lab.tables.change("UPDATE batch_step_execution SET python = '2.7'")
    with pytest.raises(
        PayloadError, match=r"needs Python 2.7 and this is Python 3\.\d+, .* in a kernel with Python 2.7"
    ):
        job.replay(0)


def test_a_package_that_is_missing_here_is_named(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys
    import types

    module = types.ModuleType("far_away")
    exec("def near(n): return n", module.__dict__)
    module.near.__module__ = "far_away"
    monkeypatch.setitem(sys.modules, "far_away", module)
    job = lab.connect().map(module.near, range(2), name="far")
    monkeypatch.delitem(sys.modules, "far_away")
    with pytest.raises(PayloadError, match=r"the function of far cannot be rebuilt here: .*No module named 'far_away'"):
        job.replay(0)


def test_an_altered_payload_is_not_opened(lab: Lab) -> None:
    canary = lab.folder / "canary"

    class Canary:
        def __reduce__(self) -> Any:
            return open, (str(canary), "w")

    evil = pickle.dumps(Canary())
    job = lab.connect().map(abs, range(4), chunk=2)
    lab.tables.change("UPDATE batch_partitions SET arguments = :body WHERE partition_index = 1", body=evil)
    assert job.replay(0) == [0, 1]
    for look in (job.replay, job.inputs):
        with pytest.raises(SignatureError, match="the stored arguments is not signed with this cluster's key"):
            look(1)
    lab.tables.change("UPDATE batch_payloads SET body = :body", body=evil)
    with pytest.raises(SignatureError, match="the stored function is not signed"):
        job.replay(0)
    assert not canary.exists()
