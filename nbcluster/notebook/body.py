"""The text of a cell as a function of one item.

Two shapes of ordinary notebook code, which ran in a plain cell a minute ago:

* ordinary code: its last expression is the value, the header's names are its parameters;
* imports and definitions only: run in the notebook's namespace, and the last function is the one.

Either way the code keeps the cell's own line numbers (the magic's line is line 1) under a file name that
``linecache`` knows, so a traceback shows the cell's lines here and, as they travel with the function, there.
The function's globals are the notebook's namespace: what the body refers to is found when it is shipped.
"""

from __future__ import annotations
import __future__

import ast
import hashlib
import inspect
import keyword
import linecache
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from nbcluster.errors import InputError
from nbcluster.notebook import refusals
from nbcluster.notebook.header import Header

_FUTURES = sum(getattr(__future__, name).compiler_flag for name in __future__.all_feature_names)
ITEM = "_item"
_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
_NOT_PYTHON = re.compile(r"\s*[%!?]|\s*[\w., ]+=\s*[%!]|.*\?\s*$")


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell as it was typed: the magic's line, the body, and the name that tracebacks give it."""

    line: str
    body: str
    name: str

    @property
    def text(self) -> str:
        """All of it."""
        return f"{self.line}\n{self.body}"

    @property
    def filename(self) -> str:
        """The name in tracebacks; the digest keeps two versions of a cell apart."""
        digest = hashlib.sha256(self.text.encode("utf-8", "surrogatepass")).hexdigest()[:6]
        return f"<{self.name} cell {digest}>"

    def remember(self) -> None:
        """Let ``linecache`` know the lines; an entry without a time is never dropped."""
        linecache.cache[self.filename] = (len(self.text), None, self.text.splitlines(keepends=True), self.filename)


@dataclass(frozen=True, slots=True)
class Step:
    """The function of a cell; ``spread`` means that it wants an item's parts as arguments: ``f(*item)``."""

    function: Callable[..., Any]
    spread: bool = False


def build(cell: Cell, header: Header | None, namespace: dict[str, Any], flags: int = 0) -> Step:
    """The cell's function; without a header it takes no argument.

    ``flags`` are the notebook's compiler flags (its ``from __future__`` imports).
    Raises InputError; an exception of the cell's own imports and definitions passes through.
    """
    cell.remember()
    tree = _parse(cell)
    if _is_module(tree):
        return _from_definitions(cell, tree, header, namespace, flags)
    refusals.check(tree, header.names if header else ())
    function = _ordinary(tree, header, cell.name)
    scratch: dict[str, Any] = {}
    exec(_compile(cell, ast.Module([function], []), flags), namespace, scratch)
    return Step(scratch[function.name])


@dataclass(frozen=True, slots=True)
class Outline:
    """What a cell's body is: its text without what it is indented by as a whole, and the function that it defines.

    ``function`` is None for ordinary code.
    """

    text: str
    function: str | None


def outline(cell: Cell, parameters: tuple[str, ...]) -> Outline:
    """The same body that ``build`` makes a function of, unchanged and not run.  Raises InputError."""
    tree = _parse(cell)
    if _is_module(tree):
        return Outline(_dedented(cell), _last_function(tree).name)
    refusals.check(tree, parameters)
    _check_value(tree)
    return Outline(_dedented(cell), None)


def _dedented(cell: Cell) -> str:
    """IPython accepts a cell that is indented as a whole; so does this."""
    lines = cell.body.splitlines(keepends=True)
    first = next((line for line in lines if line.strip()), "")
    indent = len(first) - len(first.lstrip())
    if indent and all(not line.strip() or line[:indent].isspace() for line in lines):
        lines = [line[indent:] if line.strip() else line for line in lines]
    return "".join(lines)


def _parse(cell: Cell) -> ast.Module:
    try:
        tree = ast.parse("\n" + _dedented(cell), filename=cell.filename)
    except (SyntaxError, ValueError) as error:
        raise _no_python(cell, error) from None
    if not tree.body:
        raise InputError("the cell has no body; write what is to be done with each item below the magic's line")
    return tree


def _no_python(cell: Cell, error: SyntaxError | ValueError) -> InputError:
    number = getattr(error, "lineno", None)
    lines = cell.text.splitlines()
    if number is None or not 1 <= number <= len(lines):
        return InputError(f"the cell's body is no Python: {error}")
    line = lines[number - 1]
    if _NOT_PYTHON.match(line):
        return InputError(f"line {number}: `{line.strip()}` is IPython's own syntax; a node runs plain Python")
    reason = error.msg if isinstance(error, SyntaxError) else str(error)
    column = max(0, (getattr(error, "offset", 1) or 1) - 1)
    return InputError(f"line {number}: {reason}\n    {line}\n    {' ' * column}^")


def _is_module(tree: ast.Module) -> bool:
    """Whether the body holds imports and definitions only (a docstring may come first)."""
    statements = tree.body[1:] if ast.get_docstring(tree, clean=False) is not None else tree.body
    return bool(statements) and all(
        isinstance(statement, (ast.Import, ast.ImportFrom, *_DEFINITIONS)) for statement in statements
    )


def _ordinary(tree: ast.Module, header: Header | None, name: str) -> ast.FunctionDef:
    last = _check_value(tree)
    statements = list(tree.body)
    if isinstance(last, ast.Expr):
        statements[-1] = ast.copy_location(ast.Return(last.value), last)
    parameters: list[ast.arg] = []
    if header is not None:
        single = header.target.id if isinstance(header.target, ast.Name) else ITEM
        parameters = [ast.arg(single, lineno=1, col_offset=0)]
        if header.unpacks:
            taken = ast.Assign([header.target], ast.Name(ITEM, ast.Load()), lineno=1, col_offset=0)
            statements.insert(0, taken)
    function = ast.FunctionDef(
        name=name if name.isidentifier() and not keyword.iskeyword(name) else "cell",
        args=ast.arguments(posonlyargs=[], args=parameters, kwonlyargs=[], kw_defaults=[], defaults=[]),
        body=statements,
        decorator_list=[],
        lineno=1,
        col_offset=0,
    )
    return ast.fix_missing_locations(function)


def _check_value(tree: ast.Module) -> ast.stmt:
    """The last statement, which may give the value.  Raises InputError where it can give none."""
    last = tree.body[-1]
    if isinstance(last, _DEFINITIONS):
        raise InputError(
            f"line {last.lineno}: the body ends with the definition of `{last.name}`, which gives no value; "
            f"end it with an expression such as {last.name}(...), or keep imports and definitions only"
        )
    return last


def _compile(cell: Cell, tree: ast.Module, flags: int) -> Any:
    try:
        # Without dont_inherit this file's own __future__ imports would change the meaning of the cell.
        return compile(tree, cell.filename, "exec", flags=flags & _FUTURES, dont_inherit=True)
    except (SyntaxError, ValueError) as error:
        raise _no_python(cell, error) from None


def _from_definitions(
    cell: Cell, tree: ast.Module, header: Header | None, namespace: dict[str, Any], flags: int
) -> Step:
    last = _last_function(tree)
    exec(_compile(cell, tree, flags), namespace)
    function = namespace[last.name]
    spread = header is not None and header.unpacks
    _check_arguments(function, last, header)
    return Step(function, spread)


def _last_function(tree: ast.Module) -> ast.FunctionDef:
    """The one that is mapped.  Raises InputError."""
    functions = [node for node in tree.body if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))]
    if not functions:
        raise InputError("the body defines no function; write what is to be done with each item")
    last = functions[-1]
    if isinstance(last, ast.AsyncFunctionDef):
        raise InputError(f"line {last.lineno}: `async def {last.name}` cannot be mapped; write a plain def")
    return last


def _check_arguments(function: Any, definition: ast.FunctionDef, header: Header | None) -> None:
    """Say now, and not on every node, that the target and the function do not fit."""
    target = header.target if header else None
    if isinstance(target, (ast.Tuple, ast.List)) and any(isinstance(part, ast.Starred) for part in target.elts):
        return  # any number of parts
    parts = len(target.elts) if isinstance(target, (ast.Tuple, ast.List)) else int(target is not None)
    try:
        inspect.signature(function).bind(*range(parts))
    except TypeError as error:
        gives = f"the target `{ast.unparse(target)}` gives {parts}" if target else "submit gives none"
        raise InputError(
            f"line {definition.lineno}: `{definition.name}` does not take what it would get ({error}): {gives}"
        ) from None
    except ValueError:
        return  # no signature to look at: the call will tell
