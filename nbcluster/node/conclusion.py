"""From what a child said, or how it died, to what is recorded.  Pure."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Sequence
from typing import Any

from nbcluster.errortext import storable
from nbcluster.lifecycle import ExitCode, PartitionStatus, StopRequest
from nbcluster.node.calls import CANCELLED, ROWS, TIMED_OUT, Filed, Outcome, Stored
from nbcluster.node.pacing import retry_pause
from nbcluster.records import Claim, Finish, Result, TableRows
from nbcluster.rows.kinds import SPOKEN
from nbcluster.signing import Signer, result_digests, sign_cached
from nbcluster.statements import read_statements
from nbcluster.store.partitions import checkpoints
from nbcluster.store.targets import TableRefused

_LAST_LINES = 500
_BY_USER = (StopRequest.STOP, StopRequest.NOW)
_TIMEOUT = ("TimeoutError", "OSError", "Exception", "BaseException")
"""What ``retry_on`` may call a timeout."""


def finish_for(
    outcome: Outcome, signer: Signer, *, stop: StopRequest = StopRequest.NONE, chance: float = 0.5
) -> Finish:
    """How an ended call is recorded.

    ``stop`` says whether its job was asked to stop; ``chance``, from 0.0 to 1.0, spreads the
    retries of many that failed at once.
    """
    claim = outcome.claim
    if outcome.head is None:
        if outcome.started and outcome.death == TIMED_OUT:
            return _timed_out(outcome, stop, chance)
        if outcome.started and outcome.death != CANCELLED:
            return _death(outcome)
        return _cancelled(claim, outcome, stop)
    try:
        finish = _answered(outcome, outcome.head, signer, stop)
        if stop is not StopRequest.NONE:
            return finish
        return _again(finish, _raised(outcome.head), signer, chance, keep="again" not in outcome.head)
    except (LookupError, TypeError, ValueError) as error:  # a child runs strangers' code, and so may say anything
        message = f"the child process answered nonsense ({type(error).__name__})"
        return Finish(claim, PartitionStatus.FAILED, ExitCode.FAILED, message, failed_items=claim.items)


def _answered(outcome: Outcome, head: dict[str, Any], signer: Signer, stop: StopRequest) -> Finish:
    claim = outcome.claim
    if not math.isfinite(outcome.seconds):
        raise ValueError(f"{outcome.seconds} seconds")
    exit_code = ExitCode(head["exit_code"])
    if exit_code is ExitCode.CANCELLED:
        if outcome.interrupted:
            return _cancelled(claim, outcome, stop)
        # Handed back it would interrupt itself again, for ever.
        head = head | {"message": "KeyboardInterrupt: the function interrupted itself", "failed": claim.items}
        exit_code = ExitCode.FAILED
    result = None
    if outcome.blobs:
        values, (errors, seconds) = outcome.blobs[0], _plain(outcome.blobs[1:ROWS])
        text = errors.decode()
        json.loads(text)
        kept, digest, reference = b"", b"", None
        if isinstance(values, bytes):
            kept = values
        elif isinstance(values, Stored):
            digest, reference = values.digest, values.reference
        else:
            raise TypeError("values that nobody stored")
        # Bound to this attempt and its token: no result can be moved to another partition or a later attempt.
        mac = signer.sign(
            "result",
            claim.step.uid, claim.step.name, claim.index, claim.attempt, claim.token,
            body=result_digests(digest or hashlib.sha256(kept).digest(), text, seconds),
        )  # fmt: skip
        result = Result(kept, text, seconds, mac, reference, digest)
    completed = exit_code is ExitCode.COMPLETED
    statements = read_statements(*_plain(outcome.blobs[-1:])) if head.get("statements") is True else ()
    return Finish(
        claim=claim,
        status=PartitionStatus.COMPLETED if completed else PartitionStatus.FAILED,
        exit_code=exit_code,
        exit_message=storable(str(head["message"])[:4000]),
        seconds=outcome.seconds,
        failed_items=min(int(head["failed"]), claim.items),
        peak_memory=int(head["peak"]),
        result=result,
        log=outcome.log,
        rows=_rows(outcome, head) if completed else None,
        statements=statements,
        # Whoever took the result over would not execute them.
        cached_mac=_for_others(claim, signer) if completed and result is not None and not statements else None,
    )


def _plain(blobs: Sequence[bytes | Filed | Stored]) -> list[bytes]:
    plain = [blob for blob in blobs if isinstance(blob, bytes)]
    if len(plain) < len(blobs):
        raise TypeError("a part of an outcome that is no bytes")
    return plain


def _rows(outcome: Outcome, head: dict[str, Any]) -> TableRows | None:
    """What goes into the step's table.  A child has rows for it just when its signed function says so."""
    told = head.get("rows")
    if (told is None) != (outcome.claim.step.into_table is None):
        raise ValueError("rows for a table that the step has not, or none for the one that it has")
    if told is None:
        return None
    columns = tuple((str(name), str(kind)) for name, kind in told["columns"])
    if strange := [kind for _, kind in columns if kind not in SPOKEN]:
        raise ValueError(f"a column of the kind {strange[0]}")
    body = outcome.blobs[ROWS]
    return TableRows(columns, int(told["count"]), body.file if isinstance(body, Filed) else _plain((body,))[0])


def _for_others(claim: Claim, signer: Signer) -> bytes | None:
    """The signature of a good result that other jobs may take over; its key was checked before it was run."""
    if claim.cache_key is None:
        return None
    step = claim.step
    return sign_cached(signer, step.uid, step.name, claim.index, claim.attempt, claim.token, key=claim.cache_key)


# --- another try ---------------------------------------------------------------


def _raised(head: dict[str, Any]) -> list[list[str]]:
    """The types of everything that was raised, each with the types that it derives from."""
    return [[str(name) for name in names] for names in head.get("raised", ())]


def _again(finish: Finish, raised: list[list[str]], signer: Signer, chance: float, *, keep: bool) -> Finish:
    """The same attempt as one to be repeated; unchanged when it is the last.

    Its good items are kept, unless the statements that they made would be lost with it.
    """
    claim = finish.claim
    if finish.exit_code not in (ExitCode.FAILED, ExitCode.UNSERIALIZABLE) or not _may_retry(claim, raised):
        return finish
    kept = None
    if keep and finish.result is not None and finish.failed_items < claim.items:
        kept = checkpoints.sign_items(signer, claim, finish.result)
    return _retried(finish, kept, chance)


def _retried(finish: Finish, kept: Result | None, chance: float) -> Finish:
    step, errors = finish.claim.step, finish.claim.errors
    pause = retry_pause(step.retry_wait, errors, chance)
    message = f"{finish.exit_message} (retry {errors + 1} of {step.retries} in {pause:.1f} s)"
    return dataclasses.replace(
        finish,
        status=PartitionStatus.PENDING,
        exit_code=None,
        exit_message=message,
        failed_items=0,
        erred=True,
        retry_after=pause,
        result=kept,
    )


def _may_retry(claim: Claim, raised: list[list[str]]) -> bool:
    """Whether retries are left, and everything that was raised is worth one."""
    step = claim.step
    if not raised or claim.errors >= step.retries:
        return False
    return step.retry_on is None or all(_matches(names, step.retry_on) for names in raised)


def _matches(names: Sequence[str], wanted: Sequence[str]) -> bool:
    """Whether a type, or one that it derives from, is among ``wanted``; without its module, too."""
    known = {*names, *(name.rpartition(".")[2] for name in names)}
    # A class that was defined in a function loses that function's name when it travels.
    return not known.isdisjoint(name.rpartition("<locals>.")[2] for name in wanted)


# --- no answer -----------------------------------------------------------------


def _cancelled(claim: Claim, outcome: Outcome, stop: StopRequest) -> Finish:
    """A run that was stopped or never begun: handed back, unless it may not go on."""
    how = "while this partition ran" if outcome.started else "before this partition began"
    if stop in _BY_USER or (stop and not outcome.started):
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


def _timed_out(outcome: Outcome, stop: StopRequest, chance: float) -> Finish:
    """Killed for its length.  What may run only once is not repeated: how far it came, nobody knows."""
    claim = outcome.claim
    finish = Finish(
        claim=claim,
        status=PartitionStatus.FAILED,
        exit_code=ExitCode.TIMEOUT,
        exit_message=f"ran longer than the timeout of {claim.step.timeout:g} s and was killed" + _last_words(outcome),
        seconds=outcome.seconds,
        failed_items=claim.items,
        peak_memory=outcome.peak,
        log=outcome.log,
    )
    may = stop is StopRequest.NONE and claim.transferable and _may_retry(claim, [list(_TIMEOUT)])
    return _retried(finish, None, chance) if may else finish


def _death(outcome: Outcome) -> Finish:
    claim = outcome.claim
    used = f", having used {outcome.peak / 1e6:,.0f} MB at most" if outcome.peak else ""
    message = f"the child process died: {outcome.death}{used}" + _last_words(outcome)
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
        peak_memory=outcome.peak,
        crashed=True,
        log=outcome.log,
    )


def _last_words(outcome: Outcome) -> str:
    said = outcome.log.decode("utf-8", "replace").strip()[-_LAST_LINES:].replace("\0", "\\0")
    return f"; its last output: {said}" if said else ""


def unstorable(finish: Finish, error: Exception) -> Finish:
    """An outcome that the database refuses is recorded as failed, with the database's reason."""
    reason = str(error) if isinstance(error, TableRefused) else f"the result could not be stored: {error}"
    return dataclasses.replace(
        finish,
        status=PartitionStatus.FAILED,
        exit_code=ExitCode.FAILED,
        exit_message=storable(reason[:4000]),
        failed_items=finish.claim.items,
        erred=False,
        retry_after=None,
        result=None,
        log=b"" if not isinstance(error, TableRefused) else finish.log,
        rows=None,
        statements=(),
        cached_mac=None,
    )
