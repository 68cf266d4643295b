"""``nbcluster init``: the tables of a database, and the key that its machines share."""

from __future__ import annotations

import os
from pathlib import Path

from nbcluster.config import Settings, load_settings
from nbcluster.errors import ConfigError
from nbcluster.signing import Signer, make_shared_key, shared_key, shared_key_path
from nbcluster.store import schema
from nbcluster.store.engine import Database
from nbcluster.store.tables import SCHEMA_VERSION
from nbcluster.store.upgrade import upgrade

_NEEDED = """\
Every machine that runs a node or a notebook needs a copy of that file: at the same place below the home directory,
or anywhere and named by NBCLUSTER_KEY_FILE, readable by its user alone (chmod 600).
Whoever has it can run code on the nodes: copy it by scp, do not mail it."""


def script(url: str | None, *, dropping: bool) -> str:
    """The statements that make (or remove) the tables in the database system of ``url``; connects to nothing."""
    return schema.ddl(Database(load_settings({"url": url}).url, 1).dialect.name, dropping=dropping)


def initialize(url: str | None, *, new_key: bool) -> str:
    """Make or upgrade what is missing and say what is there.  Safe to run again, and on several machines at once."""
    settings = load_settings({"url": url})
    database = Database(settings.url, 1)
    try:
        made = schema.create(database)
        was = None if made else upgrade(database)
        cluster_id = schema.check(database)
        older = "already there" if was is None else f"upgraded from schema version {was}"
        state = "the tables are made" if made else older
        said = [f"{database.url}: {state}, schema version {SCHEMA_VERSION}"]
        if database.dialect.file is not None:
            said.append("Nobody else can read it; it makes its own key on first use.")
        else:
            said += _key(database, cluster_id, settings, new=new_key)
        return "\n".join(said)
    finally:
        database.close()


def _key(database: Database, cluster_id: str, settings: Settings, *, new: bool) -> list[str]:
    """Where the key is; makes one if nobody has, or if ``new``."""
    path = shared_key_path(cluster_id)
    given = bool(settings.key_file or os.environ.get("NBCLUSTER_KEY"))
    known = schema.key_mark(database)
    fresh = not given and not path.exists()
    if fresh and known is not None and not new:
        raise ConfigError(_missing(path))
    if fresh:
        make_shared_key(cluster_id)
    mark = Signer(cluster_id, shared_key(cluster_id, settings.key_file)).mark
    if schema.record_key(database, mark, replace=new) != mark:
        if fresh:  # somebody else was quicker
            path.unlink()
            raise ConfigError(_missing(path))
        raise ConfigError(
            f"the key on this machine is not this cluster's: copy {path.name} from the machine where 'nbcluster init' "
            "ran; if nobody has it any more: nbcluster init --new-key"
        )
    if given:
        return [f"Its key is {settings.key_file or 'the one in NBCLUSTER_KEY'}"]
    return [f"Its {'new ' if fresh else ''}key is {path}", _NEEDED]


def _missing(path: Path) -> str:
    return (
        f"the tables are there, but this cluster's key is not on this machine: copy {path.name} from the machine where "
        f"'nbcluster init' ran to {path}; if nobody has it any more: nbcluster init --new-key"
    )
