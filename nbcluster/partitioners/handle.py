"""What travels in place of data, and reads it where it arrives."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar


class Handle(ABC):
    """A part that names data without holding it: a few words and numbers, whatever the data's size."""

    settled: ClassVar[bool] = True
    """Whether the data behind it is the same whenever its identity is."""

    @property
    @abstractmethod
    def key(self) -> str:
        """How its partition is called."""

    @abstractmethod
    def identity(self) -> Any:
        """What it stands for, in plain values, without any secret: equal ones stand for the same data."""

    @property
    def reads(self) -> int | None:
        """The bytes of the files that it stands for; None where that is not known."""
        return None

    def arrive(self) -> Any:
        """What the function gets in its place, where it runs.

        Raises FileNotSeen or FileChanged when that cannot be what was split.
        """
        return self


def arrived(given: Any) -> Any:
    """What came with a partition, ready for the function: handles look first whether their data is there."""
    if isinstance(given, Handle):
        return given.arrive()
    if type(given) in (list, tuple) and given and isinstance(given[0], Handle):
        return [one.arrive() if isinstance(one, Handle) else one for one in given]
    return given
