"""The line magics: each parses nothing and decides nothing, it asks the api and shows the answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from nbcluster.diagnosing.diagnosis import listed
from nbcluster.notebook import debug_commands, watch_commands
from nbcluster.notebook import help as texts
from nbcluster.notebook.arguments import Arguments
from nbcluster.notebook.complaints import usage
from nbcluster.notebook.following import follow, show
from nbcluster.notebook.model import clean, count, resume, way_on
from nbcluster.notebook.session import Session, say

if TYPE_CHECKING:
    from nbcluster.handle import JobHandle


_OWN_JOBS = 5
"""Jobs that the status names."""


def run(session: Session, arguments: Arguments) -> Any:
    """Do what the line says; returns what the notebook is to show as its value."""
    __tracebackhide__ = True
    return _COMMANDS[arguments.command](session, arguments)


def _status(session: Session, arguments: Arguments) -> None:
    seen = session.cluster.overview()
    waiting = f", {count(seen.waiting_partitions, 'partition')} waiting" if seen.waiting_partitions else ""
    mine = f" (yours: {_own(seen.mine)})" if seen.mine else ""
    say(f"{seen.url}: {_alive(seen.nodes, seen.slots)}; {count(seen.running_jobs, 'job')} running{mine}{waiting}")


def _own(jobs: Sequence[tuple[str, int, int]]) -> str:
    """``collatz 41%, scores 7%``."""
    return listed([f"{clean(name, 40)} {done / items if items else 1:.0%}" for name, done, items in jobs], _OWN_JOBS)


def _alive(nodes: int, slots: int) -> str:
    return f"{count(nodes, 'node')} alive with {count(slots, 'slot')}" if nodes else "no node alive"


def _connect(session: Session, arguments: Arguments) -> None:
    cluster = session.connect(arguments.url)
    seen = cluster.overview()
    say(f"connected to {cluster.url} (schema version {cluster.schema_version}): {_alive(seen.nodes, seen.slots)}")


def _up(session: Session, arguments: Arguments) -> None:
    started = session.cluster.up(arguments.count or 1, slots=arguments.slots)
    say(f"{count(len(started), 'node')} ready on this machine")


def _down(session: Session, arguments: Arguments) -> None:
    say(f"{count(session.cluster.down(), 'node')} stopped")


def _nodes(session: Session, arguments: Arguments) -> Any:
    return session.cluster.nodes(all=arguments.all)


def _jobs(session: Session, arguments: Arguments) -> Any:
    return session.cluster.jobs(all=arguments.all, since=arguments.since)


def _attach(session: Session, arguments: Arguments) -> None:
    handle = session.cluster.job(arguments.job)
    _bind(session, handle, arguments.out)
    show(handle, session.way(arguments.progress, arguments.quiet), session.shell)


def _cancel(session: Session, arguments: Arguments) -> None:
    handle = session.cluster.job(arguments.job)
    handle.cancel(wait=True, now=arguments.now)
    say(way_on(handle.snapshot()))


def _pause(session: Session, arguments: Arguments) -> None:
    handle = session.cluster.job(arguments.job)
    handle.pause()
    seen = handle.snapshot()
    running = f"; {count(seen.partitions['CLAIMED'], 'partition')} still running" if seen.partitions["CLAIMED"] else ""
    say(f"{clean(handle.name)}: paused{running}. To go on: {resume(handle.name)}")


def _drain(session: Session, arguments: Arguments) -> None:
    drained = session.cluster.drain(arguments.node)
    say(f"{', '.join(drained)} will finish what it runs, and then leave")


def _resume(session: Session, arguments: Arguments) -> None:
    _go_on(session, arguments, session.cluster.job(arguments.job).resume())


def _retry(session: Session, arguments: Arguments) -> None:
    _go_on(session, arguments, session.cluster.job(arguments.job).retry(arguments.partition))


def _go_on(session: Session, arguments: Arguments, handle: JobHandle) -> None:
    variable = _bind(session, handle, arguments.out)
    way = session.way(arguments.progress, arguments.quiet)
    if arguments.block:
        follow(handle, way, session.shell, variable=variable, collect=arguments.on_error == "collect")
    else:
        show(handle, way, session.shell)


def _bind(session: Session, handle: JobHandle, out: str | None) -> str:
    return session.bind(handle, out or session.free_name(handle))


def _help(session: Session, arguments: Arguments) -> None:
    with usage():
        say(texts.topic(arguments.topic) if arguments.topic else texts.overview())


_COMMANDS: dict[str, Callable[[Session, Arguments], Any]] = {
    "status": _status,
    "connect": _connect,
    "up": _up,
    "down": _down,
    "nodes": _nodes,
    "jobs": _jobs,
    "partitions": debug_commands.partitions,
    "watch": watch_commands.watch,
    "doctor": watch_commands.doctor,
    "attach": _attach,
    "cancel": _cancel,
    "pause": _pause,
    "resume": _resume,
    "retry": _retry,
    "drain": _drain,
    "logs": debug_commands.logs,
    "error": debug_commands.error,
    "replay": debug_commands.replay,
    "help": _help,
}
