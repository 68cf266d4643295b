"""Tables of the user's in the cluster's database, and a function whose values are rows."""

from __future__ import annotations

from typing import Any

from sqlalchemy import create_engine, text

SQUARES = [(n, n * n) for n in range(10)]


class UsersTables:
    """The cluster's database as its user sees it."""

    def __init__(self, url: str) -> None:
        self.engine = create_engine(url.replace("postgresql://", "postgresql+psycopg://"))

    @property
    def bytes(self) -> str:
        """The type of a column of bytes."""
        return "BYTEA" if self.engine.dialect.name == "postgresql" else "BLOB"

    def run(self, statement: str) -> None:
        with self.engine.begin() as connection:
            connection.execute(text(statement))

    def close(self) -> None:
        self.engine.dispose()

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        with self.engine.connect() as connection:
            return [tuple(row) for row in connection.execute(text(statement))]


def outcome_of(job: Any) -> dict[int, str]:
    """What failed, by partition, once the job has ended."""
    frame = job.wait().partitions()
    return {int(row["partition"]): str(row["message"]) for _, row in frame.iterrows() if row["state"] == "FAILED"}
