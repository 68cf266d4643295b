"""A node that is asked for shared values: each is brought once, and whoever asks gets an answer."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from nbcluster.errors import DatabaseUnreachable, SignatureError
from nbcluster.node.calls import Need
from nbcluster.node.sharing import Sharing
from nbcluster.signing import sign_shared
from nbcluster.store import Store, open_store
from nbcluster.store.shared import SharedRow
from tests.builders import a_claim

ID, OTHER = "a" * 64, "b" * 64


class Children:
    """What asks, and what it is told."""

    def __init__(self) -> None:
        self.needs: list[Need] = []
        self.told: list[dict[str, str]] = []

    def ask(self, *shared_ids: str) -> None:
        self.needs += [Need(a_claim(), number, shared_id) for number, shared_id in enumerate(shared_ids)]

    def take_needs(self) -> list[Need]:
        taken, self.needs = self.needs, []
        return taken

    def answer(self, need: Need, complaint: str = "", **more: str) -> None:
        self.told.append({"id": need.shared_id, "error": complaint, **more})


class AtOnce:
    """A porter that carries while one waits."""

    def carry(self, errand: Callable[[], None]) -> None:
        errand()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = open_store(f"sqlite:///{tmp_path / 'cluster.db'}")
    for shared_id in (ID, OTHER):
        mac = sign_shared(opened.signer, shared_id, 10)
        opened.shared.enter(SharedRow(shared_id, "ada", 10, f"own:{shared_id[0]}", mac))
    yield opened
    opened.close()


@pytest.fixture
def children() -> Children:
    return Children()


@pytest.fixture
def sharing(store: Store, children: Children) -> Sharing:
    return Sharing(store, children, AtOnce())  # type: ignore[arg-type]


def bringing(
    monkeypatch: pytest.MonkeyPatch, store: Store, tmp_path: Path, error: Exception | None = None
) -> list[str]:
    """From now on values arrive, or do not; gives the references that were asked for."""
    asked: list[str] = []

    def bring(sealed: Any) -> Path:
        asked.append(sealed.reference.name)
        if error is not None:
            raise error
        return tmp_path / sealed.reference.name

    monkeypatch.setattr(store.transport, "bring", bring)
    return asked


def test_each_value_is_brought_once(
    sharing: Sharing, children: Children, store: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked = bringing(monkeypatch, store, tmp_path)
    children.ask(ID, ID, OTHER)
    sharing.collect()
    sharing.collect()
    children.ask(ID)
    sharing.collect()
    assert asked == ["own:a", "own:b"]
    assert [told["path"] for told in children.told] == [str(tmp_path / f"own:{one}") for one in "aaba"]
    assert {told["error"] for told in children.told} == {""}


def test_what_was_deleted_is_dropped_and_said_to_be_so(
    sharing: Sharing, children: Children, store: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked = bringing(monkeypatch, store, tmp_path)
    children.ask(ID)
    sharing.collect()
    store.shared.remove(ID)
    children.ask(ID, "never there")
    sharing.collect()
    assert [told["error"] for told in children.told] == [
        "",
        "the shared value aaaaaaaa was deleted; share it again with nc.share()",
        "the shared value never th was deleted; share it again with nc.share()",
    ]
    # It comes back as what it is then.
    mac = sign_shared(store.signer, ID, 10)
    store.shared.enter(SharedRow(ID, "ada", 10, "own:new", mac))
    children.ask(ID)
    sharing.collect()
    assert asked == ["own:a", "own:new"]


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (SignatureError("the shared value was altered"), "the shared value was altered"),
        (RuntimeError("can't start new thread"), "can't start new thread"),
        (OSError(errno.ENOSPC, "No space left on device"), "no room for a shared value on this node: No space left"),
    ],
)
def test_whoever_asks_is_told_why_it_did_not_arrive(
    sharing: Sharing,
    children: Children,
    store: Store,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    error: Exception,
    said: str,
) -> None:
    asked = bringing(monkeypatch, store, tmp_path, error)
    children.ask(ID)
    sharing.collect()
    assert said in children.told[0]["error"]
    children.ask(ID)  # the next one is another try
    sharing.collect()
    assert len(asked) == 2


def test_while_the_database_is_away_nobody_is_answered_and_the_porter_tries_again(
    sharing: Sharing, children: Children, store: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    bringing(monkeypatch, store, tmp_path, DatabaseUnreachable("it is away"))
    children.ask(ID)
    with pytest.raises(DatabaseUnreachable):
        sharing.collect()
    assert children.told == []
