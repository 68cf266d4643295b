"""How soon things go on, with the settings that a user finds.  Printed, never judged; the invariants are."""

from __future__ import annotations

import statistics
import time

from tests.chaos.faults import fault
from tests.chaos.harness import DEFAULTS, ChaosLab
from tests.chaos.history import Event
from tests.chaos.nemesis import Nemesis
from tests.chaos.reading import read_tables
from tests.cluster.nodes import NodeProcess
from tests.waiting import wait_until

ROUNDS = 3


def _claimed_again(lab: ChaosLab, partition: int, attempt: int) -> Event | None:
    events = read_tables(lab.url).events
    return next((e for e in events if e.phase == "CLAIMED" and (partition, attempt) in e.members), None)


def _held_by(lab: ChaosLab, node: NodeProcess) -> list[tuple[int, int]]:
    """What a node holds and runs: (partition, attempt)."""
    rows = lab.tables.rows(
        "SELECT step_execution_id, attempt FROM batch_partitions WHERE assigned_node = :node AND status = 'CLAIMED'",
        node=node.id,
    )
    return [(row[0], row[1]) for row in rows]


def _delays(lab: ChaosLab, held: list[tuple[int, int]], since: float, timeout: float) -> list[float]:
    """Seconds by the database's clock from a moment to the next claims of these partitions."""
    found = wait_until(
        lambda: [e for e in (_claimed_again(lab, one, attempt + 1) for one, attempt in held) if e],
        timeout,
        "a claim",
        0.1,
    )
    return [event.time - since for event in found]


@fault("figure-killed-node", settings=DEFAULTS)
def killed_node(lab: ChaosLab) -> None:
    """Seconds from a node's death to the next claim of what it held (median of three)."""
    nemesis = Nemesis(lab)
    lab.start_nodes(3)
    lab.submit(lab.connect(), "again", 60, seconds=1.0, strategy="scale_up")
    delays: list[float] = []
    for _ in range(ROUNDS):
        victim = lab.nodes[0]
        lab.wait_for_begins(len(lab.notes()) + 2, None)
        held = wait_until(lambda victim=victim: _held_by(lab, victim), 30, "claims of the victim")
        since = time.time()
        nemesis.kill(victim)
        delays += _delays(lab, held, since, 30)
        lab.start_nodes(1)
    lab.settle()
    lab.figures["killed_node_s"] = round(statistics.median(delays), 2)


@fault("figure-killed-child", settings=DEFAULTS)
def killed_child(lab: ChaosLab) -> None:
    """Seconds from a child's death to the next run of what it ran (median of three)."""
    nemesis = Nemesis(lab)
    (node,) = lab.start_nodes(1)
    lab.submit(lab.connect(max_attempts=50), "again", 20, seconds=1.0, strategy="scale_up")
    delays: list[float] = []
    for _ in range(ROUNDS):
        running = lab.wait_for_begins(len(lab.notes()) + 1)[-1]
        time.sleep(0.1)
        with lab.striking("kill a child", node, excuses=frozenset({"crash"})):
            since = time.time()
            nemesis.signal(running.pid)
        again = wait_until(
            lambda running=running: [
                n for n in lab.notes() if n.index == running.index and n.attempt == running.attempt + 1
            ],
            30,
            "another attempt",
            0.02,
        )
        delays.append(again[0].wall - since)
    lab.settle()
    lab.figures["killed_child_s"] = round(statistics.median(delays), 2)


@fault("figure-frozen-node", settings=DEFAULTS)
def frozen_node(lab: ChaosLab) -> None:
    """Seconds from the moment in which a node is frozen to the next claim of what it held."""
    victim, _ = lab.start_nodes(2)
    lab.submit(lab.connect(), "again", 60, seconds=1.0, strategy="scale_up")
    lab.wait_for_begins(4)
    held = wait_until(lambda: _held_by(lab, victim), 30, "claims of the victim")
    since = time.time()
    with Nemesis(lab).frozen(victim, family=True):
        delays = _delays(lab, held, since, 60)
    lab.settle()
    lab.figures["frozen_node_s"] = round(statistics.median(delays), 2)


@fault("figure-killed-launcher", settings=DEFAULTS)
def killed_launcher(lab: ChaosLab) -> None:
    """Seconds from a kernel's death, with its last partitions just ending, to the start of the aggregation."""
    nemesis = Nemesis(lab)
    lab.start_nodes(2)
    delays: list[float] = []
    for number in range(ROUNDS):
        gate = lab.folder / f"gate{number}"
        kernel = lab.kernel(f"left-{number}", 4, gate=str(gate), after=True)
        kernel.says("submitted")
        lab.wait_for_begins(len(lab.notes()) or 1)
        wait_until(lambda n=number: len(lab.notes(job=f"left-{n}")) == 4, 30, "its partitions")
        gate.touch()
        since = time.time()
        nemesis.kill(kernel)
        begun = wait_until(
            lambda n=number: [note for note in lab.notes(job=f"left-{n}") if note.step == "aggregate"],
            60,
            "aggregation",
        )
        delays.append(begun[0].wall - since)
    lab.settle()
    lab.figures["killed_launcher_s"] = round(statistics.median(delays), 2)
