"""A cell's body as the text of a function: the very function that the cell itself makes."""

from __future__ import annotations

import ast
from typing import Any

import pytest

from nbcluster.notebook import body, header
from nbcluster.notebook.definition import argument, definition, unused
from nbcluster.submitting import identity

BODIES = [
    "n",
    "n;",
    "m = n; m + 1",
    "m = n",
    "if n:\n    m = 1\nelse:\n    m = 2\nm",
    "# first\n\nm = n  # kept\n\n# last\nm\n\n",
    '"""A text\n  of two lines"""\nm = """\nnot\n    moved\n"""; (m,\nn)',
    "f'''{n}\n  {n\n}'''",
    "rb'''a\nb'''",
    "é = 'ü' * n; 'é' + é",
    "m = n + \\\n    1\nm",
    "[x\nfor x in range(n)]",
    "def f(x):\n\n    return x\nf(n)",
    "m = (\n    n\n)\n(m\n)",
    "'a' 'b'\n'c'",
]


@pytest.mark.parametrize("text", BODIES)
def test_the_text_is_the_function_that_the_cell_makes(text: str) -> None:
    cell = body.Cell("%%nbcluster map n in xs", text, "cell")
    loop = header.Header(ast.Name("n", ast.Store()), ("n",), ast.Expression(ast.Constant(0)))
    space: dict[str, Any] = {"__name__": "__main__"}
    made = body.build(cell, loop, space).function
    exec(compile(definition(text, "other", "n"), "<text>", "exec", dont_inherit=True), space)
    assert identity.of_function(space["other"]) == identity.of_function(made)


def test_it_is_indented_once_and_keeps_comments_and_blank_lines() -> None:
    assert definition("m = n  # kept\n\nm\n\n", "f", "_item", "a, n = _item") == (
        "def f(_item):\n    a, n = _item\n    m = n  # kept\n\n    return m"
    )


@pytest.mark.parametrize(
    ("expression", "shown"),
    [
        ("range(3)", "range(3)"),
        ("1, 2", "(1, 2)"),
        ("(1, 2), (3, 4)", "((1, 2), (3, 4))"),
        ("(i for i in x)", "(i for i in x)"),
        ("*a, b", "(*a, b)"),
        ("a or b", "a or b"),
        ("lambda: 1", "lambda: 1"),
    ],
)
def test_an_expression_stays_one_argument(expression: str, shown: str) -> None:
    assert argument(expression) == shown
    call = ast.parse(f"f({argument(expression)}, name=1)", mode="eval").body
    assert isinstance(call, ast.Call)
    assert len(call.args) == 1


def test_a_name_that_the_code_uses_is_not_taken() -> None:
    assert unused("f", "g + 1") == "f"
    assert unused("f", "f + 1", "f_") == "f__"
