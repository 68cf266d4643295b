"""Looking into what went wrong: ``error``, ``logs``, ``partitions`` and ``replay``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from nbcluster.notebook.arguments import Arguments
from nbcluster.notebook.complaints import from_users_frames, shortened
from nbcluster.notebook.front_end import can_type
from nbcluster.notebook.session import Session, say
from nbcluster.notebook.wording import clean, clean_block, replay_line

if TYPE_CHECKING:
    from nbcluster.looking import StepHandle


def _step(session: Session, arguments: Arguments) -> StepHandle:
    handle = session.cluster.job(arguments.job)
    return handle if arguments.step is None else handle.step(arguments.step)


def partitions(session: Session, arguments: Arguments) -> Any:
    """A frame of the partitions."""
    return _step(session, arguments).partitions()


def logs(session: Session, arguments: Arguments) -> None:
    """What a partition printed, or the last lines of the job."""
    step = _step(session, arguments)
    text = step.logs(arguments.partition, arguments.tail)
    say(clean_block(text, longest=len(text)) if text else "nothing was printed")


def error(session: Session, arguments: Arguments) -> None:
    """The traceback of a partition, or each kind of error with its first traceback."""

    def line(partition: int) -> str:
        return replay_line(arguments.job, partition, arguments.step)

    text = _step(session, arguments).traceback(arguments.partition, line)
    if not text:
        what = clean(arguments.job) if arguments.partition is None else f"partition {arguments.partition}"
        say(f"{what}: nothing failed")
        return
    say(clean_block(text, longest=len(text)))
    if arguments.partition is not None:
        say(f"\nTo run it here: {line(arguments.partition)}")


def replay(session: Session, arguments: Arguments) -> Any:
    """Run a partition here; gives its values."""
    __tracebackhide__ = True
    assert arguments.partition is not None
    ready = _step(session, arguments).prepare_replay(arguments.partition, arguments.attempt)
    if ready.warning:
        say(ready.warning)
    with from_users_frames(session.shell):
        values = ready.run(pdb=arguments.pdb)
    say(ready.passed())
    return values


def post_mortem(error: BaseException, shell: Any) -> None:
    """The traceback, then IPython's debugger; what is raised afterwards shows itself as one line only."""
    trace = error.__traceback__
    lines = shell.InteractiveTB.structured_traceback(type(error), error, trace, tb_offset=0)
    say(shell.InteractiveTB.stb2text(lines))
    if not can_type(shell):
        say("This front end sends nothing to the debugger; %debug in one that does looks at the same frames.")
        return
    # Where IPython itself puts an exception before %debug looks at it.
    sys.last_type, sys.last_value, sys.last_traceback = type(error), error, trace
    shell.debugger(force=True)
    shortened(error, shell)
