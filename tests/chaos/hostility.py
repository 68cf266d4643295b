"""What partitions of hostile code do, and the exit code that each of them must end with.

The functions travel by value, so each imports what it needs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any


def raises_what_cannot_be_rebuilt() -> None:
    class Two(Exception):
        def __init__(self, one: str, other: str) -> None:
            super().__init__(f"{one} and {other}")

    raise Two("a", "b")


def gives_what_cannot_be_pickled() -> Any:
    import threading

    return threading.Lock()


def raises_nul_and_half_a_character() -> None:
    raise ValueError("before\0after \ud800 end")


def raises_five_megabytes() -> None:
    raise ValueError("x" * 5_000_000)


def exits_in_python() -> None:
    import sys

    sys.exit(3)


def segfaults() -> None:
    import ctypes

    ctypes.string_at(0)


def exits_at_once() -> None:
    import os

    os._exit(0)


def kills_itself() -> None:
    import os
    import signal

    os.kill(os.getpid(), signal.SIGTERM)


def closes_everything() -> None:
    import os
    import time

    os.closerange(0, 256)
    time.sleep(1000)


def leaves_sleepers_and_dies() -> None:
    """Its children must go with it."""
    import os
    import subprocess

    for _ in range(10):
        subprocess.Popen(["sleep", "1000"], stdin=subprocess.DEVNULL)
    os.abort()


def leaves_a_thread() -> None:
    import threading
    import time

    threading.Thread(target=time.sleep, args=(1000,), daemon=True).start()


def recurses() -> None:
    recurses()


def wants_too_much_memory() -> None:
    bytearray(1 << 60)


def never_ends() -> None:
    while True:
        pass


def moves_away() -> None:
    import locale
    import os
    import signal

    os.chdir("/")
    os.umask(0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    locale.setlocale(locale.LC_ALL, "C")


def prints_without_end() -> None:
    for _ in range(200):
        print("x" * 50_000)


KINDS: dict[str, tuple[Callable[[], Any], str]] = {
    act.__name__: (act, code)
    for act, code in (
        (raises_what_cannot_be_rebuilt, "FAILED"),
        (gives_what_cannot_be_pickled, "UNSERIALIZABLE"),
        (raises_nul_and_half_a_character, "FAILED"),
        (raises_five_megabytes, "FAILED"),
        (exits_in_python, "FAILED"),
        (segfaults, "POISON"),
        (exits_at_once, "POISON"),
        (kills_itself, "POISON"),
        (closes_everything, "POISON"),
        (leaves_sleepers_and_dies, "POISON"),
        (leaves_a_thread, "COMPLETED"),
        (recurses, "FAILED"),
        (wants_too_much_memory, "FAILED"),
        (never_ends, "TIMEOUT"),
        (moves_away, "COMPLETED"),
        (prints_without_end, "COMPLETED"),
    )
}
"""Each kind of hostility with the exit code of its partition."""


def body(at: Mapping[int, str]) -> Callable[[int], Any]:
    """A body that is hostile for some numbers, and squares the others."""
    acts = {number: KINDS[kind][0] for number, kind in at.items()}

    def work(n: int) -> Any:
        act = acts.get(n)
        given = act() if act is not None else None
        return n * n if given is None else given

    return work
