"""From tables and files to a History."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, NullPool, create_engine, inspect, text

from tests.chaos.history import Attempt, Event, History, Job, Lease, Note, Partition, Result, Row, Step

ROWS, NOTED = "witness_rows", "witness_notes"
"""The tables that ``into=`` writes, and that statements write."""


def parse_notes(lines: Iterable[str]) -> list[Note]:
    """The notes of an effects file; a line that a killed process left unfinished is no note."""
    found = []
    for line in lines:
        words = line.split()
        if len(words) == 9:
            event, job, step, index, attempt, node, pid, monotonic, wall = words
            found.append(
                Note(event, job, step, int(index), int(attempt), node, int(pid), float(monotonic), float(wall))
            )
    return found


def read_tables(url: str) -> History:
    """What the database knows."""
    sqlite = url.startswith("sqlite")
    arguments: dict[str, Any] = {"timeout": 30} if sqlite else {"connect_timeout": 10}
    engine = create_engine(url, poolclass=NullPool, connect_args=arguments, isolation_level="SERIALIZABLE")
    with engine.connect() as connection:  # one transaction: one moment
        history = History(
            events=[_event(row) for row in _rows(connection, "batch_events", "event_id")],
            jobs=_jobs(connection),
            steps=[
                Step(row["step_execution_id"], row["job_execution_id"], row["step_name"], row["kind"], row["status"])
                for row in _rows(connection, "batch_step_execution", "position")
            ],
            leases=[
                Lease(
                    row["job_execution_id"],
                    row["master_step_execution_id"],
                    row["master_node_id"],
                    row["term"],
                    row["status"],
                )
                for row in _rows(connection, "batch_job_coordination", "1")
            ],
            partitions=[_partition(row) for row in _rows(connection, "batch_partitions", "step_execution_id")],
            results=[
                Result(row["step_execution_id"], row["attempt"], row["claim_token"])
                for row in _rows(connection, "batch_results", "1", "step_execution_id, attempt, claim_token")
            ],
            attempts=[
                Attempt(row["step_execution_id"], row["attempt"], row["node_id"], row["outcome"])
                for row in _rows(connection, "batch_attempts", "1")
            ],
            rows=_users_rows(connection),
        )
    engine.dispose()
    return history


def _users_rows(connection: Connection) -> list[Row]:
    """What partitions wrote into tables of the user's, if there are any."""
    tables = [name for name in (ROWS, NOTED) if inspect(connection).has_table(name)]
    return [
        Row(row["job"], row["part"], row["attempt"], row["number"])
        for name in tables
        for row in _rows(connection, name, "1, 2, 3, 4")
    ]


def _rows(connection: Connection, table: str, order: str, columns: str = "*") -> Sequence[Mapping[str, Any]]:
    return connection.execute(text(f"SELECT {columns} FROM {table} ORDER BY {order}")).mappings().all()


def _jobs(connection: Connection) -> list[Job]:
    joined = "batch_job_execution JOIN batch_job_instance USING (job_instance_id)"
    return [
        Job(r["job_execution_id"], r["job_name"], r["job_uid"], r["run_number"], r["status"], r["stop_requested"])
        for r in _rows(connection, joined, "job_execution_id")
    ]


def _event(row: Mapping[str, Any]) -> Event:
    members = (word.partition(":") for word in (row["members"] or "").split())
    return Event(
        seq=row["event_id"],
        time=_seconds(row["event_time"]),
        phase=row["phase"],
        job=row["job_execution_id"],
        step=row["step_execution_id"],
        node=row["node_id"],
        term=row["term"],
        members=tuple((int(partition), int(attempt)) for partition, _, attempt in members),
        detail=row["detail"],
    )


def _partition(row: Mapping[str, Any]) -> Partition:
    return Partition(
        id=row["step_execution_id"],
        job=row["job_execution_id"],
        step=row["master_step_execution_id"],
        index=row["partition_index"],
        status=row["status"],
        attempt=row["attempt"],
        token=row["claim_token"],
        node=row["assigned_node"],
        transferable=bool(row["is_transferable"]),
        crashes=row["crashes"],
        node_losses=row["node_losses"],
        errors=row["errors"],
        exit_code=row["exit_code"],
        result_of=row["result_of"],
    )


def _seconds(moment: Any) -> float:
    return moment / 1e6 if isinstance(moment, int) else float(moment.timestamp())


def read_notes(path: Path) -> list[Note]:
    """The notes of a file, none when it is not there."""
    return parse_notes(path.read_text(errors="replace").splitlines()) if path.exists() else []
