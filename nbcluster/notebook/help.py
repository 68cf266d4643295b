"""What ``%nbcluster help`` and ``%nbcluster?`` say, made of the declarations."""

from __future__ import annotations

import difflib
import textwrap

from nbcluster.errors import UsageError
from nbcluster.notebook.commands import COMMANDS
from nbcluster.notebook.declared import CELL, LINE, Command, Option

_WIDEST = 110

_INTRODUCTION = """Fan a notebook cell out over nodes; the database is the only meeting place.

    %nbcluster up 2
    %%nbcluster map n in range(1, 10_001) -o collatz
    steps = 0
    while n != 1:
        n = n // 2 if n % 2 == 0 else 3 * n + 1
        steps += 1
    steps

The body runs once per item on some node; its last expression is the item's value.  A body of imports and
defs only is taken as a module, and its last function is mapped.  Then: collatz.frame(), .errors(), .logs(0).
"""


def overview() -> str:
    """Every sub-command in one line."""
    lines = [_INTRODUCTION]
    for kind, title in ((LINE, "Lines"), (CELL, "Cells")):
        lines.append(f"{title}:")
        shown = [command for command in COMMANDS if command.kind == kind]
        width = max(len(_short(command)) for command in shown) + 2
        lines += [line for command in shown for line in _two(_short(command), width, command.doc)]
        lines.append("")
    lines.append("%nbcluster help COMMAND tells more, for example: %nbcluster help map")
    return "\n".join(lines)


def _short(command: Command) -> str:
    return command.usage.replace(" [options]", "")


def topic(name: str) -> str:
    """One sub-command in full.  Raises UsageError."""
    wanted = name.lstrip("%")
    for command in COMMANDS:
        if command.name == wanted:
            return _full(command)
    names = [command.name for command in COMMANDS]
    close = difflib.get_close_matches(wanted, names, n=2)
    said = f"did you mean {' or '.join(close)}?" if close else "there are " + ", ".join(names)
    raise UsageError(f"%nbcluster help: there is no command {name}; {said}")


def _full(command: Command) -> str:
    lines = [command.usage, "", *_paragraph(f"{command.doc[0].upper()}{command.doc[1:]}. {command.more}")]
    if command.header:
        lines += [
            "",
            "TARGET in EXPR is what a for loop would say: n in range(9), or a, b in pairs.  EXPR is any Python",
            "expression; options stand before or after it.  For a subtraction write a space on both sides: a - b.",
        ]
    if command.positionals:
        width = max(len(one.metavar) for one in command.positionals) + 2
        lines += ["", *(line for one in command.positionals for line in _two(one.metavar, width, one.doc))]
    if command.options:
        width = max(len(_flags(option)) for option in command.options) + 2
        lines += ["", "Options:", *(line for one in command.options for line in _two(_flags(one), width, one.doc))]
    if command.example:
        lines += ["", f"Example: {command.example}"]
    return "\n".join(lines)


def _paragraph(text: str) -> list[str]:
    return textwrap.wrap(text, _WIDEST, break_long_words=False, break_on_hyphens=False)


def _two(term: str, width: int, text: str) -> list[str]:
    """A term and what is said of it, side by side."""
    said = textwrap.wrap(text, _WIDEST - width - 2, break_long_words=False, break_on_hyphens=False)
    return [f"  {term:<{width}}{said[0]}", *(" " * (width + 2) + more for more in said[1:])]


def _flags(option: Option) -> str:
    metavar = f" {option.metavar}" if option.metavar else ""
    return ", ".join(option.flags) + metavar
