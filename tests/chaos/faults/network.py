"""Connections that are cut, swallowed, delayed, or reset at the worst moment; clocks and zones."""

from __future__ import annotations

import os
import subprocess
import time
from functools import cache

from tests.chaos.faults import POSTGRESQL, fault
from tests.chaos.harness import THRESHOLD, ChaosLab
from tests.chaos.nemesis import Nemesis
from tests.chaos.network import BEAT, CLAIM, RECORD
from tests.chaos.server import ROOT
from tests.waiting import wait_until


@fault("C9-cut", databases=(POSTGRESQL,))
def cut(lab: ChaosLab) -> None:
    """One node's connections are reset and refused for longer than the threshold; it comes back."""
    link = lab.link()
    (victim,) = lab.start_nodes(1, link=link)
    (other,) = lab.start_nodes(1)
    lab.submit(lab.connect(), "once", 2, seconds=1.0, transferable=False)
    lab.submit(lab.connect(), "again", 80, seconds=0.3)
    lab.wait_for_begins(2, victim)
    lab.wait_for_begins(2, other)
    Nemesis(lab).cut(link, victim, THRESHOLD + 2.0)
    lab.settle()


@fault("C9-black-hole", databases=(POSTGRESQL,))
def black_hole(lab: ChaosLab) -> None:
    """Nothing of what one node sends arrives, nothing is reset; it comes back."""
    link = lab.link()
    (victim,) = lab.start_nodes(1, link=link)
    (other,) = lab.start_nodes(1)
    lab.submit(lab.connect(), "again", 120, seconds=0.3)
    lab.wait_for_begins(2, victim)
    lab.wait_for_begins(2, other)
    Nemesis(lab).black_hole(link, victim, 3 * THRESHOLD)
    lab.settle()


@fault("C9-slow", databases=(POSTGRESQL,))
def slow(lab: ChaosLab) -> None:
    """Every answer of the database takes 200 ms, for everybody: nobody is given up for it."""
    links = [lab.link(), lab.link()]
    for link in links:
        lab.start_nodes(1, link=link)
        link.delay(0.2)
    lab.submit(lab.connect(), "again", 60, seconds=0.05)
    lab.settle()
    for link in links:
        link.delay(0.0)


@fault("C10-lost-answers", databases=(POSTGRESQL,), smoke=True)
def lost_answers(lab: ChaosLab) -> None:
    """One in five COMMITs is done, and nobody hears of it."""
    links = [lab.link() for _ in range(3)]
    for link in links:
        lab.start_nodes(1, link=link)
        link.lose_answers(0.2)
    cluster = lab.connect()
    strike = lab.strike("lose answers", excuses=frozenset())
    lab.submit(cluster, "again", 600, seconds=0.01)
    lab.submit(cluster, "once", 100, seconds=0.01, transferable=False)
    lab.settle()
    strike.over()
    for link in links:
        link.lose_answers(0.0)
    lab.figures["answers_lost"] = sum(link.lost_answers for link in links)
    assert int(lab.figures["answers_lost"]) > 10


@fault("cut-in-the-middle", databases=(POSTGRESQL,))
def cut_in_the_middle(lab: ChaosLab) -> None:
    """Connections break in the middle of a claim, of a recorded outcome, of a heartbeat, and at their COMMITs."""
    links = [lab.link(), lab.link()]
    for link in links:
        lab.start_nodes(1, link=link)
    cluster = lab.connect()
    lab.submit(cluster, "again", 400, seconds=0.02)
    lab.submit(cluster, "once", 60, seconds=0.02, transferable=False)
    strike = lab.strike("break connections", excuses=frozenset())
    for link in links:
        for statement in (CLAIM, RECORD, BEAT):
            link.break_in(statement, 3)
            link.break_in(statement, 3, before_commit=True)
    lab.settle()
    wait_until(lambda: not sum(link.broken < 8 for link in links), 20, lambda: [link.broken for link in links])
    strike.over()
    lab.figures["broken"] = sum(link.broken for link in links)


# --- clocks ----------------------------------------------------------------------------------------------------------


@cache
def faketime() -> str:
    """The library that lies about the time, as the program ``faketime`` preloads it."""
    printed = subprocess.run(["faketime", "-f", "+1s", "env"], capture_output=True, text=True, check=True).stdout
    return next(line.split("=", 1)[1] for line in printed.splitlines() if line.startswith("LD_PRELOAD="))


def skewed(seconds: int) -> dict[str, str]:
    """An environment in which the clock is so far off."""
    paths = f"{ROOT / 'tests' / 'chaos' / 'skew'}{os.pathsep}{ROOT}"
    faked = {"LD_PRELOAD": faketime(), "FAKETIME": f"{seconds:+d}s", "DONT_FAKE_MONOTONIC": "1"}
    return faked | {"PYTHONPATH": paths}


@fault("C11-clock", databases=(POSTGRESQL,), needs="faketime")
def clock(lab: ChaosLab) -> None:
    """Nodes whose clocks are ten minutes slow and fast: nobody is given up, and a kill is noticed as ever."""
    slow, fast = lab.start_nodes(1, environ=skewed(-600)) + lab.start_nodes(1, environ=skewed(600))
    (right,) = lab.start_nodes(1)
    assert slow.said()[:16] != right.said()[:16]  # the log's own time shows that the clock is off
    lab.submit(lab.connect(), "again", 120, seconds=0.2)
    lab.wait_for_begins(2, slow)
    lab.wait_for_begins(2, fast)
    time.sleep(THRESHOLD + 1.0)
    Nemesis(lab).kill(fast)
    lab.settle()


@fault("C11-zones")
def zones(lab: ChaosLab) -> None:
    """Nodes in Tokyo, in New York and here."""
    for zone in ("Asia/Tokyo", "America/New_York", os.environ.get("TZ", "UTC")):
        lab.start_node(environ={"TZ": zone, "PGTZ": zone})
    for node in lab.nodes:
        node.ready()
    tokyo = lab.nodes[0]
    lab.submit(lab.connect(), "again", 100, seconds=0.2)
    lab.wait_for_begins(2, tokyo)
    time.sleep(THRESHOLD)
    Nemesis(lab).kill(tokyo)
    lab.settle()
