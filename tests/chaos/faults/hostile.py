"""Partitions that do their worst, names that are as long as they may be, users at the same time."""

from __future__ import annotations

from tests.chaos import hostility
from tests.chaos.faults import fault
from tests.chaos.harness import ChaosLab
from tests.chaos.nemesis import Nemesis
from tests.waiting import wait_until

NORMAL = 100


@fault("C15-hostile")
def hostile(lab: ChaosLab) -> None:
    """One job with every kind of hostile partition twice among a hundred normal ones."""
    lab.start_nodes(2)
    kinds = [*hostility.KINDS, *hostility.KINDS]
    total = len(kinds) + NORMAL
    at = {(number + 1) * total // (len(kinds) + 1): kind for number, kind in enumerate(kinds)}
    deadly = frozenset(index for index, kind in at.items() if hostility.KINDS[kind][1] == "POISON")
    lab.submit(lab.connect(), "hostile", total, body=hostility.body(at), hostile=deadly, timeout=5.0)
    lab.settle()
    rows = lab.tables.rows("SELECT partition_index, status, exit_code, exit_message FROM batch_partitions")
    for index, status, code, message in rows:
        wanted = hostility.KINDS[at[index]][1] if index in at else "COMPLETED"
        assert (code, status) == (wanted, "COMPLETED" if wanted == "COMPLETED" else "FAILED"), (at.get(index), message)
    assert all(node.running for node in lab.nodes)


@fault("long-node-ids")
def long_node_ids(lab: ChaosLab) -> None:
    """Nodes whose ids are as long as the settings admit: claims, losses and take-overs hold them."""
    prefix = ("n" * 100, "n" * 99 + "m")
    for one in prefix:
        lab.start_node(node_id_prefix=one)
    victim, other = [node.ready() for node in lab.nodes]
    assert len(victim.id) > 110
    kernel = lab.kernel("left-alone", 40, seconds=0.2, after=True)
    kernel.says("submitted")
    lab.wait_for_begins(2, victim)
    lab.wait_for_begins(2, other)
    nemesis = Nemesis(lab)
    nemesis.kill(kernel)
    nemesis.kill(victim)
    lab.settle()


@fault("two-users")
def two_users(lab: ChaosLab) -> None:
    """Two users' jobs run at once; a node and one user's kernel are killed; both jobs end, and neither waits."""
    lab.start_nodes(3)
    kernels = [
        lab.kernel(f"of-{user}", 60, seconds=0.1, environ={"LOGNAME": user, "USER": user}, after=True)
        for user in ("alice", "bob")
    ]
    for kernel in kernels:
        kernel.says("submitted")
    for user in ("alice", "bob"):
        wait_until(lambda user=user: lab.notes(job=f"of-{user}"), 30, f"a partition of {user}")
    nemesis = Nemesis(lab)
    nemesis.kill(kernels[0])
    nemesis.kill(nemesis.random_node())
    lab.settle()
    kernels[1].says("ended COMPLETED")
    users = {row[0] for row in lab.tables.rows("SELECT user_name FROM batch_job_execution")}
    assert users == {"alice", "bob"}, users
