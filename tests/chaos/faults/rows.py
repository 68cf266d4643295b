"""Tables of the user's, while their writers are killed, frozen and cut off: every row exactly once."""

from __future__ import annotations

from tests.chaos.faults import POSTGRESQL, fault
from tests.chaos.harness import THRESHOLD, ChaosLab
from tests.chaos.nemesis import Nemesis
from tests.chaos.network import RECORD
from tests.waiting import wait_until


@fault("rows-nodes-killed", smoke=True)
def nodes_killed(lab: ChaosLab) -> None:
    """Nodes that write rows are killed one after the other, and replaced."""
    lab.start_nodes(3)
    nemesis = Nemesis(lab)
    cluster = lab.connect(max_attempts=50)
    lab.submit_rows(cluster, "rows", 240, seconds=0.02, strategy="scale_up")
    for number in range(1, 4):
        lab.wait_for_begins(number * 50)
        nemesis.replace(nemesis.random_node())
    lab.settle()


@fault("rows-frozen")
def frozen(lab: ChaosLab) -> None:
    """A node that writes rows is frozen past the threshold, and comes back with what it computed."""
    victim, other = lab.start_nodes(2)
    lab.submit_rows(lab.connect(), "rows", 60, seconds=0.3)
    lab.wait_for_begins(2, victim)
    lab.wait_for_begins(2, other)
    Nemesis(lab).freeze(victim, THRESHOLD + 2.0)
    lab.settle()


@fault("rows-lost-answers", databases=(POSTGRESQL,), smoke=True)
def lost_answers(lab: ChaosLab) -> None:
    """One in five COMMITs of rows is done, and nobody hears of it; connections break in the middle of others."""
    links = [lab.link() for _ in range(3)]
    for link in links:
        lab.start_nodes(1, link=link)
        link.lose_answers(0.2)
        link.break_in(RECORD, 3)
    strike = lab.strike("lose answers", excuses=frozenset())
    lab.submit_rows(lab.connect(), "rows", 300, seconds=0.02)
    lab.settle()
    strike.over()
    for link in links:
        link.lose_answers(0.0)
    lab.figures["answers_lost"] = sum(link.lost_answers for link in links)
    assert int(lab.figures["answers_lost"]) > 10


@fault("rows-failed-and-resumed")
def failed_and_resumed(lab: ChaosLab) -> None:
    """The job is cancelled in the middle, its nodes are killed, and on others it is resumed."""
    lab.start_nodes(2)
    cluster = lab.connect()
    job = lab.submit_rows(cluster, "rows", 200, seconds=0.02)
    lab.wait_for_begins(60)
    job.cancel(now=True)
    wait_until(job.done, 30, "the end of what was cancelled")
    Nemesis(lab).kill(*lab.nodes)
    lab.start_nodes(2)
    job.resume()
    lab.settle()
