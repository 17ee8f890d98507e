"""The drawing kit of charts: matplotlib to SVG that takes its colours and its font from the page around it."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from tfdfd.reports.lettering import TEXT_SIZE, shortened, width_of
from tfdfd.reports.themed_svg import INK, LINE, SERIES, SOFT, themed

WIDTH = 400
"""Width of every chart in its own units: about that of a phone, where they are then CSS pixels."""
LEFT, RIGHT = 38, 10
"""Margins beside the axes in units."""
LEGEND_ROW = 19
"""Height of a row of the legend in units."""
ABOVE, BELOW = 24, 45
"""Units above the axes for the name of what goes up; below them for the numbers and the name of what goes right."""
DASHED, DOTTED = (0, (4.0, 3.0)), (0, (1.0, 2.0))
"""As matplotlib's `linestyle`: thresholds and the values of all; chance and other lines to compare with."""
_SMALL = 11

_STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "tfdfd",  # without it ids are drawn by lot
    "text.parse_math": False,  # a file name may hold a dollar sign
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "axes.edgecolor": SOFT,
    "axes.linewidth": 0.8,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.labelcolor": SOFT,
    "axes.labelsize": _SMALL,
    "axes.labelpad": 3,
    "grid.color": LINE,
    "grid.linewidth": 0.8,
    "xtick.color": SOFT,
    "ytick.color": SOFT,
    "xtick.labelsize": _SMALL,
    "ytick.labelsize": _SMALL,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "xtick.major.pad": 8,
    "ytick.major.pad": 5,
    "text.color": INK,
    "font.size": TEXT_SIZE,
    "lines.linewidth": 1.8,
    "lines.markersize": 5,
}


@dataclass(frozen=True)
class SeriesStyle:
    """How one of several lines is drawn: told apart by colour, dashes and marker alike."""

    colour: str
    dashes: str | tuple[float, tuple[float, ...]]
    """As matplotlib's `linestyle`."""
    marker: str


_DASHES = ("-", (0, (7.0, 1.8)), (0, (1.5, 1.2)), (0, (7.0, 1.6, 1.4, 1.6)), (0, (4.0, 1.4)), (0, (11.0, 2.2)))
_STYLES = tuple(SeriesStyle(*drawn) for drawn in zip(SERIES, _DASHES, "os^DvP", strict=True))


def series_style(number: int) -> SeriesStyle:
    """Return how line `number` is drawn, from 0; after six they begin anew."""
    return _STYLES[number % len(_STYLES)]


class Chart:
    """A drawing in units from its upper left corner; make one inside `drawing`.

    Args:
        key: unique on its page, of letters, digits, `-` and `_`; ids inside the SVG begin with it.
        label: what it shows, in words, for those who do not see it.
        height: in units; the width is WIDTH.
    """

    def __init__(self, key: str, label: str, *, height: float) -> None:
        if not re.fullmatch(r"[\w-]+", key, re.ASCII):
            raise ValueError(f"key must be of letters, digits, - and _, got {key!r}")
        self._key, self._label, self._height = key, label, height
        self.figure = Figure(figsize=(WIDTH / 72, height / 72))  # SVG has 72 points an inch, so a point is a unit

    def axes(self, *, top: float, height: float, left: float = LEFT, right: float = RIGHT) -> Axes:
        """Add axes that leave so many units free at each side."""
        bottom = self._height - top - height
        return self.figure.add_axes(
            (left / WIDTH, bottom / self._height, (WIDTH - left - right) / WIDTH, height / self._height)
        )

    def name_axes(self, axes: Axes, *, right: str, up: str) -> None:
        """Say what goes right and what goes up: along the top, where it is read without turning the head."""
        axes.set_xlabel(right)
        self.text(0, 9, up, colour=SOFT)

    def text(self, x: float, y: float, text: str, *, colour: str = INK, align: str = "left", room: float = 0) -> None:
        """Write a line whose middle lies at y.

        Args:
            x, y: in units.
            text: any; cut where it would not fit.
            colour: INK, SOFT or that of a series.
            align: `left`, `center` or `right` of x.
            room: width that it may take in units, 0 for all there is.
        """
        self.figure.text(
            x / WIDTH,
            1 - y / self._height,
            shortened(text, room or WIDTH),
            color=colour,
            ha=align,
            va="center_baseline",
        )

    def legend(self, top: float, rows: Sequence[tuple[Line2D, str, str]]) -> None:
        """Write one row a line: a piece of it, its name and, at the right, its figure.

        Args:
            top: in units.
            rows: line, name and figure.
        """
        for number, (line, name, figure) in enumerate(rows):
            y = top + (number + 0.5) * LEGEND_ROW
            piece = Line2D(
                [0.004, 0.0345, 0.065],
                [1 - y / self._height] * 3,
                transform=self.figure.transFigure,
                color=line.get_color(),
                linestyle=line.get_linestyle(),
                linewidth=line.get_linewidth(),
                marker=line.get_marker(),
                markersize=line.get_markersize(),
                markerfacecolor=line.get_markerfacecolor(),
                markevery=[1],
            )
            self.figure.add_artist(piece)
            figure = shortened(figure, WIDTH - 100)
            self.text(34, y, name, room=WIDTH - 44 - width_of(figure))
            self.text(WIDTH - 2, y, figure, colour=SOFT, align="right")

    def svg(self) -> Markup:
        """Return the drawing for a page: the same values, the same bytes."""
        buffer = io.BytesIO()
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Glyph")  # the browser's font has it, or shows a box
            self.figure.savefig(buffer, format="svg", metadata={"Date": None})
        return Markup(themed(buffer.getvalue(), self._key, self._label))


@contextmanager
def drawing() -> Iterator[None]:
    """Draw in the page's style, whatever the user's matplotlibrc says, and leave matplotlib as it was."""
    with style.context([_STYLE], after_reset=True):  # pyright: ignore[reportArgumentType]
        yield


def series_line(axes: Axes, number: int, x: np.ndarray, y: np.ndarray, *, has_markers: bool = False) -> Line2D:
    """Draw line `number` of several."""
    drawn = series_style(number)
    marker = drawn.marker if has_markers else "None"
    options = {"color": drawn.colour, "linestyle": drawn.dashes, "gid": f"mark-line-{number}"}
    return axes.plot(x, y, marker=marker, clip_on=False, **options)[0]


def check_alike(name: str, first: np.ndarray, second: np.ndarray) -> None:
    """Check that two arrays are the two coordinates of some points.

    Args:
        name: whose they are, for the message.
        first, second: any.

    Raises:
        ValueError: if they are not of one shape (n,), n at least 1.
    """
    if np.ndim(first) != 1 or np.shape(first) != np.shape(second) or len(first) == 0:
        raise ValueError(f"{name}: need two arrays alike of at least one point, got {np.shape(first)} and "
                         f"{np.shape(second)}")  # fmt: skip
