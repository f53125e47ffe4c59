"""Dots with intervals, one a row: rates of groups, gaps with the range of gaps that chance alone makes."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from rft import number_format
from rft.records import Row
from rft.report.charts.canvas import (
    SMALL_TEXT,
    WIDTH,
    Box,
    Canvas,
    choose_limits,
    choose_log_limits,
    set_ticks,
    wrap_text,
)
from rft.report.charts.chart_data import ChartData
from rft.report.charts.marks import (
    AXIS_HEIGHT,
    OFF_LOG_AXIS,
    ROW_HEIGHT,
    annotate_point,
    mark_absence,
    title_height,
    write_axis_title,
    x_at_share,
)
from rft.report.charts.row_layout import RowLayout
from rft.report.charts.svg import COLOURS

_COUNT_WIDTH = 46  # width of the column of counts on the right
_DENSE_FROM_ROWS = 12  # rows from which on they stand closer
# A band: text on it stays readable, and its edge is told from the paper, for which the fill alone is too faint.
_BAND: Mapping[str, Any] = {"facecolor": COLOURS["ink"], "alpha": 0.16, "linewidth": 0}
_BAND_EDGE: Mapping[str, Any] = {"fill": False, "edgecolor": COLOURS["muted"], "linewidth": 0.8}
_REFERENCE_LINE: Mapping[str, Any] = {"color": COLOURS["ink"], "linewidth": 1.2, "linestyle": (0, (4, 3))}


def draw_dots(data: ChartData) -> Canvas:
    """Draw a dot with its interval in each row, on bands and reference lines."""
    chart = _DotChart(data)
    canvas = Canvas(
        chart.top + chart.layout.height + AXIS_HEIGHT + title_height(data.figure.x_label, chart.layout.left)
    )
    axes = canvas.add_axes(chart.layout.left, chart.top, chart.width, chart.layout.height)
    chart.layout.write(canvas, chart.top)
    chart.write_legend(canvas)
    log = data.is_log("x")
    set_ticks(axes, "x", choose_log_limits(chart.values) if log else choose_limits(chart.values), log=log)
    axes.set(ylim=(chart.layout.height, 0), yticks=[])
    chart.draw_behind(axes)
    chart.draw_dots(axes)
    chart.write_counts(canvas)
    write_axis_title(canvas, data.figure.x_label, chart.layout.left)
    return canvas


class _DotChart:
    """What a chart of dots holds, and where."""

    def __init__(self, data: ChartData) -> None:
        self.data = data
        labelled = data.has_channel("label")
        self.shows_counts = data.has_counts("label")
        close = 22 if len(data.rows) >= _DENSE_FROM_ROWS else ROW_HEIGHT
        self.layout = RowLayout(
            data, label="y", row_height=ROW_HEIGHT + 10 if labelled and not self.shows_counts else close
        )
        self.width = WIDTH - self.layout.left - (_COUNT_WIDTH if self.shows_counts else 12)
        self.reference = self._place_option("reference")
        self.legend = _list_legend(data)
        self.head = 20 if self.reference is not None or self.shows_counts else 4
        self.top = self.head + len(self.legend) * 19 + (4 if self.legend else 0)
        channels = ("x", "low", "high", "band_low", "band_high", "mark")
        held = [data.cell_number(row, channel) for row in data.rows for channel in channels]
        extra = [self.reference, self._place_option("reference_low"), self._place_option("reference_high")]
        self.values = [value for value in (*held, *extra) if value is not None]

    def _place_option(self, name: str) -> float | None:
        value = self.data.option_number(name)
        return None if value is None or (value <= 0 and self.data.is_log("x")) else float(value)

    def write_legend(self, canvas: Canvas) -> None:
        """Say what the marks mean, and head the column of counts."""
        for index, (kind, text) in enumerate(self.legend):
            _draw_key(canvas, kind, 8 + 19 * index)
            canvas.write_text(30, 8 + 19 * index, text, size=SMALL_TEXT, colour="muted")
        if self.shows_counts:
            canvas.write_text(WIDTH, self.top - 11, "n", size=SMALL_TEXT, colour="muted", align="right")

    def draw_behind(self, axes: Axes) -> None:
        """Draw bands, marks and the reference behind the dots."""
        low, high = self._place_option("reference_low"), self._place_option("reference_high")
        if low is not None and high is not None:
            axes.axvspan(low, high, **_BAND)
        self._draw_bands(axes)
        if self.reference is not None:
            axes.axvline(self.reference, **_REFERENCE_LINE)
            text = number_format.format_plain(round(self.reference, 3))
            annotate_point(axes, self.reference, 0, text, shift=(0, 9), align="center")

    def _draw_bands(self, axes: Axes) -> None:
        """Draw the band of each row, and its mark."""
        middles = self.layout.middles
        half = min((after - before for before, after in pairwise(middles)), default=ROW_HEIGHT) / 2
        marks = []
        for row, middle in zip(self.layout.rows, middles, strict=True):
            low, high, mark = (self.data.placed_number(row, channel) for channel in ("band_low", "band_high", "mark"))
            if low is not None and high is not None:
                for look in (_BAND, _BAND_EDGE):
                    axes.add_artist(Rectangle((low, middle - 0.8 * half), high - low, 1.6 * half, **look))
            if mark is not None:
                marks.append((mark, middle))
        if marks:
            places, heights = np.asarray(marks).T
            axes.vlines(places, heights - half, heights + half, **_REFERENCE_LINE)

    def draw_dots(self, axes: Axes) -> None:
        """Draw the dots over their intervals, all of a kind at once; a row without a value says why."""
        rows = [
            (row, self.data.placed_number(row, "x"), middle)
            for row, middle in zip(self.layout.rows, self.layout.middles, strict=True)
        ]
        measured = [(row, x, y) for row, x, y in rows if x is not None]
        self._draw_intervals(axes, [(row, y) for row, _, y in measured])
        dot: Mapping[str, Any] = {
            "marker": "o",
            "markersize": 8.5,
            "color": COLOURS["series-1"],
            "markeredgecolor": COLOURS["paper"],
        }
        if measured:
            axes.plot([x for _, x, _ in measured], [y for *_, y in measured], linestyle="none", clip_on=False, **dot)
        if self.data.has_channel("label") and not self.shows_counts:
            for row, x, y in measured:
                self._write_label(axes, row, x, y)
        for row, place, y in rows:
            if place is None:
                is_absent = self.data.cell_number(row, "x") is None
                mark_absence(axes, self.data.explain_absence(row) if is_absent else OFF_LOG_AXIS, y)

    def _draw_intervals(self, axes: Axes, rows: Sequence[tuple[Row, float]]) -> None:
        held = [(self.data.cell_number(row, "low"), self.data.cell_number(row, "high"), y) for row, y in rows]
        ends = [(low, high, y) for low, high, y in held if low is not None and high is not None]
        if ends:
            lows, highs, middles = zip(*ends, strict=True)
            axes.hlines(middles, lows, highs, color=COLOURS["series-1"], linewidth=2.4)
            caps: Mapping[str, Any] = {
                "marker": "|",
                "markersize": 9,
                "markeredgewidth": 1.6,
                "color": COLOURS["series-1"],
            }
            axes.plot([*lows, *highs], [*middles, *middles], linestyle="none", **caps)

    def _write_label(self, axes: Axes, row: Row, x: float, y: float) -> None:
        """Write the label of a dot towards the side with more room."""
        text = textwrap.shorten(self.data.cell_text(row, "label"), 32, placeholder=" …")  # the table has all of it
        right = x < x_at_share(axes, 0.5)
        annotate_point(axes, x, y, text, shift=(-4 if right else 4, 13), align="left" if right else "right")

    def write_counts(self, canvas: Canvas) -> None:
        """Write n in the column on the right; a row that has no value says it in its place."""
        if not self.shows_counts:
            return
        for row, middle in zip(self.layout.rows, self.layout.middles, strict=True):
            if self.data.placed_number(row, "x") is not None:
                text = self.data.cell_text(row, "label")
                canvas.write_text(WIDTH, self.top + middle, text, size=SMALL_TEXT, colour="muted", align="right")


def _list_legend(data: ChartData) -> list[tuple[str, str]]:
    """Return the marks that need an explanation, with it: (kind, text) in lines that fit."""
    named = [(kind, data.figure.options.get(f"{kind}_label")) for kind in ("dot", "band", "mark")]
    lines = []
    for kind, text in named:
        if isinstance(text, str) and text:
            first, *rest = wrap_text(text, WIDTH - 34, SMALL_TEXT)
            lines += [(kind, first), *(("", more) for more in rest)]
    return lines


def _draw_key(canvas: Canvas, kind: str, y: float) -> None:
    if kind == "dot":
        canvas.draw_line([1, 23], [y, y], color=COLOURS["series-1"], linewidth=2.4)
        canvas.draw_line([12], [y], marker="o", markersize=7.5, color=COLOURS["series-1"], linestyle="none")
    elif kind == "band":
        for look in (_BAND, _BAND_EDGE):
            canvas.draw_box(Box(1, y - 6, 22, 12), **look)
    elif kind == "mark":
        canvas.draw_line([12, 12], [y - 7, y + 7], **_REFERENCE_LINE)
