"""The faults, by name.  Each is a function that does harm in a lab and leaves its jobs to be judged."""

from __future__ import annotations

import os
import shutil
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
    small_disk: bool = False
    """Whether the embedded file lies on a small file system of its own, which only root can make."""

    def missing(self) -> str:
        """What this machine lacks for it; empty when it can be done."""
        if self.needs and not shutil.which(self.needs):
            return f"there is no {self.needs} on this machine"
        if self.small_disk and os.geteuid() != 0:
            return "only root can make a small file system"
        return ""

    @property
    def alone(self) -> bool:
        """Whether it measures, and so wants the machine for itself."""
        return self.name.startswith(("figure-", "C1-"))

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
    small_disk: bool = False,
) -> Callable[[Act], Act]:
    """Add a fault.  Names that begin with C and a number are those of the reliability plan."""

    def add(act: Act) -> Act:
        FAULTS[name] = Fault(name, act, databases, smoke, settings, needs, small_disk)
        return act

    return add


def load() -> dict[str, Fault]:
    """Every fault there is."""
    from tests.chaos.faults import database, figures, hostile, masters, network, processes, rows, scale  # noqa: F401

    return FAULTS
