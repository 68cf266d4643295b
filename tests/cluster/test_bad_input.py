"""Bad input: one clear sentence, nothing left behind; bad output: an error where it belongs."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest

import nbcluster as nb
from tests.cluster.conftest import Lab, about_processes

LOCK = threading.Lock()
MEGABYTES = b"x" * 2_000_000


class NeedsArguments(Exception):
    def __init__(self, first: int, second: int) -> None:
        super().__init__(f"{first} and {second}")


class WithoutText(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


class Unpicklable(Exception):
    def __init__(self) -> None:
        super().__init__("holds a lock")
        self.lock = threading.Lock()


class BreaksWhenRead:
    def __reduce__(self) -> Any:
        return eval, ("1/0",)


class Endless:
    """A part whose iteration fails after its length was told."""

    def __len__(self) -> int:
        return 2

    def __iter__(self) -> Any:
        yield 1
        raise OSError("the disk is gone")


def identity(value: Any) -> Any:
    return value


def raising(error: BaseException) -> Any:
    raise error


def tables(cluster: Any) -> list[int]:
    """The sizes of every table that a submission writes."""
    names = "job_instance", "job_execution", "step_execution", "job_coordination", "partitions", "payloads", "events"
    with cluster.store.database.engine.connect() as connection:
        return [int(connection.exec_driver_sql(f"SELECT count(*) FROM batch_{name}").scalar()) for name in names]


REFUSED: list[tuple[str, Callable[[Any], Any], str]] = [
    ("an empty list", lambda c: c.map(identity, []), "the iterable is empty"),
    ("an empty generator", lambda c: c.map(identity, (n for n in ())), "the iterable is empty"),
    ("an empty range", lambda c: c.map(identity, range(0)), "the iterable is empty"),
    ("an endless count", lambda c: c.map(identity, itertools.count()), r"count\(0\) never ends"),
    ("an endless generator", lambda c: c.map(identity, (0 for _ in itertools.count())), "is it endless"),
    ("a string", lambda c: c.map(identity, "abc"), "a string is one value"),
    ("a number", lambda c: c.map(identity, 5), "int is not iterable"),
    ("no function", lambda c: c.map(5, [1]), "the first argument must be a function, not int"),
    ("a captured lock", lambda c: c.map(lambda n: LOCK, [1]), r"captured 'LOCK' \(_thread.lock\) cannot be sent"),
    ("an argument lock", lambda c: c.map(identity, [1, 2, LOCK]), r"item 2 \(_thread.lock\) cannot be pickled"),
    ("an argument generator", lambda c: c.submit(identity, (n for n in [])), r"argument 1 \(generator\) cannot be"),
    ("a named argument", lambda c: c.submit(identity, value=LOCK), r"argument 'value' \(_thread.lock\) cannot be"),
    (
        "a large capture",
        lambda c: c.map(lambda n: len(MEGABYTES), [1], max_capture="1MB"),
        r"captured 'MEGABYTES' \(bytes, 2 MB\) exceeds max_capture \(1 MB\); .* max_capture",
    ),
    ("a senseless size", lambda c: c.map(identity, [1], max_capture="lots"), "'lots' is no size"),
    ("chunks of nothing", lambda c: c.map(identity, [1], chunk=0), "chunk is 0"),
    ("no partitions", lambda c: c.map(identity, [1], partitions=0), "partitions is 0"),
    ("chunks and partitions", lambda c: c.map(identity, [1], chunk=1, partitions=1), "not both"),
    ("an unknown option", lambda c: c.map(identity, [1], chunks=3), "unknown option chunks; known are name, chunk"),
    ("a name with a newline", lambda c: c.map(identity, [1], name="a\nb"), "cannot name a job"),
    ("a name of 101 characters", lambda c: c.map(identity, [1], name="a" * 101), "cannot name a job"),
    ("a name of half a character", lambda c: c.map(identity, [1], name="\ud800"), "cannot name a job"),
    ("a name of digits", lambda c: c.map(identity, [1], name="77"), "cannot name a job"),
    ("starmap over numbers", lambda c: c.starmap(identity, [1]), r"starmap needs a tuple .* \[\(1, 2\), \(3, 4\)\]"),
    (
        "map over parts",
        lambda c: c.map(identity, lambda n: [{"a": 1}]),
        "part 0 of the split is a dict.*map_partitions",
    ),
    ("a split of nothing", lambda c: c.map(identity, lambda n: None), "the partitioner gave a NoneType"),
    (
        "an unknown column",
        lambda c: c.map(identity, nb.frame(pd.DataFrame({"a": [1]}), by="b")),
        "there is no column 'b'; there are a",
    ),
]


@pytest.mark.parametrize(("call", "said"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED])
def test_bad_input_is_refused_in_one_sentence_and_leaves_nothing(
    cluster: Any, call: Callable[[Any], Any], said: str
) -> None:
    before = tables(cluster)
    with pytest.raises(nb.UsageError, match=said) as caught:
        call(cluster)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300
    assert tables(cluster) == before


def test_an_error_of_the_users_own_iterator_is_passed_on(cluster: Any) -> None:
    before = tables(cluster)
    with pytest.raises(ZeroDivisionError):
        cluster.map(identity, (1 // n for n in (1, 0)))
    assert tables(cluster) == before


RAISED: list[tuple[str, Callable[[int], Any], str]] = [
    ("constructor arguments", lambda n: raising(NeedsArguments(n, 2)), "NeedsArguments: 1 and 2"),
    ("no text", lambda n: raising(WithoutText()), "WithoutText: <its text cannot be shown: RuntimeError>"),
    ("unpicklable", lambda n: raising(Unpicklable()), "Unpicklable: holds a lock"),
    ("NUL and half a character", lambda n: raising(ValueError("a\0b\ud800c")), "ValueError: a\\0b\\ud800c"),
    ("no message", lambda n: raising(ValueError()), "ValueError"),
    (
        "a lock as a result",
        lambda n: threading.Lock(),
        "UNSERIALIZABLE: the result (_thread.lock) cannot be pickled: TypeError: cannot pickle '_thread.lock' object",
    ),
    (
        "a generator as a result",
        lambda n: (n for n in ()),
        "UNSERIALIZABLE: the result (generator) cannot be pickled: TypeError: cannot pickle 'generator' object",
    ),
]


@pytest.mark.parametrize(("body", "error"), [case[1:] for case in RAISED], ids=[case[0] for case in RAISED])
def test_whatever_is_raised_is_recorded_beside_its_item(cluster: Any, body: Callable[[int], Any], error: str) -> None:
    job = cluster.map(lambda n: body(n) if n == 1 else n, range(4), chunk=4)
    frame = job.frame()
    qualified = error if error.startswith(("ValueError", "UNSERIALIZABLE")) else f"{__name__}.{error}"
    assert frame["error"].tolist() == [None, qualified, None, None]
    assert frame["value"].dropna().tolist() == [0, 2, 3]
    expected = "UNSERIALIZABLE" if error.startswith("UNSERIALIZABLE") else "FAILED"
    assert job.partitions()["exit_code"].tolist() == [expected]
    with pytest.raises(nb.JobFailed, match="1 of 4 items failed"):
        job.results()


def test_a_result_that_breaks_when_it_is_read_is_found_on_the_node(cluster: Any) -> None:
    job = cluster.map(lambda n: BreaksWhenRead() if n else n, range(2), chunk=2)
    assert "UNSERIALIZABLE" in job.frame()["error"][1]
    assert job.frame()["value"][0] == 0


def test_an_argument_that_breaks_when_it_is_read_fails_its_partition(cluster: Any) -> None:
    job = cluster.map_partitions(lambda part: 1, lambda n: [BreaksWhenRead(), 5]).wait(60)
    assert job.partitions()["state"].tolist() == ["FAILED", "COMPLETED"]
    assert "cannot be rebuilt on this node: ZeroDivisionError" in job.partitions()["message"][0]


def test_a_part_whose_items_cannot_be_read_fails(cluster: Any) -> None:
    job = cluster.map(identity, lambda n: [Endless(), [7, 8]]).wait(60)
    assert job.partitions()["state"].tolist() == ["FAILED", "COMPLETED"]
    assert "the items of this part cannot be read: OSError: the disk is gone" in job.partitions()["message"][0]


def test_a_message_of_five_megabytes_is_cut(cluster: Any) -> None:
    job = cluster.map(lambda n: raising(ValueError("begin" + "x" * 5_000_000 + "end")), range(2), chunk=2).wait(60)
    errors = job.errors()
    assert len(errors) == 2
    for message in errors["message"]:
        assert message.startswith("begin")
        assert message.endswith("end")
        assert "characters left out" in message
        assert len(message) < 100_000
    with pytest.raises(nb.JobFailed) as caught:
        job.results()
    assert len(str(caught.value)) < 1000


def test_a_thousand_errors_are_a_thousand_rows_and_three_groups(cluster: Any) -> None:
    def fails(n: int) -> None:
        raise (ValueError if n % 2 else KeyError)(f"kind {n % 5}")

    job = cluster.map(fails, range(1000)).wait(60)
    assert len(job.errors()) == 1000
    with pytest.raises(nb.JobFailed, match="1000 of 1000 items failed") as caught:
        job.results()
    assert len(str(caught.value).splitlines()) == 5
    assert "and 7 more kinds of error" in str(caught.value)


@about_processes
def test_a_result_above_max_result_says_so_and_the_node_goes_on(lab: Lab) -> None:
    lab.nodes(1, slots=1)
    job = lab.connect(max_result="1MB").map(lambda n: b"x" * n, [10, 999_000, 1_000_001], chunk=1).wait(60)
    partitions = job.partitions()
    assert partitions["state"].tolist() == ["COMPLETED", "COMPLETED", "FAILED"]
    assert partitions["exit_code"][2] == "RESULT_TOO_LARGE"
    assert partitions["message"][2].startswith("the result is larger than max_result (1 MB); write it to a file")
    assert [len(value) for value in job.frame()["value"].dropna()] == [10, 999_000]


def test_names_and_keys_of_any_script_are_kept(cluster: Any) -> None:
    data = pd.DataFrame({"k": ["<b>", "quote'\"", "ü\u20ac", "half\ud800", "nul\0", "x" * 300]})
    job = cluster.map_partitions(len, nb.frame(data, by="k"), name="<b>'\"&é")
    assert job.results() == [1] * 6
    assert cluster.job("<b>'\"&é").id == job.id
    assert job.partitions()["key"].is_unique
    assert job.partitions()["key"].str.len().max() <= 100
