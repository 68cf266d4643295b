"""Steps that the launcher runs itself, in a thread of its own process, with the very function it was given.

They are claimed, fenced and recorded as any partition is.  Nothing here outlives the
launcher: when it is lost, a node claims what belongs to nobody any more, and runs the
function that was shipped.
"""

from __future__ import annotations

import array
import ctypes
import json
import logging
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from nbcluster import payload
from nbcluster.errors import DatabaseUnreachable, NBClusterError, PayloadError, SignatureError
from nbcluster.errortext import describe
from nbcluster.lifecycle import ExitCode, PartitionStatus, StepKind, StopRequest
from nbcluster.records import Claim, Finish, Reference, Result, StepToRun
from nbcluster.signing import result_digests
from nbcluster.store import Store

log = logging.getLogger(__name__)

_AGAIN = 0.5


class LocalSteps:
    """The local steps of the jobs that this process launched."""

    def __init__(self, store: Store, interrupt_grace: float) -> None:
        self._store = store
        self._grace = interrupt_grace
        self._functions: dict[str, dict[str, Callable[..., Any]]] = {}
        self._jobs: dict[int, str] = {}
        self._runs: dict[int, _Run] = {}

    def offer(self, job_id: int, uid: str, functions: Mapping[str, Callable[..., Any]], node_id: str) -> None:
        """From now on run the local steps of that job, as ``node_id``."""
        self._functions.setdefault(uid, {}).update(functions)
        self._jobs[job_id] = node_id

    def has(self, uid: str) -> bool:
        """Whether this process has the functions of that job's local steps."""
        return uid in self._functions

    def serves(self, job_id: int) -> bool:
        """Whether local steps of that job, which goes on, are run here."""
        return job_id in self._jobs

    def forget(self, job_id: int) -> None:
        """The job ended; its functions stay, for a later ``resume``."""
        self._jobs.pop(job_id, None)
        self._runs = {step: run for step, run in self._runs.items() if run.alive}

    def run_due(self, job_id: int) -> None:
        """Begin what is started of a job, and stop what is to be stopped."""
        node_id = self._jobs.get(job_id)
        if node_id is None:
            return
        for step in self._store.jobs.started_steps():
            if step.job_execution_id != job_id or step.kind is not StepKind.LOCAL:
                continue
            run = self._runs.get(step.step_execution_id)
            if run is not None and run.alive:
                if step.stop_requested in (StopRequest.STOP, StopRequest.NOW):
                    run.stop(0.0 if step.stop_requested is StopRequest.NOW else self._grace)
            elif not step.stop_requested and not step.paused:
                self._begin(step, node_id)

    def _begin(self, step: StepToRun, node_id: str) -> None:
        function = self._functions.get(step.uid, {}).get(step.name)
        if function is None:
            return
        claims = self._store.claims.claim(step, node_id, 1, free=False, steal=False)
        for claim in claims:
            self._runs[step.step_execution_id] = run = _Run(self._store, claim, function)
            run.start()
        if not claims:
            self._give_back_unknown(node_id)

    def _give_back_unknown(self, node_id: str) -> None:
        """Claims that no thread here runs: the answer to their COMMIT was lost.  A node takes them."""
        known = {run.claim.partition_id for run in self._runs.values() if run.alive}
        unknown = [one for one in self._store.claims.held_by(node_id) if one[0] not in known]
        if unknown:
            self._store.claims.give_back(node_id, unknown)


class _Run:
    """One attempt of a local step."""

    def __init__(self, store: Store, claim: Claim, function: Callable[..., Any]) -> None:
        self._store = store
        self.claim = claim
        self._function = function
        self._in_user_code = False
        self._stopped = False
        self._thread = threading.Thread(target=self._work, name=f"nbcluster-{claim.step.name}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether the attempt goes on; one that was given up does not, whatever its thread does."""
        return self._thread.is_alive() and not self._stopped

    def stop(self, grace: float) -> None:
        """KeyboardInterrupt in its thread; what does not end within ``grace`` seconds is given up."""
        self._stopped = True
        if self._in_user_code and self._thread.ident is not None:
            ctypes.pythonapi.PyThreadState_SetAsyncExc(
                ctypes.c_ulong(self._thread.ident), ctypes.py_object(KeyboardInterrupt)
            )
        threading.Thread(target=self._give_up, args=(grace,), name="nbcluster-stop", daemon=True).start()

    def _give_up(self, grace: float) -> None:
        self._thread.join(grace)
        message = "the job was stopped while this step ran"
        self._record(
            Finish(self.claim, PartitionStatus.FAILED, ExitCode.CANCELLED, message, failed_items=self.claim.items)
        )

    def _work(self) -> None:
        began = time.monotonic()
        try:
            finish = self._called(self._arguments(), began)
        except KeyboardInterrupt:
            return  # it was told to stop; whoever told it records that
        except SignatureError as error:
            finish = self._failed(ExitCode.BAD_SIGNATURE, str(error), began)
        except PayloadError as error:
            finish = self._failed(ExitCode.FAILED, str(error), began)
        except NBClusterError as error:
            log.warning("%s: its inputs cannot be read: %s", self.claim.step.name, error)
            finish = Finish(self.claim, PartitionStatus.PENDING, None, str(error))
        if not self._stopped:
            self._record(finish)

    def _arguments(self) -> tuple[Any, ...]:
        """The list of the values of the step before it, if it has one."""
        step = self.claim.step
        if step.input_of is None:
            return ()
        before = self._store.steps.id_of(step.job_execution_id, step.input_of) or 0
        values: list[Any] = []
        for stored in self._store.outcomes.read(before, self._store.steps.completed(before), arguments=False):
            if stored.result is None:
                raise PayloadError(f"the result of partition {stored.index} of {step.input_of} is not there any more")
            body = self._store.transport.values(step.uid, step.input_of, stored)
            values += payload.unpack(body, f"the result of partition {stored.index} of {step.input_of}")
        return (values,)

    def _called(self, given: tuple[Any, ...], began: float) -> Finish:
        errors: list[dict[str, Any]] = []
        value = None
        try:
            self._in_user_code = True
            value = self._function(*given)
        except BaseException as error:
            if self._stopped and isinstance(error, KeyboardInterrupt):
                raise
            errors.append(describe(0, error, full=True, ours=(__name__,)))
        finally:
            self._in_user_code = False
        return self._finish([value], errors, time.monotonic() - began)

    def _finish(self, values: list[Any], errors: list[dict[str, Any]], seconds: float) -> Finish:
        limit = self.claim.step.max_result
        packed, bad = payload.pack_values(values, limit)
        if packed is None:
            message = f"the result is larger than max_result ({payload.format_size(limit)})"
            return Finish(self.claim, PartitionStatus.FAILED, ExitCode.RESULT_TOO_LARGE, message, failed_items=1)
        code = ExitCode.FAILED if errors else ExitCode.UNSERIALIZABLE if bad else ExitCode.COMPLETED
        errors += [{"item": n, "type": code.value, "message": why, "traceback": ""} for n, why in bad.items()]
        text, times = json.dumps(errors), array.array("d", [seconds]).tobytes()
        step = self.claim.step
        mac = self._store.signer.sign(
            "result",
            step.uid, step.name, self.claim.index, self.claim.attempt, self.claim.token,
            body=result_digests(packed.digest, text, times),
        )  # fmt: skip
        return Finish(
            claim=self.claim,
            status=PartitionStatus.FAILED if errors else PartitionStatus.COMPLETED,
            exit_code=code,
            exit_message=f"{errors[0]['type']}: {errors[0]['message']}"[:2000] if errors else "",
            seconds=seconds,
            failed_items=len(errors),
            result=self._result(packed, text, times, mac),
        )

    def _result(self, packed: payload.Packed, errors: str, seconds: bytes, mac: bytes) -> Result:
        transport, at = self._store.transport, self.claim.step.values_at
        if packed.size <= transport.large:
            return Result(packed.body(), errors, seconds, mac)
        reference = Reference(transport.put(packed, at), at, packed.size)
        return Result(b"", errors, seconds, mac, reference, packed.digest)

    def _failed(self, code: ExitCode, message: str, began: float) -> Finish:
        seconds = time.monotonic() - began
        return Finish(self.claim, PartitionStatus.FAILED, code, message, seconds, failed_items=self.claim.items)

    def _record(self, finish: Finish) -> None:
        """Commit it, however long the database is away; refused when the step is somebody else's by now."""
        while not self._store.closed:
            try:
                self._store.finishes.finish([finish])
                return
            except DatabaseUnreachable as error:
                log.info("%s: %s; trying again", self.claim.step.name, error)
                time.sleep(_AGAIN)
