"""The body of a cell as the text of a function: what ``build`` makes of it, written as one would in a script.  Pure."""

from __future__ import annotations

import ast
import io
import tokenize

_INDENT = "    "
_OPENING = {getattr(tokenize, name) for name in ("FSTRING_START", "TSTRING_START") if hasattr(tokenize, name)}
_CLOSING = {getattr(tokenize, name) for name in ("FSTRING_END", "TSTRING_END") if hasattr(tokenize, name)}


def definition(text: str, name: str, parameter: str = "", first: str = "") -> str:
    """``def name(parameter):`` with the body ``text``, whose last expression it returns; ``first`` goes before it."""
    lines = text.splitlines()
    last = ast.parse(text).body[-1]
    if isinstance(last, ast.Expr):
        row = last.lineno - 1
        # Python counts columns in bytes.
        column = len(lines[row].encode()[: last.col_offset].decode())
        lines[row] = f"{lines[row][:column]}return {lines[row][column:]}"
    inside = _rows_inside_strings(text)
    shown = [line if row in inside or not line.strip() else f"{_INDENT}{line}" for row, line in enumerate(lines)]
    while shown and not shown[-1].strip():
        shown.pop()
    return "\n".join([f"def {name}({parameter}):", *([f"{_INDENT}{first}"] if first else []), *shown])


def _rows_inside_strings(text: str) -> set[int]:
    """Rows, from 0, that begin within a string: spaces before them would change it."""
    rows: set[int] = set()
    begun: list[int] = []
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.STRING:
            rows.update(range(token.start[0], token.end[0]))
        elif token.type in _OPENING:
            begun.append(token.start[0])
        elif token.type in _CLOSING:
            rows.update(range(begun.pop(), token.end[0]))
    return rows


def argument(expression: str) -> str:
    """An expression as one argument of a call: what a loop may leave without parentheses gets them."""
    try:
        call = ast.parse(f"f({expression})", mode="eval").body
        alone = ast.parse(f"({expression})", mode="eval").body
    except SyntaxError:
        return f"({expression})"
    assert isinstance(call, ast.Call)
    same = len(call.args) == 1 and not call.keywords and ast.dump(call.args[0]) == ast.dump(alone)
    return expression if same else f"({expression})"


def unused(name: str, *texts: str) -> str:
    """``name``, or one like it that none of the texts uses."""
    taken = {node.id for text in texts for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Name)}
    while name in taken:
        name += "_"
    return name
