"""What DuckDB complains of, in one sentence."""

from __future__ import annotations

import json
from typing import Any

import duckdb


def missing_table(error: duckdb.Error) -> str | None:
    """The table that there is none of, if that is the complaint."""
    told = _told(error)
    missing = told.get("error_subtype") == "MISSING_ENTRY" and told.get("type") == "Table"
    return str(told["name"]) if missing else None


def sentence(error: duckdb.Error, query: str, ahead: int = 0) -> str:
    """The complaint with its place in the query; DuckDB counts places from ``ahead`` bytes before it."""
    told = _told(error)
    if not told:
        return f"SQL: {' '.join(str(error).split())[:400]}"
    if told.get("exception_type") == "Missing Extension":
        return (
            f"SQL: {str(told['exception_message']).splitlines()[0].rstrip('.')}, and queries load none: "
            "copy the file to where this machine sees it as a path"
        )
    said = str(told["exception_message"]).strip().rstrip("!.").splitlines()
    hint = (
        f" ({said[1][0].lower()}{said[1][1:]})"
        if len(said) > 1 and said[1].startswith(("Candidate bindings", "Did you"))
        else ""
    )
    return f"SQL: {' '.join(said[0].split()).rstrip('!.')[:400]}{hint}{_place(told.get('position'), query, ahead)}"


def _told(error: duckdb.Error) -> dict[str, Any]:
    """What DuckDB says of an error: JSON, mostly behind its kind."""
    try:
        told: dict[str, Any] = json.loads(str(error)[str(error).index("{") :])
    except ValueError:
        return {}
    return told


def _place(position: str | None, query: str, ahead: int) -> str:
    if position is None or not position.isdecimal() or int(position) < ahead:
        return ""
    # DuckDB counts bytes.
    before = query.encode()[: int(position) - ahead].decode(errors="ignore")
    line, column = before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1
    return f", at line {line}, column {column}"
