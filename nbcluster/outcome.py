"""How a job ended, as ``on_success`` and ``on_failure`` are told.  Travels as JSON: nothing of it is pickled."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class PartitionOutcome:
    """How one partition of a step ended.

    ``index`` is its 0-based place in its step, ``node`` the node of its last attempt,
    ``attempt`` counts from 1, ``error`` says why it FAILED and is None when it did not.
    """

    step: str
    index: int
    key: str
    node: str | None
    status: str
    attempt: int
    exit_code: str | None
    error: str | None


@dataclass(frozen=True, slots=True)
class JobOutcome:
    """How a job ended, with every partition of its ordinary steps, read from the database.

    ``status`` is COMPLETED or FAILED.  Times are aware, in UTC, by the database's clock;
    ``ended`` is when the last partition ended.
    """

    job: str
    id: int
    status: str
    started: datetime
    ended: datetime | None
    partitions: tuple[PartitionOutcome, ...]

    @property
    def failed(self) -> tuple[PartitionOutcome, ...]:
        """The partitions that FAILED."""
        return tuple(part for part in self.partitions if part.status == "FAILED")


def write_outcome(outcome: JobOutcome) -> bytes:
    """The outcome as JSON."""
    plain = dataclasses.asdict(outcome)
    plain["started"] = outcome.started.isoformat()
    plain["ended"] = outcome.ended.isoformat() if outcome.ended else None
    return json.dumps(plain, separators=(",", ":")).encode()


def read_outcome(text: bytes) -> JobOutcome:
    """The outcome behind its JSON."""
    plain = json.loads(text)
    plain["started"] = datetime.fromisoformat(plain["started"])
    plain["ended"] = datetime.fromisoformat(plain["ended"]) if plain["ended"] else None
    plain["partitions"] = tuple(PartitionOutcome(**part) for part in plain["partitions"])
    return JobOutcome(**plain)
