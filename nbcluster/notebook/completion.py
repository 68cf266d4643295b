"""Tab after ``%nbcluster``: sub-commands, options, and names of jobs and nodes where one is due.

Names are looked up only in a database that is already connected.
"""

from __future__ import annotations

from typing import Any

from IPython.core.error import TryNext

from nbcluster.errors import NBClusterError
from nbcluster.notebook.commands import COMMANDS
from nbcluster.notebook.declared import CELL, LINE, Command, Option
from nbcluster.notebook.session import Session

_KEYS = {"%nbcluster": LINE, "%%nbcluster": CELL}


def install(shell: Any, session: Session) -> None:
    """Answer for both magics."""

    def complete(_shell: Any, event: Any) -> list[str]:
        return candidates(session, event.text_until_cursor)

    for key in _KEYS:
        shell.set_hook("complete_command", complete, str_key=key)


def remove(shell: Any) -> None:
    """Answer no more."""
    for key in _KEYS:
        shell.strdispatchers["complete_command"].strs.pop(key, None)


def candidates(session: Session, text: str) -> list[str]:
    """What may stand at the end of ``text``.  Raises TryNext where Python names are due."""
    magic, *given = text.lstrip().split(" ")
    kind = _KEYS.get(magic)
    if kind is None or not given:
        raise TryNext
    *before, current = [word for word in given[:-1] if word] + given[-1:]
    if not before:
        return [command.name for command in COMMANDS if command.kind == kind]
    command = next((c for c in COMMANDS if c.name == before[0] and c.kind == kind), None)
    if command is None:
        return []
    option = _option(command, before[-1])
    if option is not None and option.metavar:
        return list(option.choices)
    if current.startswith("-"):
        return [flag for option in command.options for flag in option.flags]
    return _words(session, command, before[1:])


def _option(command: Command, flag: str) -> Option | None:
    return next((option for option in command.options if flag in option.flags), None)


def _words(session: Session, command: Command, before: list[str]) -> list[str]:
    if command.header:
        raise TryNext
    if command.name == "help":
        return [] if before else [known.name for known in COMMANDS]
    place = len(_plain(command, before))
    if place >= len(command.positionals) or session.connected is None:
        return []
    known = {"job": session.connected.job_names, "node": session.connected.node_names}
    names = known.get(command.positionals[place].dest, list)
    try:
        return [f'"{name}"' if " " in name else name for name in names()]
    except NBClusterError:
        return []  # a Tab is no place for complaints


def _plain(command: Command, words: list[str]) -> list[str]:
    """The words that are neither options nor their values."""
    return [
        word
        for word, before in zip(words, ["", *words], strict=False)
        if not word.startswith("-") and not command.takes_value.get(before)
    ]
