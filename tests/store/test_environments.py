"""What packages processes have: stored once for all that have the same, and no longer than somebody has them."""

from __future__ import annotations

from functools import partial

import pytest

from nbcluster.environment import Environment
from nbcluster.node.introduction import Introduction, at_start
from nbcluster.store import Store
from tests.store.acts import at_once, change, count, register, statements_of
from tests.store.conftest import OpenStore

OLD, NEW = Environment({"pandas": "2.2.3"}), Environment({"numpy": "2.1.0", "pandas": "2.3.1"})


def told(store: Store) -> dict[str, str | None]:
    return {node.node_id: node.environment for node in store.nodes.all()}


def test_a_node_has_told_nothing_when_it_registers(store: Store) -> None:
    register(store, "a-1")
    assert told(store) == {"a-1": None}
    assert store.environments.all() == {}


def test_equal_environments_are_stored_once(store: Store) -> None:
    register(store, "a-1", "b-1", "c-1")
    assert store.environments.tell("a-1", OLD)
    assert store.environments.tell("b-1", NEW)
    assert store.environments.tell("c-1", Environment({"pandas": "2.2.3"}))
    assert told(store) == {"a-1": OLD.digest, "b-1": NEW.digest, "c-1": OLD.digest}
    assert store.environments.all() == {OLD.digest: OLD, NEW.digest: NEW}


def test_what_nobody_has_any_more_is_forgotten(store: Store) -> None:
    register(store, "a-1", "b-1")
    store.environments.tell("a-1", OLD)
    store.deregister("a-1")
    store.environments.tell("b-1", NEW)
    assert store.environments.all() == {NEW.digest: NEW}


def test_a_node_that_is_gone_tells_nothing(store: Store) -> None:
    assert not store.environments.tell("nobody-1", OLD)
    assert store.environments.all() == {}


def test_many_that_tell_at_once_all_find_their_packages(open_another: OpenStore) -> None:
    stores = [open_another() for _ in range(4)]
    register(stores[0], *(f"n-{place}" for place in range(4)))
    for turn in range(5):
        mine = [Environment({"pandas": f"2.{place % 2}.{turn}"}) for place in range(4)]
        at_once(*(partial(stores[place].environments.tell, f"n-{place}", mine[place]) for place in range(4)))
        assert set(told(stores[0]).values()) <= set(stores[0].environments.all())


def test_a_text_that_is_no_environment_is_passed_over(store: Store) -> None:
    change(store, "INSERT INTO batch_environments (digest, packages) VALUES ('x', 'pandas'), ('y', '[1]')")
    assert store.environments.all() == {}


def test_a_process_tells_once_and_again_under_another_id(store: Store) -> None:
    register(store, "a-1", "a-2")
    ids = ["a-1"]
    introduction = Introduction(store, lambda: ids[-1], after=0.0)
    assert introduction.tell() is None
    assert told(store)["a-1"] == at_start().digest
    assert statements_of(store, introduction.tell) == []
    ids.append("a-2")
    introduction.tell()
    assert told(store)["a-2"] == at_start().digest
    assert count(store, "batch_environments") == 1


def test_before_its_time_a_process_tells_nothing(store: Store) -> None:
    register(store, "a-1")
    left = Introduction(store, lambda: "a-1", after=1000.0).tell()
    assert left == pytest.approx(1000.0, abs=100)
    assert told(store) == {"a-1": None}


def test_a_beat_is_as_short_as_it_was(store: Store) -> None:
    register(store, "a-1")
    store.environments.tell("a-1", OLD)
    asked = [text for text, _ in statements_of(store, lambda: store.nodes.beat("a-1", 0))]
    assert len(asked) == 1
    assert "environment" not in asked[0]
