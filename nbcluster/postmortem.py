"""Which debugger looks at an exception that a partition raised here, without this package importing a notebook's."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable

Debugger = Callable[[BaseException], None]


def _python_debugger(error: BaseException) -> None:
    """Python's own, on the terminal."""
    import pdb  # noqa: T100 -- the user asked for it

    traceback.print_exception(error, file=sys.stderr)
    pdb.post_mortem(error.__traceback__)


_debuggers: list[Debugger] = [_python_debugger]


def install(debugger: Debugger | None) -> None:
    """Look at exceptions with ``debugger``; the notebook layer does this when it is loaded.  None takes it away."""
    _debuggers[1:] = [] if debugger is None else [debugger]


def post_mortem(error: BaseException) -> None:
    """Look at an exception with its traceback; returns when the user has seen enough."""
    _debuggers[-1](error)
