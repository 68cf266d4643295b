"""Nodes, jobs, steps, partitions and their history."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    FetchedValue,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    SmallInteger,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from nbcluster.lifecycle import ExitCode, JobStatus, NodeStatus, PartitionStatus, StepKind
from nbcluster.store.columns import Id, Moment, one_of
from nbcluster.store.tables.base import KEY_LENGTH, NAME_LENGTH, NODE_ID_LENGTH, metadata

cluster = Table(
    "batch_cluster",
    metadata,
    Column("name", String(40), primary_key=True),
    Column("value", String(200), nullable=False),
)

sequences = Table(
    "batch_sequences",
    metadata,
    Column("name", String(40), primary_key=True),
    Column("last_value", BigInteger, nullable=False),
)

nodes = Table(
    "batch_nodes",
    metadata,
    Column("node_id", String(NODE_ID_LENGTH), primary_key=True),
    Column("created_time", Moment, nullable=False),
    Column("last_updated_time", Moment, nullable=False),
    Column("status", String(20), nullable=False),
    Column("host_identifier", String(200)),
    Column("current_load", BigInteger, nullable=False, server_default=text("0")),
    Column("slots", Integer, nullable=False, server_default=text("0")),
    Column("pid", BigInteger, nullable=False, server_default=text("0")),
    Column("python", String(20), nullable=False, server_default=""),
    Column("version", String(40), nullable=False, server_default=""),
    Column("labels", Text, nullable=False, server_default="[]"),  # a JSON list: "gpu", "mem=64"
    Column("watched", SmallInteger, nullable=False, server_default=text("0")),  # holds a sign of life (presence.py)
    Column("environment", String(64)),  # in batch_environments; told some time after the process is ready
    one_of("status", NodeStatus),
)

# The packages that processes have, once for all that have the same.
environments = Table(
    "batch_environments",
    metadata,
    Column("digest", String(64), primary_key=True),
    Column("packages", Text, nullable=False),  # a JSON object: name to version
)

job_instance = Table(
    "batch_job_instance",
    metadata,
    Column("job_instance_id", Id, primary_key=True),
    Column("version", BigInteger, nullable=False, server_default=text("0")),
    Column("job_name", String(NAME_LENGTH), nullable=False),
    Column("job_key", String(64), nullable=False),
    UniqueConstraint("job_name", "job_key"),
)

job_execution = Table(
    "batch_job_execution",
    metadata,
    Column("job_execution_id", Id, primary_key=True),
    Column("version", BigInteger, nullable=False, server_default=text("0")),
    Column("job_instance_id", BigInteger, ForeignKey(job_instance.c.job_instance_id), nullable=False),
    Column("create_time", Moment, nullable=False),
    Column("start_time", Moment),
    Column("end_time", Moment),
    Column("status", String(20), nullable=False),
    Column("exit_code", String(40)),
    Column("exit_message", Text),
    Column("last_updated", Moment, nullable=False),
    Column("job_uid", String(64), nullable=False),
    Column("run_number", Integer, nullable=False, server_default=text("1")),
    Column("user_name", String(100), nullable=False),
    Column("host", String(200), nullable=False),
    Column("stop_requested", SmallInteger, nullable=False, server_default=text("0")),
    Column("paused", SmallInteger, nullable=False, server_default=text("0")),
    Column("priority", Integer, nullable=False, server_default=text("0")),
    Column("max_errors", BigInteger),
    # The step whose items are the job's items: the one that results() and frame() read.
    Column("main_step", String(NAME_LENGTH), nullable=False, server_default="map"),
    one_of("status", JobStatus),
    CheckConstraint("stop_requested IN (0, 1, 2, 3)", name="ck_stop_requested"),
    CheckConstraint("paused IN (0, 1)", name="ck_paused"),
    # Also what makes a submission repeatable: when the answer to its COMMIT is lost, the second try finds the first.
    UniqueConstraint("job_uid", "run_number"),
)
Index(None, job_execution.c.job_instance_id)
Index(None, job_execution.c.status)

job_execution_params = Table(
    "batch_job_execution_params",
    metadata,
    Column("job_execution_id", BigInteger, ForeignKey(job_execution.c.job_execution_id), primary_key=True),
    Column("parameter_name", String(100), primary_key=True),
    Column("parameter_type", String(100), nullable=False),
    Column("parameter_value", String(2500)),
    Column("identifying", String(1), nullable=False),
)

step_execution = Table(
    "batch_step_execution",
    metadata,
    Column("step_execution_id", Id, FetchedValue(), primary_key=True, autoincrement=False),
    Column("version", BigInteger, nullable=False, server_default=text("0")),
    Column("step_name", String(NAME_LENGTH), nullable=False),
    Column("job_execution_id", BigInteger, ForeignKey(job_execution.c.job_execution_id), nullable=False),
    Column("create_time", Moment, nullable=False),
    Column("start_time", Moment),
    Column("end_time", Moment),
    Column("status", String(20), nullable=False),
    Column("exit_code", String(40)),
    Column("exit_message", Text),
    Column("last_updated", Moment, nullable=False),
    Column("mode", String(20), nullable=False),
    Column("strategy", String(200), nullable=False),
    Column("python", String(20), nullable=False),
    Column("function_id", String(64), nullable=False),
    Column("function_mac", LargeBinary, nullable=False),
    Column("source", Text, nullable=False),
    Column("max_attempts", Integer, nullable=False),
    Column("max_result", BigInteger, nullable=False),
    Column("max_log", BigInteger, nullable=False),
    Column("fixed_nodes", Text),
    Column("fixed_count", Integer),
    Column("is_transferable", SmallInteger, nullable=False, server_default=text("1")),
    Column("position", Integer, nullable=False, server_default=text("0")),
    Column("kind", String(20), nullable=False, server_default=StepKind.PARTITIONED.value),
    # Names of the steps that must be COMPLETED before this one starts, as a JSON list.
    Column("after_steps", Text, nullable=False, server_default="[]"),
    # The step whose results are the arguments of this one's partitions; NULL when they have arguments of their own.
    Column("input_of", String(NAME_LENGTH)),
    Column("retries", Integer, nullable=False, server_default=text("0")),
    # Names of the exception types that are worth a retry, as a JSON list; NULL means all.
    Column("retry_on", Text),
    Column("retry_wait", Float, nullable=False, server_default=text("1.0")),
    Column("timeout", Float),
    # Labels that a node must have, as a JSON list: "gpu", "mem>=32", "node=alpha".
    Column("required_labels", Text, nullable=False, server_default="[]"),
    # The table that takes the rows of its partitions, in the transaction that completes them.
    Column("into_table", String(200)),
    # Where large values travel; NULL means through this database.
    Column("values_at", Text),
    # The local modules that its function imports, by the hash of their source.
    Column("bundle_id", String(64)),
    Column("bundle_mac", LargeBinary),
    one_of("status", JobStatus),
    one_of("kind", StepKind),
    UniqueConstraint("job_execution_id", "step_name"),
)
# Few steps are started at a time; nodes read exactly those, however long the history is.
Index(
    "ix_batch_step_execution_started",
    step_execution.c.step_execution_id,
    sqlite_where=step_execution.c.status == JobStatus.STARTED.value,
    postgresql_where=step_execution.c.status == JobStatus.STARTED.value,
)

coordination = Table(
    "batch_job_coordination",
    metadata,
    Column("job_execution_id", BigInteger, ForeignKey(job_execution.c.job_execution_id), primary_key=True),
    Column("master_step_execution_id", BigInteger, primary_key=True),
    Column("master_step_name", String(NAME_LENGTH), nullable=False),
    # No foreign key to batch_nodes: clean-up of a lost node must never touch or block a job.
    Column("master_node_id", String(NODE_ID_LENGTH), nullable=False),
    Column("term", BigInteger, nullable=False, server_default=text("1")),
    Column("status", String(20), nullable=False),
    Column("created_time", Moment, nullable=False),
    Column("last_updated", Moment, nullable=False),
    one_of("status", JobStatus),
)
Index(None, coordination.c.status)

partitions = Table(
    "batch_partitions",
    metadata,
    Column("step_execution_id", Id, FetchedValue(), primary_key=True, autoincrement=False),
    Column("job_execution_id", BigInteger, ForeignKey(job_execution.c.job_execution_id), nullable=False),
    Column("master_step_execution_id", BigInteger, ForeignKey(step_execution.c.step_execution_id), nullable=False),
    Column("partition_index", BigInteger, nullable=False),
    Column("partition_key", String(KEY_LENGTH), nullable=False),
    Column("assigned_node", String(NODE_ID_LENGTH)),
    Column("status", String(20), nullable=False),
    Column("is_transferable", SmallInteger, nullable=False, server_default=text("0")),
    Column("attempt", BigInteger, nullable=False, server_default=text("0")),
    Column("claim_token", BigInteger, nullable=False, server_default=text("0")),
    Column("crashes", Integer, nullable=False, server_default=text("0")),
    Column("node_losses", Integer, nullable=False, server_default=text("0")),
    Column("errors", Integer, nullable=False, server_default=text("0")),
    Column("not_before", Moment),
    Column("progress", Float),
    Column("progress_message", String(200)),
    Column("has_checkpoint", SmallInteger, nullable=False, server_default=text("0")),
    Column("item_count", BigInteger, nullable=False, server_default=text("1")),
    Column("failed_items", BigInteger, nullable=False, server_default=text("0")),
    Column("claimed_time", Moment),
    Column("start_time", Moment),
    Column("end_time", Moment),
    Column("seconds", Float),
    Column("exit_code", String(40)),
    Column("exit_message", Text),
    Column("last_updated", Moment, nullable=False),
    Column("arguments", LargeBinary),
    Column("arguments_mac", LargeBinary, nullable=False),
    Column("arguments_payload", String(64)),
    # The partition of an earlier execution whose result this one carries over when a job is resumed.
    Column("result_of", BigInteger),
    # What it computes, as a digest of code and inputs, when its result may be taken from or given to another job.
    Column("cache_key", String(64)),
    Column("cache_mac", LargeBinary),
    one_of("status", PartitionStatus),
    one_of("exit_code", ExitCode),
    CheckConstraint("is_transferable IN (0, 1)", name="ck_is_transferable"),
    UniqueConstraint("master_step_execution_id", "partition_index"),
    UniqueConstraint("master_step_execution_id", "partition_key"),
)
# The claim reads this one in its own order and nothing else; finished rows are not in it.
Index(
    "ix_batch_partitions_pending",
    partitions.c.master_step_execution_id,
    partitions.c.assigned_node,
    partitions.c.partition_index,
    sqlite_where=partitions.c.status == PartitionStatus.PENDING.value,
    postgresql_where=partitions.c.status == PartitionStatus.PENDING.value,
)
# What a lost node held; a handful of rows at any time.
Index(
    "ix_batch_partitions_claimed",
    partitions.c.assigned_node,
    sqlite_where=partitions.c.status == PartitionStatus.CLAIMED.value,
    postgresql_where=partitions.c.status == PartitionStatus.CLAIMED.value,
)
# No index on (step, status): whoever asks for that reads the whole step anyway, by the unique ones above; and a
# planner without statistics preferred it for the claim, which then read and sorted all that waits.

attempts = Table(
    "batch_attempts",
    metadata,
    Column("step_execution_id", BigInteger, primary_key=True),
    Column("attempt", BigInteger, primary_key=True),
    Column("node_id", String(NODE_ID_LENGTH), nullable=False),
    Column("claimed_time", Moment),
    Column("end_time", Moment, nullable=False),
    Column("outcome", String(40), nullable=False),
    Column("message", Text),
    Column("seconds", Float),
    Column("peak_memory", BigInteger),
)

events = Table(
    "batch_events",
    metadata,
    Column("event_id", Id, primary_key=True),
    Column("event_time", Moment, nullable=False),
    Column("phase", String(40), nullable=False),
    Column("job_execution_id", BigInteger),
    # The step (not the partition) that it is about.
    Column("step_execution_id", BigInteger),
    Column("node_id", String(NODE_ID_LENGTH)),
    Column("term", BigInteger),
    Column("members", Text),  # partitions, as "id:attempt id:attempt ..."
    Column("detail", Text),
)
Index(None, events.c.job_execution_id)
