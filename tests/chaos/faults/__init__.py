"""The faults, by name.  Each is a function that does harm in a lab and leaves its jobs to be judged."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tests.chaos.harness import ChaosLab

Act = Callable[[ChaosLab], None]

SQLITE, POSTGRESQL = "sqlite", "postgresql"
EVERYWHERE = (SQLITE, POSTGRESQL)


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault: how it is done, and where that has a meaning."""

    name: str
    act: Act
    databases: tuple[str, ...] = EVERYWHERE
    smoke: bool = False
    settings: dict[str, object] | None = None
    """Settings of all processes, over those of the harness."""
    needs: str = ""
    """A program without which it cannot be done here."""

    @property
    def title(self) -> str:
        return " ".join((self.act.__doc__ or "").split("\n", maxsplit=1)[0].split())


FAULTS: dict[str, Fault] = {}


def fault(
    name: str,
    *,
    databases: tuple[str, ...] = EVERYWHERE,
    smoke: bool = False,
    settings: dict[str, object] | None = None,
    needs: str = "",
) -> Callable[[Act], Act]:
    """Add a fault.  Names that begin with C and a number are those of the reliability plan."""

    def add(act: Act) -> Act:
        FAULTS[name] = Fault(name, act, databases, smoke, settings, needs)
        return act

    return add


def load() -> dict[str, Fault]:
    """Every fault there is."""
    from tests.chaos.faults import processes  # noqa: F401

    return FAULTS
