"""From what a child said, or how it died, to what is recorded.  Pure."""

from __future__ import annotations

import dataclasses

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
    exit_code = ExitCode(outcome.head["exit_code"])
    if exit_code is ExitCode.CANCELLED:
        return _cancelled(claim, outcome, stopped)
    result = None
    if outcome.blobs:
        values, errors, seconds = outcome.blobs
        text = errors.decode("utf-8", "replace")
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
        exit_message=str(outcome.head["message"])[:4000],
        seconds=outcome.seconds,
        failed_items=min(int(outcome.head["failed"]), claim.items),
        peak_memory=int(outcome.head["peak"]),
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
