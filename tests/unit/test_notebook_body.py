"""The text of a cell as a function."""

from __future__ import annotations

import sys
import traceback
from typing import Any

import pytest

from nbcluster.errors import InputError
from nbcluster.notebook.body import Cell, Step, build
from nbcluster.notebook.commands import COMMANDS
from nbcluster.notebook.declared import CELL
from nbcluster.notebook.header import parse, separate

MAP = next(command for command in COMMANDS if command.name == "map" and command.kind == CELL)


def step(body: str, header: str | None = "n in xs", namespace: dict[str, Any] | None = None, flags: int = 0) -> Step:
    space = {"__name__": "__main__"} if namespace is None else namespace
    read = None if header is None else parse(separate(header, MAP.takes_value), "%%nbcluster map")
    return build(Cell(f"%%nbcluster map {header}", body, "collatz"), read, space, flags)


def test_the_last_expression_is_the_value() -> None:
    assert step("m = n + 1\nm * 2\n").function(3) == 8


def test_a_semicolon_silences_the_display_and_keeps_the_value() -> None:
    assert step("n * 2;").function(3) == 6


@pytest.mark.parametrize("body", ["m = n", "if n:\n    n", "for i in range(n):\n    i", "import math", "pass"])
def test_a_body_without_a_last_expression_gives_none(body: str) -> None:
    assert step(body + "\nm = 1").function(3) is None


@pytest.mark.parametrize(
    ("header", "item", "value"),
    [
        ("a, b in xs", (1, 2), 3),
        ("(a, b) in xs", [1, 2], 3),
        ("(a, (b, *_)) in xs", (1, (2, 3, 4)), 3),
        ("[a, b] in xs", "xy", "xy"),
    ],
)
def test_targets_are_taken_apart(header: str, item: Any, value: Any) -> None:
    made = step("a + b", header)
    assert made.function(item) == value
    assert not made.spread


def test_a_body_without_a_header_takes_nothing() -> None:
    assert step("x = 20\nx + 1", header=None).function() == 21


def test_names_of_the_notebook_are_seen_and_kept() -> None:
    space = {"__name__": "__main__", "factor": 10, "collatz": lambda x: x}
    made = step("factor = n\nfactor * 2", namespace=space)
    assert made.function(2) == 4
    assert space["factor"] == 10
    assert step("collatz(n) * factor", namespace=space).function(2) == 20
    assert made.function.__module__ == "__main__"
    assert made.function.__globals__ is space
    assert made.function.__name__ == "collatz"


def test_nested_functions_see_the_body() -> None:
    assert step("def twice(x):\n    return x * k\nk = 2\nsum(twice(i) for i in range(n))").function(3) == 6


def test_definitions_are_made_here_and_the_last_function_is_mapped() -> None:
    space: dict[str, Any] = {"__name__": "__main__"}
    made = step(
        '"""Two."""\nimport math\ndef f(x):\n    return x\nclass C:\n    pass\ndef g(x):\n    return f(x) + 1\n',
        namespace=space,
    )
    assert made.function is space["g"]
    assert made.function(1) == 2
    assert {"f", "g", "C", "math"} <= set(space)
    assert not made.spread


def test_a_class_after_the_function_changes_nothing() -> None:
    assert step("def f(x):\n    return C\nclass C:\n    pass").function(0).__name__ == "C"


def test_a_function_of_a_tuple_target_gets_the_parts() -> None:
    assert step("def f(a, b):\n    return a", "a, b in xs").spread
    assert step("def f(*parts):\n    return parts", "a, *b in xs").spread


@pytest.mark.parametrize(
    ("body", "header", "says"),
    [
        ("def f(a):\n    return a", "a, b in xs", "the target `(a, b)` gives 2"),
        ("def f(a, b):\n    return a", "a in xs", "the target `a` gives 1"),
        ("def f(a):\n    return a", None, "submit gives none"),
    ],
)
def test_a_function_that_does_not_fit_its_target(body: str, header: str | None, says: str) -> None:
    with pytest.raises(InputError) as caught:
        step(body, header)
    assert says in str(caught.value)
    assert str(caught.value).startswith("line 2: `f`")


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("", "the cell has no body"),
        ("   \n# nothing\n", "the cell has no body"),
        ("x = 1\nreturn x", "line 3: no `return` in a body"),
        ("if n:\n    return n\nn", "line 3: no `return`"),
        ("x = await n", "line 2: `await`"),
        ("yield n", "line 2: `yield`"),
        ("x = yield from n", "line 2: `yield from`"),
        ("async with n:\n    pass", "line 2: `async with`"),
        ("[x async for x in n]", "line 2: `async for`"),
        ("from math import *\nn", "line 2: name what is imported from math"),
        ("total += n\ntotal", "line 2: `total` is changed but never set"),
        ("x = 1\ndef f(n):\n    return x", "line 3: the body ends with the definition of `f`"),
        ("class C:\n    pass", "the body defines no function"),
        ("async def f(n):\n    return n", "line 2: `async def f` cannot be mapped"),
        ("x = 1\nx = = 2", "line 3: invalid syntax\n    x = = 2\n        ^"),
        ("x = (1,\nn", "line 2: '(' was never closed"),
        ("x = 1\n!ls", "line 3: `!ls` is IPython's own syntax"),
        ("%time n", "line 2: `%time n` is IPython's own syntax"),
        ("files = !ls", "line 2: `files = !ls` is IPython's own syntax"),
        ("n?", "line 2: `n?` is IPython's own syntax"),
        ("nonlocal x\nx", "line 2: no binding for nonlocal 'x' found"),
        ("break", "line 2: 'break' outside loop"),
    ],
)
def test_what_a_body_cannot_be(body: str, says: str) -> None:
    with pytest.raises(InputError) as caught:
        step(body)
    assert says in str(caught.value)


@pytest.mark.parametrize(
    "body",
    [
        "def f():\n    return 1\nf()",
        "f = lambda: (yield)\nn",
        "def g():\n    yield n\nlist(g())",
        "async def h():\n    await n\nn",
        "class C:\n    def m(self):\n        return 1\nC().m()",
        "total = 0\ntotal += n\ntotal",
        "n += 1\nn",
        "for t in [1]:\n    t += n\nt",
        "with open as t:\n    t += n",
        "import os as t\nt += n",
        "global t\nt += n",
        "match n:\n    case [*t]:\n        t += n\nn",
        "match n:\n    case {1: 2, **t}:\n        t += n\nn",
        "match n:\n    case t:\n        t += n\nn",
        "try:\n    n\nexcept ValueError as t:\n    t += n\nn",
    ],
)
def test_what_a_body_may_hold(body: str) -> None:
    step(body)


def test_a_cell_that_is_indented_as_a_whole_is_accepted() -> None:
    assert step("    m = n\n\n    m + 1\n").function(1) == 2


def test_tracebacks_show_the_cells_lines() -> None:
    made = step("a = 1\n\nb = a / n\nb")
    try:
        made.function(0)
    except ZeroDivisionError:
        frame = traceback.extract_tb(sys.exc_info()[2])[-1]
    assert (frame.lineno, frame.line, frame.name) == (4, "b = a / n", "collatz")
    assert frame.filename.startswith("<collatz cell ")


def test_definitions_show_the_cells_lines_too() -> None:
    made = step("import math\n\ndef f(x):\n    return math.sqrt(x)\n")
    try:
        made.function(-1)
    except ValueError:
        frame = traceback.extract_tb(sys.exc_info()[2])[-1]
    assert (frame.lineno, frame.line) == (5, "return math.sqrt(x)")


def test_an_unpacking_that_fails_points_at_the_header() -> None:
    try:
        step("a", "a, b in xs").function((1, 2, 3))
    except ValueError:
        frame = traceback.extract_tb(sys.exc_info()[2])[-1]
    assert (frame.lineno, frame.line) == (1, "%%nbcluster map a, b in xs")


def test_two_versions_of_a_cell_have_two_file_names() -> None:
    assert Cell("%%x", "a", "n").filename != Cell("%%x", "b", "n").filename
    assert Cell("%%x", "a", "n").filename == Cell("%%x", "a", "n").filename


def test_an_exception_of_an_import_passes_through() -> None:
    with pytest.raises(ModuleNotFoundError):
        step("import no_such_module_anywhere\ndef f(x):\n    return x")


def test_the_notebooks_future_imports_hold_and_ours_do_not() -> None:
    body = "def g(x: int) -> None: ...\ng.__annotations__['x']"
    assert step(body).function(0) is int
    import __future__

    assert step(body, flags=__future__.annotations.compiler_flag | 0x200).function(0) == "int"
