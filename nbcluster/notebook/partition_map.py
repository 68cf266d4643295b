"""The partitions of a job by state: the parts of its bar, and the cells of its map.  Pure."""

from __future__ import annotations

from dataclasses import dataclass

from nbcluster.notebook.wording import count

MOST_CELLS = 400
"""Cells of the map; of a job with more partitions each stands for several."""

STATES = (("c", "completed"), ("f", "failed"), ("s", "stopped"), ("r", "running"), (".", "pending"))
"""Letters of states with their words, in the order of the bar."""

_WORST_FIRST = "fsr"


@dataclass(frozen=True, slots=True)
class Segment:
    """The partitions in one state: its letter and word, how many, and their share of all (0 to 1)."""

    letter: str
    word: str
    count: int
    share: float


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell of the map: the letter of the worst state in it, and the share of it that is completed (0 to 1).

    ``c`` when all of it is completed, ``.`` when the rest only waits.
    """

    letter: str
    done: float


def segments_of(letters: str) -> tuple[Segment, ...]:
    """The states that there are."""
    counted = ((letter, word, letters.count(letter)) for letter, word in STATES)
    return tuple(Segment(letter, word, number, number / len(letters)) for letter, word, number in counted if number)


def cells_of(letters: str, most: int = MOST_CELLS) -> tuple[Cell, ...]:
    """The map of a job, from the letters of its partitions in order."""
    size = partitions_in_a_cell(len(letters), most)
    return tuple(_cell(letters[start : start + size]) for start in range(0, len(letters), size))


def partitions_in_a_cell(partitions: int, most: int = MOST_CELLS) -> int:
    """How many partitions a cell stands for; the last one may hold fewer."""
    return max(1, -(-partitions // most))


def map_label(partitions: int) -> str:
    """``100,000 partitions, 250 in each cell``."""
    size = partitions_in_a_cell(partitions)
    return count(partitions, "partition") + (f", {size:,} in each cell" if size > 1 else "")


def _cell(letters: str) -> Cell:
    done = letters.count("c") / len(letters)
    worst = next((letter for letter in _WORST_FIRST if letter in letters), "c" if done == 1 else ".")
    return Cell(worst, done)
