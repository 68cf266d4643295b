"""A diagnosis as text, and what it comes to."""

from __future__ import annotations

import pytest

from nbcluster.diagnosing.diagnosis import Diagnosis, Finding, Result, listed

OK = Finding("speed", Result.OK, "fine")
NOTE = Finding("clock", Result.NOTE, "odd", "set it", "sudo timedatectl set-ntp true")
PROBLEM = Finding("nodes", Result.PROBLEM, "none", "", "nbcluster up 2")


@pytest.mark.parametrize(
    ("findings", "code", "summary"),
    [
        ([OK, OK], 0, "2 ok"),
        ([OK, NOTE], 0, "1 note, 1 ok"),
        ([PROBLEM, NOTE, OK, PROBLEM], 1, "2 problems, 1 note, 1 ok"),
    ],
)
def test_a_note_is_no_failure_and_a_problem_is(findings: list[Finding], code: int, summary: str) -> None:
    diagnosis = Diagnosis(findings)
    assert diagnosis.exit_code == code
    assert diagnosis.ok == (code == 0)
    assert diagnosis.summary == summary


def test_what_kept_it_from_looking_decides_the_exit_code() -> None:
    assert Diagnosis([PROBLEM], 3).exit_code == 3


def test_as_text_each_finding_has_its_cure_below_it() -> None:
    assert str(Diagnosis([OK, NOTE, PROBLEM])).splitlines() == [
        "ok       speed       fine",
        "note     clock       odd",
        "                     cure: set it:",
        "                         sudo timedatectl set-ntp true",
        "problem  nodes       none",
        "                     cure:",
        "                         nbcluster up 2",
        "1 problem, 1 note, 1 ok",
    ]


def test_a_long_sentence_is_wrapped_and_a_command_is_not() -> None:
    finding = Finding("packages", Result.PROBLEM, "word " * 50, "do", "pip install " + "x" * 200)
    lines = finding.lines
    assert max(map(len, lines[:-1])) <= 120
    assert lines[-1].strip() == finding.command


def test_foreign_names_cannot_repaint_a_terminal() -> None:
    evil = "job\x1b[2J\u202e\nnext"
    finding = Finding("jobs", Result.PROBLEM, evil, evil, evil)
    assert not set(str(Diagnosis([finding]))) & set("\x1b\u202e")
    assert len(finding.lines) == 3


@pytest.mark.parametrize(
    ("names", "said"),
    [("", ""), ("a", "a"), ("ab", "a and b"), ("abc", "a, b and c"), ("abcde", "a, b, c and 2 more")],
)
def test_a_list_of_names(names: str, said: str) -> None:
    assert listed(list(names), 3) == said
