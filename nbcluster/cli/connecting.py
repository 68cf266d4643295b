"""The cluster that a command is about."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nbcluster.api import Cluster


def cluster_of(options: argparse.Namespace, *, making: bool = False) -> Cluster:
    """The cluster of the URL.  Looking makes no database: a mistyped path should say so."""
    from nbcluster.api import visit

    if making:
        return visit(options.url)
    _refuse_absent_file(options.url)
    return visit(options.url, initialize_schema="never")


def _refuse_absent_file(url: str | None) -> None:
    from nbcluster.config import load_settings
    from nbcluster.errors import SchemaMissing
    from nbcluster.store.engine import Database

    file = Database(load_settings({"url": url}).url, 1).dialect.file
    if file is not None and not file.exists():
        named = f" --url 'sqlite:///{file}'" if url else ""
        raise SchemaMissing(f"there is no database {file} yet; nbcluster up 2{named} makes it and starts two nodes")


def count(number: int, word: str) -> str:
    """``1 node``, ``2 nodes``."""
    return f"{number} {word}{'' if number == 1 else 's'}"
