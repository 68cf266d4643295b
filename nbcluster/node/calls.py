"""What goes to a child, and what comes back: calls, outcomes, and what is to be saved meanwhile."""

from __future__ import annotations

import hashlib
import os
import signal
import stat
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from nbcluster.depot.spool import SpoolFile
from nbcluster.records import Claim, Reference
from nbcluster.store.transport import Blob, Sealed

ROWS = 3
"""Where the rows for a table stand among the blobs of an outcome: after values, errors and seconds."""

CANCELLED = "cancelled"
"""The death of a child that was told to stop its partition."""
TIMED_OUT = "timed out"
"""The death of a child whose partition ran for longer than it may."""
CUT_OFF = "it closed its link to the node, or spoilt it, and was killed"


@dataclass(frozen=True, slots=True)
class Call:
    """A claimed partition with everything a child needs for it.

    ``inputs`` are its own arguments, or what earlier steps gave.  ``kept`` is the outcome of
    an attempt whose good items are not computed again (values, errors, seconds), ``saved``
    what the function saved in an earlier attempt, ``modules`` those that came with the job.  What
    is sealed is to be fetched before a child gets it.  ``room`` makes the file in which the child may
    leave values of more than ``large`` bytes; None when there is no place for one.
    """

    claim: Claim
    function: Blob
    inputs: tuple[Blob | Sealed, ...]
    kept: tuple[Blob | Sealed, ...] = ()
    saved: bytes | None = None
    rows_form: str = ""
    """How rows for the step's table travel."""
    modules: Blob | None = None
    room: Callable[[], SpoolFile | None] = lambda: None
    large: int = 0

    @property
    def function_key(self) -> str:
        """What tells its function from others in a child: with other modules it is another."""
        step = self.claim.step
        return step.function_id if self.modules is None else f"{step.function_id} with {step.bundle_id}"

    @property
    def sealed(self) -> bool:
        """Whether something is to be fetched first."""
        return any(isinstance(one, Sealed) for one in (*self.inputs, *self.kept))

    @property
    def blobs(self) -> tuple[Blob, ...]:
        """What a child is sent, when nothing is sealed any more."""
        given = (*self.inputs, *self.kept)
        return tuple(one for one in given if not isinstance(one, Sealed))


@dataclass(frozen=True, slots=True)
class Filed:
    """Values that a child left in a file, with their SHA-256 as it says."""

    file: SpoolFile
    size: int
    digest: bytes


@dataclass(frozen=True, slots=True)
class Stored:
    """Values that are kept already, with their SHA-256."""

    reference: Reference
    digest: bytes


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a call ended: the child's own words, or what is known of its death.

    ``head`` is None when the child died; ``death`` then says how, and ``peak`` how many bytes
    of memory it had used at most.  ``started`` is False for a call that was taken back
    before it reached a child.  ``interrupted`` says that the node told it to stop.
    ``seconds`` is the time that user code ran, ``taken`` the time that the slot was taken.
    """

    claim: Claim
    started: bool
    head: dict[str, Any] | None = None
    blobs: tuple[bytes | Filed | Stored, ...] = ()
    log: bytes = b""
    death: str = ""
    seconds: float = 0.0
    taken: float = 0.0
    interrupted: bool = False
    peak: int = 0


@dataclass(frozen=True, slots=True)
class Save:
    """What a running function wants to be stored; its child waits for the answer to ``number``."""

    claim: Claim
    number: int
    body: bytes


@dataclass(frozen=True, slots=True)
class Need:
    """A shared value that a running function uses; its child waits for the answer to ``number``."""

    claim: Claim
    number: int
    shared_id: str


def with_file(head: dict[str, Any], blobs: list[bytes], room: SpoolFile | None) -> tuple[bytes | Filed, ...]:
    """The blobs of an outcome whose values, or rows, lie in the file that the child was given for them.

    Raises ValueError, KeyError, TypeError or OSError when it is not as the child told.
    """
    filed = (head.get("rows") or {}).get("filed")
    if filed is not None:
        return (*blobs[:ROWS], Filed(_there(room, int(filed)), int(filed), b""), *blobs[ROWS + 1 :])
    told = head["file"]
    size, digest = int(told["size"]), bytes.fromhex(told["sha256"])
    if len(digest) != hashlib.sha256().digest_size:
        raise ValueError("a file that nobody asked for")
    return (Filed(_there(room, size), size, digest), *blobs[1:])


def in_file(head: dict[str, Any]) -> bool:
    """Whether something of an outcome lies in a file."""
    return "file" in head or (head.get("rows") or {}).get("filed") is not None


def _there(room: SpoolFile | None, size: int) -> SpoolFile:
    if room is None:
        raise ValueError("a file that nobody asked for")
    found = os.lstat(room.path)
    if not stat.S_ISREG(found.st_mode) or found.st_size != size:
        raise ValueError("a file that is not as it says")
    return room


def death_by(code: int) -> str:
    """What a return code says."""
    if code < 0:
        try:
            name = signal.Signals(-code).name
        except ValueError:
            name = f"signal {-code}"
        hint = " (out of memory, perhaps)" if name == "SIGKILL" else ""
        return f"killed by {name}{hint}"
    return f"exit code {code}"
