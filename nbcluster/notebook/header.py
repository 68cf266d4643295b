"""``TARGET in EXPR [options]``: where the Python ends and the options begin.  Pure.

EXPR is any Python expression, so it may hold dashes, strings, brackets, ``in`` and generators.
An option begins where an operand has just ended, after a space, as ``-x`` or ``--word``:

==============================  =====================================================
``n in range(N) -o squares``    an option
``n in a - b``                  a subtraction (a space follows the dash)
``n in a -5``                   a subtraction (no option starts with a digit)
``n in -values``                a negation (nothing has ended yet)
``n in f(a, -o)``               Python (inside brackets)
==============================  =====================================================
"""

from __future__ import annotations

import ast
import io
import keyword
import re
import tokenize
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from nbcluster.errors import InputError
from nbcluster.notebook.words import first_word, words

_OPTION = re.compile(r"--[A-Za-z]|-[A-Za-z](?![\w.(\[])|-[pc]\d+(?=\s|$)")
_OPERAND_KEYWORDS = {"True", "False", "None"}
_EXAMPLE = "write it like a for loop's line, for example: {command} n in range(10)"


@dataclass(frozen=True, slots=True)
class Parts:
    """A header line taken apart: the option words around it, and the ``TARGET in EXPR`` text with its place."""

    options: tuple[str, ...]
    text: str
    offset: int


@dataclass(frozen=True, slots=True)
class Header:
    """``TARGET in EXPR`` as Python: the loop's target, the names it binds, and the expression to evaluate."""

    target: ast.expr
    names: tuple[str, ...]
    expression: ast.Expression

    @property
    def unpacks(self) -> bool:
        """Whether an item is taken apart, as in ``a, b in pairs``."""
        return not isinstance(self.target, ast.Name)


def separate(line: str, takes_value: Mapping[str, bool]) -> Parts:
    """Options before and after, and what stands between.

    ``takes_value`` says for each known option whether a word follows it; unknown options are passed
    on as they are, for whoever reads them to complain.
    """
    before, start = _leading_options(line, takes_value)
    end = next(_option_starts(line, start), len(line))
    after = tuple(word.text for word in words(line, end))
    text = line[start:end]
    return Parts((*before, *after), text.strip(), start + len(text) - len(text.lstrip()))


def _leading_options(line: str, takes_value: Mapping[str, bool]) -> tuple[list[str], int]:
    found: list[str] = []
    start = 0
    while line[start:].lstrip().startswith("-") and (word := first_word(line, start)) is not None:
        found.append(word.text)
        start = word.end
        if takes_value.get(word.text, False) and (value := first_word(line, start)) is not None:
            found.append(value.text)
            start = value.end
    return found, start


def _option_starts(line: str, start: int) -> Iterator[int]:
    """Places at which Python ends: before an option or a comment, outside brackets and strings."""
    depth, ended = 0, False
    start += len(line[start:]) - len(line[start:].lstrip())  # else Python sees an indentation
    try:
        for token in tokenize.generate_tokens(io.StringIO(line[start:]).readline):
            place = start + token.start[1]
            if depth == 0 and (token.type == tokenize.COMMENT or (ended and _is_option(line, place))):
                yield place
            depth += {"(": 1, "[": 1, "{": 1, ")": -1, "]": -1, "}": -1}.get(token.string, 0)
            ended = _ends_operand(token)
    except (tokenize.TokenError, SyntaxError):
        return  # not Python to the end: parse() finds the words for it


def _is_option(line: str, place: int) -> bool:
    return place > 0 and line[place - 1].isspace() and _OPTION.match(line, place) is not None


def _ends_operand(token: tokenize.TokenInfo) -> bool:
    if token.type == tokenize.NAME:
        return not keyword.iskeyword(token.string) or token.string in _OPERAND_KEYWORDS
    # Operators that close something: brackets, the ellipsis (a value), and the colon that for loops teach to write.
    return token.type != tokenize.OP or token.string in (")", "]", "}", "...", ":")


def parse(parts: Parts, command: str, prefix: int = 0) -> Header:
    """The header as Python.

    ``command`` is the magic as typed, for the example in a complaint; ``prefix`` is the number of
    characters before the line, so that a traceback's marks stand under the right place.
    Raises InputError.
    """
    text = parts.text.removesuffix(":").rstrip()
    loop = _parse_loop(text, command)
    for node in ast.walk(loop.target):
        if isinstance(node, (ast.Attribute, ast.Subscript)):
            raise InputError(f"the target of a header is a name or several, not `{ast.unparse(node)}`")
    names = tuple(node.id for node in ast.walk(loop.target) if isinstance(node, ast.Name))
    shift = prefix + parts.offset - len("for ")
    for node in ast.walk(loop):
        if isinstance(node, (ast.expr, ast.keyword, ast.arg)):
            node.col_offset = max(0, node.col_offset + shift)
            node.end_col_offset = max(0, (node.end_col_offset or 0) + shift)
    return Header(loop.target, names, ast.Expression(loop.iter))


def _parse_loop(text: str, command: str) -> ast.For:
    example = _EXAMPLE.format(command=command)
    if not text:
        raise InputError(f"{command} needs TARGET in EXPR; {example}")
    try:
        module = ast.parse(f"for {text}: pass")
    except (SyntaxError, ValueError) as error:
        reason = error.msg if isinstance(error, SyntaxError) else str(error)
        said = f"`{text}` is no TARGET in EXPR" + ("" if reason == "invalid syntax" else f" ({reason})")
        raise InputError(f"{said}; {example}") from None
    loop = module.body[0]
    # `xs: pass; m in ys` would be Python too, but not one loop over one expression.
    if len(module.body) != 1 or not isinstance(loop, ast.For) or not _only_pass(loop):
        raise InputError(f"`{text}` is no TARGET in EXPR; {example}")
    return loop


def _only_pass(loop: ast.For) -> bool:
    return not loop.orelse and len(loop.body) == 1 and isinstance(loop.body[0], ast.Pass)
