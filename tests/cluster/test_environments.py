"""A node tells which packages it has, when its start is over."""

from __future__ import annotations

from pathlib import Path

import pytest

from nbcluster import environment
from tests.cluster.conftest import Lab
from tests.waiting import wait_until


def test_a_node_tells_what_it_has(lab: Lab) -> None:
    (node,) = lab.nodes(1)
    store = lab.connect().store
    wait_until(store.environments.all, message="the node's packages")
    (registered,) = [one for one in store.nodes.all() if one.node_id == node.id]
    assert registered.environment is not None
    assert store.environments.all()[registered.environment] == environment.installed()


def test_a_node_with_another_package_differs_in_just_that(
    lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = tmp_path / "elsewhere" / "abacus-4.2.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: Abacus\nVersion: 4.2\n")
    with monkeypatch.context() as patch:
        patch.setenv("PYTHONPATH", str(info.parent), prepend=":")
        lab.nodes(1)
    store = lab.connect().store
    wait_until(store.environments.all, message="the node's packages")
    (found,) = store.environments.all().values()
    assert dict(found.packages) == {**environment.installed().packages, "abacus": "4.2"}
