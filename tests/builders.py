"""Records with defaults: a test names only what matters to it."""

from __future__ import annotations

import array
import hashlib
import itertools
import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from nbcluster import payload
from nbcluster.lifecycle import ExitCode, NodeStatus, PartitionStatus, StopRequest
from nbcluster.newjob import NewJob, NewPartition, NewStep
from nbcluster.node.calls import Outcome
from nbcluster.records import Claim, Finish, NewNode, Node, Progress, Result, Signed, StepToRun
from nbcluster.signing import Signer, result_digests
from nbcluster.strategies import Candidate, Planned

PYTHON = "3.11"
_numbers = itertools.count(1)


def a_signer(cluster_id: str = "cluster", key: bytes = b"k" * 32) -> Signer:
    return Signer(cluster_id, key)


def a_candidate(node_id: str = "a-1", slots: int = 2, busy: int = 0) -> Candidate:
    return Candidate(node_id, slots, busy)


def some_planned(count: int) -> list[Planned]:
    return [Planned(index, f"part-{index}", 1) for index in range(count)]


# --- nodes ---------------------------------------------------------------------------------------


def a_new_node(node_id: str = "a-1", slots: int = 2) -> NewNode:
    return NewNode(node_id, host="host", pid=4711, slots=slots, python=PYTHON, version="0.0")


def a_node(node_id: str = "a-1", **changes: Any) -> Node:
    from datetime import UTC, datetime

    plain = Node(
        node_id=node_id,
        status=NodeStatus.ACTIVE,
        host="host",
        pid=4711,
        slots=2,
        busy=0,
        python=PYTHON,
        version="0.0",
        started=datetime(2024, 1, 1, tzinfo=UTC),
        heartbeat_age=0.5,
    )
    return replace(plain, **changes)


# --- jobs ----------------------------------------------------------------------------------------


def a_new_step(function: bytes = b"function", **changes: Any) -> NewStep:
    plain = NewStep(
        name="map",
        mode=payload.ITEMS,
        strategy="round_robin",
        function=Signed(function, b"function mac"),
        function_id=hashlib.sha256(function).hexdigest(),
        source="def f(n): ...",
        python=PYTHON,
        max_attempts=3,
        max_result=10**9,
        max_log=10**6,
    )
    return replace(plain, **changes)


def a_new_partition(index: int = 0, arguments: bytes = b"arguments", **changes: Any) -> NewPartition:
    plain = NewPartition(index, key=f"part-{index}", items=1, arguments=Signed(arguments, b"arguments mac"))
    return replace(plain, **changes)


def some_new_partitions(count: int, **changes: Any) -> tuple[NewPartition, ...]:
    return tuple(a_new_partition(index, **changes) for index in range(count))


def a_new_job(partitions: int | Iterable[NewPartition] = 1, *, step: NewStep | None = None, **changes: Any) -> NewJob:
    """A job of one step with its own uid.  ``partitions`` says how many, or which; ``steps`` replaces all that."""
    split = some_new_partitions(partitions) if isinstance(partitions, int) else tuple(partitions)
    number = next(_numbers)
    plain = NewJob(
        name=f"job-{number}",
        uid=f"uid-{number}",
        user="ada",
        host="host",
        master_node_id="kernel-1",
        steps=(replace(step or a_new_step(), partitions=split),),
        main_step="map",
        key=f"uid-{number}",
    )
    return replace(plain, **({"key": changes.get("uid", plain.uid)} | changes))


def a_step_to_run(**changes: Any) -> StepToRun:
    plain = StepToRun(
        step_execution_id=1,
        job_execution_id=1,
        job_name="job",
        uid="uid",
        name="map",
        mode=payload.ITEMS,
        strategy="round_robin",
        function_id="f" * 64,
        function_mac=b"function mac",
        python=PYTHON,
        max_attempts=3,
        max_result=10**9,
        max_log=10**6,
        fixed_nodes=None,
        fixed_count=None,
        stop_requested=StopRequest.NONE,
    )
    return replace(plain, **changes)


def a_progress(**changes: Any) -> Progress:
    from nbcluster.lifecycle import JobStatus

    plain = Progress(
        status=JobStatus.STARTED,
        stop_requested=False,
        pending=1,
        claimed=0,
        completed=0,
        failed=0,
        cancelled=0,
        items=1,
        items_done=0,
        items_failed=0,
    )
    return replace(plain, **changes)


# --- attempts ------------------------------------------------------------------------------------


def a_claim(**changes: Any) -> Claim:
    plain = Claim(
        partition_id=10,
        step=a_step_to_run(),
        index=0,
        key="part-0",
        attempt=1,
        token=99,
        node_id="a-1",
        transferable=True,
        items=1,
        crashes=0,
        arguments=Signed(b"arguments", b"arguments mac"),
        arguments_payload=None,
    )
    return replace(plain, **changes)


def a_result(values: bytes = b"values", errors: Sequence[dict[str, Any]] = ()) -> Result:
    return Result(values, json.dumps(list(errors)), array.array("d", [0.5]).tobytes(), mac=b"result mac")


def an_error(item: int = 0, kind: str = "ValueError", message: str = "bad", traceback: str = "") -> dict[str, Any]:
    return {"item": item, "type": kind, "message": message, "traceback": traceback}


def completed(claim: Claim, values: bytes = b"values", **changes: Any) -> Finish:
    plain = Finish(claim, PartitionStatus.COMPLETED, ExitCode.COMPLETED, seconds=0.25, result=a_result(values))
    return replace(plain, **changes)


def failed(claim: Claim, message: str = "ValueError: bad", **changes: Any) -> Finish:
    result = a_result(errors=[an_error(message=message.partition(": ")[2])])
    plain = Finish(claim, PartitionStatus.FAILED, ExitCode.FAILED, message, failed_items=1, result=result)
    return replace(plain, **changes)


def handed_back(claim: Claim, **changes: Any) -> Finish:
    return replace(Finish(claim, PartitionStatus.PENDING, None, "handed back"), **changes)


def an_outcome(claim: Claim | None = None, **changes: Any) -> Outcome:
    """What a child said: everything went well, unless changed."""
    head = {"exit_code": "COMPLETED", "message": "", "failed": 0, "peak": 1000, "seconds": 0.5}
    plain = Outcome(
        claim=a_claim() if claim is None else claim,
        started=True,
        head=head,
        blobs=(b"values", b"[]", b"\0" * 8),
        seconds=0.5,
    )
    return replace(plain, **changes)


def a_death(claim: Claim | None = None, death: str = "killed by SIGSEGV", **changes: Any) -> Outcome:
    """The end of a child that did not answer any more."""
    return an_outcome(claim, head=None, blobs=(), death=death, **changes)


def mac_of(signer: Signer, finish: Finish) -> bytes:
    """The signature that a reader of this result expects."""
    assert finish.result is not None
    claim, result = finish.claim, finish.result
    return signer.sign(
        "result", claim.step.uid, claim.step.name, claim.index, claim.attempt, claim.token,
        body=result_body(result.values, result.errors, result.seconds),
    )  # fmt: skip


def result_body(values: bytes, errors: str, seconds: bytes) -> bytes:
    """What the signature of a result covers."""
    return result_digests(hashlib.sha256(values).digest(), errors, seconds)
