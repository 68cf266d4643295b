"""What would happen if a job were submitted now, as a frozen record.  Pure; ``plan_view`` shows it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nbcluster.payload import Capture
from nbcluster.payload.beside import BundledFile
from nbcluster.submitting import plan_view

if TYPE_CHECKING:
    import pandas as pd

_SHOWN_PLACES = 8


@dataclass(frozen=True, slots=True)
class PartPlan:
    """A partition: its key, its items, the bytes of what the function gets, and the node that it would be given to.

    Without a node it is for whichever is free; one that is ``cached`` is not run.  ``holds`` is how
    much there is in it, in words, where its items do not tell.
    """

    key: str
    items: int
    size: int = 0
    node: str | None = None
    cached: bool = False
    holds: str = ""


@dataclass(frozen=True, slots=True)
class NodePlan:
    """What a node would get; ``obstacle`` says why it gets nothing, and is empty when it may.

    ``lacks`` are packages that the function refers to and the node has not told of: what
    needs them fails there.
    """

    node: str
    slots: int
    partitions: int
    items: int
    obstacle: str = ""
    lacks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Measured:
    """How long partitions took: ``seconds`` in all for ``items`` in ``partitions``, and where that is known from."""

    partitions: int
    items: int
    seconds: float
    origin: str


@dataclass(frozen=True, slots=True)
class Plan:
    """What ``nc.plan`` found.  Nothing of it is stored; sizes are in bytes.

    ``parts`` are the partitions in order, ``split`` is what the partitioner says of itself,
    ``modules`` are those beside the notebook that travel with the function, as an archive of
    ``modules_size``.  ``measured`` is None when nothing is known of how long the code takes.
    """

    name: str
    strategy: str
    parts: tuple[PartPlan, ...]
    nodes: tuple[NodePlan, ...]
    captures: tuple[Capture, ...]
    packages: tuple[str, ...]
    function_size: int
    limit: int
    measured: Measured | None
    split: str = ""
    modules: tuple[BundledFile, ...] = ()
    modules_size: int = 0
    changed: tuple[str, ...] = ()
    """Modules that were changed since this process imported them: the nodes get what is in the files."""
    caching: bool = False

    @property
    def sizes(self) -> tuple[int, ...]:
        """The items of each partition."""
        return tuple(part.items for part in self.parts)

    @property
    def items(self) -> int:
        """How many items there are."""
        return sum(self.sizes)

    @property
    def partitions(self) -> int:
        """How many partitions they are split into."""
        return len(self.parts)

    @property
    def unassigned(self) -> int:
        """Partitions for whichever node is free."""
        return sum(part.node is None and not part.cached for part in self.parts)

    @property
    def cached(self) -> int | None:
        """How many partitions have their results from the cache; None without ``cache=True``."""
        return sum(part.cached for part in self.parts) if self.caching else None

    @property
    def input_size(self) -> int:
        """Bytes of all that the function is given."""
        return sum(part.size for part in self.parts)

    @property
    def slots(self) -> int:
        """Slots that would work on it."""
        able = [node for node in self.nodes if not node.obstacle]
        chosen = able if self.unassigned else [node for node in able if node.partitions]
        return sum(node.slots for node in chosen)

    @property
    def computing(self) -> float | None:
        """Seconds that what is to be run takes, one partition after the other; None when that is not known."""
        if self.measured is None or not self.measured.items:
            return None
        return self.measured.seconds / self.measured.items * sum(self._to_run())

    @property
    def duration(self) -> float | None:
        """Seconds until the end if nothing else runs; None when that is not known or no node may run it."""
        items = self._to_run()
        if self.computing is None or not self.slots or not sum(items):
            return None
        longest = self.computing * max(items) / sum(items)
        return max(longest, self.computing / self.slots)

    def _to_run(self) -> list[int]:
        return [part.items for part in self.parts if not part.cached]

    def frame(self) -> pd.DataFrame:
        """One row a partition: ``partition``, ``key``, ``items``, ``size`` (bytes), ``node``, ``holds``, ``cached``."""
        from nbcluster.frames import table

        whole = ["partition", "items", "size"]
        rows = [(n, one.key, one.items, one.size, one.node, one.holds) for n, one in enumerate(self.parts)]
        frame = table(rows, ["partition", "key", "items", "size", "node", "holds"], whole=whole)
        cached = [one.cached for one in self.parts]
        return frame.astype(dict.fromkeys(whole, "int64")).assign(cached=cached).astype({"cached": "bool"})

    def __repr__(self) -> str:
        return plan_view.as_text(self)

    def _repr_html_(self) -> str:
        return plan_view.as_html(self)


def sampled(places: Sequence[int], items: int, seconds: float) -> Measured:
    """What running these partitions here told."""
    shown = ", ".join(map(str, places[:_SHOWN_PLACES])) + (" ..." if len(places) > _SHOWN_PLACES else "")
    which = f"partition{'s' if len(places) != 1 else ''} {shown}"
    return Measured(len(places), items, seconds, f"{which} run here in {plan_view.in_seconds(seconds)}")


def remembered(runs: int, partitions: int, items: int, seconds: float) -> Measured:
    """What earlier runs of the same code told."""
    ran = f"{plan_view.count(partitions, 'partition')} of {plan_view.count(runs, 'earlier run')} of this code"
    return Measured(partitions, items, seconds, ran)
