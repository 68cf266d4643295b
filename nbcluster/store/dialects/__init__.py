"""What each database does differently, as answers to small named questions."""

from __future__ import annotations

from sqlalchemy import URL

from nbcluster.errors import ConfigError
from nbcluster.store.dialects.base import Dialect
from nbcluster.store.dialects.postgresql import PostgreSQL
from nbcluster.store.dialects.sqlite import SQLite

_DIALECTS: dict[str, type[Dialect]] = {"postgresql": PostgreSQL, "sqlite": SQLite}


def dialect_for(url: URL) -> Dialect:
    """The dialect of a URL: the one place where the database's name is looked at."""
    name = url.get_backend_name()
    if name not in _DIALECTS:
        raise ConfigError(
            f"{name!r} is no database that nbcluster can meet in; "
            "use sqlite:///path/to/cluster.db or postgresql+psycopg://user@host/database"
        )
    return _DIALECTS[name](url)
