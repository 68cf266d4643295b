"""What a cell's body may not say, found before anything is sent: one sentence and the cell's line.  Pure."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from nbcluster.errors import InputError

_SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)
_WORDS: dict[type[ast.AST], str] = {
    ast.Return: "return",
    ast.Yield: "yield",
    ast.YieldFrom: "yield from",
    ast.Await: "await",
    ast.AsyncFor: "async for",
    ast.AsyncWith: "async with",
}


def check(tree: ast.Module, parameters: tuple[str, ...]) -> None:
    """Raises InputError for code that cannot be the body of a function of one item."""
    for node in _own(tree):
        word = _WORDS.get(type(node))
        if isinstance(node, ast.comprehension) and node.is_async:
            raise InputError(f"line {node.target.lineno}: `async for` cannot stand in a body; a node runs plain Python")
        if word == "return":
            raise InputError(f"line {_line(node)}: no `return` in a body; its value is its last expression")
        if word is not None:
            raise InputError(f"line {_line(node)}: `{word}` cannot stand in a body; put it inside a def of the body")
        if isinstance(node, ast.ImportFrom) and any(alias.name == "*" for alias in node.names):
            raise InputError(f"line {node.lineno}: name what is imported from {node.module}; a body cannot import *")
    _check_counters(tree, parameters)


def _line(node: ast.AST) -> int:
    return int(getattr(node, "lineno", 1))


def _own(tree: ast.AST) -> Iterator[ast.AST]:
    """The nodes of the body itself, not those of functions and classes within it."""
    for child in ast.iter_child_nodes(tree):
        yield child
        if not isinstance(child, _SCOPES):
            yield from _own(child)


def _check_counters(tree: ast.Module, parameters: tuple[str, ...]) -> None:
    """``total += n`` with a ``total`` of the notebook: each item would start without it."""
    changed = {
        node.target.id: node.lineno
        for node in _own(tree)
        if isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name)
    }
    for name in sorted(changed.keys() - _bound(tree) - set(parameters), key=changed.__getitem__):
        raise InputError(
            f"line {changed[name]}: `{name}` is changed but never set in this body, and items do not share names; "
            f"make the item's value the last expression and add up afterwards, for example sum(job.results())"
        )


def _bound(tree: ast.Module) -> set[str]:
    """Names that something else than ``+=`` sets anywhere in the body; too many rather than too few."""
    counters = {id(node.target) for node in ast.walk(tree) if isinstance(node, ast.AugAssign)}
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) and id(node) not in counters:
            names.add(node.id)
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            names.add(node.name)
        elif isinstance(node, ast.alias):
            names.add((node.asname or node.name).split(".")[0])
        elif isinstance(node, (ast.ExceptHandler, ast.MatchAs, ast.MatchStar)) and node.name:
            names.add(node.name)
        elif isinstance(node, ast.MatchMapping) and node.rest:
            names.add(node.rest)
        elif isinstance(node, (ast.Global, ast.Nonlocal)):
            names.update(node.names)
    return names
