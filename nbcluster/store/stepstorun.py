"""Steps as the nodes that claim from them know them: the statements, and what their rows mean."""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import literal, select

from nbcluster.lifecycle import JobStatus, StepKind, StopRequest
from nbcluster.records import StepToRun
from nbcluster.store.tables import job_execution, job_instance, step_execution

STEPS_TO_RUN = (
    select(
        step_execution,
        job_execution.c.job_uid,
        job_execution.c.stop_requested,
        job_execution.c.paused,
        job_execution.c.priority,
        job_execution.c.user_name,
        job_instance.c.job_name,
    )
    .join(job_execution, job_execution.c.job_execution_id == step_execution.c.job_execution_id)
    .join(job_instance, job_instance.c.job_instance_id == job_execution.c.job_instance_id)
)
"""Every step there is, to be narrowed down."""

STARTED_STEPS = STEPS_TO_RUN.where(
    step_execution.c.status == literal(JobStatus.STARTED.value, literal_execute=True)
).order_by(step_execution.c.step_execution_id)
"""Every step whose partitions may be claimed, in the order in which they were submitted."""


def step_to_run(row: Any) -> StepToRun:
    """The step of a row of these statements."""
    return StepToRun(
        step_execution_id=row.step_execution_id,
        job_execution_id=row.job_execution_id,
        job_name=row.job_name,
        uid=row.job_uid,
        name=row.step_name,
        mode=row.mode,
        strategy=row.strategy,
        function_id=row.function_id,
        function_mac=bytes(row.function_mac),
        python=row.python,
        max_attempts=row.max_attempts,
        max_result=row.max_result,
        max_log=row.max_log,
        fixed_nodes=None if row.fixed_nodes is None else tuple(json.loads(row.fixed_nodes)),
        fixed_count=row.fixed_count,
        stop_requested=StopRequest(row.stop_requested),
        transferable=bool(row.is_transferable),
        kind=StepKind(row.kind),
        input_of=row.input_of,
        retries=row.retries,
        retry_on=None if row.retry_on is None else tuple(json.loads(row.retry_on)),
        retry_wait=row.retry_wait,
        timeout=row.timeout,
        require=tuple(json.loads(row.required_labels)),
        user=row.user_name,
        priority=row.priority,
        paused=bool(row.paused),
        into_table=row.into_table,
        values_at=row.values_at,
        bundle_id=row.bundle_id,
        bundle_mac=None if row.bundle_mac is None else bytes(row.bundle_mac),
    )
