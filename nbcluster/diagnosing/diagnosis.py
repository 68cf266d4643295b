"""What an examination of a cluster found: findings, each with its cure."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from nbcluster import display

_NAMES = 10
_INDENT = " " * 21


class Result(StrEnum):
    """How a check came out."""

    OK = "ok"
    NOTE = "note"
    """Nothing is broken by it, but one should know."""
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check saw; ``cure`` says what to do, ``command`` is what to type for it."""

    check: str
    result: Result
    seen: str
    cure: str = ""
    command: str = ""

    @property
    def lines(self) -> list[str]:
        """For a terminal; a command stays on one line, to be copied."""
        seen = textwrap.wrap(printable(self.seen), 99, break_long_words=False, break_on_hyphens=False) or [""]
        said = [f"{self.result:<9}{self.check:<12}{seen[0]}", *(_INDENT + more for more in seen[1:])]
        cure = f"cure: {printable(self.cure)}" if self.cure else "cure"
        if self.command:
            return [*said, f"{_INDENT}{cure}:", f"{_INDENT}    {printable(self.command)}"]
        return [*said, f"{_INDENT}{cure}"] if self.cure else said


class Diagnosis:
    """All findings of one examination.  Shows itself as a table."""

    def __init__(self, findings: Sequence[Finding], exit_code: int | None = None) -> None:
        self.findings = tuple(findings)
        self._exit_code = exit_code

    @property
    def ok(self) -> bool:
        """Whether no check found a problem."""
        return not any(finding.result is Result.PROBLEM for finding in self.findings)

    @property
    def exit_code(self) -> int:
        """0 if all is well, 1 if a check failed, 3 or 4 if the database cannot be reached or has no fitting tables."""
        if self._exit_code is not None:
            return self._exit_code
        return 0 if self.ok else 1

    @property
    def summary(self) -> str:
        """How many of which."""
        counts = {result: sum(finding.result is result for finding in self.findings) for result in Result}
        said = []
        if counts[Result.PROBLEM]:
            said.append(f"{counts[Result.PROBLEM]} problem{'s' if counts[Result.PROBLEM] > 1 else ''}")
        if counts[Result.NOTE]:
            said.append(f"{counts[Result.NOTE]} note{'s' if counts[Result.NOTE] > 1 else ''}")
        if counts[Result.OK]:
            said.append(f"{counts[Result.OK]} ok")
        return ", ".join(said)

    def __str__(self) -> str:
        return "\n".join([*(line for finding in self.findings for line in finding.lines), self.summary])

    __repr__ = __str__

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        return display.mimebundle(self)


def printable(text: str) -> str:
    """Text without what could act on a terminal or turn the line around: names of jobs and nodes are foreign."""
    return "".join(letter if letter.isprintable() else " " for letter in text)


def listed(names: Sequence[str], most: int = _NAMES) -> str:
    """``a, b and c``; of a long list the first, and how many more."""
    if len(names) > most:
        return f"{', '.join(names[:most])} and {len(names) - most} more"
    return " and ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else "".join(names)
