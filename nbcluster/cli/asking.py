"""``nbcluster sql``: a question, answered as a table, as JSON or as CSV."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable
from operator import itemgetter
from typing import Any

from nbcluster.cli.connecting import cluster_of
from nbcluster.errors import UsageError


def sql(options: argparse.Namespace) -> int:
    """Answer a query."""
    from nbcluster.cli.listing import Column, write
    from nbcluster.frames import plain_rows
    from nbcluster.query import ask

    given = parameters(options.param)
    with cluster_of(options) as cluster:
        answer = ask(cluster, options.query, given, lambda _name: None)
    columns = [Column(str(name), itemgetter(place)) for place, name in enumerate(answer.columns)]
    write(sys.stdout, columns, plain_rows(answer), options.form)
    return 0


def parameters(said: Iterable[str]) -> dict[str, Any]:
    """What ``--param name=value`` says: numbers, true, false and null as such, everything else as a text.

    Raises UsageError for one without a name, or with a name that was there before.
    """
    given: dict[str, Any] = {}
    for one in said:
        name, equals, value = one.partition("=")
        if not equals or not name.isidentifier():
            raise UsageError(f"--param {one}: write --param name=value, and :name in the query")
        if name in given:
            raise UsageError(f"--param {name} is there twice; a parameter has one value")
        given[name] = _plain(value)
    return given


def _plain(value: str) -> Any:
    try:
        read = json.loads(value)
    except ValueError:
        return value
    # Texts may be given as JSON too: 5 is a number, "5" is a text.
    return value if isinstance(read, list | dict) else read
