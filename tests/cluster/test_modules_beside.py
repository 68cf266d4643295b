"""Modules beside the notebook: nodes that do not have them run what the kernel has in its files."""

from __future__ import annotations

import importlib
import logging
import signal
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from nbcluster.errors import JobFailed, TooLarge
from nbcluster.node.preparing import Preparing
from nbcluster.store.jobs import JobRepository
from tests.cluster.conftest import Lab, about_processes

Write = Callable[[str, str], None]

SHOP = """
    import functools
    import logging
    import threading
    from pathlib import Path

    from rates import RATE
    import stock.shelf

    log = logging.getLogger(__name__)
    lock = threading.Lock()
    calls = []

    class Money:
        def __init__(self, amount):
            self.amount = amount
        def __eq__(self, other):
            return type(self) is type(other) and self.amount == other.amount
        def __hash__(self):
            return hash(self.amount)

    def convert(n):
        with lock:
            calls.append(n)
        return Money(n * RATE + stock.shelf.FEE)

    @functools.lru_cache
    def kept(n):
        return n * RATE

    def beside():
        return (Path(__file__).parent / "data.txt").read_text()

    def fails(n):
        share = n - 1
        return RATE / share
"""


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Write]:
    """Writes files in the folder in which this process works as a kernel does; nodes work elsewhere."""
    folder = tmp_path / "notebook"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(str(folder))
    before = set(sys.modules)

    def write(path: str, text: str) -> None:
        file = folder / path
        file.parent.mkdir(exist_ok=True)
        file.write_text(textwrap.dedent(text))
        importlib.invalidate_caches()

    yield write
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(folder)):
            del sys.modules[name]


@pytest.fixture
def shop(write: Write) -> ModuleType:
    write("rates.py", "RATE = 3\n")
    write("stock/__init__.py", "")
    write("stock/shelf.py", "from . import fees\nFEE = fees.FEE\n")
    write("stock/fees.py", "FEE = 1\n")
    write("shop.py", SHOP)
    return importlib.import_module("shop")


def test_functions_classes_and_values_of_a_module_work_as_they_do_here(cluster: Any, shop: ModuleType) -> None:
    amounts = [shop.Money(n) for n in range(4)]
    converted = [shop.convert(n) for n in range(4)]
    assert cluster.map(shop.convert, range(4)).results() == converted
    assert cluster.map(lambda n: shop.convert(int(n)), range(4)).results() == converted
    assert cluster.map(lambda money: money.amount, amounts).results() == [0, 1, 2, 3]
    assert cluster.map(shop.kept, range(4)).results() == [0, 3, 6, 9]
    assert cluster.submit(shop.Money, 7).result() == shop.Money(7)
    assert cluster.map(len, [[shop.Money(1)], []], aggregate=lambda sizes: shop.Money(sum(sizes))).result().amount == 1


def test_what_the_body_imports_travels_though_this_process_never_imported_it(cluster: Any, write: Write) -> None:
    write("late.py", "X = 5\n")

    def body(n: int) -> int:
        import late  # type: ignore[import-not-found]

        return int(n * late.X)

    assert cluster.map(body, [1, 2]).results() == [5, 10]
    assert "late" not in sys.modules


def test_a_step_gets_values_of_modules_that_it_never_names(cluster: Any, shop: ModuleType) -> None:
    job = cluster.pipeline().map("make", shop.convert, [1, 2]).map("look", lambda money: money.amount).run()
    assert job.results() == [4, 7]


def test_each_run_has_the_text_of_its_own_time(lab: Lab, write: Write, caplog: pytest.LogCaptureFixture) -> None:
    lab.nodes(1, slots=1)
    cluster = lab.connect()
    write("rates.py", "RATE = 3\nseen = []\n")
    rates = importlib.import_module("rates")

    def look(n: int) -> tuple[int, int]:
        rates.seen.append(n)
        return rates.RATE, len(rates.seen)

    assert cluster.map(look, [1, 2], chunk=1).results() == [(3, 1), (3, 2)]
    with caplog.at_level(logging.WARNING):
        write("rates.py", "RATE = 44\nseen = []\n")
        later = cluster.map(look, [1, 2], chunk=1)
        assert later.results() == [(44, 1), (44, 2)]
        cluster.map(look, [1]).wait()
    said = [one.getMessage() for one in caplog.records if "changed since they were imported" in one.getMessage()]
    assert [text.partition(";")[0] for text in said] == ["changed since they were imported here: rates"]
    write("rates.py", "RATE = 3\nseen = []\n")
    # The child still has the first version, with what it had become, and takes it up again.
    assert cluster.map(look, [1]).results() == [(3, 3)]
    # A run that is gone on with has the text of its first run, whatever is in the file by then.
    assert later.retry(0).results()[0][0] == 44


def test_a_change_in_what_a_module_imports_is_another_run(cluster: Any, shop: ModuleType, write: Write) -> None:
    first = cluster.map(shop.convert, [1], name="priced").wait()
    assert cluster.map(shop.convert, [1], name="priced").id == first.id
    write("stock/fees.py", "FEE = 22\n")
    again = cluster.map(shop.convert, [1], name="priced").wait()
    assert again.id != first.id
    assert again.results()[0].amount == 25


def test_its_files_are_found_where_its_folder_is_seen(cluster: Any, shop: ModuleType, write: Write) -> None:
    write("data.txt", "figures")
    assert cluster.submit(shop.beside).result() == "figures"


def test_a_traceback_shows_the_lines_of_the_module(cluster: Any, shop: ModuleType) -> None:
    job = cluster.map(shop.fails, [1]).wait()
    shown = job.traceback(0)
    assert 'shop.py", line ' in shown
    assert "in fails\n    return RATE / share" in shown
    with pytest.raises(ZeroDivisionError):
        job.replay(0)


def test_a_replay_runs_the_modules_that_the_node_ran(cluster: Any, shop: ModuleType, write: Write) -> None:
    job = cluster.map(shop.convert, [1]).wait()
    assert job.replay(0) == [shop.Money(4)]
    write("rates.py", "RATE = 100\n")
    assert job.replay(0)[0].amount == 4
    assert importlib.import_module("shop") is shop
    for name in ("shop", "rates", "stock", "stock.shelf", "stock.fees"):
        sys.modules.pop(name)
        Path(f"{name.replace('.', '/')}.py").unlink(missing_ok=True)
    importlib.invalidate_caches()
    assert job.replay(0)[0].amount == 4
    assert "shop" not in sys.modules


@about_processes
def test_processes_that_the_function_starts_import_them_too(lab: Lab, shop: ModuleType) -> None:
    def spread(n: int) -> list[int]:
        import multiprocessing

        with multiprocessing.get_context("spawn").Pool(1) as pool:
            return pool.map(shop.kept, [n, n + 1])

    (node,) = lab.nodes(1, slots=1)
    assert lab.connect().map(spread, [1]).results() == [[3, 6]]
    spools = list(lab.folder.rglob("spool-*"))
    assert spools
    node.send(signal.SIGTERM)
    node.process.wait(30)
    assert not [spool for spool in spools if spool.exists()]


READER = """
import sys
import nbcluster as nb

nc = nb.connect()
job = nc.job(1)
first, second = job.results(), nc.job(1).results()
print([type(money).__module__ for money in first], [money.amount for money in first], first == second)
print(job.frame()["input"][0].amount, "shop" in sys.modules)
"""


def test_a_kernel_that_does_not_have_them_reads_the_values(lab: Lab, shop: ModuleType) -> None:
    def double(money: Any) -> Any:
        return shop.Money(money.amount * 2)

    lab.nodes(1, slots=1)
    lab.connect().map(double, [shop.Money(1), shop.Money(2)]).wait(60)
    reader = lab.kernel(READER)
    reader.process.wait(60)
    assert "['shop', 'shop'] [2, 4] True\n1 False\n" in reader.said()


def test_it_can_be_switched_off(cluster: Any, shop: ModuleType) -> None:
    with pytest.raises(JobFailed, match="No module named 'shop'"):
        cluster.map(shop.convert, [1], ship=False).results()


def test_modules_above_the_limit_are_refused_by_name(cluster: Any, shared_lab: Lab, write: Write) -> None:
    write("small.py", "import big\n")
    write("big.py", "text = '" + "".join(map(str, range(30_000))) + "'\n")
    small = importlib.import_module("small")
    jobs = shared_lab.tables.count("batch_job_execution")
    with pytest.raises(TooLarge, match=r"modules beside the notebook .* the largest being big \(139 kB\)"):
        cluster.map(lambda n: small, [1], max_capture="20kB")
    assert shared_lab.tables.count("batch_job_execution") == jobs


# --- stored once, read once, and checked ---------------------------------------------------------


def test_they_are_stored_once_for_all_jobs_and_read_once_by_a_node(
    lab: Lab, shop: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster = lab.connect()
    for _ in range(3):
        cluster.map(shop.convert, range(4), chunk=1)
    ids = "SELECT count(DISTINCT bundle_id) FROM batch_step_execution WHERE bundle_id IS NOT NULL"
    stored = "SELECT count(*) FROM batch_payloads WHERE payload_id IN (SELECT bundle_id FROM batch_step_execution)"
    assert (lab.tables.value(ids), lab.tables.value(stored)) == (1, 1)
    reads: list[str] = []
    modules, function = JobRepository.modules, JobRepository.function
    monkeypatch.setattr(JobRepository, "modules", lambda jobs, name: reads.append("modules") or modules(jobs, name))
    monkeypatch.setattr(JobRepository, "function", lambda jobs, name: reads.append("code") or function(jobs, name))
    preparing = Preparing(cluster.store)
    for step in cluster.store.jobs.started_steps():
        claims = cluster.store.claims.claim(step, "nobody-1", 4, free=True, steal=True)
        assert [bool(preparing.call(claim).modules) for claim in claims] == [True] * 4
    cluster.store.claims.give_back("nobody-1", cluster.store.claims.held_by("nobody-1"))
    assert sorted(reads) == ["code", "modules"]


@about_processes
def test_a_child_gets_them_once(lab: Lab, write: Write) -> None:
    write("noted.py", f"open({str(lab.folder / 'loads')!r}, 'a').write('x')\ndef f(n):\n    return n\n")
    noted = importlib.import_module("noted")
    (lab.folder / "loads").unlink()
    lab.nodes(1, slots=2)
    cluster = lab.connect()
    assert cluster.map(noted.f, range(200), chunk=1).results() == list(range(200))
    assert cluster.map(lambda n: noted.f(n) + 1, range(50), chunk=1).results() == list(range(1, 51))
    assert 1 <= len((lab.folder / "loads").read_text()) <= 2


def test_altered_modules_are_refused_and_the_others_go_on(lab: Lab, shop: ModuleType) -> None:
    lab.expected_in_logs = True
    cluster = lab.connect()
    job = cluster.map(shop.convert, [1, 2], chunk=1)
    other = cluster.map(abs, [1])
    found = lab.tables.rows("SELECT payload_id, body FROM batch_payloads WHERE payload_id IN "
                            "(SELECT bundle_id FROM batch_step_execution)")  # fmt: skip
    name, body = found[0][0], bytes(found[0][1])
    lab.tables.change("UPDATE batch_payloads SET body = :body WHERE payload_id = :name", body=body[:-1], name=name)
    lab.nodes(1, slots=1)
    assert other.wait(60).results() == [1]
    partitions = job.wait(60).partitions()
    assert partitions["exit_code"].tolist() == ["BAD_SIGNATURE"] * 2
    assert "the stored modules is not signed" in partitions["message"][0]
