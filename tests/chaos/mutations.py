"""The checker proven: each safeguard is taken out of running nodes, and a named invariant must notice.

``python -m tests.chaos.mutations [--only NAME] [--database D] [--seed N]`` prints a table; it
ends with 1 when a mutation was not caught by an invariant that was to catch it.
"""

from __future__ import annotations

import argparse
import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.chaos import faults
from tests.chaos.__main__ import start_server, surroundings
from tests.chaos.faults import EVERYWHERE, POSTGRESQL, Fault
from tests.chaos.harness import THRESHOLD, ChaosLab, Kernel
from tests.chaos.mutated import CLOCK, VARIABLE
from tests.chaos.nemesis import Nemesis
from tests.chaos.run import Run, run_fault
from tests.chaos.server import ROOT
from tests.cluster.nodes import NodeProcess
from tests.waiting import wait_until

MODULE = "tests.chaos.mutated"


@dataclass(frozen=True, slots=True)
class Mutation:
    """A safeguard that is taken out, what is done then, and the invariants of which one must notice."""

    name: str
    act: Callable[[ChaosLab], None]
    caught_by: tuple[str, ...]
    databases: tuple[str, ...] = EVERYWHERE
    settings: dict[str, object] | None = None


MUTATIONS: dict[str, Mutation] = {}


def mutation(
    name: str, *caught_by: str, databases: tuple[str, ...] = EVERYWHERE, settings: dict[str, object] | None = None
) -> Callable[[Callable[[ChaosLab], None]], Callable[[ChaosLab], None]]:
    def add(act: Callable[[ChaosLab], None]) -> Callable[[ChaosLab], None]:
        MUTATIONS[name] = Mutation(name, act, caught_by, databases, settings)
        return act

    return add


def mutant(lab: ChaosLab, name: str, count: int = 1, slots: int = 2, **options: object) -> list[NodeProcess]:
    """Nodes without that safeguard."""
    environ = {VARIABLE: name, "PYTHONPATH": str(ROOT)} | dict(options.pop("environ", {}))  # type: ignore[call-overload]
    return lab.start_nodes(count, slots, module=MODULE, environ=environ, **options)


def settle(lab: ChaosLab, timeout: float = 20.0) -> None:
    """A broken cluster need not come to an end: the checker says what is missing."""
    with contextlib.suppress(AssertionError):
        lab.settle(timeout)


@mutation("fence-removed", "H3", "H4", "H6")
def fence_removed(lab: ChaosLab) -> None:
    victim, other = mutant(lab, "fence-removed", 2)
    lab.submit(lab.connect(), "again", 24, seconds=0.3)
    lab.wait_for_begins(2, victim)
    lab.wait_for_begins(2, other)
    Nemesis(lab).freeze(victim, THRESHOLD + 3.0)
    settle(lab)
    time.sleep(1.0)


@mutation("grace-removed", "H7", databases=(POSTGRESQL,),
          settings={"heartbeat_interval": "2500ms", "unreachable_node_threshold": "4s",
                    "orphaned_tasks_polling_interval": "200ms"})  # fmt: skip
def grace_removed(lab: ChaosLab) -> None:
    mutant(lab, "grace-removed", 3)
    lab.submit(lab.connect(), "again", 60, seconds=1.0)
    lab.wait_for_begins(6)
    with Nemesis(lab).without_database():
        time.sleep(7.0)
    settle(lab, 60.0)


@mutation("reread-removed", "P3", databases=(POSTGRESQL,))
def reread_removed(lab: ChaosLab) -> None:
    links = [lab.link(), lab.link()]
    for link in links:
        mutant(lab, "reread-removed", link=link)
        link.lose_answers(0.3)
    lab.submit(lab.connect(), "again", 120, seconds=0.02)
    settle(lab, 60.0)
    for link in links:
        link.lose_answers(0.0)


@mutation("claim-unguarded", "H5", "STATES", "H4")
def claim_unguarded(lab: ChaosLab) -> None:
    mutant(lab, "claim-unguarded", 3)
    lab.submit(lab.connect(), "again", 120, seconds=0.02, strategy="scale_up")
    settle(lab)


@mutation("clock-of-the-node", "H7")
def clock_of_the_node(lab: ChaosLab) -> None:
    mutant(lab, "clock-of-the-node", environ={CLOCK: "-600"})
    mutant(lab, "clock-of-the-node")
    lab.submit(lab.connect(), "again", 40, seconds=0.3)
    settle(lab, 30.0)


@mutation("two-transactions", "H9")
def two_transactions(lab: ChaosLab) -> None:
    nodes = mutant(lab, "two-transactions", 3)
    strike = lab.strike("dies between two transactions", *nodes)
    lab.submit(lab.connect(), "again", 12, seconds=0.02)
    wait_until(lambda: any(not node.running for node in nodes), 30, "a node that dies", 0.1)
    lab.start_nodes(1)
    settle(lab)
    strike.over()


@mutation("rows-apart", "ROWS")
def rows_apart(lab: ChaosLab) -> None:
    victim, other = mutant(lab, "rows-apart", 2)
    lab.submit_rows(lab.connect(), "rows", 24, seconds=0.3)
    lab.wait_for_begins(2, victim)
    lab.wait_for_begins(2, other)
    Nemesis(lab).freeze(victim, THRESHOLD + 3.0)
    settle(lab)
    time.sleep(1.0)


@mutation("partition-dropped", "H1")
def partition_dropped(lab: ChaosLab) -> None:
    lab.submit(lab.connect(), "again", 12, seconds=0.02)
    lab.tables.change("DELETE FROM batch_partitions WHERE partition_index = 7")
    lab.start_nodes(1)
    settle(lab)
    for asked in lab.submissions.values():
        asked.expected = None  # its values cannot be read: H1 must say it from the tables alone


@mutation("term-ignored", "H12")
def term_ignored(lab: ChaosLab) -> None:
    (node,) = mutant(lab, "term-ignored")
    environ = {VARIABLE: "term-ignored"}
    kernel: Kernel = lab.kernel("again", 8, module=MODULE, environ=environ, gate=str(lab.gate), linger=1.0)
    kernel.says("submitted")
    master = "SELECT master_node_id FROM batch_job_coordination"
    with Nemesis(lab).frozen(kernel):
        wait_until(lambda: lab.tables.value(master) in node.ids, 30, "a take-over")
    lab.open_gate()
    settle(lab, 30.0)


@mutation("attempt-not-raised", "H5", "H11")
def attempt_not_raised(lab: ChaosLab) -> None:
    (node,) = mutant(lab, "attempt-not-raised")
    lab.submit(lab.connect(), "again", 12, seconds=0.3)
    lab.wait_for_begins(2, node)
    Nemesis(lab).kill_a_child(node)
    settle(lab)


@mutation("start-not-recorded", "H8")
def start_not_recorded(lab: ChaosLab) -> None:
    victim, other = mutant(lab, "start-not-recorded", 2)
    lab.submit(lab.connect(), "once", 12, seconds=0.5, transferable=False)
    lab.wait_for_begins(2, victim)
    lab.wait_for_begins(2, other)
    Nemesis(lab).kill(victim)
    settle(lab)


@mutation("call-forgotten", "CLAIMED")
def call_forgotten(lab: ChaosLab) -> None:
    mutant(lab, "call-forgotten")
    lab.submit(lab.connect(), "again", 12, seconds=0.02)
    settle(lab, 22.0)


# --- running them ----------------------------------------------------------------------------------------------------


def run_mutation(
    one: Mutation, database: str, seed: int, server: object, folder: Path | None = None
) -> tuple[bool, Run]:
    """Whether it was caught as it must be, and the run; what the checker prints is left out."""
    as_fault = Fault(one.name, one.act, one.databases, settings=one.settings)
    run = run_fault(as_fault, database, seed, server, lambda _text: None, folder)  # type: ignore[arg-type]
    return bool({violation.invariant for violation in run.violations} & set(one.caught_by)), run


def line(one: Mutation, caught: bool, run: Run) -> str:
    wanted = [v for v in run.violations if v.invariant in one.caught_by]
    others = sorted({v.invariant for v in run.violations} - set(one.caught_by))
    first = str(wanted[0])[:110] if wanted else (run.error.strip().splitlines() or ["no violation"])[-1][:110]
    also = f"  (also {', '.join(others)})" if others else ""
    verdict = f"caught {len(wanted):4}" if caught else "NOT CAUGHT "
    return f"{one.name:20} {run.database:10} {run.seconds:5.1f} s  {verdict}  {first}{also}"


def main(argv: list[str] | None = None) -> int:
    made = argparse.ArgumentParser(prog="python -m tests.chaos.mutations", description=__doc__)
    made.add_argument("--only", default="", metavar="NAME")
    made.add_argument("--database", choices=faults.EVERYWHERE)
    made.add_argument("--seed", type=int, default=1)
    options = made.parse_args(argv)
    missed = 0
    with surroundings(), contextlib.ExitStack() as stack:
        server = start_server(stack, options.database)
        for one in MUTATIONS.values():
            for database in one.databases:
                absent = database == POSTGRESQL and server is None
                if options.only not in one.name or options.database not in (None, database) or absent:
                    continue
                caught, run = run_mutation(one, database, options.seed, server)
                missed += not caught
                print(line(one, caught, run), flush=True)
    print(f"{missed} mutations were not caught" if missed else "every mutation was caught")
    return 1 if missed else 0


if __name__ == "__main__":
    raise SystemExit(main())
