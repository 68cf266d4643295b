"""Large inputs that are stored once and brought to each node once."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import nbcluster as nb
from nbcluster.sharing import Shared
from tests.cluster.conftest import Lab
from tests.waiting import wait_until

ROWS = 200_000


def frame() -> pd.DataFrame:
    return pd.DataFrame(
        {"n": np.arange(ROWS), "x": np.linspace(0, 1, ROWS), "s": [f"row {n % 7}" for n in range(ROWS)]}
    )


def stored(lab: Lab) -> tuple[int, int]:
    """How many values are shared, and in how many pieces they are stored, wherever that is."""
    beside = Path(lab.url.removeprefix("sqlite:///") + ".values")
    files = [one for one in beside.glob("*") if not one.name.startswith("spool")] if lab.tables.sqlite else []
    chunks = lab.tables.count("batch_payloads", "payload_id IN (SELECT payload_id FROM batch_shared)")
    return lab.tables.count("batch_shared"), len(files) + chunks


def test_functions_read_what_was_shared(lab: Lab) -> None:
    lab.nodes(2, slots=2)
    cluster = lab.connect()
    big = cluster.share(frame())
    assert isinstance(big, Shared)

    def total(n: int) -> Any:
        return int(big.value["n"].iloc[n]), big.value["s"].iloc[n], type(big.value).__name__

    assert cluster.map(total, range(40), chunk=1).results() == [(n, f"row {n % 7}", "DataFrame") for n in range(40)]
    # As an argument it is as good as captured.
    assert cluster.submit(lambda given, column: float(given.value[column].max()), big, column="x").result() == 1.0
    assert cluster.map(lambda given: len(given()), [big] * 3).results() == [ROWS] * 3


def test_the_processes_of_a_node_map_one_file(lab: Lab) -> None:
    lab.nodes(1, slots=3)
    cluster = lab.connect()
    big = cluster.share(np.arange(ROWS * 10))

    def mapped(_n: int) -> tuple[int, str, bool]:
        import time

        value = big.value
        time.sleep(0.05)
        with open("/proc/self/maps") as maps:
            (found,) = {line.split()[-1] for line in maps if "r--s" in line and ("values" in line or "spool" in line)}
        return os.getpid(), found, bool(value.flags.writeable)

    seen = cluster.map(mapped, range(24), chunk=1).results()
    assert len({pid for pid, _, _ in seen}) == 3
    assert len({path for _, path, _ in seen}) == 1
    assert not any(writeable for _, _, writeable in seen)


def test_an_equal_value_is_stored_once(lab: Lab) -> None:
    cluster, other = lab.connect(), lab.connect()
    one = cluster.share(frame())
    before = stored(lab)
    assert before[0] == 1
    assert other.share(frame()) == one
    assert cluster.share(frame()).delete()
    assert before[1] >= 1
    assert stored(lab) == (0, 0)
    assert not one.delete()


def test_what_was_deleted_is_said_to_be_so(lab: Lab) -> None:
    lab.nodes(1, slots=1)
    cluster = lab.connect()
    with cluster.share(np.arange(ROWS)) as big:
        assert cluster.submit(lambda: int(big.value[7])).result() == 7
        other = cluster.share(np.arange(ROWS) + 1)
    assert stored(lab)[0] == 1
    told = rf"the shared value {big.id[:8]} was deleted; share it again with nc.share\(\)"
    # Another process of the node has not read it yet.
    with pytest.raises(nb.PartitionError, match=told):
        cluster.submit(lambda: (os.getpid(), int(_ended() or big.value[7]))).result()
    assert cluster.submit(lambda: int(other.value[7])).result() == 8


def _ended() -> int:
    """Forget what this process has read, as one would that was started just now."""
    from nbcluster import sharing

    sharing._opened.clear()
    return 0


def test_a_sample_and_a_replay_read_it_here(lab: Lab) -> None:
    lab.nodes(1, slots=1)
    cluster = lab.connect()
    big = cluster.share(np.arange(ROWS))
    job = cluster.map(lambda n: int(big.value[n]), range(4), chunk=2)
    assert job.results() == [0, 1, 2, 3]
    assert job.replay(1) == [2, 3]
    assert cluster.plan(lambda n: int(big.value[n]), range(4), sample=1).measured is not None


_ELSEWHERE = """
import sys
import nbcluster as nb

cluster = nb.connect(sys.argv[1])
shared = cluster.job(sys.argv[2]).result()
print("value", int(shared.value[7]), shared.value.flags.writeable, flush=True)
"""


def test_another_kernel_reads_what_a_result_names(lab: Lab) -> None:
    lab.nodes(1, slots=1)
    cluster = lab.connect()
    big = cluster.share(np.arange(ROWS))
    job = cluster.submit(lambda: big)
    assert job.result() == big
    kernel = lab.kernel(_ELSEWHERE, lab.url, str(job.id))
    wait_until(lambda: "value 7 False" in kernel.said(), message=kernel.said)


def test_what_somebody_forgot_is_listed_and_can_be_deleted(lab: Lab) -> None:
    cluster = lab.connect()
    assert cluster.shares().empty
    big, other = cluster.share(np.arange(ROWS)), cluster.share(frame())
    listed = cluster.shares()
    assert listed["id"].tolist() == [big.id, other.id]
    assert listed["size"].tolist() == [big.size, other.size]
    assert str(listed["created"].dtype).endswith("UTC]")
    for wrong, why in (("", "there is no shared value"), ("zz", "there is no shared value")):
        with pytest.raises(nb.InputError, match=rf"{why} whose id begins with '{wrong}'; nc.shares\(\) lists them"):
            cluster.unshare(wrong)
    cluster.unshare(big.id[:8])
    assert cluster.shares()["id"].tolist() == [other.id]


def test_what_cannot_be_pickled_cannot_be_shared(lab: Lab) -> None:
    with pytest.raises(nb.PayloadError, match="this generator cannot be shared: it cannot be pickled"):
        lab.connect().share(n for n in range(3))
    assert stored(lab) == (0, 0)


def test_altered_bytes_are_refused(lab: Lab) -> None:
    lab.nodes(1, slots=1)
    cluster = lab.connect()
    big, other = cluster.share(np.arange(ROWS)), cluster.share(np.arange(ROWS) + 1)
    (mine,) = lab.tables.rows("SELECT * FROM batch_shared WHERE shared_id = :id", id=big.id)
    (theirs,) = lab.tables.rows("SELECT * FROM batch_shared WHERE shared_id = :id", id=other.id)

    def refused(**columns: Any) -> str:
        changes = ", ".join(f"{name} = :{name}" for name in columns)
        lab.tables.change(f"UPDATE batch_shared SET {changes} WHERE shared_id = :id", id=big.id, **columns)
        with pytest.raises(nb.PartitionError) as raised:
            cluster.submit(lambda: int(big.value[7])).result()
        return str(raised.value)

    # Somebody else's bytes under this id; then with their signature.
    assert "was altered; it was not opened" in refused(payload_id=theirs.payload_id)
    assert "is not signed with this cluster's key" in refused(mac=theirs.mac)
    # Whoever shares it again makes it good.
    again = cluster.share(np.arange(ROWS))
    assert again == big
    assert cluster.submit(lambda: int(big.value[7])).result() == 7
    assert mine.payload_id != theirs.payload_id


def test_a_node_that_is_killed_while_it_fetches_leaves_the_work_to_others(lab: Lab) -> None:
    first, second = lab.nodes(2, slots=1)
    cluster = lab.connect()
    big = cluster.share(np.arange(20_000_000))

    def read(n: int) -> int:
        return int(big.value[n])

    job = cluster.map(read, range(20), chunk=1)
    wait_until(lambda: lab.tables.count("batch_partitions", "status = 'CLAIMED'") > 0)
    first.kill()
    assert job.wait(60).results() == list(range(20))
    assert second.running


def test_a_child_gets_an_answer_whatever_it_asks_for(lab: Lab) -> None:
    lab.nodes(1, slots=1)
    cluster = lab.connect()
    unknown = Shared("f" * 64, "ndarray", 10)
    strange = Shared("no such id; DROP TABLE batch_nodes", "ndarray", 10)
    for one in (unknown, strange):
        with pytest.raises(nb.PartitionError, match="was deleted; share it again"):
            cluster.submit(lambda one=one: one.value).result()
