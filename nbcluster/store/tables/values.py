"""Wide values and what points to them: results, checkpoints, payloads, output, what is shared and cached."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Integer,
    LargeBinary,
    SmallInteger,
    String,
    Table,
    Text,
    text,
)

from nbcluster.store.columns import Moment
from nbcluster.store.tables.base import NAME_LENGTH, metadata

results = Table(
    "batch_results",
    metadata,
    # One row a partition, whatever happened: the primary key is the last guard against a doubled result.
    Column("step_execution_id", BigInteger, primary_key=True, autoincrement=False),
    Column("attempt", BigInteger, nullable=False),
    Column("claim_token", BigInteger, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("body", LargeBinary),
    Column("payload_id", String(64)),
    Column("errors", Text, nullable=False),
    Column("seconds", LargeBinary, nullable=False),
    Column("mac", LargeBinary, nullable=False),
)

# What an attempt left for the next one.  Keyed by what stays the same when a job is resumed.
checkpoints = Table(
    "batch_checkpoints",
    metadata,
    Column("job_uid", String(64), primary_key=True),
    Column("step_name", String(NAME_LENGTH), primary_key=True),
    Column("partition_index", BigInteger, primary_key=True, autoincrement=False),
    # "user": what the function kept itself; "items": the items that are done, for a retry of the others.
    Column("kind", String(10), primary_key=True),
    Column("attempt", BigInteger, nullable=False),
    Column("body", LargeBinary),
    Column("payload_id", String(64)),
    Column("mac", LargeBinary, nullable=False),
    Column("saved_time", Moment, nullable=False),
)

# Results that other jobs may take over: the partition that holds one, with what its signature covers.
cached = Table(
    "batch_cached",
    metadata,
    Column("cache_key", String(64), primary_key=True),
    Column("step_execution_id", BigInteger, nullable=False),
    Column("job_uid", String(64), nullable=False),
    Column("step_name", String(NAME_LENGTH), nullable=False),
    Column("partition_index", BigInteger, nullable=False),
    Column("mac", LargeBinary, nullable=False),
    Column("saved_time", Moment, nullable=False),
)

# Tables of the user's that steps write into.  Keyed by what stays the same when a job is resumed.
targets = Table(
    "batch_targets",
    metadata,
    Column("job_uid", String(64), primary_key=True),
    Column("step_name", String(NAME_LENGTH), primary_key=True),
    Column("table_name", String(200), nullable=False),
    Column("if_exists", String(10), nullable=False),
    Column("made", SmallInteger, nullable=False, server_default=text("0")),  # 1 once the table is ready for rows
    Column("columns", Text),  # a JSON list of [name, type], once it is ready
    CheckConstraint("if_exists IN ('append', 'replace', 'fail')", name="ck_if_exists"),
    CheckConstraint("made IN (0, 1)", name="ck_made"),
)

# Large inputs that many partitions read: each node fetches one once.
shared = Table(
    "batch_shared",
    metadata,
    Column("shared_id", String(64), primary_key=True),
    Column("user_name", String(100), nullable=False),
    Column("created_time", Moment, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("payload_id", String(64), nullable=False),
    Column("mac", LargeBinary, nullable=False),
)

logs = Table(
    "batch_logs",
    metadata,
    Column("step_execution_id", BigInteger, primary_key=True, autoincrement=False),
    Column("attempt", BigInteger, primary_key=True, autoincrement=False),
    Column("body", LargeBinary, nullable=False),
)

payloads = Table(
    "batch_payloads",
    metadata,
    Column("payload_id", String(64), primary_key=True),
    Column("chunk", Integer, primary_key=True, autoincrement=False),
    Column("body", LargeBinary, nullable=False),
)
