"""Labels of nodes and what jobs require of them.  Pure.

A label is a word or a word with a value: ``gpu``, ``mem=64``.  A requirement is a
label that a node must have, or a bound: ``mem>=32``.  Two numbers are compared as
numbers, anything else as text.  Every node also has ``node=<prefix>``,
``node=<its full id>`` and ``host=<its machine>`` without being told so.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from functools import lru_cache

from nbcluster.errors import ConfigError, InputError

_WORD = r"[A-Za-z][A-Za-z0-9._-]{0,49}"
_LABEL = re.compile(rf"({_WORD})(?:=([^\s,=<>]{{1,100}}))?")
_REQUIREMENT = re.compile(rf"({_WORD})(?:(=|>=|<=)([^\s,=<>]{{1,230}}))?")
NODE, HOST = "node", "host"


def parse_labels(given: object, name: str = "labels") -> tuple[str, ...]:
    """The labels of a node from ``"gpu,mem=64"`` or a list of them.  Raises ConfigError."""
    labels = _words(given)
    for label in labels:
        match = _LABEL.fullmatch(label)
        if not match:
            raise ConfigError(f"{name}: {label[:60]!r} is no label; write for example gpu or mem=64")
        if match[1] in (NODE, HOST):
            raise ConfigError(f"{name}: every node has {match[1]}= by itself; choose another word than {match[1]!r}")
    return tuple(dict.fromkeys(labels))


def parse_requirements(require: object = None, pin: object = None) -> tuple[str, ...]:
    """What a job requires of its nodes: ``"gpu"``, ``["gpu", "mem>=32"]``; ``pin`` names one.  Raises InputError."""
    wanted = [] if require is None else _words(require)
    for one in wanted:
        match = _REQUIREMENT.fullmatch(one)
        if not match:
            raise InputError(f"require: {one[:60]!r} is no requirement; write for example gpu, mem=64 or mem>=32")
        if match[2] in (">=", "<=") and _number(match[3]) is None:
            raise InputError(f"require: {one[:60]!r} compares with {match[3][:40]!r}, which is no number")
    if pin is not None:
        pinned = f"{NODE}={pin}"
        if not isinstance(pin, str) or not _REQUIREMENT.fullmatch(pinned):
            raise InputError(f"pin is {pin!r}; it must be the name or the id of a node, as nodes() shows them")
        wanted.append(pinned)
    return tuple(dict.fromkeys(wanted))


def _words(given: object) -> list[str]:
    """Single words from one text, parted by commas, or from several."""
    texts = [given] if isinstance(given, str) else given
    if not isinstance(texts, Iterable):
        return [str(texts)]
    return [word.strip() for text in texts for word in str(text).split(",") if word.strip()]


def labels_of(node_id: str, host: str, given: Iterable[str]) -> tuple[str, ...]:
    """Every label that a node has: those it was given, and those that it has by itself."""
    return (*given, f"{NODE}={node_id.rsplit('-', 1)[0]}", f"{NODE}={node_id}", f"{HOST}={host}")


def missing(require: Iterable[str], labels: Sequence[str]) -> tuple[str, ...]:
    """Which of the requirements these labels do not meet."""
    return tuple(one for one in require if not any(_meets(label, one) for label in labels))


def fits(require: Iterable[str], labels: Sequence[str]) -> bool:
    """Whether a node with these labels may run what has these requirements."""
    return not missing(require, labels)


def label_for(requirement: str) -> str:
    """A label that meets a requirement, as one would give it to a node."""
    word, _, value = _parts(requirement)
    return word if value is None else f"{word}={value}"


def as_json(labels: Iterable[str]) -> str:
    """Labels as they are stored."""
    return json.dumps(list(labels))


def from_json(text: str) -> tuple[str, ...]:
    """Labels from how they are stored."""
    return tuple(str(label) for label in json.loads(text))


def _meets(label: str, requirement: str) -> bool:
    word, _, value = label.partition("=")
    wanted, relation, bound = _parts(requirement)
    if word != wanted or bound is None:
        return word == wanted
    mine, theirs = _number(value), _number(bound)
    if mine is None or theirs is None:
        return relation == "=" and value == bound
    return mine == theirs if relation == "=" else mine >= theirs if relation == ">=" else mine <= theirs


@lru_cache(maxsize=1000)
def _parts(requirement: str) -> tuple[str, str | None, str | None]:
    """The word, the relation and the value; what is stored here was parsed when it was asked for."""
    word, relation, value = re.fullmatch(r"([^=<>]*)(?:(=|>=|<=)(.*))?", requirement, re.DOTALL).groups()  # type: ignore[union-attr]
    return word, relation, value


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
