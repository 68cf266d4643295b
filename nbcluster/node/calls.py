"""What goes to a child, and what comes back: calls, outcomes, and what is to be saved meanwhile."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from typing import Any

from nbcluster.records import Claim

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
    what the function saved in an earlier attempt, ``modules`` those that came with the job.
    """

    claim: Claim
    function: bytes
    inputs: tuple[bytes, ...]
    kept: tuple[bytes, ...] = ()
    saved: bytes | None = None
    rows_form: str = ""
    """How rows for the step's table travel."""
    modules: bytes | None = None

    @property
    def function_key(self) -> str:
        """What tells its function from others in a child: with other modules it is another."""
        step = self.claim.step
        return step.function_id if self.modules is None else f"{step.function_id} with {step.bundle_id}"


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
    blobs: tuple[bytes, ...] = ()
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
