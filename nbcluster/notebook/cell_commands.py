"""The cell magics: the header's items and the body's function go to the api, and the cell follows the job."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nbcluster.notebook import header
from nbcluster.notebook.arguments import Arguments
from nbcluster.notebook.body import Cell, Step, build
from nbcluster.notebook.complaints import from_cell, usage
from nbcluster.notebook.following import follow, show
from nbcluster.notebook.session import Session, say

if TYPE_CHECKING:
    from nbcluster.handle import JobHandle

_MAGIC = "%%nbcluster "
_PASSED_ON = (
    "chunk", "partitions", "nodes", "max_capture", "fresh", "cache", "retries", "retry_on", "retry_wait", "timeout",
    "max_errors", "priority", "require", "pin", "ship", "into", "if_exists", "results",
)  # fmt: skip
_FUNCTIONS = ("aggregate", "on_success", "on_failure")


def run(session: Session, arguments: Arguments, line: str, body: str) -> Any:
    """Run the cell.  Returns a value for the notebook to show only for ``local`` and ``sql`` without ``-o``."""
    if arguments.command == "sql":
        from nbcluster.notebook import sql_command

        return sql_command.run(session, arguments, body)
    cell = Cell(f"{_MAGIC}{line}", body, arguments.name or arguments.out or arguments.command)
    with usage():
        target = header.parse(arguments.header, arguments.magic, len(_MAGIC)) if arguments.header else None
    with from_cell(session.shell, cell.filename):
        # The function first: a body that cannot run should not wait for a costly header.
        with usage():
            step = build(cell, target, session.namespace, session.shell.compile.flags)
        items = None if target is None else _evaluate(target, cell, session)
        if arguments.command == "local":
            return _local(session, arguments, step, items)
        if arguments.dry_run or arguments.sample:
            return _plan(session, arguments, cell, step, items)
    _follow(session, arguments, _submit(session, arguments, cell, step, items))
    return None


def _evaluate(target: header.Header, cell: Cell, session: Session) -> Any:
    code = compile(target.expression, cell.filename, "eval", dont_inherit=True)
    return eval(code, session.namespace)  # noqa: S307 -- the reader's own expression, in the reader's own names


def _submit(session: Session, arguments: Arguments, cell: Cell, step: Step, items: Any) -> JobHandle:
    cluster = session.cluster
    options = _options(session, arguments, cell)
    if arguments.command == "submit":
        return cluster.call(step.function, **options)
    if arguments.command == "map_partitions":
        return cluster.map_partitions(step.function, items, **options)
    fan_out = cluster.starmap if step.spread else cluster.map
    return fan_out(step.function, items, **options)


def _plan(session: Session, arguments: Arguments, cell: Cell, step: Step, items: Any) -> Any:
    how = "starmap" if step.spread and arguments.command == "map" else arguments.command
    given = {} if arguments.command == "submit" else {"items": items}
    options = _options(session, arguments, cell)
    return session.cluster.plan(step.function, **given, how=how, sample=arguments.sample or 0, **options)


def _options(session: Session, arguments: Arguments, cell: Cell) -> dict[str, Any]:
    options: dict[str, Any] = {"name": arguments.name or arguments.out, "source": cell.text}
    options["transferable"] = arguments.transferable
    options["announce"] = False  # the cell says it itself
    for key in _PASSED_ON:
        value = getattr(arguments, key)
        if value is not None and value is not False and value != ():
            options[key] = value
    if not arguments.beside:
        options["ship"] = False
    options |= {key: _function(session, getattr(arguments, key)) for key in _FUNCTIONS if getattr(arguments, key)}
    if arguments.strategy is not None:
        # A strategy may be a function or class of the notebook.
        own = session.namespace.get(arguments.strategy)
        options["strategy"] = own if callable(own) else arguments.strategy
    return options


def _function(session: Session, name: str) -> Any:
    """A function of the notebook, or the name itself: there are folds that need no function."""
    own = session.namespace.get(name)
    return own if callable(own) else name


def _follow(session: Session, arguments: Arguments, handle: JobHandle) -> None:
    variable = session.bind(handle, arguments.out)
    way = session.way(arguments.progress, arguments.quiet)
    if handle.note and way != "none":
        say(f"{handle.note}; --fresh runs it again")
    if arguments.block:
        follow(handle, way, session.shell, variable=variable, collect=arguments.on_error == "collect")
    else:
        show(handle, way, session.shell)


def _local(session: Session, arguments: Arguments, step: Step, items: Any) -> Any:
    from nbcluster.notebook.local_job import LocalJob

    job = LocalJob(arguments.name or arguments.out or "local", step, items, collect=arguments.on_error == "collect")
    session.bind(job, arguments.out)
    return None if arguments.out or arguments.quiet else job.frame()
