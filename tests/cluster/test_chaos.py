"""Faults at random: nodes are killed, frozen and stopped, children are killed, while two jobs run."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from collections.abc import Callable

import pytest

from tests.cluster.conftest import Lab
from tests.cluster.nodes import NodeProcess
from tests.waiting import wait_until

PARTITIONS = 100
FAULTS = 5


class Nemesis:
    """Does harm to three nodes, one fault after the other, and keeps three alive."""

    def __init__(self, lab: Lab, seed: int) -> None:
        self._lab = lab
        self._random = random.Random(seed)
        self.nodes = lab.nodes(3, slots=2)
        self.done: list[str] = []

    def strike(self) -> None:
        harm: Callable[[NodeProcess], None] = self._random.choice(
            [self.kill, self.kill, self.freeze, self.freeze_all, self.stop, self.kill_a_child]
        )
        victim = self._random.choice(self.nodes)
        self.done.append(f"{harm.__name__} {victim.id}")
        harm(victim)

    def kill(self, victim: NodeProcess) -> None:
        victim.kill()
        self._replace(victim)

    def stop(self, victim: NodeProcess) -> None:
        victim.send(signal.SIGTERM)
        self._replace(victim)
        assert victim.process.wait(30) == 0

    def freeze(self, victim: NodeProcess, *, family: bool = False) -> None:
        victim.freeze(family=family)
        until = time.monotonic() + self._random.choice([0.3, 2.0, 2.0])
        wait_until(lambda: time.monotonic() > until, message="the thaw")
        victim.thaw()

    def freeze_all(self, victim: NodeProcess) -> None:
        self.freeze(victim, family=True)

    def kill_a_child(self, victim: NodeProcess) -> None:
        for pid in sorted(victim.children())[:1]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def _replace(self, victim: NodeProcess) -> None:
        self.nodes.remove(victim)
        self.nodes += self._lab.nodes(1, slots=2)


@pytest.mark.parametrize("seed", [int(os.environ.get("NBCLUSTER_TEST_SEED", "1"))])
def test_nothing_is_lost_and_nothing_recorded_twice(lab: Lab, seed: int) -> None:
    nemesis = Nemesis(lab, seed)
    cluster = lab.connect(max_attempts=20)
    lab.effects.open_gate()
    again = cluster.map(lab.effects.worker(seconds=0.2), range(PARTITIONS), chunk=1, strategy="scale_up")
    once_effects = type(lab.effects)(lab.folder / "once")
    (lab.folder / "once").mkdir()
    once_effects.open_gate()
    once = cluster.map(once_effects.worker(seconds=0.1), range(PARTITIONS), chunk=1, transferable=False)
    for _ in range(FAULTS):
        nemesis.strike()
    again.wait(90)
    once.wait(90)

    told = "\n".join(nemesis.done)
    assert again.results() == [n * n for n in range(PARTITIONS)], told
    assert lab.tables.count("batch_results", "step_execution_id IN (SELECT step_execution_id FROM batch_partitions "
                            "WHERE job_execution_id = :job)", job=again.id) == PARTITIONS, told  # fmt: skip
    # What may run once began once at most; each that failed says which loss it died of.
    assert set(once_effects.begun().values()) == {1}, told
    frame = once.frame()
    good = frame[frame["error"].isna()]
    assert good["value"].tolist() == [n * n for n in good["input"]], told
    assert set(once.partitions()["exit_code"]) <= {"COMPLETED", "NODE_LOST", "CRASHED"}, told
    # Every begin of a repeatable partition belongs to an attempt of its own.
    begins = [(note.index, note.attempt) for note in lab.effects.notes("BEGIN")]
    assert len(begins) == len(set(begins)), told
