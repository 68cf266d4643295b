"""Which packages differ between this process and the nodes, the ones that matter first.  Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from nbcluster.diagnosing.diagnosis import Finding, Result, listed
from nbcluster.environment import Environment
from nbcluster.records import Node

_SHOWN = 8
"""Packages that one finding names."""

_NAMED_NODES = 4
_OWN = "nbcluster"
"""Has a check of its own."""


@dataclass(frozen=True, slots=True)
class ThisProcess:
    """This process: what it has, what the names of the notebook come from, and what is imported at all."""

    packages: Mapping[str, str]
    used: frozenset[str] = frozenset()
    imported: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Difference:
    """A package that a node has in another version, or not at all (None)."""

    name: str
    here: str
    there: str | None

    @property
    def text(self) -> str:
        """``pandas 2.2.3 (here 2.3.1)``."""
        return f"{self.name} {self.there} (here {self.here})" if self.there else f"no {self.name} (here {self.here})"


def findings(nodes: Sequence[Node], here: ThisProcess, environments: Mapping[str, Environment]) -> list[Finding]:
    """What is to be said of the packages of these nodes; equal nodes are spoken of together."""
    groups: dict[str, list[Node]] = {}
    silent = []
    for node in nodes:
        if node.environment in environments:
            groups.setdefault(str(node.environment), []).append(node)
        else:
            silent.append(node)
    found: list[Finding] = []
    for digest, same in groups.items():
        found += _of_one(same, here, differences(here, environments[digest]))
    if groups and not found:
        found.append(
            Finding(
                "packages", Result.OK, f"{_nodes(nodes)} {_have(nodes)} what is here: {len(here.packages)} packages"
            )
        )
    if silent:
        found.append(Finding("packages", Result.NOTE, _untold(silent)))
    return found


def differences(here: ThisProcess, there: Environment) -> list[Difference]:
    """What is here and not the same there: used packages first, then imported ones, other versions before absent."""
    found = [
        Difference(name, version, there.packages.get(name))
        for name, version in here.packages.items()
        if there.packages.get(name) != version and name != _OWN
    ]
    return sorted(
        found,
        key=lambda one: (one.name not in here.used, one.name not in here.imported, one.there is None, one.name),
    )


def _of_one(nodes: Sequence[Node], here: ThisProcess, found: Sequence[Difference]) -> Iterable[Finding]:
    used = [one for one in found if one.name in here.used]
    imported = [one for one in found if one.name in here.imported - here.used]
    versions = [one for one in found if one.there is not None and one.name not in here.used | here.imported]
    absent = len(found) - len(used) - len(imported) - len(versions)
    if used:
        yield _finding(Result.PROBLEM, nodes, used, f"this notebook uses {'it' if len(used) == 1 else 'them'}")
    if imported:
        yield _finding(Result.NOTE, nodes, imported, "imported here")
    if versions:
        yield _finding(Result.NOTE, nodes, versions, "not imported here")
    if absent:
        what = f"{absent} package{'s' if absent > 1 else ''} that {'are' if absent > 1 else 'is'} here, not imported"
        yield Finding("packages", Result.NOTE, f"{_nodes(nodes)}: no sign of {what}")


def _finding(result: Result, nodes: Sequence[Node], found: Sequence[Difference], why: str) -> Finding:
    said = listed([one.text for one in found], _SHOWN)
    wanted = " ".join(f"{one.name}=={one.here}" for one in found[:_SHOWN])
    hosts = list(dict.fromkeys(node.host for node in nodes))
    return Finding(
        "packages",
        result,
        f"{_nodes(nodes)}: {said}; {why}",
        f"on {listed(hosts, _NAMED_NODES)}, in the node's Python; then start the node again",
        f"pip install {wanted}",
    )


def _nodes(nodes: Sequence[Node]) -> str:
    named = listed([node.node_id for node in nodes], _NAMED_NODES)
    return f"node {named}" if len(nodes) == 1 else f"nodes {named}"


def _have(nodes: Sequence[Node]) -> str:
    return "has" if len(nodes) == 1 else "have"


def _untold(nodes: Sequence[Node]) -> str:
    return (
        f"{_nodes(nodes)} {_have(nodes)} not told what is installed yet; this comes some seconds after a node's start"
    )
