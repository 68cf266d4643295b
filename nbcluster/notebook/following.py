"""Waiting for a job in a cell: the view, the stop button, and how the cell ends."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nbcluster.errors import JobError, JobFailed, JobStopped
from nbcluster.lifecycle import JobStatus
from nbcluster.notebook import places
from nbcluster.notebook.complaints import shortened
from nbcluster.notebook.dashboard import LiveView, of_job
from nbcluster.notebook.front_end import kernel_is_ending, shows_while_running, way_to_show
from nbcluster.notebook.job_view import JobView, blocking_words
from nbcluster.notebook.model import View, attach, left_behind, view_of, way_on
from nbcluster.notebook.render import JOB
from nbcluster.notebook.skins import skin_for

if TYPE_CHECKING:
    from nbcluster.handle import JobHandle


def show(handle: JobHandle, wanted: str, shell: Any) -> None:
    """Show a job without waiting for it: a live view ends with the job, other views show how it is now."""
    way = way_to_show(wanted, shell)
    if shows_while_running(way):
        view = JobView(handle, way)
        places.take(shell, view.finish)
        view.open()
    else:
        skin_for(way, JOB).end(view_of(handle.snapshot()))


def follow(handle: JobHandle, wanted: str, shell: Any, *, variable: str, collect: bool) -> None:
    """Show a job and wait for its end.

    The stop button stops the job and keeps what is finished; pressed again it leaves at once.  The end of the
    kernel stops nothing.
    Raises JobFailed (unless errors are to be collected) or JobStopped, shown as one line.
    """
    way = way_to_show(wanted, shell)
    view = LiveView(of_job(handle), skin_for(way, JOB, blocking_words(way)))
    try:
        view.start()
        handle.wait()
    except KeyboardInterrupt:
        raise _interrupted(handle, view, variable, shell) from None
    finally:
        view.finish()
    error = _ending(handle, variable, collect)
    if error is not None:
        raise shortened(error, shell)


def _interrupted(handle: JobHandle, view: LiveView[View], variable: str, shell: Any) -> KeyboardInterrupt:
    try:
        if kernel_is_ending(shell):
            # A restart or shutdown of the kernel is no wish to stop the job: the nodes go on.
            view.leave()
            return shortened(KeyboardInterrupt(left_behind(handle.name)), shell)
        handle.cancel(wait=True)
        said = way_on(handle.snapshot(), variable)
    except KeyboardInterrupt:
        said = f"{handle.name}: left while it stops; look at it again with {attach(handle.name)}"
    return shortened(KeyboardInterrupt(said), shell)


def _ending(handle: JobHandle, variable: str, collect: bool) -> JobError | None:
    snapshot = handle.snapshot()
    if snapshot.status == JobStatus.FAILED and not collect:
        return JobFailed(
            f"{handle.failure(variable)}\nSee {variable}.errors(); everything else is in {variable}.frame()"
        )
    if snapshot.status == JobStatus.STOPPED:
        return JobStopped(way_on(snapshot, variable))
    return None
