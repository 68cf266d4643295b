"""From what a child said, or how it died, to what is recorded.  Pure."""

from __future__ import annotations

import dataclasses
import json
import math
from typing import Any

from nbcluster.lifecycle import ExitCode, PartitionStatus
from nbcluster.node.executor import CANCELLED, Outcome
from nbcluster.records import Claim, Finish, Result
from nbcluster.signing import Signer, result_body

_LAST_LINES = 500


def finish_for(outcome: Outcome, signer: Signer, *, stopped: bool) -> Finish:
    """How an ended call is recorded.  ``stopped`` says that its job was asked to stop."""
    claim = outcome.claim
    if outcome.head is None:
        if outcome.started and outcome.death != CANCELLED:
            return _death(outcome)
        return _cancelled(claim, outcome, stopped)
    try:
        return _answered(outcome, outcome.head, signer, stopped=stopped)
    except (KeyError, TypeError, ValueError) as error:  # a child runs strangers' code, and so may say anything
        message = f"the child process answered nonsense ({type(error).__name__})"
        return Finish(claim, PartitionStatus.FAILED, ExitCode.FAILED, message, failed_items=claim.items)


def _answered(outcome: Outcome, head: dict[str, Any], signer: Signer, *, stopped: bool) -> Finish:
    claim = outcome.claim
    if not math.isfinite(outcome.seconds):
        raise ValueError(f"{outcome.seconds} seconds")
    exit_code = ExitCode(head["exit_code"])
    if exit_code is ExitCode.CANCELLED:
        if outcome.interrupted:
            return _cancelled(claim, outcome, stopped)
        # Handed back it would interrupt itself again, for ever.
        head = head | {"message": "KeyboardInterrupt: the function interrupted itself", "failed": claim.items}
        exit_code = ExitCode.FAILED
    result = None
    if outcome.blobs:
        values, errors, seconds = outcome.blobs
        text = errors.decode()
        json.loads(text)
        # Bound to this attempt and its token: no result can be moved to another partition or a later attempt.
        mac = signer.sign(
            "result",
            claim.step.uid, claim.step.name, claim.index, claim.attempt, claim.token,
            body=result_body(values, text, seconds),
        )  # fmt: skip
        result = Result(values, text, seconds, mac)
    return Finish(
        claim=claim,
        status=PartitionStatus.COMPLETED if exit_code is ExitCode.COMPLETED else PartitionStatus.FAILED,
        exit_code=exit_code,
        exit_message=str(head["message"])[:4000].replace("\0", "\\0").encode("utf-8", "backslashreplace").decode(),
        seconds=outcome.seconds,
        failed_items=min(int(head["failed"]), claim.items),
        peak_memory=int(head["peak"]),
        result=result,
        log=outcome.log,
    )


def _cancelled(claim: Claim, outcome: Outcome, stopped: bool) -> Finish:
    """A run that was stopped or never begun: handed back, unless it may not go on."""
    how = "while this partition ran" if outcome.started else "before this partition began"
    if stopped:
        code, message = ExitCode.CANCELLED, f"the job was stopped {how}"
    elif outcome.started and not claim.transferable:
        code, message = ExitCode.NODE_LOST, f"the node {claim.node_id} was stopped {how} and it is not transferable"
    else:
        return Finish(claim, PartitionStatus.PENDING, None, f"handed back {how}", seconds=outcome.seconds)
    return Finish(
        claim=claim,
        status=PartitionStatus.FAILED,
        exit_code=code,
        exit_message=message,
        seconds=outcome.seconds,
        failed_items=claim.items,
        log=outcome.log,
    )


def _death(outcome: Outcome) -> Finish:
    claim = outcome.claim
    said = outcome.log.decode("utf-8", "replace").strip()[-_LAST_LINES:].replace("\0", "\\0")
    message = f"the child process died: {outcome.death}" + (f"; its last output: {said}" if said else "")
    final = not claim.transferable or claim.crashes + 1 >= claim.step.max_attempts
    code = ExitCode.CRASHED if not claim.transferable else ExitCode.POISON
    if final and claim.transferable:
        message = f"{message} (it killed {claim.crashes + 1} processes and is not tried again)"
    return Finish(
        claim=claim,
        status=PartitionStatus.FAILED if final else PartitionStatus.PENDING,
        exit_code=code if final else None,
        exit_message=message,
        seconds=outcome.seconds,
        failed_items=claim.items if final else 0,
        crashed=True,
        log=outcome.log,
    )


def unstorable(finish: Finish, error: Exception) -> Finish:
    """An outcome that the database refuses is recorded as failed, with the database's reason."""
    return dataclasses.replace(
        finish,
        status=PartitionStatus.FAILED,
        exit_code=ExitCode.FAILED,
        exit_message=f"the result could not be stored: {error}"[:4000],
        failed_items=finish.claim.items,
        result=None,
        log=b"",
    )
