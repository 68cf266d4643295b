"""What a question needs of each table, as DuckDB's own plan tells it: which columns, and of which rows.

The plan is made over tables that have all columns and no rows.  What it does not name is not read.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from nbcluster.store.stepnames import Condition, Wanted

_WORD = re.compile(r"\w+")

# A filter is used when it is one comparison, or several joined by AND, of columns with whole numbers or texts.
_COMPARED = r"""\(?"?(?P<{0}column>\w+)"?[ ]?(?P<{0}operator><=|>=|=|<|>)[ ]?(?P<{0}value>-?\d+|'(?:[^']|'')*')\)?"""
_ONE = re.compile(_COMPARED.format(""))
_PLAIN = re.compile(
    rf"\(?{_COMPARED.format('a')}(?:[ ]AND[ ](?:{_COMPARED.format('b')}|\(?\w+[ ]IS[ ]NOT[ ]NULL\)?))*\)?"
)


def of_plan(plan: str, tables: Mapping[str, Collection[str]]) -> dict[str, Wanted | None]:
    """What is needed of each of ``tables`` (their columns by their names); None for nothing at all."""
    scans: dict[str, list[dict[str, Any]]] = {name: [] for name in tables}
    for name, told in _scans(json.loads(plan)):
        if name in scans:
            scans[name].append(told)
    return {name: _wanted(name, found, tables[name], plan) for name, found in scans.items()}


def everything(columns: Collection[str]) -> Wanted:
    """All columns of all rows."""
    return Wanted(frozenset(columns))


def _wanted(name: str, scans: list[dict[str, Any]], columns: Collection[str], plan: str) -> Wanted | None:
    if not scans:
        # Gone from the plan; or there in a way that is not understood.
        return everything(columns) if re.search(rf"\b{name}\b", plan) else None
    texts = [text for told in scans for text in _texts(told)]
    words = {word for text in texts for word in _WORD.findall(text)}
    # A name of several words is looked for as it is.
    words |= {name for name in columns if not _WORD.fullmatch(name) and any(name in text for text in texts)}
    # What is read twice may be asked for different rows.
    conditions = tuple(_conditions(scans[0].get("Filters"))) if len(scans) == 1 else ()
    return Wanted(frozenset(columns) & words, conditions)


def _scans(nodes: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """The tables that a plan reads, with what it tells of each reading."""
    for node in nodes:
        told = node.get("extra_info")
        if "SCAN" in str(node.get("name")).upper() and isinstance(told, dict):
            table = str(told.get("Table") or told.get("Text") or "")
            yield table.rpartition(".")[2].strip('" \n').lower(), told
        yield from _scans(node.get("children") or ())


def _texts(told: Mapping[str, Any]) -> Iterator[str]:
    for about in told.values():
        yield from (str(one) for one in about) if isinstance(about, list) else (str(about),)


def _conditions(filters: Any) -> Iterator[Condition]:
    for text in filters if isinstance(filters, list) else [filters or ""]:
        if _PLAIN.fullmatch(str(text).strip()):
            for found in _ONE.finditer(text):
                value = found["value"]
                plain = value[1:-1].replace("''", "'") if value.startswith("'") else int(value)
                yield Condition(found["column"], found["operator"], plain)
