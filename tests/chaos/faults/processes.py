"""Nodes and children that are killed, frozen, stopped, or run out of memory."""

from __future__ import annotations

import signal

from tests.chaos import workload
from tests.chaos.faults import fault
from tests.chaos.harness import THRESHOLD, ChaosLab
from tests.chaos.nemesis import Nemesis


@fault("node-killed", smoke=True)
def node_killed(lab: ChaosLab) -> None:
    """A node is killed while it runs partitions."""
    victim, other = lab.start_nodes(2)
    cluster = lab.connect()
    lab.submit(cluster, "once", 2, seconds=1.0, transferable=False)
    lab.submit(cluster, "again", 24, seconds=0.1)
    lab.wait_for_begins(2, victim)
    lab.wait_for_begins(2, other)
    Nemesis(lab).kill(victim)
    lab.settle()


@fault("all-nodes-killed")
def all_nodes_killed(lab: ChaosLab) -> None:
    """Every node is killed at once, and one is started."""
    lab.start_nodes(3)
    cluster = lab.connect()
    lab.submit(cluster, "again", 30, seconds=0.05)
    lab.wait_for_begins(6)
    Nemesis(lab).kill(*lab.nodes)
    lab.start_nodes(1)
    lab.settle()


@fault("child-killed")
def child_killed(lab: ChaosLab) -> None:
    """Children are killed one after the other."""
    nodes = lab.start_nodes(2)
    nemesis = Nemesis(lab)
    cluster = lab.connect(max_attempts=50)
    lab.submit(cluster, "again", 60, seconds=0.1)
    for number in (signal.SIGKILL, signal.SIGSEGV, signal.SIGTERM, signal.SIGKILL):
        lab.wait_for_begins(len(lab.notes()) + 2)
        nemesis.kill_a_child(lab.random.choice(nodes), number)
    lab.settle()


@fault("child-out-of-memory")
def child_out_of_memory(lab: ChaosLab) -> None:
    """Partitions take memory until their child is killed for it; the others go on."""
    lab.start_nodes(2)
    hostile = frozenset({3, 11})
    lab.submit(lab.connect(), "greedy", 16, body=workload.greedy(hostile), hostile=hostile)
    lab.settle()
    rows = lab.tables.rows("SELECT exit_code, attempt FROM batch_partitions WHERE status = 'FAILED'")
    assert [tuple(row) for row in rows] == [("POISON", 3)] * 2, rows


@fault("C3-frozen-agent", smoke=True)
def frozen_agent(lab: ChaosLab) -> None:
    """A node is frozen past the threshold while its children run on, and comes back."""
    _frozen(lab, family=False)


@fault("C3-frozen-family")
def frozen_family(lab: ChaosLab) -> None:
    """A node is frozen with its children past the threshold, and comes back."""
    _frozen(lab, family=True)


def _frozen(lab: ChaosLab, *, family: bool) -> None:
    victim, other = lab.start_nodes(2)
    cluster = lab.connect()
    lab.submit(cluster, "once", 2, seconds=0.5, transferable=False)
    lab.submit(cluster, "again", 40, seconds=0.3)
    lab.wait_for_begins(2, victim)
    lab.wait_for_begins(2, other)
    Nemesis(lab).freeze(victim, THRESHOLD + 2.0, family=family)
    lab.settle()


@fault("C3-removed-meanwhile")
def removed_meanwhile(lab: ChaosLab) -> None:
    """A node is frozen until its row is removed: it comes back under another id."""
    victim, other = lab.start_nodes(2)
    lab.submit(lab.connect(), "again", 40, seconds=0.3)
    lab.wait_for_begins(2, victim)
    lab.wait_for_begins(2, other)
    Nemesis(lab).freeze(victim, float(str(lab.settings["node_cleanup_threshold"]).rstrip("s")) + 2.0)
    lab.settle()
    lab.submit(lab.connect(), "later", 8, seconds=0.1)
    lab.settle()
