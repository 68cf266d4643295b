"""What pictures are drawn on: the figure that shows itself, and the look that all share.

Colours are those of Okabe and Ito, which the colour-blind can tell apart; what went wrong has a hatch or a marker
of its own besides.  The ground is white everywhere: on a dark page a picture is a sheet of paper.
"""

from __future__ import annotations

import io
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import FuncFormatter, MaxNLocator

from nbcluster.plots.runs import Fate

INK, PALE, FAINT = "#24292f", "#57606a", "#d0d7de"
BAND = "#f6f8fa"
STEPS = ("#0072B2", "#009E73", "#8c6bb1", "#56B4E9", "#8a7a00")
"""Completed work, by step."""


class Mark(NamedTuple):
    """How a fate looks: fill, hatch of its bar, marker where bars would be too small, word."""

    colour: str
    hatch: str
    marker: str
    word: str


MARKS = {
    Fate.COMPLETED: Mark(STEPS[0], "", "s", "completed"),
    Fate.RUNNING: Mark("#a6cee3", "", "s", "running"),
    Fate.FAILED: Mark("#D55E00", "xxxx", "X", "failed"),
    Fate.RETRIED: Mark("#E69F00", "////", "^", "raised, tried again"),
    Fate.CRASHED: Mark("#b0468c", "....", "v", "process died"),
    Fate.LOST: Mark("#3b3b3b", "\\\\\\\\", "D", "lost with its node"),
    Fate.STOPPED: Mark("#8c959f", "----", "P", "stopped or handed back"),
}

DPI = 96
_SHARPNESS = 2
"""Pixels of the PNG for each pixel of the page, so that letters stay sharp on a dense screen."""

_LOOK: dict[str, Any] = {
    "font.size": 9.5,
    "text.color": INK,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": PALE,
    "axes.labelsize": 9.5,
    "axes.titleweight": "bold",
    "axes.titlecolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "xtick.color": PALE,
    "ytick.color": PALE,
    "xtick.labelsize": 9.0,
    "ytick.labelsize": 9.0,
    "xtick.major.size": 0.0,
    "ytick.major.size": 0.0,
    "xtick.minor.size": 0.0,
    "ytick.minor.size": 0.0,
    "grid.color": "#e6e9ed",
    "grid.linewidth": 0.8,
    "figure.facecolor": "white",
    "figure.dpi": DPI,
    "savefig.dpi": DPI * _SHARPNESS,
    "hatch.linewidth": 0.8,
}

_LETTERS = 120
"""Bold letters of one point in an inch."""


class Picture(Figure):
    """A matplotlib Figure that shows itself as the value of a cell, whether or not pyplot was ever imported.

    ``savefig("talk.pdf")`` and everything else of a Figure works.
    """

    def __init__(self, *args: Any, words: str = "", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.words = words
        """What it shows, in words."""

    def __repr__(self) -> str:
        # The same on every machine and at every time, so that a notebook under test compares equal.
        return f"<Picture {self.words}>"

    @property
    def caption(self) -> str:
        """The sentence above its first panel."""
        text = self.axes[0].get_title(loc="left") if self.axes else self.words
        return " ".join(text.replace(r"\$", "$").split())

    def png(self) -> bytes:
        """The picture as a PNG, two pixels for each of the page's."""
        made = io.BytesIO()
        with _looks():
            self.savefig(made, format="png", dpi=DPI * _SHARPNESS, facecolor="white")
        return made.getvalue()

    @property
    def page_size(self) -> tuple[int, int]:
        """Its width and height on a page, in pixels."""
        width, height = self.get_size_inches()
        return round(width * DPI), round(height * DPI)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> Any:
        width, height = self.page_size
        return {"image/png": self.png(), "text/plain": repr(self)}, {"image/png": {"width": width, "height": height}}


@contextmanager
def _looks() -> Iterator[None]:
    """Draw with our look, whatever style the reader has chosen for pictures of their own."""
    with style.context(["default", _LOOK]):
        yield


@contextmanager
def a_picture(words: str, width: float, height: float) -> Iterator[Picture]:
    """An empty picture to be drawn on, in inches."""
    with _looks():
        whole = (round(width * DPI) / DPI, round(height * DPI) / DPI)  # pixels
        engine = ConstrainedLayoutEngine(w_pad=0.11, h_pad=0.11)
        yield Picture(figsize=whole, layout=engine, words=words)


def title(axes: Axes, text: str, *, width: float, above: float = 8.0, size: float = 11.5) -> None:
    """A sentence above the panel, in lines that fit its ``width`` in inches."""
    letters = max(24, int(width * _LETTERS / size))
    # The name of a job may hold dollar signs, which would be read as formulas.
    wrapped = "\n".join(textwrap.wrap(text, letters)).replace("$", r"\$")
    axes.set_title(wrapped, loc="left", pad=above, fontsize=size, linespacing=1.3)


def seconds_axis(axes: Axes, length: float, *, label: bool = True) -> None:
    """The horizontal axis from 0 to ``length``: in seconds, minutes or hours since the job was received."""
    scale, unit = (1.0, "seconds") if length < 300 else (60.0, "minutes") if length < 10_800 else (3600.0, "hours")
    axes.set_xlim(0.0, max(length, 1e-3))
    axes.xaxis.set_major_locator(_Scaled(scale))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _place: f"{value / scale:g}"))
    if label:
        axes.set_xlabel(f"{unit} since the job was received")


class _Scaled(MaxNLocator):
    """Round numbers of another unit."""

    def __init__(self, scale: float) -> None:
        super().__init__(nbins=9, steps=[1, 2, 2.5, 5, 10])
        self._scale = scale

    def tick_values(self, vmin: float, vmax: float) -> Any:
        return np.asarray(super().tick_values(vmin / self._scale, vmax / self._scale)) * self._scale


_IN_A_ROW = 6


def above_row(number: int) -> float:
    """Points between panel and title: room for so many things in rows that tell what colours and marks mean."""
    return 8.0 if not number else 11.0 + 15.0 * -(-number // _IN_A_ROW)


def row_of(axes: Axes, handles: list[Any]) -> None:
    """A line above the panel that tells what colours and marks mean."""
    axes.legend(
        handles=handles, loc="lower left", bbox_to_anchor=(-0.005, 1.0), ncols=min(len(handles), _IN_A_ROW),
        frameon=False, fontsize=9, handlelength=1.5, handleheight=1.0, columnspacing=1.4, borderaxespad=0.1,
        borderpad=0.2,
    )  # fmt: skip


def nothing(axes: Axes, text: str) -> None:
    """A panel that has nothing to show yet says so."""
    axes.set_axis_off()
    axes.text(0.5, 0.5, text, ha="center", va="center", color=PALE, fontsize=11, transform=axes.transAxes)
