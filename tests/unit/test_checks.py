"""The doctor's checks: plain facts in, findings out, each with its cure."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from nbcluster.diagnosing.checks import Facts, HeldUp, diagnose, not_connected
from nbcluster.diagnosing.diagnosis import Finding, Result
from nbcluster.diagnosing.differences import ThisProcess
from nbcluster.environment import Environment
from nbcluster.errors import (
    ConfigError,
    DatabaseUnreachable,
    LoginRefused,
    NBClusterError,
    SchemaMissing,
    SchemaTooNew,
    SchemaTooOld,
)
from nbcluster.lifecycle import NodeStatus
from nbcluster.records import Checkup, Rights
from tests.builders import PYTHON, a_node

URL = "postgresql+psycopg://ada:***@labdb/lab"
PACKAGES = {"pandas": "2.3.1", "numpy": "2.1.0"}
SAME = Environment(PACKAGES)


def some_facts(**changes: Any) -> Facts:
    """A cluster with which all is well."""
    plain = Facts(
        url=URL,
        origin="NBCLUSTER_URL",
        embedded=False,
        checkup=Checkup("psycopg 3.2", "PostgreSQL 16.2", 0.002, 0.01, Rights()),
        schema_version=3,
        key="f00d",
        nodes=(a_node("a-1", environment=SAME.digest), a_node("kernel-1", slots=0, python="3.9", version="x")),
        silent_after=10.0,
        python=PYTHON,
        version="0.0",
        here=ThisProcess(PACKAGES),
        environments={SAME.digest: SAME},
        running_jobs=2,
    )
    return replace(plain, **changes)


def of(check: str, **changes: Any) -> list[Finding]:
    return [finding for finding in diagnose(some_facts(**changes)).findings if finding.check == check]


def only(check: str, **changes: Any) -> Finding:
    (finding,) = of(check, **changes)
    return finding


def test_where_all_is_well_every_check_says_so() -> None:
    diagnosis = diagnose(some_facts())
    assert [finding.check for finding in diagnosis.findings] == [
        "database", "speed", "clock", "rights", "tables", "key", "nodes", "python", "nbcluster", "packages", "jobs",
    ]  # fmt: skip
    assert {finding.result for finding in diagnosis.findings} == {Result.OK}
    assert not any(finding.cure or finding.command for finding in diagnosis.findings)
    assert diagnosis.ok
    assert diagnosis.exit_code == 0


# --- the database --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("origin", "said"),
    [
        ("given", "(as given)"),
        ("NBCLUSTER_URL", "(from NBCLUSTER_URL)"),
        ("/home/ada/nbcluster.toml", "(from /home/ada/nbcluster.toml)"),
        ("default", "(your own embedded database, because none is named)"),
    ],
)
def test_the_database_is_named_with_the_place_that_names_it(origin: str, said: str) -> None:
    assert only("database", origin=origin).seen == f"{URL} {said}; PostgreSQL 16.2, by psycopg 3.2"


@pytest.mark.parametrize(("seconds", "result"), [(0.0004, "ok"), (0.099, "ok"), (0.1, "note"), (2.0, "note")])
def test_a_long_way_to_the_database_is_a_note(seconds: float, result: str) -> None:
    finding = only("speed", checkup=Checkup("", "", seconds, 0.0, Rights()))
    assert finding.result == result
    assert bool(finding.cure) == (result == "note")


@pytest.mark.parametrize(
    ("ahead", "said"),
    [
        (1.9, "agree"),
        (-1.9, "agree"),
        (90.0, "this machine's clock is 90.0 s behind the database's"),
        (-90.0, "this machine's clock is 90.0 s ahead of the database's"),
        (-600.0, "10 min ahead of"),
        (36_000.0, "10.0 h behind"),
    ],
)
def test_clocks_that_differ_are_told_with_what_it_means(ahead: float, said: str) -> None:
    finding = only("clock", checkup=Checkup("", "", 0.0, ahead, Rights()))
    assert said in finding.seen
    if "agree" not in said:
        assert finding.result is Result.NOTE
        assert "nothing breaks" in finding.seen
        assert finding.command == "sudo timedatectl set-ntp true"


def test_half_of_a_slow_round_trip_is_no_difference_of_clocks() -> None:
    assert only("clock", checkup=Checkup("", "", 4.0, 3.5, Rights())).result is Result.OK


def test_rights_that_lack_are_listed_and_many_are_folded() -> None:
    lacking = tuple(f"INSERT on table_{number}" for number in range(20))
    rights = Rights(lacking, "as the owner", "GRANT ALL")
    finding = only("rights", checkup=Checkup("", "", 0.0, 0.0, rights))
    assert finding.result is Result.PROBLEM
    assert "INSERT on table_0, INSERT on table_1" in finding.seen
    assert finding.seen.endswith("and 14 more")
    assert (finding.cure, finding.command) == ("as the owner", "GRANT ALL")


# --- nodes ---------------------------------------------------------------------------------------


def test_without_a_node_the_cure_starts_some() -> None:
    finding = only("nodes", nodes=())
    assert finding.result is Result.PROBLEM
    assert finding.command == "%nbcluster up 2"
    assert f"nbcluster-node --url '{URL}'" in finding.cure
    in_a_terminal = only("nodes", nodes=(), magic="nbcluster", given=" --url 'x'")
    assert in_a_terminal.command == "nbcluster up 2 --url 'x'"


def test_a_silent_node_is_a_problem_with_its_machine_and_process() -> None:
    silent = a_node("b-1", heartbeat_age=42.0, host="lab3", pid=77)
    alive, lost = of("nodes", nodes=(a_node("a-1"), silent))
    assert alive.seen == "1 node alive, 0 of 2 slots busy: a-1"
    assert lost.result is Result.PROBLEM
    assert lost.seen.startswith("b-1 has been silent for 42.0 s")
    assert "on lab3: see whether process 77 runs" in lost.cure
    assert lost.command == f"nbcluster-node --url '{URL}'"


def test_a_node_that_was_marked_is_silent_whatever_its_age() -> None:
    _, lost = of("nodes", nodes=(a_node("a-1"), a_node("b-1", status=NodeStatus.UNREACHABLE)))
    assert lost.result is Result.PROBLEM


def test_many_silent_nodes_are_one_finding() -> None:
    silent = [a_node(f"lab-{number}", heartbeat_age=50.0 + number, host=f"pc{number}") for number in range(200)]
    none, lost = of("nodes", nodes=tuple(silent))
    assert none.seen == "no node is alive"
    assert lost.seen.startswith("200 nodes silent for 50.0 s and more: lab-0, lab-1")
    assert "and 194 more" in lost.seen


def test_a_draining_node_is_a_note() -> None:
    _, leaving = of("nodes", nodes=(a_node("a-1"), a_node("b-1", status=NodeStatus.DRAINING)))
    assert leaving == Finding("nodes", Result.NOTE, "b-1 takes no more work: draining, then gone")


def test_another_python_on_some_nodes_is_a_note_and_on_all_a_problem() -> None:
    other = a_node("b-1", python="3.12", host="lab3")
    some, every = only("python", nodes=(a_node("a-1"), other)), only("python", nodes=(other,))
    assert some.seen == f"b-1: Python 3.12, and here {PYTHON}; it stays idle for jobs from here"
    assert (some.result, every.result) == (Result.NOTE, Result.PROBLEM)
    assert "lab3" in some.cure
    assert some.command == f"python{PYTHON} -m nbcluster --url '{URL}'"


def test_another_nbcluster_is_a_note_with_the_version_to_install() -> None:
    finding = only("nbcluster", nodes=(a_node("a-1"), a_node("b-1", version="9.9", host="lab3")))
    assert finding.result is Result.NOTE
    assert "b-1: version 9.9, and here 0.0" in finding.seen
    assert finding.command == "pip install nbcluster==0.0"


def test_packages_are_compared_with_nodes_that_are_alive() -> None:
    old = Environment({"pandas": "1.5.3", "numpy": "2.1.0"})
    nodes = (a_node("a-1", environment=SAME.digest), a_node("b-1", environment=old.digest, heartbeat_age=60.0))
    known = {SAME.digest: SAME, old.digest: old}
    assert only("packages", nodes=nodes, environments=known).result is Result.OK
    nodes = (nodes[0], replace(nodes[1], heartbeat_age=1.0))
    finding = only("packages", nodes=nodes, environments=known, here=ThisProcess(PACKAGES, frozenset({"pandas"})))
    assert finding.result is Result.PROBLEM
    assert finding.command == "pip install pandas==2.3.1"


# --- jobs ----------------------------------------------------------------------------------------


def a_held_up_job(number: int = 1, **changes: Any) -> HeldUp:
    plain = HeldUp(f"job-{number}", number, "ada", 5, paused=False, reasons=("No live node has gpu: start one",))
    return replace(plain, **changes)


def test_a_job_that_waits_is_told_with_its_obstacle() -> None:
    finding = only("jobs", held_up=(a_held_up_job(),))
    assert finding.result is Result.PROBLEM
    assert finding.seen == "job-1 (job 1, by ada): 5 partitions wait. No live node has gpu: start one."


def test_a_paused_job_is_a_note_with_the_command_that_resumes_it() -> None:
    finding = only("jobs", held_up=(a_held_up_job(7, paused=True, waiting=1),), magic="nbcluster")
    assert finding.result is Result.NOTE
    assert finding.seen == "job-7 (job 7, by ada) is paused: 1 partition waits"
    assert finding.command == "nbcluster resume 7"


def test_many_jobs_that_wait_are_folded() -> None:
    found = of("jobs", held_up=tuple(a_held_up_job(number) for number in range(1000)))
    assert len(found) == 6
    assert found[-1].seen == "995 more jobs wait"


def test_without_a_node_the_jobs_that_wait_are_one_finding() -> None:
    finding = only("jobs", nodes=(), held_up=tuple(a_held_up_job(number) for number in range(10)))
    assert finding.seen == "job-0, job-1, job-2, job-3, job-4 and 5 more: 50 partitions wait for a node"


# --- when connecting fails -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "seen", "cure", "command", "code"),
    [
        (
            DatabaseUnreachable(f"{URL} cannot be reached (connection refused); is the server running?"),
            f"{URL} cannot be reached (connection refused)",
            "see whether the server runs",
            "pg_isready -d 'postgresql://ada@labdb/lab'",
            3,
        ),
        (
            DatabaseUnreachable("/x.db cannot be used (locked); check the path, its rights and the disk"),
            "/x.db cannot be used (locked)",
            "check the path, its rights and the disk",
            "",
            3,
        ),
        (
            LoginRefused(f"{URL} refused the user or the password; check the URL, or the entry in ~/.pgpass"),
            f"{URL} refused the user or the password",
            "check the URL, or the entry in ~/.pgpass; then try it",
            "psql 'postgresql://ada@labdb/lab' -c 'SELECT 1'",
            3,
        ),
        (
            SchemaMissing(f"{URL} has no nbcluster tables; run: nbcluster init --url '{URL}'"),
            f"{URL} has no nbcluster tables",
            "",
            f"nbcluster init --url '{URL}'",
            4,
        ),
        (
            SchemaTooOld(f"{URL} has schema version 2; stop what runs on it, then run: nbcluster init --url '{URL}'"),
            f"{URL} has schema version 2",
            "stop what runs on it, then run",
            f"nbcluster init --url '{URL}'",
            4,
        ),
        (
            SchemaTooNew(f"{URL} has schema version 9; this one knows up to 3: pip install -U nbcluster"),
            f"{URL} has schema version 9",
            "this one knows up to 3: pip install -U nbcluster",
            "",
            4,
        ),
        (
            ConfigError("this cluster's key is not on this machine: copy x.key"),
            "this cluster's key is not on this machine",
            "copy x.key",
            "",
            1,
        ),
    ],
)
def test_what_keeps_one_from_connecting_is_the_only_finding(
    error: NBClusterError, seen: str, cure: str, command: str, code: int
) -> None:
    diagnosis = not_connected(error)
    (finding,) = diagnosis.findings
    assert finding.result is Result.PROBLEM
    assert finding.seen == seen
    assert finding.cure.startswith(cure)
    assert finding.command == command
    assert diagnosis.exit_code == code
