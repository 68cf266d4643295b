"""Functions for partitions whose doings can be seen, and held, from outside the database."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.waiting import wait_until


@dataclass(frozen=True)
class Note:
    """One line of the effects file."""

    event: str
    index: int
    attempt: int
    node: str
    pid: int


class Effects:
    """A file in which partitions note that they begin and end, and gates that hold them in between.

    The file is written with O_APPEND, one short line at a time, so lines never mix.
    It knows what really ran, whatever the database says.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / "effects"
        self.gate = folder / "gate"

    def open_gate(self, index: int | None = None, attempt: int | None = None) -> None:
        """Let one attempt of the partition ``index``, or all of that partition, or all of them, go on."""
        which = "" if index is None else str(index) if attempt is None else f"{index}.{attempt}"
        self.gate.with_name(f"gate{which}").touch()

    def start_anew(self) -> None:
        """Close every gate and forget the notes."""
        for file in (self.path, *self.gate.parent.glob("gate*")):
            file.unlink(missing_ok=True)

    def worker(self, *, seconds: float = 0.0) -> Callable[[int], int]:
        """A function that notes BEGIN, waits for its gate, works for ``seconds``, notes END and squares."""
        path, gate = str(self.path), str(self.gate)

        def work(n: int) -> int:
            import os
            import time

            import nbcluster as nb

            here = nb.current()

            def note(event: str) -> None:
                line = f"{event} {here.index} {here.attempt} {here.node} {os.getpid()}\n"
                descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
                os.write(descriptor, line.encode())
                os.close(descriptor)

            note("BEGIN")
            gates = [gate, f"{gate}{here.index}", f"{gate}{here.index}.{here.attempt}"]
            while not any(map(os.path.exists, gates)):
                time.sleep(0.01)
            time.sleep(seconds)
            note("END")
            return n * n

        return work

    def notes(self, event: str | None = None) -> list[Note]:
        lines = self.path.read_text().splitlines() if self.path.exists() else []
        found = []
        for line in lines:
            what, index, attempt, node, pid = line.split()
            found.append(Note(what, int(index), int(attempt), node, int(pid)))
        return [note for note in found if event in (None, note.event)]

    def begun(self) -> Counter[int]:
        """How often each partition began."""
        return Counter(note.index for note in self.notes("BEGIN"))

    def ended(self) -> Counter[int]:
        """How often each partition came to its end."""
        return Counter(note.index for note in self.notes("END"))

    def wait_for_begins(self, number: int, node: str | None = None) -> list[Note]:
        """Until ``number`` partitions have begun (on ``node``)."""

        def begins() -> list[Note]:
            found = [note for note in self.notes("BEGIN") if node in (None, note.node)]
            return found if len(found) >= number else []

        return wait_until(begins, message=lambda: f"{number} begins on {node or 'any node'}: {self.notes()}")


def squares(numbers: Any) -> list[int]:
    return [n * n for n in numbers]
