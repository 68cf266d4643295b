"""What a test does to the database behind the package's back: prepare, read, alter, audit."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from sqlalchemy import NullPool, create_engine, text

from nbcluster.cli.setup import initialize

ENDED = ("COMPLETED", "FAILED", "STOPPED")
CALLBACKS = ("ON_SUCCESS", "ON_FAILURE")


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

    @contextlib.contextmanager
    def held(self, statement: str) -> Iterator[None]:
        """In the middle of a transaction that ran this statement."""
        with self._engine.begin() as connection:
            connection.execute(text(statement))
            yield

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
            steps = self.rows(
                "SELECT s.step_execution_id, s.kind, s.status, s.exit_code, c.status FROM batch_step_execution s "
                "LEFT JOIN batch_job_coordination c ON c.master_step_execution_id = s.step_execution_id "
                "WHERE s.job_execution_id = :job ORDER BY s.position",
                job=job_id,
            )
            for _, kind, said, _, coordinated in steps:
                assert said == coordinated, f"job {job_id}: its {kind} step is {said}, its coordination {coordinated}"
            if status in ENDED:
                self._audit_ended(job_id, status, steps)
            else:
                assert any(row[2] not in ENDED for row in steps), f"job {job_id} is {status} and all its steps ended"

    def _audit_ended(self, job_id: int, status: str, steps: list[Any]) -> None:
        for step_id, kind, said, exit_code, _ in steps:
            assert said in ENDED, f"job {job_id} is {status}, its {kind} step is {said}"
            self._audit_step(job_id, step_id, kind, said, ran=exit_code != "NOT_RUN")
        ordinary = [row[2] for row in steps if row[1] not in CALLBACKS]
        called = {row[1]: row[2] for row in steps if row[1] in CALLBACKS and row[3] != "NOT_RUN"}
        good = {*ordinary, *called.values()} == {"COMPLETED"}
        # A stop may have come between the last step and the callback, which is run when the job is resumed.
        said = {"COMPLETED", "STOPPED"} if any(row[3] == "NOT_RUN" for row in steps) else {"COMPLETED"}
        assert (status in said) if good else (status != "COMPLETED"), f"job {job_id}: {status}, {ordinary}, {called}"
        assert len(called) <= 1, f"job {job_id} ran {called}"
        if "ON_SUCCESS" in called:
            assert set(ordinary) == {"COMPLETED"}, f"job {job_id} ran on_success after {ordinary}"
        if "ON_FAILURE" in called:
            assert "FAILED" in ordinary, f"job {job_id} ran on_failure after {ordinary}"
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

    def _audit_step(self, job_id: int, step_id: int, kind: str, said: str, *, ran: bool) -> None:
        rows = self.rows(
            "SELECT status, coalesce(exit_code, ''), count(*) FROM batch_partitions "
            "WHERE master_step_execution_id = :step GROUP BY 1, 2",
            step=step_id,
        )
        states = {row[0] for row in rows}
        assert states <= {"COMPLETED", "FAILED"}, f"job {job_id}: its {kind} step is {said} with {rows}"
        if ran:
            assert (said == "COMPLETED") == ("FAILED" not in states), f"job {job_id}: {kind} is {said} with {rows}"
        else:
            assert said != "COMPLETED", f"job {job_id}: its {kind} step did not run and is {said}"
            assert "COMPLETED" not in states, f"job {job_id}: its {kind} step did not run and has {rows}"
