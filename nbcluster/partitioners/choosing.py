"""From whatever the user hands over to a partitioner; those of other packages by name."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import Any

from nbcluster.errors import InputError
from nbcluster.partitioners.base import Nodes, Part, Partitioner, positive
from nbcluster.partitioners.frames import frame
from nbcluster.partitioners.handle import Handle
from nbcluster.partitioners.sequences import Items, Ranges, materialize

_GROUP = "nbcluster.partitioners"


@dataclass(frozen=True)
class FromFunction(Partitioner):
    """A plain function of the nodes."""

    function: Callable[[Nodes], Iterable[Any]]

    def split(self, nodes: Nodes) -> Iterable[Any]:
        return self.function(nodes)

    def identity(self, _parts: Sequence[Part]) -> Any:
        return "function", self.function


def as_partitioner(source: Any) -> Partitioner:
    """The partitioner for whatever the user handed over.  Raises InputError."""
    if isinstance(source, Partitioner):
        return source
    if isinstance(source, type) and issubclass(source, Partitioner):
        raise InputError(f"{source.__name__} is a class of partitioners; make one of it: {source.__name__}(...)")
    if isinstance(source, Handle):
        return Items([source], 1)
    if hasattr(source, "iloc") and hasattr(source, "columns"):
        return frame(source)
    if callable(source) and not isinstance(source, Iterable):
        return FromFunction(source)
    sequence = materialize(source)
    if not len(sequence):
        raise InputError("the iterable is empty: there is nothing to map")
    return Ranges(sequence) if isinstance(sequence, range) else Items(sequence)


def cut(partitioner: Partitioner, nodes: Nodes, chunk: int | None = None, partitions: int | None = None) -> list[Part]:
    """The parts, of ``chunk`` items each or about ``partitions`` of them where the partitioner can do that.

    Raises InputError for options that do not fit.
    """
    if chunk is not None:
        partitioner = partitioner.in_chunks(positive(chunk, "chunk") or 1)
    if partitions is not None:
        partitioner = partitioner.in_partitions(positive(partitions, "partitions") or 1)
    return partitioner.parts(nodes.wanting(partitions))


def partitioner(name: str, *arguments: Any, **options: Any) -> Partitioner:
    """A partitioner that another package brings, by the name of its entry point, made with these arguments.

    A package declares it in the group ``nbcluster.partitioners``: ``tiles = "their_package:Tiles"``.
    Raises InputError naming those that are installed.
    """
    known = {point.name: point for point in entry_points(group=_GROUP)}
    if name not in known:
        told = f"installed are {', '.join(sorted(known))}" if known else "no installed package brings any"
        raise InputError(f"there is no partitioner {name!r}; {told}")
    made = known[name].load()(*arguments, **options)
    if not isinstance(made, Partitioner):
        raise InputError(
            f"the partitioner {name!r} of {known[name].value} made a {type(made).__name__}, no Partitioner"
        )
    return made
