"""A job in the user's hands: wait for it, read it, stop it, go on with it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, Self

from nbcluster import display
from nbcluster.errors import InputError, UnknownJob
from nbcluster.lifecycle import JobStatus, StopRequest
from nbcluster.looking import StepHandle
from nbcluster.records import JobRow, StepRow
from nbcluster.results import starts
from nbcluster.shown import JobSnapshot
from nbcluster.snapshots.job import Snapshots
from nbcluster.store.wakeup import job_topic
from nbcluster.submitting.options import checked_callable
from nbcluster.timeline import moments, overhead
from nbcluster.waiting import Waiting

if TYPE_CHECKING:
    import pandas as pd

    from nbcluster.api import Cluster
    from nbcluster.frames import Timeline
    from nbcluster.plots.paper import Picture
    from nbcluster.plots.runs import Story


_NAMED = 5
"""Jobs that a sentence names."""


class JobHandle(StepHandle):
    """One job execution.  Everything is read from the database: any kernel can have a handle of any job.

    Its items are those of the main step: of ``map`` and its siblings the mapped one, of a
    pipeline the last one.  ``result()`` gives the value of ``aggregate=`` where there is one.
    ``step(name)`` is a handle of any step.
    """

    _known_steps: list[StepRow] | None

    def __init__(
        self, cluster: Cluster, row: JobRow, sizes: Sequence[int] | None = None, steps: Sequence[StepRow] | None = None
    ) -> None:
        super().__init__(cluster, row)
        self.note: str | None = None
        """What submitting it found, in one sentence, when it is no new run."""
        self._follow(row, fresh=sizes is not None)
        self._first_items = None if sizes is None else starts(sizes)
        if steps is not None:
            self._known_steps = list(steps)

    def _follow(self, row: JobRow, *, fresh: bool = False) -> None:
        """From now on this handle is of that execution."""
        self._row, self._first_items = row, None
        self._known_steps = None
        self._snapshots = Snapshots(self._store, row, self._cluster.settings.unreachable_node_threshold)
        self._waiting = Waiting(
            self._cluster,
            row,
            lambda: self._store.views.progress(row.job_execution_id, row.step_execution_id),
            fresh=fresh,
        )

    # --- identity -------------------------------------------------------------

    @property
    def id(self) -> int:
        """The job execution's id."""
        return self._row.job_execution_id

    @property
    def cluster(self) -> Cluster:
        """The cluster in which it runs."""
        return self._cluster

    @property
    def uid(self) -> str:
        """The id that all executions of the job share, and no other job anywhere."""
        return self._row.uid

    @property
    def name(self) -> str:
        """The name it was submitted under."""
        return self._row.name

    @property
    def user(self) -> str:
        """Who submitted it."""
        return self._row.user

    @property
    def created(self) -> datetime:
        """When it was submitted, by the database's clock, in UTC."""
        return self._row.created

    @property
    def state(self) -> str:
        """STARTED, COMPLETED, FAILED or STOPPED."""
        return self._progress().status.value

    def __repr__(self) -> str:
        progress = self._progress()
        done = progress.items_done - progress.items_failed
        return f"<Job {self.name}: {progress.status}, {done} of {progress.items} items>"

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        return display.mimebundle(self)

    # --- steps ------------------------------------------------------------------

    def steps(self) -> list[str]:
        """The names of its steps, in order."""
        return [step.name for step in self._steps()]

    def step(self, name: str) -> StepHandle:
        """One step: its results, frame, partitions, logs, errors and state.  Raises InputError for an unknown one."""
        found = next((step for step in self._steps() if step.name == name), None)
        if found is None:
            raise InputError(f"{self.name} has no step {str(name)[:60]!r}; its steps are {', '.join(self.steps())}")
        return self._handle_of(found)

    def _steps(self) -> list[StepRow]:
        if self._known_steps is None:
            self._known_steps = self._store.steps.of_job(self.id)
        return self._known_steps

    def _handle_of(self, step: StepRow) -> StepHandle:
        return StepHandle(
            self._cluster,
            replace(
                self._row,
                step_execution_id=step.step_execution_id,
                step_name=step.name,
                mode=step.mode,
                strategy=step.strategy,
                source=step.source,
                input_of=step.input_of,
            ),
        )

    def result(self) -> Any:
        """The value of ``aggregate=``, or of a job of one item.  Waits.

        Raises PartitionError with the remote traceback; JobFailed or JobStopped when the
        aggregation did not come about.
        """
        aggregate = next((step for step in self._steps() if step.aggregates(self._row.step_name)), None)
        if aggregate is None:
            return super().result()
        self.wait()
        ended = next(step for step in self._store.steps.of_job(self.id) if step.name == aggregate.name)
        if ended.status is not JobStatus.COMPLETED and not ended.failed:
            self._raise_unless_completed()
        return self._handle_of(ended).result()

    @property
    def _called(self) -> str:
        return "job"

    def failure(self, called: str = "") -> str:
        """Why the job failed: of each step that failed, at most three groups of errors."""
        if len(self._steps()) == 1:
            return super().failure(called)
        failed = [step for step in self._store.steps.of_job(self.id) if step.failed]
        texts = [
            super(JobHandle, self).failure(called)
            if step.name == self._row.step_name
            else f"{self.name}: step {self._handle_of(step).failure(f'{called or self._called}.step({step.name!r})')}"
            for step in failed
        ]
        return "\n".join(texts)

    # --- waiting ----------------------------------------------------------------

    def stop_when(
        self, predicate: Callable[[pd.DataFrame], object], timeout: float | None = None, now: bool = False
    ) -> Self:
        """Wait like ``wait()``, and stop the job as soon as ``predicate(frame)`` is true; gives this handle.

        ``predicate`` is called in this process with ``frame(partial=True)`` when partitions have ended: not for each
        one, where making frames of large jobs takes long, but in any case with all that there is at the end.  It
        stops the job as ``cancel(now)`` does and waits for its end: what is finished stays, and ``resume()`` goes on
        with the rest.

        What ``predicate`` raises leaves as it is, and the job goes on.  Raises InputError for an answer that is neither
        true nor false, and WaitTimeout when the job still runs after ``timeout`` seconds.
        """
        checked_callable(predicate, "stop_when's function of a frame")
        deadline = None if timeout is None else time.monotonic() + timeout
        with closing(self._growing(deadline)) as frames:
            for frame in frames:
                if _truth(predicate(frame)):
                    self.cancel(now)
                    return self
        if timeout is not None and not self.done():
            raise self._still_running(timeout)
        return self

    async def _final(self) -> Self:
        async with display.awaited(self):
            return await super()._final()

    def add_done_callback(self, function: Callable[[JobHandle], object]) -> None:
        """Call ``function(handle)`` in this kernel when the job is final.  It dies with the kernel."""

        def watch() -> None:
            self.wait()
            function(self)

        threading.Thread(target=watch, name=f"nbcluster-callback-{self.id}", daemon=True).start()

    def subscribe(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call ``callback()`` from a background thread when something changed; gives the function that ends it."""
        return self._store.wakeup.subscribe(job_topic(self.id), callback)

    def snapshot(self) -> JobSnapshot:
        """Everything the live view shows, as plain values."""
        return self._snapshots.take()

    def watch(self) -> None:
        """Show it live in the running cell, whoever submitted it; the view goes on until the job ends.

        Raises InputError outside of a notebook.
        """
        display.watch(self)

    def timeline(self) -> Timeline:
        """One row an event and partition, by time: time (UTC), phase, step, partition, attempt, node, seconds.

        Times are the database's; ``seconds`` counts from RECEIVED.  When a partition that may
        run again elsewhere STARTED is taken from its end and its length.  A DataFrame that
        shows itself, and what is left of it after a selection, as a picture of who did what when.
        """
        from nbcluster.frames import timeline_frame

        return timeline_frame(moments(self._store.history.job(self.id)), self.name)

    def plot(self, kind: str | None = None, figsize: tuple[float, float] | None = None) -> Picture:
        """A picture of the job: a matplotlib Figure that shows itself in a notebook; ``savefig`` keeps it.

        ``"gantt"``: a bar for each attempt, by node and slot, with what failed, was repeated, was lost and moved
        (how busy each node was, when there are too many for bars).  ``"throughput"``: states and items per second
        over time.  ``"durations"``: how long partitions took, with names for stragglers.  ``"scaling"``: seconds
        of all completed runs of the same name, code and input against the slots that worked for them.  Without a
        kind: an overview of the first three.  ``figsize`` in inches.  Raises InputError for another kind.
        """
        from nbcluster.plots import figures

        if figures.checked(kind) == figures.SCALING:
            return figures.of_executions(self.name, self._store.spans.executions(self.id), figsize)
        return figures.of_story(kind, self._story(), figsize)

    def _story(self) -> Story:
        from nbcluster.plots.runs import story_of

        row = self._cluster.row_of(self.id)
        slots = {node.node_id: node.slots for node in self._store.nodes.all() if node.slots}
        return story_of(row.name, row.status.value, row.elapsed, self._store.spans.of_job(self.id), slots)

    def overhead(self) -> float:
        """Seconds between RECEIVED and COMPLETION_DETECTED in which no partition ran: what coordination cost.

        Waits for the end.  Of an execution that ``resume()`` made, counted from there.
        """
        self.wait()
        return overhead(self._store.history.job(self.id)) or 0.0

    # --- control ----------------------------------------------------------------------

    def cancel(self, now: bool = False, wait: bool = True) -> None:
        """Stop the job: running partitions get SIGINT and are then killed; what is finished stays.

        With ``now`` they are killed at once: busy loops and native code stop too.  With
        ``wait`` returns when nothing runs any more.
        """
        how = StopRequest.NOW if now else StopRequest.STOP
        if self._store.coordination.request_stop(self.id, how) and wait:
            self.wait()

    def pause(self) -> None:
        """Let no more partitions begin until ``resume()``; those that run, run on.

        Raises InputError when the job has ended or is being stopped.
        """
        if not self._store.coordination.pause(self.id, paused=True) and not self._store.coordination.paused(self.id):
            state = self._progress().status
            why = "it is being stopped" if state is JobStatus.STARTED else f"it is {state}"
            raise InputError(f"{self.name} cannot be paused: {why}")

    def resume(self) -> JobHandle:
        """Let a paused job go on; or go on with a stopped or failed one: a new execution with the stored split.

        Only unfinished partitions run.  This handle follows the new execution.  Raises
        InputError when there is nothing to go on with.
        """
        if self._store.coordination.pause(self.id, paused=False):
            return self
        return self._go_on("resumed")

    def retry(self, partition: int | None = None) -> JobHandle:
        """Run ``partition`` again, whatever became of it; without a number, all that is not COMPLETED.

        A new execution with the stored split, which this handle follows; what follows from
        the partition (later steps, the aggregation) is computed again.  Raises InputError
        while the job runs, and when nothing of it failed.
        """
        if partition is None:
            return self._go_on("retried")
        return self._go_on("retried", [self._check_partition(partition)])

    def delete(self) -> None:
        """Delete the job for good: all its executions, results, output, history, and its values in files.

        Rows that ``into=`` wrote stay.  Raises InputError while it runs, and when other jobs took over results of it
        from the cache; UnknownJob when it is gone already.
        """
        deleted = self._store.deletions.delete(self.uid)
        if deleted.running:
            raise InputError(f"{self.name} is running and cannot be deleted; cancel() it first")
        if deleted.takers:
            listed = ", ".join(map(str, deleted.takers[:_NAMED]))
            more = f" and {len(deleted.takers) - _NAMED} more" if len(deleted.takers) > _NAMED else ""
            raise InputError(
                f"{self.name} cannot be deleted: results of it were taken over from the cache by job {listed}{more}; "
                "delete those first"
            )
        if not deleted.executions:
            raise UnknownJob(f"job {self.id} is gone")
        self._store.transport.drop_all(deleted.left)

    def _go_on(self, what: str, again: Sequence[int] = ()) -> JobHandle:
        row = self._cluster.resume_job(self._row, again)
        if row is None:
            raise InputError(f"{self.name} cannot be {what}: {self._why_not(again)}")
        self._follow(row)
        return self

    def _why_not(self, again: Sequence[int]) -> str:
        state = self._progress().status
        if state is JobStatus.STARTED:
            return "it is being stopped; wait() for its end" if self._progress().stop_requested else "it is running"
        if state is JobStatus.COMPLETED and not again:
            return "it is complete"
        if self._store.views.job(self.id) is None:
            raise UnknownJob(f"job {self.id} is gone")
        return f"a newer execution of it exists; use job({self.name!r})"


def _truth(answer: object) -> bool:
    """Whether a predicate said yes.  Raises InputError for what is neither true nor false, such as a whole column."""
    try:
        return bool(answer)
    except ValueError:
        raise InputError(
            f"stop_when: the function gave a {type(answer).__name__}; let it give one True or False, as .any() does"
        ) from None
