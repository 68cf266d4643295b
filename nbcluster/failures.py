"""Why items failed: in groups of one type and message, the largest first.  Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from nbcluster.lifecycle import ExitCode
from nbcluster.reading import Item

SHOWN = 3
_LONGEST = 300
# What killed a process, was stopped or is not to be opened teaches nothing when it runs here once more.
_NOT_TO_REPLAY = {ExitCode.CRASHED, ExitCode.POISON, ExitCode.CANCELLED, ExitCode.BAD_SIGNATURE}

Hint = Callable[[int], str]
"""What one types to run a partition again here."""


@dataclass(frozen=True, slots=True)
class Group:
    """Failed items of one type and message; ``traceback`` is the first that is known."""

    error_type: str
    message: str
    count: int
    first_item: int
    first_partition: int
    traceback: str

    def line(self, hint: Hint) -> str:
        """All of it but the traceback."""
        said = f"{self.error_type}: {self.message[:_LONGEST]}" if self.message else self.error_type
        place = f"first at item {self.first_item} (partition {self.first_partition})"
        return f"{self.count} x {said}, {place}{advice(self.error_type, hint(self.first_partition))}"


def advice(error_type: str, replay: str) -> str:
    """How to run a partition with such an error again here, to be added to a message."""
    return "" if error_type in _NOT_TO_REPLAY else f"; replay with {replay}"


def groups_of(items: Iterable[Item]) -> list[Group]:
    """The failed items in groups, largest first; of equal ones the earlier."""
    groups: dict[tuple[str, str], list[Item]] = {}
    for item in items:
        assert item.error is not None
        groups.setdefault((item.error.error_type, item.error.message), []).append(item)
    found = [
        Group(
            kind,
            message,
            len(members),
            members[0].index,
            members[0].partition,
            next((one.error.traceback for one in members if one.error and one.error.traceback), ""),
        )
        for (kind, message), members in groups.items()
    ]
    return sorted(found, key=lambda group: (-group.count, group.first_item))


def summary(name: str, groups: Sequence[Group], total: int, hint: Hint) -> str:
    """At most three groups in one line each."""
    lines = [group.line(hint) for group in groups[:SHOWN]]
    if len(groups) > SHOWN:
        lines.append(f"and {len(groups) - SHOWN} more kinds of error")
    return "\n  ".join([_head(name, groups, total), *lines])


def with_tracebacks(name: str, groups: Sequence[Group], total: int, hint: Hint) -> str:
    """Every group, each with its first traceback."""
    parts = [f"{group.line(hint)}\n{group.traceback.rstrip()}".rstrip() for group in groups]
    return "\n\n".join([_head(name, groups, total), *parts])


def _head(name: str, groups: Sequence[Group], total: int) -> str:
    return f"{name}: {sum(group.count for group in groups)} of {total} items failed"
