"""A magic's line as words: spaces separate, quotes hold together, ``# ...`` ends the line.

IPython hands the line over as text.  ``shlex`` would eat the backslashes of Windows paths and join
``a"b"c`` by shell rules that nobody expects here; and the header needs to know where each word stood.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from nbcluster.errors import InputError

_WORD = re.compile(r"""(?:"[^"]*"|'[^']*'|[^\s"'])+""")
_QUOTED = re.compile(r'"([^"]*)"|\'([^\']*)\'')


@dataclass(frozen=True, slots=True)
class Word:
    """One word without its quotes, and where it stood in the line."""

    text: str
    start: int
    end: int


def first_word(line: str, start: int = 0) -> Word | None:
    """The next word at or after ``start``; None at the end of the line or before a comment."""
    while start < len(line) and line[start].isspace():
        start += 1
    if start >= len(line) or line[start] == "#":
        return None
    match = _WORD.match(line, start)
    if match is None or (match.end() < len(line) and not line[match.end()].isspace()):
        raise InputError(f"a quote is not closed in: {line[start:].strip()}")
    text = _QUOTED.sub(lambda quoted: quoted[1] if quoted[1] is not None else quoted[2], match[0])
    return Word(text, match.start(), match.end())


def words(line: str, start: int = 0) -> list[Word]:
    """All words from ``start`` on."""
    found: list[Word] = []
    while (word := first_word(line, start)) is not None:
        found.append(word)
        start = word.end
    return found
