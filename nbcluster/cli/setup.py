"""``nbcluster init``: the tables of a database, and the key that its machines share."""

from __future__ import annotations

import os

from nbcluster.config import Settings, load_settings
from nbcluster.errors import ConfigError
from nbcluster.signing import make_shared_key, shared_key, shared_key_path
from nbcluster.store import schema
from nbcluster.store.engine import Database
from nbcluster.store.nodes import NodeRegistry
from nbcluster.store.tables import SCHEMA_VERSION
from nbcluster.store.views import Views

_NEEDED = (
    "Every machine that runs a node or a notebook needs a copy of that file at the same place, readable by its user "
    "alone\n(or anywhere, named by NBCLUSTER_KEY_FILE). Whoever has it can run code on the nodes: send it by scp, "
    "not by mail."
)


def script(url: str | None, *, dropping: bool) -> str:
    """The statements that make (or remove) the tables in the database system of ``url``; connects to nothing."""
    return schema.ddl(Database(load_settings({"url": url}).url, 1).dialect.name, dropping=dropping)


def initialize(url: str | None, *, new_key: bool) -> str:
    """Make what is missing and say what is there.  Safe to run again, and on several machines at once."""
    settings = load_settings({"url": url})
    database = Database(settings.url, 1)
    try:
        made = schema.create(database)
        cluster_id = schema.check(database)
        state = "the tables are made" if made else "already there"
        heading = f"{database.url}: {state}, schema version {SCHEMA_VERSION}"
        if database.dialect.file is not None:
            return f"{heading}\nOnly you can read it; it makes its own key on first use."
        return f"{heading}\n{_key(database, cluster_id, settings, may_make=made or new_key or _unused(database))}"
    finally:
        database.close()


def _unused(database: Database) -> bool:
    """Nobody has a key yet whose work a new one would refuse."""
    return not NodeRegistry(database).all() and not Views(database).jobs(running_only=False, limit=1)


def _key(database: Database, cluster_id: str, settings: Settings, *, may_make: bool) -> str:
    """Where the key is; makes one if there is none and ``may_make``."""
    path = shared_key_path(cluster_id)
    if settings.key_file or os.environ.get("NBCLUSTER_KEY"):
        shared_key(cluster_id, settings.key_file)  # says what is wrong with it
        return f"Its key is {settings.key_file or 'the one in NBCLUSTER_KEY'}"
    if path.exists():
        shared_key(cluster_id)
        return f"Its key is {path}\n{_NEEDED}"
    if not may_make:
        raise ConfigError(
            f"{database.url} is in use already, and its key is not on this machine: copy {path.name} from a machine "
            f"that has it to {path} (chmod 600); if nobody has it any more: nbcluster init --new-key"
        )
    return f"Its new key is {make_shared_key(cluster_id)}\n{_NEEDED}"
