"""How things that went wrong are shown: one red line, or a traceback of the cell's own lines.

They stay exceptions, so that Run All stops; only their picture is ours.  IPython asks an exception for it by
``_render_traceback_``.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any, TypeVar

from IPython.core.error import UsageError as IPythonUsageError

from nbcluster.errors import NBClusterError, UsageError

_E = TypeVar("_E", bound=BaseException)


@contextlib.contextmanager
def one_line(shell: Any) -> Iterator[None]:
    """Errors of ours leave as one red line."""
    try:
        yield
    except NBClusterError as error:
        raise shortened(error, shell) from error.__cause__


@contextlib.contextmanager
def usage() -> Iterator[None]:
    """What was typed makes no sense: IPython's own error for it, which has no traceback."""
    try:
        yield
    except UsageError as error:
        raise IPythonUsageError(str(error)) from None


def shortened(error: _E, shell: Any) -> _E:
    """The same exception, shown as its name and message only."""
    red, plain = ("", "") if str(getattr(shell, "colors", "")).lower() == "nocolor" else ("\x1b[31m", "\x1b[0m")
    return _drawn(error, lambda: [f"{red}{type(error).__name__}{plain}: {error}"])


@contextlib.contextmanager
def from_cell(shell: Any, filename: str) -> Iterator[None]:
    """Errors of the cell's own code are shown from the cell's first line on, without the way that led there."""
    try:
        yield
    except (NBClusterError, IPythonUsageError):
        raise
    except Exception as error:
        trace = error.__traceback__
        while trace is not None and trace.tb_frame.f_code.co_filename != filename:
            trace = trace.tb_next
        if trace is not None:
            _drawn(error, _drawing(shell, error, trace))
        raise


@contextlib.contextmanager
def from_users_frames(shell: Any) -> Iterator[None]:
    """Errors of code that this package calls are shown from its first line on, unless they have a picture already."""
    __tracebackhide__ = True
    try:
        yield
    except NBClusterError:
        raise
    except Exception as error:
        from nbcluster.here import users_part

        trace = users_part(error.__traceback__)
        if trace is not None and not hasattr(error, "_render_traceback_"):
            _drawn(error, _drawing(shell, error, trace))
        raise


def _drawing(shell: Any, error: Exception, trace: TracebackType) -> Callable[[], list[str]]:
    def draw() -> list[str]:
        lines: list[str] = shell.InteractiveTB.structured_traceback(type(error), error, trace, tb_offset=0)
        return lines

    return draw


def _drawn(error: _E, draw: Callable[[], list[str]]) -> _E:
    # An exception class with slots keeps its usual picture.
    with contextlib.suppress(AttributeError):
        error._render_traceback_ = draw  # type: ignore[attr-defined]
    return error
