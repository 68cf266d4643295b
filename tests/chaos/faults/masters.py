"""Kernels that die: before, while and after they submit, and whenever the job needs a master."""

from __future__ import annotations

import time

from tests.chaos.faults import fault
from tests.chaos.harness import THRESHOLD, ChaosLab, Kernel
from tests.chaos.nemesis import Nemesis
from tests.cluster.nodes import NodeProcess
from tests.waiting import wait_until

MASTER = "SELECT master_node_id FROM batch_job_coordination WHERE status IN ('CREATED', 'STARTED')"


def master(lab: ChaosLab) -> str:
    return str(lab.tables.value(MASTER))


def master_among(lab: ChaosLab, nodes: list[NodeProcess]) -> NodeProcess:
    """The node that has taken over."""
    return wait_until(lambda: next((node for node in nodes if master(lab) in node.ids), None), 60, "a take-over")


@fault("C13-kernel-killed-submitting")
def killed_while_submitting(lab: ChaosLab) -> None:
    """Kernels are killed before and at a random moment of their submission: a job is whole or not there."""
    lab.start_nodes(2)
    nemesis = Nemesis(lab)
    kernels = [lab.kernel(f"cut-off-{number}", 2000, promised=False, stay=False) for number in range(4)]
    kernels[0].says("I am")
    nemesis.kill(kernels[0])
    for kernel in kernels[1:]:
        kernel.says("submitting")
        time.sleep(lab.random.uniform(0.0, 0.5))
        nemesis.kill(kernel)
        name = f"cut-off-{kernels.index(kernel)}"
        lab.submissions[name].returned = "submitted" in kernel.said()
    lab.settle()
    lab.figures["jobs"] = lab.tables.count("batch_job_execution")


@fault("C13-kernel-killed", smoke=True)
def killed_after_submitting(lab: ChaosLab) -> None:
    """A kernel is killed right after its submission: the nodes finish the job with aggregate and callback."""
    lab.start_nodes(2)
    kernel = lab.kernel("left-alone", 40, seconds=0.05, after=True)
    kernel.says("submitted")
    Nemesis(lab).kill(kernel)
    lab.settle()
    _once_each(lab)


def _once_each(lab: ChaosLab) -> None:
    """Every step ran, and none of the single partitions twice without a reason."""
    ran = {note.step for note in lab.notes("END")}
    assert ran == {"map", "aggregate", "on_success"}, ran


def _frozen_until_complete(lab: ChaosLab, nemesis: Nemesis) -> Kernel:
    """A kernel that is killed when every partition is COMPLETED and nothing else has happened."""
    kernel = lab.kernel("left-alone", 8, gate=str(lab.gate), after=True)
    kernel.says("submitted")
    lab.wait_for_begins(2)
    with nemesis.frozen(kernel):
        lab.open_gate()
        wait_until(
            lambda: lab.tables.count("batch_partitions", "status = 'COMPLETED' AND job_execution_id = 1") >= 8,
            THRESHOLD,
            "the last commit",
        )
        assert lab.tables.count("batch_events", "phase = 'STEP_STARTED'") == 0
        nemesis.kill(kernel)
    return kernel


@fault("C13-killed-before-aggregation")
def killed_before_aggregation(lab: ChaosLab) -> None:
    """A kernel is killed between the last partition's commit and the aggregation."""
    lab.start_nodes(2)
    _frozen_until_complete(lab, Nemesis(lab))
    lab.settle()
    _once_each(lab)


@fault("C13-killed-during-callback")
def killed_during_callback(lab: ChaosLab) -> None:
    """The kernel, and then the node that runs the callback, are killed while it runs."""
    lab.start_nodes(2)
    nemesis = Nemesis(lab)
    gate = lab.folder / "callback"
    kernel = lab.kernel("left-alone", 8, seconds=0.05, after=True, callback_gate=str(gate))
    kernel.says("submitted")
    begun = wait_until(lambda: [n for n in lab.notes() if n.step == "on_success"], 60, "the callback")
    nemesis.kill(kernel)
    runner = next(node for node in lab.nodes if begun[0].node in node.ids)
    nemesis.kill(runner)
    gate.touch()
    lab.settle()
    _once_each(lab)


@fault("C13-master-and-worker")
def master_and_worker(lab: ChaosLab) -> None:
    """The master and a node that works are killed at the same moment."""
    victim, other = lab.start_nodes(2)
    kernel = lab.kernel("left-alone", 30, seconds=0.3, after=True)
    kernel.says("submitted")
    lab.wait_for_begins(2, victim)
    lab.wait_for_begins(2, other)
    Nemesis(lab).kill(kernel, victim)
    lab.settle()
    _once_each(lab)


@fault("C13-many-heirs")
def many_heirs(lab: ChaosLab) -> None:
    """Five nodes notice at once that the masters of four jobs are gone."""
    lab.start_nodes(5, slots=1)
    kernels = [lab.kernel(f"left-{number}", 12, seconds=0.1, after=True) for number in range(4)]
    for kernel in kernels:
        kernel.says("submitted")
    Nemesis(lab).kill(*kernels)
    lab.settle()
    terms = {row[0] for row in lab.tables.rows("SELECT term FROM batch_job_coordination")}
    assert terms <= {1, 2}, terms


@fault("C13-masters-one-after-the-other")
def one_after_the_other(lab: ChaosLab) -> None:
    """Every new master is killed as soon as it is one, three times."""
    lab.start_nodes(2)
    nemesis = Nemesis(lab)
    kernel = lab.kernel("left-alone", 12, gate=str(lab.gate), after=True)
    kernel.says("submitted")
    nemesis.kill(kernel)
    for _ in range(3):
        victim = master_among(lab, lab.nodes)
        lab.start_nodes(1)
        nemesis.kill(victim)
    master_among(lab, lab.nodes)
    lab.open_gate()
    lab.settle()
    _once_each(lab)


@fault("C13-frozen-master")
def frozen_master(lab: ChaosLab) -> None:
    """A frozen kernel comes back after its job was taken over, and only watches from then on."""
    nodes = lab.start_nodes(2)
    kernel = lab.kernel("left-alone", 12, gate=str(lab.gate), after=True)
    kernel.says("submitted")
    lab.wait_for_begins(2)
    with Nemesis(lab).frozen(kernel):
        master_among(lab, nodes)
        lab.open_gate()
    lab.settle()
    kernel.says("ended COMPLETED")
    _once_each(lab)


@fault("C13-everybody-gone")
def everybody_gone(lab: ChaosLab) -> None:
    """The kernel and every node are killed; a node that is started later finds the job and finishes it."""
    lab.start_nodes(2)
    kernel = lab.kernel("left-alone", 20, seconds=0.1, after=True)
    kernel.says("submitted")
    lab.wait_for_begins(4)
    Nemesis(lab).kill(kernel, *lab.nodes)
    lab.start_nodes(1)
    lab.settle()
    _once_each(lab)
