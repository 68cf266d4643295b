"""Many partitions, and harm again and again."""

from __future__ import annotations

import time
from collections.abc import Callable

from tests.chaos.faults import fault
from tests.chaos.harness import DEFAULTS, THRESHOLD, ChaosLab
from tests.chaos.nemesis import Nemesis
from tests.chaos.network import Link
from tests.cluster.nodes import NodeProcess

MANY = 10_000
EACH = 0.01


def _timed(lab: ChaosLab, name: str) -> float:
    begin = time.monotonic()
    job = lab.submit(lab.connect(), name, MANY, seconds=EACH)
    job.wait(300)
    return time.monotonic() - begin


@fault("C1-kill-a-second", settings=DEFAULTS)
def kill_a_second(lab: ChaosLab) -> None:
    """10,000 partitions on four nodes, one of which is killed every second and replaced at once."""
    lab.start_nodes(4)
    calm = _timed(lab, "calm")
    nemesis = Nemesis(lab)
    kills: list[NodeProcess] = []

    def kill_one() -> None:
        kills.append(nemesis.random_node())
        nemesis.replace(kills[-1])

    with nemesis.every(1.0, kill_one):
        harmed = _timed(lab, "harmed")
    lab.settle()
    lab.figures |= {"calm_s": round(calm, 1), "harmed_s": round(harmed, 1), "kills": len(kills)}
    lab.figures["extra_percent"] = round(100 * (harmed / calm - 1))


class Composition:
    """Harm drawn at random, one after the other, with three nodes kept alive."""

    def __init__(self, lab: ChaosLab) -> None:
        self.lab = lab
        self.nemesis = Nemesis(lab)
        self.links: dict[int, Link] = {}
        for _ in range(3):
            self.add()
        for node in lab.nodes:
            node.ready()
        self.acts: list[Callable[[NodeProcess], None]] = [self.kill, self.kill, self.freeze, self.child, self.stop]
        if not lab.sqlite:
            self.acts += [self.restart, self.cut, self.swallow, self.lose]

    def add(self) -> None:
        link = None if self.lab.sqlite else self.lab.link()
        node = self.lab.start_node(link=link)
        if link is not None:
            self.links[node.pid] = link

    def strike(self) -> None:
        self.keep_three()
        self.lab.random.choice(self.acts)(self.busy_node())
        time.sleep(self.lab.random.uniform(0.0, 0.5))

    def keep_three(self) -> None:
        """A node that was started while the database was away has ended by itself, saying so."""
        for node in [one for one in self.lab.nodes if not one.running]:
            assert node.process.returncode == 3, node.said()
            self.lab.gone(node)
            self.add()

    def busy_node(self) -> NodeProcess:
        """A node that holds work, if one does soon: nothing is learnt from harm to those that still start."""
        owners = "SELECT DISTINCT assigned_node FROM batch_partitions WHERE status = 'CLAIMED'"
        for _ in range(30):
            held = {row[0] for row in self.lab.tables.rows(owners)}
            busy = [node for node in self.lab.nodes if held & set(node.ids)]
            if busy:
                return self.lab.random.choice(busy)
            time.sleep(0.1)
        return self.nemesis.random_node()

    def kill(self, victim: NodeProcess) -> None:
        self.nemesis.kill(victim)
        self.add()

    def stop(self, victim: NodeProcess) -> None:
        self.nemesis.stop(victim)
        self.add()

    def child(self, victim: NodeProcess) -> None:
        self.nemesis.kill_a_child(victim)

    def freeze(self, victim: NodeProcess) -> None:
        seconds = self.lab.random.choice([0.5, THRESHOLD + 1.0])
        self.nemesis.freeze(victim, seconds, family=self.lab.random.random() < 0.5)

    def restart(self, _victim: NodeProcess) -> None:
        with self.nemesis.without_database(self.lab.random.choice(["fast", "immediate"])):
            time.sleep(self.lab.random.choice([0.0, 1.0]))

    def cut(self, victim: NodeProcess) -> None:
        self.nemesis.cut(self.links[victim.pid], victim, self.lab.random.choice([0.2, THRESHOLD + 1.0]))

    def swallow(self, victim: NodeProcess) -> None:
        self.nemesis.black_hole(self.links[victim.pid], victim, self.lab.random.choice([1.0, THRESHOLD + 1.0]))

    def lose(self, victim: NodeProcess) -> None:
        link = self.links[victim.pid]
        with self.lab.striking("lose answers", victim, excuses=frozenset()):
            link.lose_answers(0.2)
            time.sleep(1.0)
            link.lose_answers(0.0)


def _composition(lab: ChaosLab, seconds: float, again: int, once: int) -> None:
    composition = Composition(lab)
    cluster = lab.connect(max_attempts=50)
    kernel = lab.kernel("of-a-kernel", again // 20, seconds=0.1, after=True, options={"strategy": "scale_up"})
    kernel.says("submitted")
    lab.submit(cluster, "once", once, seconds=0.05, transferable=False)
    lab.submit_rows(cluster, "rows", again // 5, seconds=0.05, strategy="scale_up")
    lab.submit(cluster, "again", again, seconds=0.05, strategy="scale_up")
    end = time.monotonic() + seconds
    composition.nemesis.kill(kernel)
    while time.monotonic() < end:
        composition.strike()
    composition.keep_three()
    lab.settle(180.0)
    lab.figures["struck"] = len(lab.strikes)


@fault("C20-random")
def random_composition(lab: ChaosLab) -> None:
    """Harm of every kind at random for half a minute, over jobs of repeatable and of unrepeatable work."""
    _composition(lab, 30.0, 2500, 300)


@fault("random-short", smoke=True)
def short_composition(lab: ChaosLab) -> None:
    """The same for some seconds."""
    _composition(lab, 8.0, 600, 60)
