"""``--show``: the Python that a magic stands for, as text to be taken to a script, to marimo or to a colleague.

Only text: nothing is connected to, evaluated or run.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from nbcluster.config import load_settings
from nbcluster.notebook import body as bodies
from nbcluster.notebook import header
from nbcluster.notebook.arguments import Arguments
from nbcluster.notebook.definition import argument, definition, unused
from nbcluster.notebook.session import Session

_WIDEST = 96
_PASSWORD = re.compile(r"(://[^:/@]*):[^@]*@")
_PASSED_ON = (
    "chunk", "partitions", "strategy", "nodes", "max_capture", "fresh", "cache", "retries", "retry_on", "retry_wait",
    "timeout", "max_errors", "priority", "require", "pin", "ship", "into", "if_exists", "results", "aggregate",
    "on_success", "on_failure",
)  # fmt: skip
_OBJECTS = ("strategy", "aggregate", "on_success", "on_failure")
"""Options that may name a function of the notebook."""


def of_line(session: Session, arguments: Arguments) -> str:
    """The call of a line magic."""
    if arguments.command == "connect":
        return f"{_IMPORT}\n\n{_connection(session, arguments.url)}"
    return "\n".join([_head(session), *_LINES[arguments.command](arguments)])


def of_cell(session: Session, arguments: Arguments, cell: str) -> str:
    """The function and the call of a cell magic.  Raises InputError for a body or a header that makes no sense."""
    if arguments.command == "sql":
        return _question(session, arguments, cell)
    said = _Said.of(arguments, cell)
    if arguments.command == "local":
        imported = ["from itertools import starmap", "", ""] if said.spread else []
        return "\n".join([*imported, said.function, "", "", said.here()])
    options = _options(session, arguments)
    if arguments.dry_run or arguments.sample:
        return "\n".join([_head(session), "", "", said.function, "", "", said.planned(arguments.sample, options)])
    waiting = _waiting(arguments, said.variable, single=arguments.command == "submit")
    return "\n".join([_head(session), "", "", said.function, "", "", said.there(options), *waiting])


def _question(session: Session, arguments: Arguments, cell: str) -> str:
    """The call of ``sql``: what the query names with a colon comes from variables of that name."""
    from nbcluster.query import parsed

    given = "".join(f", {name}={name}" for name in sorted(parsed(cell).parameters))
    query = cell.strip().replace("\\", "\\\\").replace('"""', '\\"\\"\\"')
    return f'{_head(session)}\n{arguments.out or "answer"} = nc.sql("""\n{query}\n"""{given})'


@dataclass(frozen=True, slots=True)
class _Said:
    """What a cell says: its function as text, and what it is called with."""

    command: str
    variable: str
    function: str
    name: str
    items: str | None
    spread: bool

    @classmethod
    def of(cls, arguments: Arguments, cell: str) -> _Said:
        target, taken, items = _loop(arguments)
        outline = bodies.outline(bodies.Cell(arguments.magic, cell, "cell"), target.names if target else ())
        variable = arguments.out or "job"
        if outline.function is not None:
            spread = target is not None and target.unpacks
            return cls(arguments.command, variable, outline.text.strip("\n"), outline.function, items, spread)
        name = unused(_function_name(arguments), outline.text, *([items] if items else []))
        parameter = first = ""
        if target is not None:
            parameter = bodies.ITEM if target.unpacks else target.names[0]
            first = f"{taken} = {parameter}" if target.unpacks else ""
        function = definition(outline.text, name, parameter, first)
        return cls(arguments.command, variable, function, name, items, spread=False)

    def there(self, options: list[str]) -> str:
        """The call that fans out."""
        if self.command == "submit":
            method = "call" if options else "submit"
        else:
            method = "starmap" if self.spread else self.command
        given = [self.name, *([argument(self.items)] if self.items else []), *options]
        return f"{self.variable} = {_call(f'nc.{method}', given)}"

    def planned(self, sample: int | None, options: list[str]) -> str:
        """The call that only tells."""
        how = "starmap" if self.spread and self.command == "map" else self.command
        given = [self.name, *([argument(self.items)] if self.items else []), *options]
        given += [f"how={_value(how)}"] * (how != "map") + [f"sample={sample}"] * bool(sample)
        return f"print({_call('nc.plan', given)})"

    def here(self) -> str:
        """The same in this process."""
        assert self.items is not None
        return f"{self.variable} = list({'starmap' if self.spread else 'map'}({self.name}, {argument(self.items)}))"


def _loop(arguments: Arguments) -> tuple[header.Header | None, str, str | None]:
    """The header, with its target and its expression as they were typed."""
    if arguments.header is None:
        return None, "", None
    target = header.parse(arguments.header, arguments.magic)
    text = f"for {arguments.header.text.removesuffix(':').rstrip()}: pass"
    loop = ast.parse(text).body[0]
    assert isinstance(loop, ast.For)
    return target, ast.get_source_segment(text, loop.target) or "", ast.get_source_segment(text, loop.iter)


def _function_name(arguments: Arguments) -> str:
    name = arguments.out or arguments.name or ""
    if arguments.command == "submit":
        return f"make_{name}" if name.isidentifier() else "task"
    return f"{name}_of" if name.isidentifier() else "each"


# --- pieces ---------------------------------------------------------------------------

_IMPORT = "import nbcluster as nb"


def _head(session: Session) -> str:
    return f"{_IMPORT}\n\n{_connection(session, None)}"


def _connection(session: Session, url: str | None) -> str:
    chosen = url or (session.connected.settings.url if session.connected is not None else session.url)
    if not chosen or chosen == load_settings({}).url:
        return "nc = nb.connect()"
    shown = _PASSWORD.sub(r"\1:...@", chosen)
    if shown != chosen:
        return f"nc = nb.connect()  # NBCLUSTER_URL, in the environment, is {shown}"
    return f"nc = nb.connect({_value(chosen)})"


def _options(session: Session, arguments: Arguments) -> list[str]:
    """Those that the line gave, as keyword arguments."""
    name = arguments.name or arguments.out
    given = [f"name={_value(name)}"] if name else []
    for option in _PASSED_ON:
        value = getattr(arguments, option)
        if value is None or value is False or value == ():
            continue
        own = option in _OBJECTS and callable(session.namespace.get(value))
        given.append(f"{option}={value if own else _value(value)}")
    given += [] if arguments.beside else ["ship=False"]
    return given if arguments.transferable else [*given, "transferable=False"]


def _waiting(arguments: Arguments, variable: str, *, single: bool = False) -> list[str]:
    if not arguments.block:
        return []
    if arguments.on_error == "collect":
        return [f"{variable}.wait()"]
    one = single or arguments.aggregate is not None
    return [f"{variable}.{'result' if one else 'results'}()  # waits; raises if something failed"]


def _call(function: str, given: list[str]) -> str:
    line = f"{function}({', '.join(given)})"
    if len(line) <= _WIDEST:
        return line
    return "\n".join([f"{function}(", *(f"    {one}," for one in given), ")"])


def _value(value: object) -> str:
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, tuple):
        return f"[{', '.join(map(_value, value))}]"
    text = repr(value)
    return f'"{text[1:-1]}"' if isinstance(value, str) and '"' not in text else text


# --- lines ----------------------------------------------------------------------------


def _job(arguments: Arguments) -> str:
    return arguments.job if arguments.job.isdecimal() else _value(arguments.job)


def _step(arguments: Arguments) -> str:
    step = f".step({_value(arguments.step)})" if arguments.step else ""
    return f"nc.job({_job(arguments)}){step}"


def _bound(arguments: Arguments) -> str:
    return arguments.out or (arguments.job if arguments.job.isidentifier() else "job")


def _given(*pairs: tuple[str, Any]) -> list[str]:
    """Arguments of a call; by name, unless the name is empty; those that were not given are left out."""
    return [f"{name}={_value(v)}" if name else _value(v) for name, v in pairs if v is not None and v is not False]


def _up(a: Arguments) -> list[str]:
    return [_call("nc.up", _given(("", a.count or 1), ("slots", a.slots)))]


def _partitions(a: Arguments) -> list[str]:
    return [f"{_step(a)}.partitions()" if a.step else f"nc.partitions({_job(a)})"]


def _attach(a: Arguments) -> list[str]:
    return [f"{_bound(a)} = nc.job({_job(a)})"]


def _cancel(a: Arguments) -> list[str]:
    return [_call("nc.cancel", [_job(a), *_given(("now", a.now))])]


def _go_on(a: Arguments) -> list[str]:
    call = _call(f"nc.{a.command}", [_job(a), *_given(("", a.partition))])
    return [f"{_bound(a)} = {call}", *_waiting(a, _bound(a))]


def _logs(a: Arguments) -> list[str]:
    return [f"print({_call(f'{_step(a)}.logs', _given(('', a.partition), ('tail', a.tail)))})"]


def _error(a: Arguments) -> list[str]:
    return [f"print({_call(f'{_step(a)}.traceback', _given(('', a.partition)))})"]


def _replay(a: Arguments) -> list[str]:
    options = _given(("", a.partition), ("pdb", a.pdb), ("attempt", a.attempt))
    return [f"values = {_call(f'{_step(a)}.replay', options)}"]


_LINES: dict[str, Callable[[Arguments], list[str]]] = {
    "status": lambda _a: ["nc.overview()"],
    "up": _up,
    "down": lambda _a: ["nc.down()"],
    "nodes": lambda a: [_call("nc.nodes", _given(("all", a.all)))],
    "jobs": lambda a: [_call("nc.jobs", _given(("all", a.all), ("since", a.since)))],
    "partitions": _partitions,
    "watch": lambda a: [f"nc.job({_job(a)}).watch()" if a.job else "nc.watch()"],
    "doctor": lambda _a: ["print(nc.doctor())"],
    "attach": _attach,
    "cancel": _cancel,
    "pause": lambda a: [f"nc.pause({_job(a)})"],
    "resume": _go_on,
    "retry": _go_on,
    "drain": lambda a: [f"nc.drain({_value(a.node)})"],
    "logs": _logs,
    "error": _error,
    "replay": _replay,
}
