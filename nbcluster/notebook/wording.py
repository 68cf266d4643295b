"""How the views speak: foreign text made harmless; counts, times and rates in words.  Pure."""

from __future__ import annotations

import math
import re

# Escape sequences, control characters, and the marks that turn the direction of text around:
# what a remote program printed must not rearrange what stands beside it.
_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|.)?")
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")

# A progress bar's earlier states: a carriage return wrote over them.
_OVERWRITTEN = re.compile(r"[^\n]*\r")

LONGEST_TEXT = 4_000


def clean(text: str, longest: int = 200) -> str:
    """Foreign text on one line, without what could act on a terminal or turn the line around."""
    plain = " ".join(_harmless(text).split())
    return plain if len(plain) <= longest else f"{plain[:longest]} ..."


def clean_block(text: str, longest: int = LONGEST_TEXT) -> str:
    """The same for several lines; of a long text the end is kept, where tracebacks say what happened."""
    plain = _harmless(_OVERWRITTEN.sub("", text.replace("\r\n", "\n"))).strip("\n")
    return plain if len(plain) <= longest else f"...\n{plain[-longest:]}"


def _harmless(text: str) -> str:
    return _CONTROLS.sub("\N{REPLACEMENT CHARACTER}", _ESCAPES.sub("", text))


def attach(name: str) -> str:
    """The line that looks at a job again."""
    return f"%nbcluster attach {_one_word(clean(name))}"


def resume(name: str) -> str:
    """The line that goes on with a job."""
    return f"%nbcluster resume {_one_word(clean(name))}"


def retry(name: str) -> str:
    """The line that runs again what failed."""
    return f"%nbcluster retry {_one_word(clean(name))}"


def replay_line(name: str, partition: int, step: str | None = None) -> str:
    """The line that runs a partition again here."""
    option = f" --step {_one_word(clean(step))}" if step else ""
    return f"%nbcluster replay {_one_word(clean(name))} {partition}{option}"


def _one_word(name: str) -> str:
    return f'"{name}"' if " " in name else name


def count(number: int, noun: str, grouped: bool = True) -> str:
    """``1 item``, ``2,000 items``."""
    shown = f"{number:,}" if grouped else str(number)
    return f"{shown} {noun}" if number == 1 else f"{shown} {noun}s"


def duration(seconds: float) -> str:
    """``0.4 s``, ``12 s``, ``3 min 20 s``, ``2 h 5 min``: two units at most."""
    if seconds < 9.95:
        return f"{max(0.0, seconds):.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(round(seconds / 60), 60)
    if hours < 48:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    days, hours = divmod(hours, 24)
    return f"{days} d {hours} h" if hours else f"{days} d"


def roughly(seconds: float) -> str:
    """A time that goes on, without changing all the while: steps of 5 s below a minute, of a minute above."""
    if seconds < 60:
        return f"{max(0, int(seconds)) // 5 * 5} s"
    return duration(int(seconds) // 60 * 60)


def ago(seconds: float) -> str:
    """How old something is, as roughly as ``roughly``; nothing of what is not known."""
    if math.isnan(seconds):
        return ""
    return "just now" if seconds < 5 else f"{roughly(seconds)} ago"


def about(seconds: float) -> str:
    """How long something may still take; never more exact than a guess can be."""
    if seconds < 20:
        return f"{max(1, round(seconds))} s"
    if seconds < 58:
        return f"{round(seconds / 5) * 5} s"
    return duration(round(seconds / 60) * 60)


def rate(per_second: float) -> str:
    """``812/s``, ``2.4/s``, ``48/min``, ``3/h``: three digits at most tell."""
    for number, unit in ((per_second, "s"), (per_second * 60, "min")):
        if number >= 1:
            return f"{_digits(number)}/{unit}"
    return f"{_digits(per_second * 3600)}/h"


def _digits(number: float) -> str:
    if number < 10:
        return f"{number:.1f}".removesuffix(".0")
    return f"{float(f'{number:.3g}'):,.0f}"
