"""``nbcluster sql``: a question, answered as a table, as JSON or as CSV."""

from __future__ import annotations

import argparse
import sys
from operator import itemgetter

from nbcluster.cli.connecting import cluster_of


def sql(options: argparse.Namespace) -> int:
    """Answer a query."""
    from nbcluster.cli.listing import Column, write
    from nbcluster.frames import plain_rows
    from nbcluster.query import ask

    with cluster_of(options) as cluster:
        answer = ask(cluster, options.query, {}, lambda _name: None)
    columns = [Column(str(name), itemgetter(place)) for place, name in enumerate(answer.columns)]
    write(sys.stdout, columns, plain_rows(answer), options.form)
    return 0
