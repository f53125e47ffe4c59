"""A canvas for charts: a matplotlib figure measured in pixels from its upper left corner.

Its settings are those of ``svg.drawing_settings``. Text widths are estimated from the number of characters, generously,
since the font that a reader's browser takes is not known here.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from unicodedata import east_asian_width

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator
from matplotlib.transforms import Affine2D

from rft import number_format
from rft.report.charts.svg import COLOURS, SERIES, TICK_TEXT_SIZE
from rft.visible import visible

WIDTH = 400  # natural width of every chart: at 336 pixels, on a small phone, its text is still 11 pixels high
TEXT_SIZE = 13.5
SMALL_TEXT = TICK_TEXT_SIZE
LINE_HEIGHT = 16  # from one line of text to the next
MIN_PLAIN_TICK = 1e-4  # of a logarithmic axis that begins lower, all numbers are written as powers of ten
_EM = 0.58  # width of a character in parts of the font size

PAPER_BEHIND = {"facecolor": COLOURS["paper"], "edgecolor": "none", "pad": 1.5}  # no line through the words
MARKERS = ("o", "s", "^", "D", "v", "P")
DASHES = ("-", "--", ":", "-.", (0, (8, 2)), (0, (3, 1, 1, 1, 1, 1)))
Dash = str | tuple[int, tuple[int, ...]]


@dataclass(frozen=True)
class Box:
    """A rectangle of a canvas, in pixels."""

    left: float
    top: float
    width: float
    height: float

    @property
    def middle(self) -> tuple[float, float]:
        """Where its diagonals cross."""
        return self.left + self.width / 2, self.top + self.height / 2


@dataclass(frozen=True)
class Style:
    """Colour, marker and dash of a series: no two differ in colour alone."""

    colour: str
    marker: str
    dash: Dash


def style_series(index: int) -> Style:
    """Return the style of a series; after the sixth the colours come again with other dashes."""
    turn = index // SERIES
    return Style(
        colour=COLOURS[f"series-{index % SERIES + 1}"],
        marker=MARKERS[(index + turn) % len(MARKERS)],
        dash=DASHES[(index + turn) % len(DASHES)],
    )


def text_width(text: str, size: float = TEXT_SIZE) -> float:
    """Return about how wide a line of text is, in pixels; rather too wide than too narrow."""
    ems = sum(1.0 if east_asian_width(character) in "WF" else _EM for character in visible(text))
    return ems * size


def wrap_text(text: str, width: float, size: float = TEXT_SIZE) -> list[str]:
    """Return the text in lines no wider than ``width`` pixels; a word that is too long is broken, none is cut off."""
    clean = visible(text)
    widest = max((text_width(character, size) for character in clean), default=size)
    return textwrap.wrap(clean, max(int(width / widest), 4)) or [""]


class Canvas:
    """A drawing of a given height, ``WIDTH`` wide.

    Axes are for what has a scale. They take matplotlib about ten milliseconds each, and as long to draw: legends and
    cells are drawn on the canvas itself.
    """

    def __init__(self, height: float) -> None:
        self.height = height
        self.figure = Figure(figsize=(WIDTH / 72, height / 72), facecolor="none")
        self._pixels = Affine2D().scale(1 / 72, -1 / 72).translate(0, height / 72) + self.figure.dpi_scale_trans

    def add_axes(self, left: float, top: float, width: float, height: float) -> Axes:
        """Return axes in this rectangle: no frame, fine grid lines where ``set_ticks`` asks for them."""
        box = (left / WIDTH, 1 - (top + height) / self.height, width / WIDTH, height / self.height)
        axes = self.figure.add_axes(box, facecolor="none")
        for axis in (axes.xaxis, axes.yaxis):  # they have no label: to look for its place lays out all ticks twice more
            axis.set_label_coords(0, 0)
        return axes

    def draw_line(self, xs: Sequence[float], ys: Sequence[float], **look: Any) -> None:
        """Draw a line through places in pixels, broken where one is NaN, or a marker at each."""
        self.figure.add_artist(Line2D(xs, ys, transform=self._pixels, **look))

    def draw_box(self, box: Box, **look: Any) -> None:
        """Draw a rectangle."""
        self.figure.add_artist(Rectangle((box.left, box.top), box.width, box.height, transform=self._pixels, **look))

    def write_text(self, x: float, y: float, line: str, **look: Any) -> None:
        """Write one line, as ``write_lines`` does."""
        self.write_lines(x, y, [line], **look)

    def write_lines(
        self,
        x: float,
        y: float,
        lines: Sequence[str],
        *,
        align: str = "left",
        size: float = TEXT_SIZE,
        colour: str = "ink",
        bold: bool = False,
        boxed: bool = False,
    ) -> None:
        """Write lines under each other, the whole block centred on ``y``; ``boxed`` ones hide what they stand on."""
        for index, line in enumerate(lines):
            middle = y + (index - (len(lines) - 1) / 2) * LINE_HEIGHT
            text = self.figure.text(x / WIDTH, 1 - middle / self.height, visible(line), ha=align, va="center_baseline")
            text.set(size=size, color=COLOURS[colour], weight="bold" if bold else "normal")
            if boxed:
                text.set_bbox(PAPER_BEHIND)

    def write_upright(self, x: float, top: float, line: str) -> None:
        """Write a small line turned by 90 degrees, which ends at ``top``."""
        text = self.figure.text(x / WIDTH, 1 - top / self.height, visible(line), ha="center", va="top", rotation=90)
        text.set(size=SMALL_TEXT, color=COLOURS["ink"])

    def write_legend(
        self, entries: Mapping[str, Style], top: float, *, patches: bool = False, joined: bool = True
    ) -> None:
        """Write the names of the series with their marks, one line each entry or side by side where they fit."""
        for (name, look), (x, below) in zip(entries.items(), _legend_places(entries), strict=True):
            y = top + below
            if patches:
                self.draw_line([x + 6], [y], marker="s", markersize=10, color=look.colour, linestyle="none")
            else:
                if joined:
                    self.draw_line([x, x + 22], [y, y], color=look.colour, linestyle=look.dash, linewidth=1.8)
                self.draw_line([x + 11], [y], marker=look.marker, markersize=6, color=look.colour, linestyle="none")
            self.write_text(x + (18 if patches else 28), y, name, size=SMALL_TEXT)


def legend_height(entries: Mapping[str, Style]) -> float:
    """Return the height that ``Canvas.write_legend`` takes."""
    return max((y for _, y in _legend_places(entries)), default=-14) + 14


def _legend_places(entries: Mapping[str, Style]) -> list[tuple[float, float]]:
    places, x, y = [], 0.0, 8.0
    for name in entries:
        width = 28 + text_width(name, SMALL_TEXT) + 18
        if x > 0 and x + width > WIDTH:
            x, y = 0.0, y + 19
        places.append((x, y))
        x += width
    return places


def set_ticks(
    axes: Axes,
    which: str,
    limits: tuple[float, float],
    *,
    most: int = 5,
    whole: bool = False,
    log: bool = False,
    grid: bool = True,
) -> None:
    """Give an axis its limits, at most so many round ticks, and a grid line at each of them where it has a ``grid``."""
    axis = axes.xaxis if which == "x" else axes.yaxis
    if log:
        (axes.set_xscale if which == "x" else axes.set_yscale)("log", nonpositive="clip")
        places = _choose_log_ticks(*limits, most)
        write = number_format.format_scientific if limits[0] < MIN_PLAIN_TICK else number_format.format_plain
        axis.set_major_locator(FixedLocator(places))
        axis.set_minor_locator(NullLocator())
        axis.set_major_formatter(FuncFormatter(lambda value, _: write(float(f"{value:.10g}"))))
    else:
        locator = MaxNLocator(most, steps=[1, 2, 5, 10], integer=whole)
        axis.set_major_locator(locator)
        limits = limits if whole else _reach_ticks(limits, [float(place) for place in locator.tick_values(*limits)])
        axis.set_major_formatter(FuncFormatter(lambda value, _: number_format.format_plain(round(value, 10) + 0.0)))
    (axes.set_xlim if which == "x" else axes.set_ylim)(*limits)
    if grid:
        axis.grid(visible=True)


def _reach_ticks(limits: tuple[float, float], places: Sequence[float]) -> tuple[float, float]:
    """Return limits that reach to a tick at both ends, so that no value lies beyond the last number of its axis."""
    return max((place for place in places if place <= limits[0]), default=limits[0]), min(
        (place for place in places if place >= limits[1]), default=limits[1]
    )


def choose_limits(values: Sequence[float], *, zero: bool = False) -> tuple[float, float]:
    """Return limits that hold all values with some room, inside [0, 1] when the values are."""
    held = [*values, 0.0] if zero or not values else list(values)
    low, high = min(held), max(held)
    room = 0.06 * (high - low) or 0.1 * max(abs(high), 0.1)
    inside = low >= 0 and high <= 1
    bottom = max(low - room, 0) if inside or (zero and low >= 0) else low - room
    top = min(high + room, 1) if inside and high <= 1 and not zero else high + room
    return bottom, top


def choose_log_limits(values: Sequence[float]) -> tuple[float, float]:
    """Return limits of a logarithmic axis that hold all values above 0 with some room; at most 1 when they are."""
    held = [value for value in values if value > 0] or [0.1, 1.0]
    low, high = min(held), max(held)
    room = (high / low) ** 0.06 if high > low else 1.5
    return low / room, high if high == 1 else min(high * room, 1.0) if high < 1 else high * room


def _choose_log_ticks(low: float, high: float, most: int) -> list[float]:
    """Return round numbers inside the limits: as many as are allowed, powers of ten only where there are enough."""
    powers = [10.0**power for power in range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)]
    doublings = [2.0**power for power in range(-3, 12)]
    for places in (
        [digit * power for power in powers for digit in range(1, 10)],
        doublings if low > doublings[0] and high < doublings[-1] else [],
        [digit * power for power in powers for digit in (1, 2, 5)],
        [digit * power for power in powers for digit in (1, 3)],
        powers,
    ):
        inside = [place for place in places if low <= place <= high]
        if 3 <= len(inside) <= most:
            return inside
    if len(inside) > most:
        return inside[:: math.ceil(len(inside) / most)]
    even = MaxNLocator(most, steps=[1, 2, 5, 10]).tick_values(low, high)
    return [float(place) for place in even if low <= place <= high]
