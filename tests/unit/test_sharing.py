"""What stands for a large value: small wherever it travels, the same input wherever it was made."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nbcluster as nb
from nbcluster import payload, running, sharing
from nbcluster.errors import ValueLost
from nbcluster.running import Current
from nbcluster.sharing import Shared
from nbcluster.submitting import caching, identity

CURRENT = Current("job", 0, "part-0", 1, "a-1", transferable=True)


@pytest.fixture(autouse=True)
def _nothing_known(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As in a process that was started just now."""
    monkeypatch.setattr(sharing, "_opened", sharing.OrderedDict())
    monkeypatch.setattr(sharing, "_sources", [])
    yield
    running.set_current(None)


def made(value: Any, *, new: bool = True, remove: Callable[[str], bool] = lambda _id: True) -> Shared:
    return Shared.made(payload.pack(value), value, remove, new=new)


def travelled(shared: Shared) -> Shared:
    """The same where it has come to."""
    other: Shared = pickle.loads(pickle.dumps(shared))
    return other


class Node:
    """What a running function asks: the files of shared values, and how often they were asked for."""

    cancelled = False
    checkpoint = None

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.asked: list[str] = []

    def bring(self, value: Any) -> Shared:
        """Put a value there; gives what stands for it, without the value."""
        packed = payload.pack(value)
        shared_id = packed.digest.hex()
        (self._folder / shared_id).write_bytes(packed.body())
        return Shared(shared_id, type(value).__name__, packed.size)

    def shared(self, shared_id: str) -> str:
        self.asked.append(shared_id)
        return str(self._folder / shared_id)

    def progress(self, fraction: float, message: str) -> None:
        raise AssertionError

    save = progress  # type: ignore[assignment]


@pytest.fixture
def node(tmp_path: Path) -> Node:
    found = Node(tmp_path)
    running.set_current(CURRENT, found)
    return found


def test_where_it_was_shared_its_value_is_the_object_itself() -> None:
    array = np.arange(1_000_000)
    shared = made(array)
    assert shared.value is array
    assert shared() is array
    assert travelled(shared).value is array  # a sample, or a replay in the same process


def test_it_is_small_and_tells_what_it_is() -> None:
    shared = made(np.zeros(1_000_000))
    assert len(pickle.dumps(shared)) < 200
    assert repr(shared) == f"<Shared ndarray, 8 MB, {shared.id[:8]}>"
    assert shared.size == pytest.approx(8_000_000, rel=1e-3)
    assert travelled(shared) == shared
    assert {shared: 1}[travelled(shared)] == 1
    assert shared != made(np.ones(1_000_000))


def test_equal_values_are_the_same_input_and_captures_of_them_the_same_code() -> None:
    one, same, other = (made(np.full(100_000, number)) for number in (1, 1, 2))

    def using(shared: Shared) -> Callable[[int], Any]:
        return lambda n: shared.value[n]

    assert identity.of_inputs(one) == identity.of_inputs(same) != identity.of_inputs(other)
    codes = [identity.identified(using(shared)) for shared in (one, same, other)]
    assert [code.doubt for code in codes] == ["", "", ""]
    assert codes[0] == codes[1] != codes[2]
    assert caching.PARTITIONS


def test_on_a_node_it_is_read_once_for_all_partitions_of_a_process(node: Node) -> None:
    shared = node.bring(np.arange(1_000_000))
    assert shared.value[17] == 17
    running.set_current(None)
    running.set_current(CURRENT, node)
    assert travelled(shared).value is shared.value
    assert node.asked == [shared.id]


def test_on_a_node_large_arrays_cannot_be_written_to_and_their_copies_can(node: Node) -> None:
    shared = node.bring({"a": np.zeros(1_000_000), "small": np.zeros(3)})
    array = shared.value["a"]
    with pytest.raises(ValueError, match="read-only"):
        array[0] = 1
    copy = array.copy()
    copy[0] = 1
    assert array[0] == 0


def test_on_a_node_arrays_lie_in_the_mapped_file(node: Node) -> None:
    shared = node.bring(np.arange(4_000_000))
    assert not shared.value.flags.owndata
    with open("/proc/self/maps") as maps:
        assert any(line.rstrip().endswith(shared.id) for line in maps)


def test_a_process_keeps_a_few_values_open(node: Node) -> None:
    many = [node.bring(np.full(20_000, number)) for number in range(10)]
    assert [shared.value[0] for shared in many] == list(range(10))
    assert many[9].value[0] == 9
    assert len(node.asked) == 10
    assert many[0].value[0] == 0  # it was let go, and is asked for again
    assert len(node.asked) == 11


def test_what_a_node_complains_of_is_raised_and_asked_for_again(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    shared = node.bring([1, 2, 3])

    def complaining(_self: Node, _id: str) -> str:
        raise ValueLost("the shared value was deleted")

    with monkeypatch.context() as patch:
        patch.setattr(Node, "shared", complaining)
        with pytest.raises(ValueLost, match="was deleted"):
            shared.value  # noqa: B018 -- reading it is what is tried
    assert shared.value == [1, 2, 3]


class Source:
    """A connection that can read shared values."""

    def __init__(self, **values: Any) -> None:
        self._bodies = {payload.pack(value).digest.hex(): payload.pack(value).body() for value in values.values()}

    def fetch(self, shared_id: str) -> payload.Body | None:
        return self._bodies.get(shared_id)


def elsewhere(value: Any) -> Shared:
    packed = payload.pack(value)
    return Shared(packed.digest.hex(), type(value).__name__, packed.size)


def test_in_another_kernel_it_is_read_from_the_cluster_that_has_it() -> None:
    one, other = Source(a=1), Source(b=np.arange(100_000))
    sharing.add_source(one.fetch)
    sharing.add_source(other.fetch)
    assert elsewhere(np.arange(100_000)).value[5] == 5


def test_what_no_cluster_has_was_deleted() -> None:
    source = Source()
    sharing.add_source(source.fetch)
    shared = elsewhere([1])
    with pytest.raises(ValueLost, match=rf"the shared list {shared.id[:8]} was deleted; share it again with nc.share"):
        shared.value  # noqa: B018


def test_without_a_node_and_without_a_cluster_it_says_what_to_do() -> None:
    source = Source(a=[1])
    sharing.add_source(source.fetch)
    del source  # a connection that is gone is asked nothing
    with pytest.raises(nb.UsageError, match=r"connected to its cluster: nb.connect\(\) first"):
        elsewhere([1]).value  # noqa: B018


def test_it_is_deleted_at_the_end_of_with_unless_it_was_there_before() -> None:
    removed: list[str] = []

    def remove(shared_id: str) -> bool:
        removed.append(shared_id)
        return True

    with made([1], remove=remove) as mine:
        assert mine.value == [1]
    with made([2], new=False, remove=remove) as other:
        assert removed == [mine.id]
    assert other.delete()
    assert removed == [mine.id, other.id]
    with pytest.raises(nb.UsageError, match="is deleted where it was shared"):
        travelled(mine).delete()


def test_a_forked_process_reads_what_was_read_before(node: Node) -> None:
    shared = node.bring(np.arange(100_000))
    assert shared.value[3] == 3
    child = os.fork()
    if not child:
        os._exit(int(shared.value[3] != 3))
    assert os.waitpid(child, 0)[1] == 0
