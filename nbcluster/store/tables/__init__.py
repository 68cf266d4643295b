"""The BATCH_ tables.  No behaviour.

Names and columns of the project that nbcluster carries to Python are kept (in
lower case, because capitals would be quoted and stop matching), so that SQL
written for it still reads.  ``batch_partitions`` is its own step execution: its
primary key is a ``step_execution_id`` of its own.  Wide values live apart from
the rows whose status changes.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import DDL, event

from nbcluster.store.tables.base import KEY_LENGTH as KEY_LENGTH
from nbcluster.store.tables.base import NAME_LENGTH as NAME_LENGTH
from nbcluster.store.tables.base import NODE_ID_LENGTH as NODE_ID_LENGTH
from nbcluster.store.tables.base import SCHEMA_VERSION as SCHEMA_VERSION
from nbcluster.store.tables.base import metadata as metadata
from nbcluster.store.tables.values import cached as cached
from nbcluster.store.tables.values import checkpoints as checkpoints
from nbcluster.store.tables.values import logs as logs
from nbcluster.store.tables.values import payloads as payloads
from nbcluster.store.tables.values import results as results
from nbcluster.store.tables.values import shared as shared
from nbcluster.store.tables.values import targets as targets
from nbcluster.store.tables.work import attempts as attempts
from nbcluster.store.tables.work import cluster as cluster
from nbcluster.store.tables.work import coordination as coordination
from nbcluster.store.tables.work import environments as environments
from nbcluster.store.tables.work import events as events
from nbcluster.store.tables.work import job_execution as job_execution
from nbcluster.store.tables.work import job_execution_params as job_execution_params
from nbcluster.store.tables.work import job_instance as job_instance
from nbcluster.store.tables.work import nodes as nodes
from nbcluster.store.tables.work import partitions as partitions
from nbcluster.store.tables.work import sequences as sequences
from nbcluster.store.tables.work import step_execution as step_execution

# Steps and partitions draw their ids from one sequence, so that a step_execution_id names one thing.
# EXTERNAL keeps PostgreSQL from compressing what is already dense, which costs more than it saves.
_ON_POSTGRESQL = (
    (step_execution, "CREATE SEQUENCE IF NOT EXISTS batch_step_execution_seq"),
    (step_execution, "ALTER TABLE {} ALTER COLUMN step_execution_id SET DEFAULT nextval('batch_step_execution_seq')"),
    (partitions, "ALTER TABLE {} ALTER COLUMN step_execution_id SET DEFAULT nextval('batch_step_execution_seq')"),
    (partitions, "ALTER TABLE {} ALTER COLUMN arguments SET STORAGE EXTERNAL"),
    (results, "ALTER TABLE {} ALTER COLUMN body SET STORAGE EXTERNAL"),
    (payloads, "ALTER TABLE {} ALTER COLUMN body SET STORAGE EXTERNAL"),
    (checkpoints, "ALTER TABLE {} ALTER COLUMN body SET STORAGE EXTERNAL"),
)
POSTGRESQL_EXTRAS = tuple(statement.format(table.name) for table, statement in _ON_POSTGRESQL)
"""What PostgreSQL is told besides CREATE TABLE."""

DROP_SEQUENCE = "DROP SEQUENCE IF EXISTS batch_step_execution_seq"

for _table, _statement in _ON_POSTGRESQL:
    _ddl: Any = DDL(_statement.format(_table.name))  # type: ignore[no-untyped-call]  # SQLAlchemy left it untyped
    event.listen(_table, "after_create", _ddl.execute_if(dialect="postgresql"))
_ddl = DDL(DROP_SEQUENCE)  # type: ignore[no-untyped-call]
event.listen(metadata, "after_drop", _ddl.execute_if(dialect="postgresql"))
