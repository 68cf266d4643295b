"""What a job would be: told, and not made."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import nbcluster as nb
from nbcluster.errors import CannotPickle, InputError, TooLarge
from tests.cluster.conftest import Lab
from tests.waiting import wait_until

TABLE = pd.DataFrame({"n": np.arange(50_000)})
LOOKUP = {n: n for n in range(200)}


def look_up(n: int) -> int:
    return LOOKUP[n]


def test_a_plan_is_the_split_that_the_job_gets_and_stores_nothing(cluster: Any, shared_lab: Lab) -> None:
    before = shared_lab.tables.count("batch_job_execution")
    plan = cluster.plan(abs, range(100), chunk=7, name="planned")
    assert plan.sizes == (7,) * 14 + (2,)
    assert (plan.name, plan.items, plan.partitions, plan.strategy) == ("planned", 100, 15, "round_robin")
    assert shared_lab.tables.count("batch_job_execution") == before
    partitions = cluster.map(abs, range(100), chunk=7).wait().partitions()
    assert tuple(partitions["items"]) == plan.sizes


def test_each_node_is_told_what_it_would_get(cluster: Any) -> None:
    plan = cluster.plan(abs, range(80), chunk=10)
    assert [(node.slots, node.partitions, node.items, node.obstacle) for node in plan.nodes] == [(2, 4, 40, "")] * 2
    assert {node.node for node in plan.nodes} == set(cluster.nodes()["node"])
    assert (plan.slots, plan.unassigned) == (4, 0)
    one = cluster.plan(abs, range(80), chunk=10, strategy="fixed", nodes=1)
    assert sorted(node.partitions for node in one.nodes) == [0, 8]
    assert one.slots == 2
    free = cluster.plan(abs, range(80), chunk=10, strategy="scale_up")
    assert (free.unassigned, free.slots) == (8, 4)
    assert "8 partitions for whichever node is free" in repr(free)


def test_nodes_that_cannot_say_why(lab: Lab) -> None:
    cluster = lab.connect()
    assert "No node could run it now" in repr(cluster.plan(abs, range(4)))
    draining, frozen, snake, fine = lab.nodes(4, slots=1)
    lab.tables.change("UPDATE batch_nodes SET python = '2.7' WHERE node_id = :node", node=snake.id)
    cluster.drain(draining.id)
    frozen.freeze()
    try:
        wait_until(
            lambda: len([n for n in cluster.plan(abs, range(4)).nodes if n.obstacle.startswith("silent for ")]) == 1,
            message="the silence to be noticed",
        )
        plan = cluster.plan(abs, range(4), chunk=1)
        told = {node.node: node.obstacle for node in plan.nodes}
        assert told[snake.id].startswith("runs Python 2.7, this needs 3.")
        assert told[fine.id] == ""
        assert {node.node: node.partitions for node in plan.nodes}[fine.id] == 4
        lacking = {node.node: node.obstacle for node in cluster.plan(abs, range(4), require=["gpu", "mem>=3"]).nodes}
        assert lacking[fine.id] == "lacks gpu, mem>=3"
    finally:
        frozen.thaw()


def test_a_draining_node_says_so(lab: Lab) -> None:
    cluster = lab.connect()
    (node,) = lab.nodes(1, slots=1)
    job = cluster.map(lab.effects.worker(), [0])
    wait_until(lambda: lab.tables.count("batch_partitions", "status = 'CLAIMED'"), message="a claim")
    cluster.drain(node.id)
    wait_until(
        lambda: [one.obstacle for one in cluster.plan(abs, [1]).nodes] == ["draining: it begins nothing more"],
        message="the node to be draining",
    )
    lab.effects.open_gate()
    job.wait(30)


def test_what_travels_is_named_largest_first(cluster: Any) -> None:
    small = [1, 2, 3]

    def use(n: int) -> Any:
        return look_here(n) + len(small) + pd.isna(n)

    # As in a notebook: a function that is not to be imported.
    look_here = _of_a_notebook(look_up, {"LOOKUP": LOOKUP, "TABLE": TABLE})
    use = _of_a_notebook(use, {"pd": pd, "look_here": look_here})
    plan = cluster.plan(use, range(4))
    assert cluster.plan(_of_a_notebook(look_up, {"LOOKUP": TABLE}), range(4)).packages == ("pandas",)
    assert {one.name for one in plan.captures} == {"look_here", "LOOKUP (in look_here)", "small"}
    sizes = [one.size for one in plan.captures]
    assert sizes == sorted(sizes, reverse=True)
    assert plan.packages == ("pandas",)
    assert plan.function_size > sum(sizes) / 2
    with pytest.raises(TooLarge, match="max_capture"):
        cluster.plan(use, range(4), max_capture=100)
    with pytest.raises(CannotPickle, match="captured 'lock'"):
        cluster.plan(_of_a_notebook(lambda n: lock, {"lock": __import__("threading").Lock()}), [1])  # noqa: F821


def _of_a_notebook(function: Any, names: dict[str, Any]) -> Any:
    import types

    made = types.FunctionType(
        function.__code__, {"__name__": "__main__", **names}, function.__name__, None, function.__closure__
    )
    made.__module__ = "__main__"
    return made


def test_a_sample_is_run_here_and_timed(cluster: Any) -> None:
    def slow(n: int) -> tuple[int, str]:
        time.sleep(0.01)
        here = nb.current()
        return here.index, here.node

    plan = cluster.plan(slow, range(40), chunk=4, sample=3)
    assert (plan.measured.partitions, plan.measured.items) == (3, 12)
    assert plan.measured.seconds >= 0.12
    assert plan.computing == pytest.approx(plan.measured.seconds / 12 * 40)
    assert plan.duration == pytest.approx(plan.computing / 4)
    assert "partitions 0, 4, 9 run here in " in repr(plan)
    everything = cluster.plan(slow, range(4), chunk=2, sample=99)
    assert everything.measured.partitions == 2
    with pytest.raises(nb.UsageError):
        nb.current()


def test_what_a_sample_raises_comes_as_it_is(cluster: Any) -> None:
    with pytest.raises(ZeroDivisionError) as caught:
        cluster.plan(lambda n: 1 // (n - 5), range(8), name="shares", chunk=4, sample=2)
    assert caught.value.__notes__ == ["(item 5, in partition 1 of shares: 5)"]


def test_a_sample_runs_on_copies(cluster: Any) -> None:
    seen: list[int] = []
    cluster.plan(seen.append, range(4), sample=1)
    assert seen == []


def test_earlier_runs_of_the_same_code_tell_how_long_it_takes(cluster: Any) -> None:
    def nap(n: int, seconds: float = 0.02) -> int:
        time.sleep(seconds)
        return n

    assert cluster.plan(nap, range(40)).measured is None
    assert "not known, for no job that is stored ran this code" in repr(cluster.plan(nap, range(40)))
    job = cluster.map(nap, range(8), name="nap", chunk=2).wait()
    measured = cluster.plan(nap, range(40)).measured
    assert (measured.partitions, measured.items) == (4, 8)
    assert measured.seconds == pytest.approx(job.partitions()["seconds"].sum())
    assert "from 4 partitions of 1 earlier run of this code" in repr(cluster.plan(nap, range(40)))
    cluster.map(nap, range(4), name="nap", chunk=2).wait()
    assert cluster.plan(nap, range(40)).measured.items == 12
    assert cluster.plan(lambda n: n + 12345, range(40)).measured is None


def test_a_job_without_a_name_tells_it_too(cluster: Any) -> None:
    def doze(n: int) -> int:
        time.sleep(0.01)
        return n

    job = cluster.map(doze, range(6), chunk=3).wait()
    measured = cluster.plan(doze, range(40)).measured
    assert (measured.partitions, measured.items) == (2, 6)
    assert measured.seconds == pytest.approx(job.partitions()["seconds"].sum())
    cluster.pipeline().map("first", doze, range(2)).map("second", lambda n: n).run().wait()
    assert cluster.plan(doze, range(40)).measured.items == 6


def test_every_way_to_fan_out_can_be_planned(cluster: Any) -> None:
    assert cluster.plan(lambda a, b: a, [(1, 2)] * 6, how="starmap", chunk=4, sample=1).sizes == (4, 2)
    parts = cluster.plan(sum, nb.ranges(0, 100, chunk=10), how="map_partitions", sample=1)
    assert parts.sizes == (1,) * 10
    assert cluster.plan(lambda: 1, how="submit", sample=1).sizes == (1,)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"how": "mapp"}, "how is 'mapp'; it must be one of map, starmap, map_partitions, submit"),
        ({"sample": -1}, "sample is -1"),
        ({"sample": "2"}, "sample is '2'"),
        ({"partition": 3}, "unknown option partition"),
        ({"strategy": "nonsense"}, "there is no strategy 'nonsense'"),
        ({"chunk": 2, "partitions": 3}, "give chunk= or partitions=, not both"),
    ],
)
def test_what_makes_no_sense_is_refused(cluster: Any, options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        cluster.plan(abs, range(4), **options)


def test_it_shows_itself_as_text_and_as_a_table(cluster: Any) -> None:
    plan = cluster.plan(_of_a_notebook(look_up, {"LOOKUP": LOOKUP}), range(100), name="<b>", chunk=7)
    text, html = repr(plan), plan._repr_html_()
    assert text.startswith("Plan of <b>: 100 items in 15 partitions of 2 to 7, by round_robin; nothing was stored")
    assert "Plan of &lt;b&gt;: 100 items" in html
    for word in ("LOOKUP", "dict", plan.nodes[0].node, "nothing was stored"):
        assert word in text
        assert word in html
    assert html.count("<table") == html.count("</table>") == 3
    assert "why none" not in text


def test_the_split_is_described_in_the_partitioners_own_words(cluster: Any, tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.txt").write_text(name)

    class Mine(nb.Partitioner):
        def split(self, nodes: Any) -> Any:
            return [[1], [2, 3]]

    def halves(nodes: Any) -> Any:
        return [[1, 2], [3]]

    table = pd.DataFrame({"k": ["x", "y", "x"], "n": [1, 2, 3]})
    told = {
        "ranges(0, 9): 9 numbers": (nb.ranges(0, 9, chunk=5), ["0..4", "5..8"], (5, 4)),
        "items: 3": ((n for n in (1, 2, 3)), ["0..0", "1..1", "2..2"], (1, 1, 1)),
        "frame: 3 rows x 2 columns by k": (nb.frame(table, by="k"), ["0:x", "1:y"], (2, 1)),
        "Mine": (Mine(), ["part-0", "part-1"], (1, 2)),
        "what halves gives": (halves, ["part-0", "part-1"], (2, 1)),
    }
    for split, (source, keys, sizes) in told.items():
        plan = cluster.plan(len, source)
        assert (plan.split, [part.key for part in plan.parts], plan.sizes) == (split, keys, sizes)
        assert f"Split: {split}" in repr(plan)
    files = cluster.plan(len, nb.files(f"{tmp_path}/*.txt"))
    assert [part.key for part in files.parts] == ["a.txt", "b.txt"]
    assert "2 files" in files.split
    for source in (nb.grid(a=[1, 2], b=[3]), nb.dates("2024-01-01", "2024-03-31", "M")):
        plan = cluster.plan(str, source)
        assert repr(source).splitlines()[0] in repr(plan)
        assert plan.frame()["key"].tolist() == cluster.map(str, source).wait().partitions()["key"].tolist()


def test_modules_beside_the_notebook_and_what_they_need_are_told(
    cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pricing.py").write_text("import pandas\nimport json\nfrom rates import RATE\n")
    (tmp_path / "rates.py").write_text("RATE = 1\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))

    def price(n: int) -> int:
        import pricing  # type: ignore[import-not-found]

        return int(pricing.RATE * n)

    plan = cluster.plan(price, range(4))
    assert [(one.name, one.file) for one in plan.modules] == [
        (name, str(tmp_path / f"{name}.py")) for name in ("pricing", "rates")
    ]
    assert plan.packages == ("pandas",)
    assert plan.modules_size > 0
    off = cluster.plan(price, range(4), ship=False)
    assert (off.modules, off.packages) == ((), ("pricing",))


def test_a_package_that_a_node_did_not_tell_of_is_named(lab: Lab) -> None:
    (node,) = lab.nodes(1, slots=1)
    cluster = lab.connect()
    told = "SELECT count(*) FROM batch_nodes WHERE environment IS NOT NULL AND slots > 0"
    wait_until(lambda: lab.tables.value(told), message="the node to tell its packages")
    using = _of_a_notebook(lambda n: bool(pd.isna(n)), {"pd": pd})
    assert [one.lacks for one in cluster.plan(using, range(2)).nodes] == [()]
    lab.tables.change('UPDATE batch_environments SET packages = \'{"numpy": "2.0"}\'')
    plan = cluster.plan(using, range(2))
    assert [one.lacks for one in plan.nodes] == [("pandas",)]
    assert f"{node.id} has no pandas" in repr(plan)


def test_each_partition_tells_how_much_there_is_in_it(cluster: Any, tmp_path: Path) -> None:
    import duckdb
    import sqlalchemy

    numbers = pd.DataFrame({"n": range(100), "k": ["a", "b"] * 50})
    numbers.to_csv(tmp_path / "t.csv", index=False)
    duckdb.sql(f"COPY (SELECT * FROM numbers) TO '{tmp_path}/t.parquet' (FORMAT parquet)")
    url = f"sqlite:///{tmp_path}/t.db"
    engine = sqlalchemy.create_engine(url)
    numbers.to_sql("numbers", engine, index=False)
    engine.dispose()
    csv_bytes = (tmp_path / "t.csv").stat().st_size
    holds = {
        "parquet": (nb.parquet(tmp_path / "t.parquet"), ["100 rows"]),
        "keys": (nb.keys(url, "numbers", "n", rows=60), ["60 rows", "40 rows"]),
        "sql": (nb.sql(f"SELECT * FROM '{tmp_path}/t.parquet'", by="k"), ["50 rows", "50 rows"]),
        "csv": (nb.csv(tmp_path / "t.csv"), [f"{csv_bytes - len('n,k') - 1} bytes"]),
        "files": (nb.files(f"{tmp_path}/t.csv"), [f"{csv_bytes} bytes"]),
        "frame": (nb.frame(numbers, rows=99), ["99 rows", "1 row"]),
        "list": (nb.items([1, 2, 3], chunk=2), ["2 items", "1 item"]),
    }
    for name, (source, wanted) in holds.items():
        plan = cluster.plan(len, source, how="map_partitions")
        assert [part.holds for part in plan.parts] == wanted, name
        assert plan.frame()["holds"].tolist() == wanted
        assert "  holds  " in repr(plan)
    assert "holds" not in repr(cluster.plan(abs, range(10)))
    assert [part.holds for part in cluster.plan(len, holds["parquet"][0]).parts] == ["100 rows"]


def test_what_is_built_in_takes_nothing_with_it(cluster: Any) -> None:
    assert cluster.plan(len, [[1]]).captures == ()
