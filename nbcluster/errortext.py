"""Errors of user code as text that every database accepts."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Collection
from typing import Any

LIMIT = 64 << 10
"""Characters that are kept of one text."""


def describe(place: int, error: BaseException, *, full: bool, ours: Collection[str]) -> dict[str, Any]:
    """An item's error as it is stored; with its traceback if ``full``, without the first frames of modules ``ours``."""
    return {
        "item": place,
        "type": type_name(type(error)),
        "message": cut(f"{_safe_str(error)}{cure(error)}"),
        "traceback": cut(_traceback(error, ours)) if full else "",
    }


def type_name(kind: type[BaseException]) -> str:
    """How an exception type is called: with its module, unless it is built in or from a notebook."""
    module = "" if kind.__module__ in ("builtins", "__main__") else f"{kind.__module__}."
    return f"{module}{kind.__qualname__}"


def base_names(error: BaseException) -> list[str]:
    """Its type and all that the type derives from: what a retry may be limited to."""
    return [type_name(kind) for kind in type(error).__mro__ if issubclass(kind, BaseException)]


def _traceback(error: BaseException, ours: Collection[str]) -> str:
    """The traceback from the user's own frames on; ours would only hide them."""
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_globals.get("__name__") in ours:
        trace = trace.tb_next
    try:
        return "".join(traceback.format_exception(type(error), error, trace))
    except Exception as failed:  # an exception whose __str__ raises
        return f"{type(error).__qualname__} (its traceback cannot be shown: {_safe_str(failed)})"


def _safe_str(error: BaseException) -> str:
    try:
        return str(error)
    except BaseException as failed:
        return f"<its text cannot be shown: {type(failed).__qualname__}>"


def summary(error: BaseException) -> str:
    """Type and message in one line or a few."""
    return cut(f"{type(error).__qualname__}: {_safe_str(error)}")[:2000]


def cure(error: BaseException) -> str:
    """What to do about it, to be added to its text; mostly empty."""
    if not isinstance(error, ModuleNotFoundError) or not error.name:
        return ""
    top = error.name.partition(".")[0]
    # A package that is there lacks a part of itself; only one that travelled may have left it behind.
    found = sys.modules.get(top)
    if found is not None and found.__spec__ is not None:
        return ""
    return f"; ship it with --ship {error.name if found else top}, or install it on the nodes"


def storable(text: str) -> str:
    """Text without what some databases refuse: NUL and lone surrogates."""
    return text.replace("\0", "\\0").encode("utf-8", "backslashreplace").decode()


def cut(text: str) -> str:
    """Text that every database accepts: head and tail of what is too long."""
    clean = storable(text)
    if len(clean) <= LIMIT:
        return clean
    half = LIMIT // 2
    return f"{clean[:half]}\n... {len(clean) - LIMIT} characters left out ...\n{clean[-half:]}"
