"""Dots with intervals, one a row: rates of groups, gaps with the range of gaps that chance alone makes."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from itertools import pairwise

from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from rft import number_format
from rft.records import Row
from rft.report.charts.canvas import SMALL_TEXT, WIDTH, Canvas, choose_limits, choose_log_limits, set_ticks, wrap_text
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
_BAND_OPACITY = 0.16  # opacity of a band: text on it stays readable


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
    for row, middle in zip(chart.layout.rows, chart.layout.middles, strict=True):
        _draw_dot(axes, data, row, middle)
        if chart.shows_counts:
            chart.write_count(canvas, row, middle)
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
        axes = canvas.add_axes(0, 0, WIDTH, max(self.top, 1))
        axes.set(xlim=(0, WIDTH), ylim=(max(self.top, 1), 0), xticks=[], yticks=[])
        for index, (kind, text) in enumerate(self.legend):
            _draw_key(axes, kind, 8 + 19 * index)
            canvas.write_text(30, 8 + 19 * index, text, size=SMALL_TEXT, colour="muted")
        if self.shows_counts:
            canvas.write_text(WIDTH, self.top - 11, "n", size=SMALL_TEXT, colour="muted", align="right")

    def draw_behind(self, axes: Axes) -> None:
        """Draw bands, marks and the reference behind the dots."""
        low, high = self._place_option("reference_low"), self._place_option("reference_high")
        if low is not None and high is not None:
            axes.axvspan(low, high, facecolor=COLOURS["ink"], alpha=_BAND_OPACITY, linewidth=0)
        for row, middle, half in self._iterate_rows():
            _draw_band(axes, self.data, row, middle, half)
        if self.reference is not None:
            axes.axvline(self.reference, color=COLOURS["ink"], linewidth=1.2, linestyle=(0, (4, 3)))
            text = number_format.format_plain(round(self.reference, 3))
            annotate_point(axes, self.reference, 0, text, shift=(0, 9), align="center")

    def _iterate_rows(self) -> Sequence[tuple[Row, float, float]]:
        """Return each row with its middle and half the height that it has to itself."""
        middles = self.layout.middles
        steps = [after - before for before, after in pairwise(middles)]
        half = min(steps, default=ROW_HEIGHT) / 2
        return [(row, middle, half) for row, middle in zip(self.layout.rows, middles, strict=True)]

    def write_count(self, canvas: Canvas, row: Row, middle: float) -> None:
        """Write n in the column on the right; a row that has no value says it in its place."""
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


def _draw_key(axes: Axes, kind: str, y: float) -> None:
    if kind == "dot":
        axes.plot([1, 23], [y, y], color=COLOURS["series-1"], linewidth=2.4)
        axes.plot([12], [y], marker="o", markersize=7.5, color=COLOURS["series-1"], linestyle="none")
    elif kind == "band":
        axes.add_patch(Rectangle((1, y - 6), 22, 12, facecolor=COLOURS["ink"], alpha=_BAND_OPACITY, linewidth=0))
        _draw_band_edge(axes, (1, 23), y, 6)
    elif kind == "mark":
        axes.plot([12, 12], [y - 7, y + 7], color=COLOURS["ink"], linewidth=1.2, linestyle=(0, (4, 3)))


def _draw_band_edge(axes: Axes, ends: tuple[float, float], middle: float, half: float) -> None:
    """Draw the outline of a band: its fill alone is too faint to be told from the paper."""
    box = Rectangle((ends[0], middle - half), ends[1] - ends[0], 2 * half, fill=False)
    box.set(edgecolor=COLOURS["muted"], linewidth=0.8)
    axes.add_patch(box)


def _draw_band(axes: Axes, data: ChartData, row: Row, middle: float, half: float) -> None:
    low, high, mark = (data.placed_number(row, channel) for channel in ("band_low", "band_high", "mark"))
    if low is not None and high is not None:
        box = Rectangle((low, middle - 0.8 * half), high - low, 1.6 * half)
        box.set(facecolor=COLOURS["ink"], alpha=_BAND_OPACITY, linewidth=0)
        axes.add_patch(box)
        _draw_band_edge(axes, (low, high), middle, 0.8 * half)
    if mark is not None:
        axes.plot(
            [mark, mark], [middle - half, middle + half], color=COLOURS["ink"], linewidth=1.2, linestyle=(0, (4, 3))
        )


def _draw_dot(axes: Axes, data: ChartData, row: Row, y: float) -> None:
    value = data.placed_number(row, "x")
    if value is None:
        mark_absence(axes, data.explain_absence(row) if data.cell_number(row, "x") is None else OFF_LOG_AXIS, y)
        return
    low, high = (data.cell_number(row, channel) for channel in ("low", "high"))
    colour = COLOURS["series-1"]
    if low is not None and high is not None:
        axes.plot([low, high], [y, y], color=colour, linewidth=2.4, solid_capstyle="butt")
        axes.plot([low, high], [y, y], color=colour, marker="|", markersize=9, markeredgewidth=1.6, linestyle="none")
    axes.plot([value], [y], marker="o", markersize=8.5, color=colour, markeredgecolor=COLOURS["paper"], clip_on=False)
    if data.has_channel("label") and not data.has_counts("label"):
        text = data.cell_text(row, "label")
        right = value < x_at_share(axes, 0.5)  # towards the side with more room
        text = textwrap.shorten(text, 32, placeholder=" …")  # the table has all of it
        annotate_point(axes, value, y, text, shift=(-4 if right else 4, 13), align="left" if right else "right")
