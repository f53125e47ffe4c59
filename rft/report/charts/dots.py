"""Dots with intervals, one a row: rates of groups, gaps with the range of gaps that chance alone makes."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from itertools import pairwise

from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from rft.records import Figure, Row, Table
from rft.report.charts.canvas import SMALL, WIDTH, Sheet, limits, log_limits, ticks, wrap
from rft.report.charts.marks import (
    AXIS,
    NO_PLACE,
    ROW,
    absent,
    across,
    annotate,
    axis_title,
    is_log,
    number_of,
    text_of,
    title_height,
    why_absent,
)
from rft.report.charts.row_layout import Ladder
from rft.report.charts.svg import COLOURS
from rft.report.format import numbers
from rft.report.views.tables import number

_COUNT = 46  # width of the column of counts on the right
_MANY = 12  # rows from which on they stand closer
_BAND = 0.16  # opacity of a band: text on it stays readable


def dots(figure: Figure, rows: Table) -> Sheet:
    """Draw a dot with its interval in each row, on bands and reference lines."""
    chart = _Dots(figure, rows)
    sheet = Sheet(chart.top + chart.ladder.height + AXIS + title_height(figure.x_label, chart.ladder.left))
    axes = sheet.axes(chart.ladder.left, chart.top, chart.width, chart.ladder.height)
    chart.ladder.write(sheet, chart.top)
    chart.write_legend(sheet)
    log = is_log(figure, "x")
    ticks(axes, "x", log_limits(chart.values) if log else limits(chart.values), log=log)
    axes.set(ylim=(chart.ladder.height, 0), yticks=[])
    chart.draw_behind(axes)
    for row, middle in zip(chart.ladder.rows, chart.ladder.middles, strict=True):
        _dot(axes, figure, row, middle)
        if chart.counted:
            chart.write_count(sheet, row, middle)
    axis_title(sheet, figure.x_label, chart.ladder.left)
    return sheet


class _Dots:
    """What a chart of dots holds, and where."""

    def __init__(self, figure: Figure, rows: Table) -> None:
        self.figure = figure
        label = figure.encode.get("label", "")
        self.counted = label == "n" or label.startswith("n_")
        close = 22 if len(rows) > _MANY else ROW
        self.ladder = Ladder(figure, rows, label="y", row_height=ROW + 10 if label and not self.counted else close)
        self.width = WIDTH - self.ladder.left - (_COUNT if self.counted else 12)
        self.reference = self._option("reference")
        self.legend = _legend(figure)
        self.head = 20 if self.reference is not None or self.counted else 4
        self.top = self.head + len(self.legend) * 19 + (4 if self.legend else 0)
        channels = ("x", "low", "high", "band_low", "band_high", "mark")
        held = [number(row[figure.encode[name]]) for row in rows for name in channels if name in figure.encode]
        extra = [self.reference, self._option("reference_low"), self._option("reference_high")]
        self.values = [value for value in (*held, *extra) if value is not None]

    def _option(self, name: str) -> float | None:
        value = number(self.figure.options.get(name))
        return None if value is None or (value <= 0 and is_log(self.figure, "x")) else float(value)

    def write_legend(self, sheet: Sheet) -> None:
        """Say what the marks mean, and head the column of counts."""
        axes = sheet.axes(0, 0, WIDTH, max(self.top, 1))
        axes.set(xlim=(0, WIDTH), ylim=(max(self.top, 1), 0), xticks=[], yticks=[])
        for index, (kind, text) in enumerate(self.legend):
            _key(axes, kind, 8 + 19 * index)
            sheet.text(30, 8 + 19 * index, text, size=SMALL, colour="muted")
        if self.counted:
            sheet.text(WIDTH, self.top - 11, "n", size=SMALL, colour="muted", align="right")

    def draw_behind(self, axes: Axes) -> None:
        """Draw bands, marks and the reference behind the dots."""
        low, high = self._option("reference_low"), self._option("reference_high")
        if low is not None and high is not None:
            axes.axvspan(low, high, facecolor=COLOURS["ink"], alpha=_BAND, linewidth=0)
        for row, middle, half in self._rows():
            _band(axes, self.figure, row, middle, half)
        if self.reference is not None:
            axes.axvline(self.reference, color=COLOURS["ink"], linewidth=1.2, linestyle=(0, (4, 3)))
            text = numbers.plain(round(self.reference, 3))
            annotate(axes, self.reference, 0, text, shift=(0, 9), align="center")

    def _rows(self) -> Sequence[tuple[Row, float, float]]:
        """Return each row with its middle and half the height that it has to itself."""
        middles = self.ladder.middles
        steps = [after - before for before, after in pairwise(middles)]
        half = min(steps, default=ROW) / 2
        return [(row, middle, half) for row, middle in zip(self.ladder.rows, middles, strict=True)]

    def write_count(self, sheet: Sheet, row: Row, middle: float) -> None:
        """Write n in the column on the right; a row that has no value says it in its place."""
        if number_of(self.figure, row, "x") is not None:
            text = text_of(self.figure, row, "label")
            sheet.text(WIDTH, self.top + middle, text, size=SMALL, colour="muted", align="right")


def _legend(figure: Figure) -> list[tuple[str, str]]:
    """Return the marks that need an explanation, with it: (kind, text) in lines that fit."""
    named = [(kind, figure.options.get(f"{kind}_label")) for kind in ("dot", "band", "mark")]
    found = []
    for kind, text in named:
        if isinstance(text, str) and text:
            first, *rest = wrap(text, WIDTH - 34, SMALL)
            found += [(kind, first), *(("", line) for line in rest)]
    return found


def _key(axes: Axes, kind: str, y: float) -> None:
    if kind == "dot":
        axes.plot([1, 23], [y, y], color=COLOURS["series-1"], linewidth=2.4)
        axes.plot([12], [y], marker="o", markersize=7.5, color=COLOURS["series-1"], linestyle="none")
    elif kind == "band":
        axes.add_patch(Rectangle((1, y - 6), 22, 12, facecolor=COLOURS["ink"], alpha=_BAND, linewidth=0))
    elif kind == "mark":
        axes.plot([12, 12], [y - 7, y + 7], color=COLOURS["ink"], linewidth=1.2, linestyle=(0, (4, 3)))


def _band(axes: Axes, figure: Figure, row: Row, middle: float, half: float) -> None:
    low, high, mark = (number_of(figure, row, name) for name in ("band_low", "band_high", "mark"))
    if low is not None and high is not None:
        box = Rectangle((low, middle - 0.8 * half), high - low, 1.6 * half)
        box.set(facecolor=COLOURS["ink"], alpha=_BAND, linewidth=0)
        axes.add_patch(box)
    if mark is not None:
        axes.plot(
            [mark, mark], [middle - half, middle + half], color=COLOURS["ink"], linewidth=1.2, linestyle=(0, (4, 3))
        )


def _dot(axes: Axes, figure: Figure, row: Row, y: float) -> None:
    value = number_of(figure, row, "x")
    if value is None:
        absent(axes, why_absent(row) if number(row[figure.encode["x"]]) is None else NO_PLACE, y)
        return
    low, high = (number(row.get(figure.encode.get(name, ""))) for name in ("low", "high"))
    colour = COLOURS["series-1"]
    if low is not None and high is not None:
        axes.plot([low, high], [y, y], color=colour, linewidth=2.4, solid_capstyle="butt")
        axes.plot([low, high], [y, y], color=colour, marker="|", markersize=9, markeredgewidth=1.6, linestyle="none")
    axes.plot([value], [y], marker="o", markersize=8.5, color=colour, markeredgecolor=COLOURS["paper"], clip_on=False)
    label = figure.encode.get("label", "")
    if label and label != "n" and not label.startswith("n_"):
        text = text_of(figure, row, "label")
        right = value < across(axes, 0.5)  # towards the side with more room
        text = textwrap.shorten(text, 32, placeholder=" …")  # the table has all of it
        annotate(axes, value, y, text, shift=(-4 if right else 4, 13), align="left" if right else "right")
