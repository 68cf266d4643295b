"""The magic's sub-commands and options: read from a line into one frozen record.

What exists is declared in ``commands.py``; here is only the reading.  A complaint is one sentence that
names what was typed and what comes closest to it.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from nbcluster.errors import ConfigError, UsageError
from nbcluster.notebook import header
from nbcluster.notebook.commands import COMMANDS
from nbcluster.notebook.declared import CELL, LINE, Command, Option, magic
from nbcluster.notebook.words import first_word, words

HELP_FLAGS = ("-h", "--help")


@dataclass(frozen=True, slots=True)
class Arguments:
    """What a line said, with the defaults for what it did not say."""

    command: str
    kind: str
    header: header.Parts | None = None
    topic: str | None = None
    url: str | None = None
    count: int | None = None
    slots: int | None = None
    all: bool = False
    since: float | None = None
    job: str = ""
    partition: int | None = None
    out: str | None = None
    name: str | None = None
    block: bool = True
    partitions: int | None = None
    chunk: int | None = None
    strategy: str | None = None
    nodes: int | None = None
    transferable: bool = True
    on_error: str = "raise"
    max_capture: int | None = None
    fresh: bool = False
    into: str | None = None
    if_exists: str | None = None
    results: str | None = None
    cache: bool = False
    retries: int | None = None
    retry_on: tuple[str, ...] = ()
    retry_wait: float | None = None
    timeout: float | None = None
    max_errors: int | None = None
    priority: int | None = None
    require: tuple[str, ...] = ()
    pin: str | None = None
    aggregate: str | None = None
    on_success: str | None = None
    on_failure: str | None = None
    now: bool = False
    step: str | None = None
    tail: int | None = None
    attempt: int | None = None
    pdb: bool = False
    show: bool = False
    ship: tuple[str, ...] = ()
    beside: bool = True
    dry_run: bool = False
    sample: int | None = None
    node: str = ""
    quiet: bool = False
    progress: str = "auto"

    @property
    def magic(self) -> str:
        """The command as one types it."""
        return magic(self.command, self.kind)


def parse(line: str, kind: str) -> Arguments:
    """The arguments of ``%nbcluster line`` (kind LINE) or ``%%nbcluster line`` (kind CELL).

    Raises UsageError with one sentence.
    """
    first = first_word(line)
    if first is None:
        if kind == CELL:
            raise UsageError(f"%%nbcluster needs a command; {_one_of(_names(CELL))}")
        return Arguments("status", LINE)
    if first.text in HELP_FLAGS:
        return Arguments("help", LINE)
    command = _command(first.text, kind)
    parts = None
    if command.header:
        found = header.separate(line[first.end :], command.takes_value)
        # Tracebacks mark places in the whole line, so the offset counts from its beginning.
        given, parts = list(found.options), replace(found, offset=found.offset + first.end)
    else:
        given = [word.text for word in words(line, first.end)]
    if any(flag in HELP_FLAGS for flag in given):
        return Arguments("help", LINE, topic=command.name)
    values = _read(command, given)
    _check(command, values)
    return Arguments(command.name, kind, header=parts, **values)


def _names(kind: str) -> list[str]:
    return [command.name for command in COMMANDS if command.kind == kind]


def _command(name: str, kind: str) -> Command:
    for command in COMMANDS:
        if command.name == name and command.kind == kind:
            return command
    typed = magic(name, kind)
    if name in _names(LINE if kind == CELL else CELL):
        right = magic(name, LINE if kind == CELL else CELL)
        needs = "stands alone on its line, without a body" if kind == CELL else "heads a cell: its body is what runs"
        raise UsageError(f"{typed} is written {right}; it {needs}")
    raise UsageError(f"{typed}: there is no such command; {_similar_command(name, kind)}")


def _similar_command(name: str, kind: str) -> str:
    other = LINE if kind == CELL else CELL
    # A close one of the other kind is written with the other number of percent signs, so it is shown in full.
    elsewhere = [magic(known, other) for known in difflib.get_close_matches(name, _names(other), n=1)]
    otherwise = f"did you mean {elsewhere[0]}?" if elsewhere else _one_of(_names(kind))
    return _suggest(name, _names(kind), otherwise)


def _read(command: Command, given: Sequence[str]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    plain: list[str] = []
    rest = list(given)
    while rest:
        word = rest.pop(0)
        if not word.startswith("-") or word == "-":
            plain.append(word)
            continue
        flag, glued = _split_flag(word)
        option = _option(command, flag)
        value = _value(command, option, flag, glued, rest)
        values[option.dest] = (*values.get(option.dest, ()), value) if option.many else value
    values.update(_positionals(command, plain))
    return values


def _split_flag(word: str) -> tuple[str, str | None]:
    if word.startswith("--") and "=" in word:
        flag, value = word.split("=", 1)
        return flag, value
    if not word.startswith("--") and len(word) > 2 and word[2:].isdigit():
        return word[:2], word[2:]
    return word, None


def _option(command: Command, flag: str) -> Option:
    for option in command.options:
        if flag in option.flags:
            return option
    known = [name for option in command.options for name in option.flags]
    said = f"{command.magic}: there is no option {flag}"
    if command.header and not flag.startswith("--"):
        said += f" (for a subtraction write a space after the dash: - {flag[1:]})"
    raise UsageError(f"{said}; {_suggest(flag, known, f'%nbcluster help {command.name} lists them')}")


def _value(command: Command, option: Option, flag: str, glued: str | None, rest: list[str]) -> Any:
    if not option.metavar:
        if glued is not None:
            raise UsageError(f"{command.magic}: {flag} takes no value")
        return option.const
    if glued is None and not rest:
        raise UsageError(f"{command.magic}: {flag} needs a value: {flag} {option.metavar}")
    return _convert(option.parse, glued if glued is not None else rest.pop(0), flag)


def _convert(parse_value: Any, text: str, name: str) -> Any:
    try:
        return parse_value(text, name)
    except ConfigError as error:
        raise UsageError(str(error)) from None


def _positionals(command: Command, plain: Sequence[str]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for position, described in enumerate(command.positionals):
        if position < len(plain):
            values[described.dest] = _convert(described.parse, plain[position], described.metavar)
        elif described.required:
            raise UsageError(f"{command.magic} needs {described.metavar}; write {command.usage}")
    left = list(plain[len(command.positionals) :])
    if left:
        said = " ".join(left)
        where = "options stand before or after TARGET in EXPR" if command.header else f"write {command.usage}"
        raise UsageError(f"{command.magic}: `{said}` is left over; {where}")
    return values


def _check(command: Command, values: dict[str, Any]) -> None:
    """What no single option can know."""
    if values.get("partitions") and values.get("chunk"):
        raise UsageError(f"{command.magic}: --partitions and --chunk both set the size of the pieces; give one")
    if values.get("nodes") and values.setdefault("strategy", "fixed_node_count") != "fixed_node_count":
        raise UsageError(f"{command.magic}: --nodes belongs to --strategy fixed")
    if values.get("ship") and values.get("beside") is False:
        raise UsageError(f"{command.magic}: --ship sends modules and --no-ship sends none; give one")


def _suggest(typed: str, known: Sequence[str], otherwise: str) -> str:
    close = difflib.get_close_matches(typed, known, n=2, cutoff=0.6)
    return f"did you mean {' or '.join(close)}?" if close else otherwise


def _one_of(known: Iterable[str]) -> str:
    return "there are " + ", ".join(known)
