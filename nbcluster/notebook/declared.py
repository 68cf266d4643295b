"""What a sub-command and an option are, and how the words behind an option become values."""

from __future__ import annotations

import keyword
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from nbcluster.errors import ConfigError

LINE = "line"
CELL = "cell"

Parse = Callable[[str, str], Any]


def text(typed: str, name: str) -> str:
    """A word that says something."""
    if not typed:
        raise ConfigError(f"{name}: an empty word says nothing")
    return typed


def identifier(text: str, name: str) -> str:
    """A name for a Python variable."""
    if not text.isidentifier() or keyword.iskeyword(text):
        raise ConfigError(f"{name}: {text!r} cannot be the name of a Python variable")
    return text


def index(text: str, name: str) -> int:
    """A partition number."""
    if not text.isdecimal():
        raise ConfigError(f"{name}: {text!r} is no partition number; they count from 0")
    return int(text)


def whole(text: str, name: str) -> int:
    """A whole number."""
    try:
        return int(text)
    except ValueError:
        raise ConfigError(f"{name}: {text!r} is no whole number") from None


def not_negative(text: str, name: str) -> int:
    """A whole number from 0 on."""
    value = whole(text, name)
    if value < 0:
        raise ConfigError(f"{name}: {value} is too few; write 0 or more")
    return value


def strategy(text: str, name: str) -> str:
    """A strategy, by its name or the short one."""
    return {"fixed": "fixed_node_count"}.get(text, text.replace("-", "_"))


def choice(*choices: str) -> Parse:
    """One of these words."""

    def parse(text: str, name: str) -> str:
        if text not in choices:
            raise ConfigError(f"{name}: {text!r} is not one of {', '.join(choices)}")
        return text

    return parse


@dataclass(frozen=True, slots=True)
class Option:
    """One option.  Without a ``metavar`` it takes no value and means ``const``."""

    flags: tuple[str, ...]
    dest: str
    doc: str
    metavar: str = ""
    parse: Parse = text
    choices: tuple[str, ...] = ()
    const: object = True
    many: bool = False
    """Whether it may be given several times; its value is then a tuple."""


@dataclass(frozen=True, slots=True)
class Positional:
    """One word that is told apart by its place."""

    dest: str
    metavar: str
    doc: str
    required: bool = False
    parse: Parse = text


@dataclass(frozen=True, slots=True)
class Command:
    """One sub-command."""

    name: str
    kind: str
    doc: str
    positionals: tuple[Positional, ...] = ()
    options: tuple[Option, ...] = ()
    header: bool = False
    example: str = ""
    more: str = ""
    """What one learns where the command is explained in full, besides what it is for."""

    @property
    def magic(self) -> str:
        """As one types it."""
        return magic(self.name, self.kind)

    @property
    def usage(self) -> str:
        """As one types it, with its words."""
        shown = [p.metavar if p.required else f"[{p.metavar}]" for p in self.positionals]
        target = ["TARGET in EXPR"] if self.header else []
        options = ["[options]"] if self.options else []
        return " ".join([self.magic, *shown, *target, *options])

    @property
    def takes_value(self) -> dict[str, bool]:
        """For each flag, whether a word follows it."""
        return {flag: bool(option.metavar) for option in self.options for flag in option.flags}


def magic(name: str, kind: str) -> str:
    """A sub-command as one types it."""
    shown = "" if name == "status" else f" {name}"
    return f"{'%%' if kind == CELL else '%'}nbcluster{shown}"
