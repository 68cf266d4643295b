"""How stored values are referred to.

``own:<name>`` are chunks in the database that nobody else refers to, ``file:<name>`` is a file in a
folder.  A name is the second of its making and a random number, both hexadecimal: it cannot be
guessed, and leads nowhere but into its folder.
"""

from __future__ import annotations

import re
import secrets
import time

OWN, FILE = "own:", "file:"
_NAME = re.compile(r"[0-9a-f]{10}[0-9a-f]{32}")
_TIME = 10


def new_name() -> str:
    """A name that nobody else has."""
    return f"{int(time.time()):0{_TIME}x}{secrets.token_hex(16)}"


def is_name(text: str) -> bool:
    """Whether ``new_name`` may have made it."""
    return _NAME.fullmatch(text) is not None


def is_reference(text: str | None) -> bool:
    """Whether it refers to a value that is signed by its digest and read apart from its row."""
    return text is not None and text.startswith((OWN, FILE))


def name_in(reference: str) -> str | None:
    """The name in a reference; None when that is none."""
    name = reference.partition(":")[2]
    return name if is_reference(reference) and is_name(name) else None


def made_before(seconds: float) -> str:
    """What sorts behind every name that was made so many seconds ago, by this machine's clock."""
    return f"{max(0, int(time.time() - seconds)):0{_TIME}x}"
