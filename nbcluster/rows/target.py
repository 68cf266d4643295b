"""A table of the user's that a step writes into."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any, Literal

from nbcluster.errors import InputError

IfExists = Literal["append", "replace", "fail"]
IF_EXISTS: tuple[IfExists, ...] = ("append", "replace", "fail")

_PART = r'"(?:[^"\0]|"")+"|[^."\0\s][^."\0]*'
_NAME = re.compile(rf"(?:({_PART})\.)?({_PART})")
_OURS = "batch_"
_SYSTEM = ("sqlite_", "pg_catalog", "information_schema")
_LONGEST = 63
"""Bytes of a name: PostgreSQL cuts what is longer, and then two names may be one."""

_PASSWORD = re.compile(r"(://[^:/@]*):[^@]*@")


@dataclass(frozen=True, slots=True)
class TableName:
    """A table's name, taken apart; both parts as they are, without quotes."""

    schema: str | None
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Where the rows of a step go: a table of the cluster's own database, or of the one at ``url``."""

    name: str
    if_exists: IfExists = "fail"
    url: str | None = None

    def __repr__(self) -> str:
        at = "" if self.url is None else f", url={hidden(self.url)!r}, at_least_once=True"
        return f"nb.table({self.name!r}, if_exists={self.if_exists!r}{at})"


def table(name: str, *, if_exists: str | None = None, url: str | None = None, at_least_once: bool = False) -> Table:
    """The table ``name`` (or ``schema.name``), to be given to ``map(..., into=)``.

    In the cluster's own database the rows of a partition and its COMPLETED mark commit in one
    transaction: each row is there exactly once.  ``url`` names another database (an SQLAlchemy
    URL): there rows are appended in a transaction of their own before the partition is recorded,
    so a partition whose node is lost in between writes them again; that has to be said with
    ``at_least_once=True``.

    ``if_exists``: ``"fail"`` (default) refuses a table that is there, ``"append"`` adds to it,
    ``"replace"`` drops it before the first rows come.  Raises InputError.
    """
    split_name(name)
    if if_exists is not None and if_exists not in IF_EXISTS:
        raise InputError(f"if_exists is {if_exists!r:.60}; it must be one of {', '.join(IF_EXISTS)}")
    if url is None:
        return Table(name=name, if_exists=if_exists or "fail")
    if not at_least_once:
        raise InputError(
            f"rows in another database ({hidden(str(url))}) cannot commit together with their partition, so those of a "
            "lost node may be there twice; if the table can bear that, say at_least_once=True"
        )
    if if_exists not in (None, "append"):
        raise InputError(f"a table of another database can only be appended to; leave if_exists={if_exists!r} away")
    return Table(name=name, if_exists="append", url=str(url))


def target_of(into: Any, if_exists: str | None) -> Table | None:
    """The checked options ``into`` and ``if_exists``.  Raises InputError."""
    if into is None:
        if if_exists is not None:
            raise InputError("if_exists= belongs to into=, the table that the rows go to")
        return None
    if isinstance(into, Table):
        if if_exists is None or if_exists == into.if_exists:
            return into
        if into.url is not None:
            return table(into.name, url=into.url, at_least_once=True, if_exists=if_exists)
        return replace(into, if_exists=table(into.name, if_exists=if_exists).if_exists)
    if not isinstance(into, str):
        raise InputError(f"into must be the name of a table, not {type(into).__name__}")
    if "://" in into:
        raise InputError("into is a URL; write into=nb.table('name', url=..., at_least_once=True)")
    return table(into, if_exists=if_exists)


def split_name(text: Any) -> TableName:
    """The parts of ``name``, ``schema.name`` or ``"a name"``.  Raises InputError unless it may name a user's table."""
    found = _NAME.fullmatch(text) if isinstance(text, str) else None
    if found is None:
        raise InputError(f'{text!r:.80} cannot name a table; write a name, schema.name, or "a name" in double quotes')
    schema, name = (None if part is None else _bare(part) for part in found.groups())
    assert name is not None
    if name.lower().startswith(_OURS):
        raise InputError(f"{name!r} is kept for nbcluster's own tables (batch_...); choose another name")
    if name.lower().startswith(_SYSTEM) or (schema or "").lower() in _SYSTEM:
        raise InputError(f"{text!r} belongs to the database itself; choose another name")
    for part in (schema, name):
        if part is not None and len(part.encode("utf-8", "replace")) > _LONGEST:
            raise InputError(f"{part[:30]!r}... is longer than {_LONGEST} bytes; choose a shorter name")
    return TableName(schema, name)


def _bare(part: str) -> str:
    return part[1:-1].replace('""', '"') if part.startswith('"') else part.strip()


def hidden(url: str) -> str:
    """A URL as it may be shown."""
    return _PASSWORD.sub(r"\1:***@", url)
