"""Functions for partitions that tell, outside the database, that they began and ended.

Each note is one short line, written with O_APPEND in one call, so lines never mix:
``BEGIN job step index attempt node pid monotonic wall``.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any


def noting(path: Path, job: str, step: str, body: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """A function that notes BEGIN, gives what ``body`` gives, and notes END."""
    file = str(path)

    def work(value: Any) -> Any:
        import os
        import time

        import nbcluster as nb

        here = nb.current()

        def note(event: str) -> None:
            line = f"{event} {job} {step} {here.index} {here.attempt} {here.node} {os.getpid()}"
            line += f" {time.monotonic():.6f} {time.time():.6f}\n"
            descriptor = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
            os.write(descriptor, line.encode())
            os.close(descriptor)

        note("BEGIN")
        found = body(value)
        note("END")
        return found

    return work


def square(seconds: float = 0.0, gate: Path | None = None) -> Callable[[int], int]:
    """``n * n`` after a while, and not before ``gate`` exists."""
    wait = waiting(gate)

    def body(n: int) -> int:
        import time

        wait()
        time.sleep(seconds)
        return n * n

    return body


def waiting(gate: Path | None) -> Callable[[], None]:
    """Comes back when ``gate`` exists."""
    file = str(gate) if gate else ""

    def wait() -> None:
        import os
        import time

        while file and not os.path.exists(file):
            time.sleep(0.02)

    return wait


ROWS_EACH = 3
"""Rows that a partition of ``writing`` gives."""


def writing(job: str, noted: str, seconds: float) -> Callable[[int], list[dict[str, Any]]]:
    """Rows for the user's table, and one more by a statement into the table ``noted``."""
    count = ROWS_EACH

    def body(_n: int) -> list[dict[str, Any]]:
        import time

        import nbcluster as nb

        here = nb.current()
        row = {"job": job, "part": here.index, "attempt": here.attempt}
        insert = f"INSERT INTO {noted} VALUES (:job, :part, :attempt, :number)"
        here.connection.execute(insert, row | {"number": -1})
        time.sleep(seconds)
        return [row | {"number": number} for number in range(count)]

    return body


def summed(gate: Path | None = None) -> Callable[[list[int]], int]:
    """An aggregate: the sum of all values, and not before ``gate`` exists."""
    wait = waiting(gate)

    def body(values: list[int]) -> int:
        wait()
        return sum(values)

    return body


def called_back(gate: Path | None = None) -> Callable[[Any], None]:
    """A callback that ends when ``gate`` exists."""
    wait = waiting(gate)

    def body(_outcome: Any) -> None:
        wait()

    return body


def bulky(size: int, seconds: float) -> Callable[[int], bytes]:
    """A result of so many bytes, after a while."""

    def body(n: int) -> bytes:
        import time

        time.sleep(seconds)
        return bytes([n % 251]) * size

    return body


def greedy(at: frozenset[int]) -> Callable[[int], int]:
    """A body that asks for ever more memory, under a limit, until its child dies of it."""

    def body(n: int) -> int:
        import os
        import resource
        import signal

        if n in at:
            resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
            kept = []
            try:
                while True:
                    kept.append(bytearray(1 << 24))
            except MemoryError:  # where the kernel would now choose a victim
                os.kill(os.getpid(), signal.SIGKILL)
        return n * n

    return body
