"""What a test does to the database behind the package's back: prepare, read, alter, audit."""

from __future__ import annotations

from typing import Any

from sqlalchemy import NullPool, create_engine, text

from nbcluster.cli.setup import initialize


def prepare(url: str) -> None:
    """Make the tables, and on a server the key, as ``nbcluster init`` does."""
    initialize(url, new_key=False)


class Tables:
    """Plain SQL on the cluster's tables."""

    def __init__(self, url: str) -> None:
        self.sqlite = url.startswith("sqlite")
        arguments: dict[str, Any] = {"timeout": 30} if self.sqlite else {"connect_timeout": 10}
        self._engine = create_engine(url, poolclass=NullPool, connect_args=arguments)

    def rows(self, statement: str, **bound: Any) -> list[Any]:
        with self._engine.connect() as connection:
            return list(connection.execute(text(statement), bound).all())

    def value(self, statement: str, **bound: Any) -> Any:
        rows = self.rows(statement, **bound)
        return rows[0][0] if rows else None

    def count(self, table: str, where: str = "1 = 1", **bound: Any) -> int:
        return int(self.value(f"SELECT count(*) FROM {table} WHERE {where}", **bound))

    def change(self, statement: str, **bound: Any) -> int:
        """Run a statement that writes; gives the number of rows."""
        with self._engine.begin() as connection:
            return connection.execute(text(statement), bound).rowcount

    def statuses(self, job_id: int) -> dict[str, int]:
        """How many partitions of a job are in which state."""
        rows = self.rows(
            "SELECT status, count(*) FROM batch_partitions WHERE job_execution_id = :job GROUP BY status", job=job_id
        )
        return {row[0]: row[1] for row in rows}

    def audit(self) -> None:
        """What must hold of every job that ended, whatever happened to it."""
        for job_id, status in self.rows("SELECT job_execution_id, status FROM batch_job_execution ORDER BY 1"):
            said = {
                self.value("SELECT status FROM batch_step_execution WHERE job_execution_id = :job", job=job_id),
                self.value("SELECT status FROM batch_job_coordination WHERE job_execution_id = :job", job=job_id),
            }
            assert said == {status}, f"job {job_id} is {status}, its step and coordination say {said}"
            if status in ("COMPLETED", "FAILED", "STOPPED"):
                self._audit_ended(job_id, status)

    def _audit_ended(self, job_id: int, status: str) -> None:
        states = self.statuses(job_id)
        assert set(states) <= {"COMPLETED", "FAILED"}, f"job {job_id} is {status} with {states}"
        assert (status == "COMPLETED") == ("FAILED" not in states), f"job {job_id} is {status} with {states}"
        ends = self.count("batch_events", "job_execution_id = :job AND phase = 'COMPLETION_DETECTED'", job=job_id)
        assert ends == 1, f"job {job_id} ended {ends} times"
        wrong = self.rows(
            "SELECT p.partition_index, p.attempt, r.attempt, p.claim_token, r.claim_token FROM batch_partitions p "
            "LEFT JOIN batch_results r ON r.step_execution_id = coalesce(p.result_of, p.step_execution_id) "
            "WHERE p.job_execution_id = :job AND p.status = 'COMPLETED' "
            "AND (r.step_execution_id IS NULL OR p.attempt <> r.attempt OR p.claim_token <> r.claim_token)",
            job=job_id,
        )
        assert not wrong, f"job {job_id} has results of other attempts: {wrong}"
