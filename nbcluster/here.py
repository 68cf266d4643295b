"""A partition in this very process, called as a child on a node would call it.  Nothing is written anywhere."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from nbcluster import payload
from nbcluster.node import calling
from nbcluster.running import Current, set_current
from nbcluster.statements import Recorder

_OURS = "nbcluster."
_LONGEST_INPUT = 200


class Here:
    """What ``nb.current()`` speaks to in this process: nobody looks at the progress, and nothing is kept."""

    cancelled = False

    def __init__(self, limit: int, checkpoint: bytes | None = None) -> None:
        self._limit = limit
        self._checkpoint = checkpoint
        self.connection = Recorder(limit)

    @property
    def checkpoint(self) -> Any:
        """What an earlier attempt saved."""
        return None if self._checkpoint is None else payload.unpack(self._checkpoint, "the checkpoint")

    def progress(self, fraction: float, message: str) -> None:
        """Goes nowhere."""

    def shared(self, _shared_id: str) -> None:
        """Nobody brings it here: this process reads it itself."""

    def save(self, value: Any) -> None:
        """Complain as a node would; the value goes nowhere."""
        payload.pack_checkpoint(value, self._limit)


@dataclass(frozen=True, slots=True)
class Call:
    """A partition with all that it takes to call it here.

    ``what`` is how messages call it, ``first_item`` where its items begin in the input.
    """

    what: str
    mode: str
    shipped: payload.Shipped
    inputs: Sequence[payload.Body]
    current: Current
    line: Here
    first_item: int = 0
    modules: payload.Bundle | None = None
    """Modules that came with it, unless this process has the very same."""

    @property
    def single(self) -> bool:
        """Whether the function is called once, however much it is given."""
        return calling.single(self.mode)

    @contextlib.contextmanager
    def in_place(self) -> Iterator[None]:
        """While it lasts, imports find the modules that came with it."""
        with payload.using(self.modules), payload.in_place(self.shipped.modules):
            yield

    def opened(self) -> Opened:
        """The same with its inputs rebuilt.  Raises PayloadError when that cannot be done here."""
        payload.install_sources(self.shipped.sources)
        with payload.rebuilding(f"the input of {self.what}"), self.in_place():
            function, calls = calling.calls_for(self.mode, self.shipped.function, self.inputs)
        return Opened(self, function, calls)


@dataclass(frozen=True, slots=True)
class Opened:
    """A function and the arguments of each of its calls."""

    call: Call
    function: Callable[..., Any]
    calls: Iterable[Sequence[Any]]

    def run(self) -> list[Any]:
        """The value of each call, in order.

        An exception of the function leaves as it is, with its traceback from the function's own
        frames on and a note that names the item.
        """
        __tracebackhide__ = True
        values: list[Any] = []
        given: Sequence[Any] = ()
        set_current(self.call.current, self.call.line)
        try:
            with self.call.in_place():
                for given in self.calls:
                    values.append(self.function(*given))
        except BaseException as error:
            error.add_note(self._note(len(values), given))
            error.__traceback__ = users_part(error.__traceback__)
            raise
        finally:
            set_current(None)
        return values

    def _note(self, place: int, given: Sequence[Any]) -> str:
        if self.call.single:
            return f"(in {self.call.what})"
        return f"(item {self.call.first_item + place}, in {self.call.what}: {_shown(given)})"


def users_part(trace: TracebackType | None) -> TracebackType | None:
    """A traceback from the user's own frames on; all of it when none of them is."""
    inner = trace
    while inner is not None and str(inner.tb_frame.f_globals.get("__name__", "")).startswith(_OURS):
        inner = inner.tb_next
    return inner or trace


def _shown(given: Sequence[Any]) -> str:
    try:
        text = ", ".join(map(repr, given))
    except Exception as error:  # noqa: BLE001 -- a user's object; its own error matters less than the one that is told
        return f"its text cannot be shown: {type(error).__name__}"
    return text if len(text) <= _LONGEST_INPUT else f"{text[: _LONGEST_INPUT - 4]} ..."
