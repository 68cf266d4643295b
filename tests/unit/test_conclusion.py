from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from nbcluster.lifecycle import ExitCode, PartitionStatus, StopRequest
from nbcluster.node.calls import CANCELLED, TIMED_OUT, Outcome
from nbcluster.node.conclusion import finish_for, unstorable
from nbcluster.records import Claim, Finish, Signed, TableRows
from nbcluster.store.partitions import checkpoints
from tests.builders import a_claim, a_death, a_signer, a_step_to_run, an_outcome, completed, result_body


def finish(outcome: Outcome, *, stopped: bool = False) -> Finish:
    stop = StopRequest.STOP if stopped else StopRequest.NONE
    return finish_for(outcome, a_signer(), stop=stop)


def said(exit_code: str, message: str = "", failed: Any = 0, **more: Any) -> dict[str, Any]:
    return {"exit_code": exit_code, "message": message, "failed": failed, "peak": 1000} | more


def ending(finish: Finish) -> tuple[PartitionStatus, ExitCode | None]:
    return finish.status, finish.exit_code


# --- what a child said ---------------------------------------------------------------------------


def test_what_went_well_is_completed_with_its_result_and_output() -> None:
    outcome = an_outcome(a_claim(items=3), log=b"hello\n", seconds=0.5)
    recorded = finish(outcome)
    assert ending(recorded) == (PartitionStatus.COMPLETED, ExitCode.COMPLETED)
    assert (recorded.seconds, recorded.log, recorded.peak_memory) == (0.5, b"hello\n", 1000)
    assert (recorded.failed_items, recorded.crashed) == (0, False)
    assert recorded.result is not None
    assert (recorded.result.values, recorded.result.errors) == (b"values", "[]")


def test_a_result_is_signed_for_this_attempt_and_no_other() -> None:
    claim = a_claim(index=3, attempt=2, token=77)
    result = finish(an_outcome(claim)).result
    assert result is not None
    body = result_body(result.values, result.errors, result.seconds)
    a_signer().check(result.mac, "result", "uid", "map", 3, 2, 77, body=body)


def test_a_partition_with_a_failed_item_is_failed_and_keeps_the_other_values() -> None:
    outcome = an_outcome(
        a_claim(items=10), head=said("FAILED", "ValueError: bad date", failed=1), blobs=(b"values", b"[]", b"")
    )
    recorded = finish(outcome)
    assert ending(recorded) == (PartitionStatus.FAILED, ExitCode.FAILED)
    assert (recorded.exit_message, recorded.failed_items) == ("ValueError: bad date", 1)
    assert recorded.result is not None


@pytest.mark.parametrize("code", ["UNSERIALIZABLE", "RESULT_TOO_LARGE"])
def test_what_could_not_travel_is_failed_with_its_own_code(code: str) -> None:
    recorded = finish(an_outcome(head=said(code, "why", failed=1), blobs=()))
    assert ending(recorded) == (PartitionStatus.FAILED, ExitCode(code))
    assert recorded.result is None


def test_no_more_items_fail_than_there_are() -> None:
    assert finish(an_outcome(a_claim(items=2), head=said("FAILED", failed=1000))).failed_items == 2


def test_a_message_is_text_that_every_database_takes() -> None:
    recorded = finish(an_outcome(head=said("FAILED", "\0 \ud800 " + "x" * 10_000, failed=1)))
    assert recorded.exit_message.startswith("\\0 \\ud800 xxx")
    assert len(recorded.exit_message) < 5_000


@pytest.mark.parametrize(
    "outcome",
    [
        an_outcome(head={}),
        an_outcome(head=said("SPLENDID")),
        an_outcome(head=said("COMPLETED", failed=None)),
        an_outcome(head=said("COMPLETED", failed="many")),
        an_outcome(head=said("COMPLETED", peak=[])),
        an_outcome(blobs=(b"values",)),
        an_outcome(blobs=(b"values", b"no json", b"")),
        an_outcome(blobs=(b"values", b"\xff", b"")),
        an_outcome(seconds=float("nan")),
    ],
    ids=[
        "an empty head", "an unknown code", "no number", "a text", "a list", "too few blobs", "errors in no JSON",
        "errors in no text", "no time",
    ],
)  # fmt: skip
def test_a_child_that_answers_nonsense_costs_its_partition_and_nothing_else(outcome: Outcome) -> None:
    recorded = finish(outcome)
    assert ending(recorded) == (PartitionStatus.FAILED, ExitCode.FAILED)
    assert recorded.exit_message.startswith("the child process answered nonsense (")
    assert (recorded.result, recorded.failed_items) == (None, 1)


# --- stopped, handed back ------------------------------------------------------------------------

TAKEN_BACK = {"head": None, "blobs": (), "started": False}
KILLED_ON_REQUEST = {"head": None, "blobs": (), "death": CANCELLED}
INTERRUPTED = {"head": said("CANCELLED"), "blobs": (), "interrupted": True}


@pytest.mark.parametrize("how", [TAKEN_BACK, KILLED_ON_REQUEST, INTERRUPTED])
@pytest.mark.parametrize("transferable", [True, False])
def test_in_a_stopped_job_what_did_not_finish_is_cancelled(how: dict[str, Any], transferable: bool) -> None:
    recorded = finish(an_outcome(a_claim(items=4, transferable=transferable), **how), stopped=True)
    assert ending(recorded) == (PartitionStatus.FAILED, ExitCode.CANCELLED)
    assert recorded.exit_message.startswith("the job was stopped ")
    assert recorded.failed_items == 4


@pytest.mark.parametrize("how", [TAKEN_BACK, KILLED_ON_REQUEST, INTERRUPTED])
def test_a_stopping_node_hands_back_what_may_run_elsewhere(how: dict[str, Any]) -> None:
    recorded = finish(an_outcome(a_claim(transferable=True), **how))
    assert ending(recorded) == (PartitionStatus.PENDING, None)
    assert not recorded.crashed


def test_a_stopping_node_hands_back_what_had_not_begun() -> None:
    recorded = finish(an_outcome(a_claim(transferable=False), **TAKEN_BACK))
    assert ending(recorded) == (PartitionStatus.PENDING, None)
    assert recorded.exit_message == "handed back before this partition began"


@pytest.mark.parametrize("how", [KILLED_ON_REQUEST, INTERRUPTED])
def test_what_had_begun_and_may_run_only_once_is_lost_with_its_node(how: dict[str, Any]) -> None:
    recorded = finish(an_outcome(a_claim(transferable=False, items=4, node_id="a-1"), **how))
    assert ending(recorded) == (PartitionStatus.FAILED, ExitCode.NODE_LOST)
    assert recorded.exit_message == "the node a-1 was stopped while this partition ran and it is not transferable"
    assert recorded.failed_items == 4


def test_a_function_that_interrupts_itself_is_failed_and_not_tried_for_ever() -> None:
    recorded = finish(an_outcome(a_claim(items=4), head=said("CANCELLED"), blobs=(), interrupted=False))
    assert ending(recorded) == (PartitionStatus.FAILED, ExitCode.FAILED)
    assert recorded.exit_message == "KeyboardInterrupt: the function interrupted itself"
    assert recorded.failed_items == 4


def test_what_ended_before_the_stop_reached_it_keeps_its_result() -> None:
    assert ending(finish(an_outcome(), stopped=True)) == (PartitionStatus.COMPLETED, ExitCode.COMPLETED)


# --- deaths --------------------------------------------------------------------------------------


def test_a_death_is_counted_and_tried_again() -> None:
    recorded = finish(a_death(a_claim(crashes=0), death="killed by SIGSEGV"))
    assert ending(recorded) == (PartitionStatus.PENDING, None)
    assert (recorded.crashed, recorded.failed_items) == (True, 0)
    assert recorded.exit_message == "the child process died: killed by SIGSEGV"


@pytest.mark.parametrize(
    ("crashes", "attempts", "status"),
    [
        (0, 3, PartitionStatus.PENDING),
        (1, 3, PartitionStatus.PENDING),
        (2, 3, PartitionStatus.FAILED),
        (3, 3, PartitionStatus.FAILED),
        (0, 1, PartitionStatus.FAILED),
    ],
)
def test_a_partition_that_kills_as_often_as_it_may_is_poison(
    crashes: int, attempts: int, status: PartitionStatus
) -> None:
    claim = a_claim(crashes=crashes, items=5, step=a_step_to_run(max_attempts=attempts))
    recorded = finish(a_death(claim, death="exit code 7"))
    assert recorded.status is status
    if status is PartitionStatus.FAILED:
        assert recorded.exit_code is ExitCode.POISON
        assert f"(it killed {crashes + 1} processes and is not tried again)" in recorded.exit_message
        assert (recorded.crashed, recorded.failed_items) == (True, 5)


def test_attempts_that_ended_otherwise_do_not_count_as_deaths() -> None:
    claim = a_claim(attempt=9, crashes=0, step=a_step_to_run(max_attempts=2))
    assert finish(a_death(claim)).status is PartitionStatus.PENDING


def test_what_may_run_only_once_is_not_tried_again_after_a_death() -> None:
    recorded = finish(a_death(a_claim(transferable=False, items=2)))
    assert ending(recorded) == (PartitionStatus.FAILED, ExitCode.CRASHED)
    assert (recorded.crashed, recorded.failed_items) == (True, 2)
    assert "not tried again" not in recorded.exit_message


def test_the_last_words_of_the_dead_are_kept() -> None:
    recorded = finish(a_death(log=b"x" * 10_000 + b"\0\xffloading model.bin\n", death="exit code 1"))
    assert recorded.exit_message.startswith("the child process died: exit code 1; its last output: xxx")
    assert recorded.exit_message.endswith("\\0\N{REPLACEMENT CHARACTER}loading model.bin")
    assert len(recorded.exit_message) < 1_000
    assert recorded.log.endswith(b"loading model.bin\n")


def test_the_memory_that_the_dead_had_used_is_told() -> None:
    recorded = finish(a_death(death="killed by SIGKILL", peak=1_234_000_000))
    assert recorded.exit_message == "the child process died: killed by SIGKILL, having used 1,234 MB at most"
    assert recorded.peak_memory == 1_234_000_000


# --- tried again ---------------------------------------------------------------------------------

VALUE_ERROR = ["ValueError", "Exception", "BaseException"]
TIMEOUT = ["requests.exceptions.Timeout", "requests.exceptions.RequestException", "OSError", "Exception"]


def erring(raised: list[list[str]], claim: Claim, failed: int = 1, code: str = "FAILED") -> Outcome:
    errors = f'[{{"item": 0, "type": "{raised[0][0]}", "message": "bad", "traceback": ""}}]'.encode()
    head = said(code, f"{raised[0][0]}: bad", failed, raised=raised)
    return an_outcome(claim, head=head, blobs=(b"values", errors, b"\0" * 8))


def to_retry(retries: int = 2, retry_on: tuple[str, ...] | None = None, **changes: Any) -> Claim:
    step = a_step_to_run(retries=retries, retry_on=retry_on, retry_wait=2.0)
    return a_claim(**({"step": step, "items": 3} | changes))


def test_an_attempt_that_raised_is_tried_again_later() -> None:
    recorded = finish(erring([VALUE_ERROR], to_retry()))
    assert ending(recorded) == (PartitionStatus.PENDING, None)
    assert (recorded.erred, recorded.crashed, recorded.failed_items) == (True, False, 0)
    assert recorded.retry_after == pytest.approx(2.0, rel=0.25)
    assert recorded.exit_message.startswith("ValueError: bad (retry 1 of 2 in ")


def test_its_good_items_are_kept_for_the_next_attempt() -> None:
    claim = to_retry()
    kept = finish(erring([VALUE_ERROR], claim)).result
    assert kept is not None
    body = checkpoints.pack_items(kept.values, kept.errors, kept.seconds)
    signed = Signed(body, kept.mac)
    assert checkpoints.check(a_signer(), claim, checkpoints.Checkpoint(checkpoints.ITEMS, 1, signed)) == body
    assert checkpoints.unpack_items(body) == (b"values", kept.errors.encode(), b"\0" * 8)


def test_without_a_good_item_nothing_is_kept() -> None:
    assert finish(erring([VALUE_ERROR], to_retry(), failed=3)).result is None


@pytest.mark.parametrize(("errors", "again"), [(0, True), (1, True), (2, False), (3, False)])
def test_it_is_tried_again_as_often_as_it_may(errors: int, again: bool) -> None:
    recorded = finish(erring([VALUE_ERROR], to_retry(errors=errors)))
    assert (recorded.status is PartitionStatus.PENDING) is again
    if not again:
        assert ending(recorded) == (PartitionStatus.FAILED, ExitCode.FAILED)
        assert (recorded.result is not None, recorded.failed_items, recorded.erred) == (True, 1, False)


def test_crashes_and_lost_nodes_use_up_no_retries() -> None:
    claim = to_retry(errors=1, crashes=2, attempt=9)
    assert finish(erring([VALUE_ERROR], claim)).status is PartitionStatus.PENDING


@pytest.mark.parametrize(
    ("retry_on", "raised", "again"),
    [
        (None, [VALUE_ERROR], True),
        (None, [VALUE_ERROR, TIMEOUT], True),
        (("ValueError",), [VALUE_ERROR], True),
        (("ValueError",), [VALUE_ERROR, TIMEOUT], False),
        (("ValueError", "OSError"), [VALUE_ERROR, TIMEOUT], True),
        (("Exception",), [VALUE_ERROR, TIMEOUT], True),
        (("requests.exceptions.Timeout",), [TIMEOUT], True),
        (("Timeout",), [TIMEOUT], True),
        (("exceptions.Timeout",), [TIMEOUT], False),
        (("KeyError",), [VALUE_ERROR], False),
        (("module.function.<locals>.Timeout",), [TIMEOUT], True),
        (("Exception",), [["UNSERIALIZABLE"]], False),
        (None, [["UNSERIALIZABLE"]], True),
    ],
)
def test_every_error_must_be_worth_a_retry(
    retry_on: tuple[str, ...] | None, raised: list[list[str]], again: bool
) -> None:
    recorded = finish(erring(raised, to_retry(retry_on=retry_on)))
    assert (recorded.status is PartitionStatus.PENDING) is again


def test_what_cannot_be_pickled_may_be_tried_again_and_what_is_too_large_is_not() -> None:
    assert finish(erring([["UNSERIALIZABLE"]], to_retry(), code="UNSERIALIZABLE")).erred
    assert not finish(erring([VALUE_ERROR], to_retry(), code="RESULT_TOO_LARGE")).erred


@pytest.mark.parametrize("stop", [StopRequest.STOP, StopRequest.NOW, StopRequest.TOO_MANY_ERRORS])
def test_in_a_stopped_job_nothing_is_tried_again(stop: StopRequest) -> None:
    recorded = finish_for(erring([VALUE_ERROR], to_retry()), a_signer(), stop=stop)
    assert ending(recorded) == (PartitionStatus.FAILED, ExitCode.FAILED)


def test_what_a_job_with_too_many_errors_runs_may_finish_and_the_rest_is_cancelled() -> None:
    stop = StopRequest.TOO_MANY_ERRORS
    assert finish_for(an_outcome(), a_signer(), stop=stop).status is PartitionStatus.COMPLETED
    recorded = finish_for(an_outcome(a_claim(), **TAKEN_BACK), a_signer(), stop=stop)
    assert ending(recorded) == (PartitionStatus.FAILED, ExitCode.CANCELLED)


@pytest.mark.parametrize("raised", [7, [7], "ValueError", {"a": 1}])
def test_nonsense_about_what_was_raised_costs_nobody_else(raised: Any) -> None:
    outcome = an_outcome(to_retry(), head=said("FAILED", failed=1, raised=raised), blobs=())
    assert finish(outcome).claim == outcome.claim


# --- too long ------------------------------------------------------------------------------------


def too_long(**changes: Any) -> Outcome:
    step = a_step_to_run(**({"timeout": 3.0} | changes))
    return a_death(a_claim(step=step, items=4), death=TIMED_OUT, log=b"epoch 7\n", peak=5, seconds=3.1)


def test_what_ran_too_long_is_failed_with_its_last_words() -> None:
    recorded = finish(too_long())
    assert ending(recorded) == (PartitionStatus.FAILED, ExitCode.TIMEOUT)
    assert recorded.exit_message == "ran longer than the timeout of 3 s and was killed; its last output: epoch 7"
    assert (recorded.crashed, recorded.failed_items, recorded.peak_memory) == (False, 4, 5)


@pytest.mark.parametrize(("retry_on", "again"), [(None, True), (("TimeoutError",), True), (("ValueError",), False)])
def test_it_counts_as_a_timeout_error(retry_on: tuple[str, ...] | None, again: bool) -> None:
    recorded = finish(too_long(retries=1, retry_on=retry_on))
    assert (recorded.status is PartitionStatus.PENDING, recorded.erred, recorded.crashed) == (again, again, False)


def test_what_may_run_only_once_is_not_tried_again_after_it_was_killed() -> None:
    outcome = too_long(retries=1)
    once = dataclasses.replace(outcome, claim=dataclasses.replace(outcome.claim, transferable=False))
    assert ending(finish(once)) == (PartitionStatus.FAILED, ExitCode.TIMEOUT)


# --- what the database refuses -------------------------------------------------------------------


def test_an_outcome_that_cannot_be_stored_is_failed_with_the_reason() -> None:
    refused = unstorable(completed(a_claim(items=7), log=b"output"), ValueError("too wide"))
    assert ending(refused) == (PartitionStatus.FAILED, ExitCode.FAILED)
    assert refused.exit_message == "the result could not be stored: too wide"
    assert (refused.result, refused.log, refused.failed_items) == (None, b"", 7)


# --- rows for a table -----------------------------------------------------------------------------


def a_table_outcome(told: object, *blobs: Any, into: str | None = "t") -> Finish:
    claim = a_claim(step=a_step_to_run(into_table=into))
    head = {"exit_code": "COMPLETED", "message": "", "failed": 0, "peak": 1, "seconds": 0.5}
    head |= {} if told is None else {"rows": told}
    plain = (b"values", b"[]", b"\0" * 8)
    return finish_for(an_outcome(claim, head=head, blobs=(*plain, *blobs)), a_signer())


def test_rows_stand_behind_the_values() -> None:
    finish = a_table_outcome({"columns": [["n", "int"]], "count": 2, "filed": None}, b"1\n2\n")
    assert finish.rows == TableRows((("n", "int"),), 2, b"1\n2\n")


@pytest.mark.parametrize(
    ("told", "blobs", "into"),
    [
        (None, (), "t"),
        ({"columns": [["n", "int"]], "count": 1}, (b"1\n",), None),
        ({"columns": [["n", "imaginary"]], "count": 1}, (b"1\n",), "t"),
        ({"columns": [["n"]], "count": 1}, (b"1\n",), "t"),
        ({"columns": 5, "count": 1}, (b"1\n",), "t"),
        ({"columns": [["n", "int"]]}, (b"1\n",), "t"),
        ({"columns": [["n", "int"]], "count": "many"}, (b"1\n",), "t"),
        ({"columns": [["n", "int"]], "count": 1}, (), "t"),
    ],
)
def test_rows_that_make_no_sense_are_a_failure_of_the_child(told: object, blobs: Any, into: str | None) -> None:
    finish = a_table_outcome(told, *blobs, into=into)
    assert (finish.status, finish.rows) == (PartitionStatus.FAILED, None)
    assert "answered nonsense" in finish.exit_message
