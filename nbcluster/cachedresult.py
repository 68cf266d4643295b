"""A result that one job computed and others take over.  Plain values."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CachedResult:
    """A result that other jobs may take over: the attempt that it is of, and the signature that binds it to its key.

    ``partition_id`` is the partition that holds it; ``node`` and ``seconds`` tell how it was computed.
    """

    key: str
    partition_id: int
    uid: str
    step_name: str
    index: int
    attempt: int
    token: int
    mac: bytes
    node: str | None = None
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class TakenOver:
    """Where a partition has a result from that another job computed, with what proves that it may have it.

    ``key_mac`` is the signature of the kernel that submitted it, ``mac`` that of the node that computed it.
    """

    uid: str
    step_name: str
    index: int
    key: str
    key_mac: bytes
    mac: bytes
