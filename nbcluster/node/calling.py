"""How a child turns what came with a call into calls of the user's function, mode by mode."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from nbcluster import payload
from nbcluster.outcome import read_outcome
from nbcluster.partitioners.handle import arrived

Calls = tuple[Callable[..., Any], Iterable[Sequence[Any]]]
"""The function, and the positional arguments of each of its calls, in order."""


def calls_for(mode: str, function: Callable[..., Any], blobs: Sequence[payload.Body]) -> Calls:
    """The calls that make up a partition, from its checked bytes.

    Raises FileNotSeen or FileChanged when a file of the input is not here as it was, and whatever
    rebuilding the arguments raises; reading the items may raise later.
    """
    if mode == payload.VALUES:
        return function, [([value for blob in blobs for value in payload.load(blob)],)]
    if mode == payload.OUTCOME:
        return function, [(read_outcome(bytes(blobs[0])),)]
    given = arrived(payload.load(blobs[0]))
    if mode == payload.ITEMS:
        return function, ((item,) for item in _each(given))
    if mode == payload.STAR:
        return function, given
    if mode == payload.PARTITION:
        return function, [(given,)]
    positional, named = given
    return _bind(function, named), [positional]


def single(mode: str) -> bool:
    """Whether the mode calls the function once, however much it is given."""
    return mode not in (payload.ITEMS, payload.STAR)


def _each(given: Any) -> Any:
    """The items of a part: rows of a frame, entries of anything else."""
    if hasattr(given, "iloc") and hasattr(given, "columns"):
        return (given.iloc[place] for place in range(len(given)))
    return given


def _bind(function: Callable[..., Any], named: dict[str, Any]) -> Callable[..., Any]:
    return lambda *positional: function(*positional, **named)
