"""Lines over numbers, with intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection

from rft.records import Row
from rft.report.charts.canvas import (
    LINE_HEIGHT,
    SMALL_TEXT,
    WIDTH,
    Canvas,
    Style,
    choose_limits,
    choose_log_limits,
    legend_height,
    set_ticks,
    style_series,
    wrap_text,
)
from rft.report.charts.chart_data import ChartData
from rft.report.charts.marks import AXIS_HEIGHT, LEFT_MARGIN, OFF_LOG_AXIS, title_height, write_axis_title
from rft.report.charts.svg import COLOURS

_PANEL_MARGIN, _PANEL_GAP = 40, 22  # room beside the panels, and between two of them
_MARKED_UP_TO_POINTS, _WHISKERS_UP_TO_POINTS = 20, 12


@dataclass(frozen=True)
class Point:
    """A measured row in numbers."""

    x: float
    y: float
    ends: tuple[float, float] | None


@dataclass(frozen=True)
class _Frame:
    """Limits of both axes, the same for every panel."""

    across: tuple[float, float]
    up: tuple[float, float]
    diagonal: tuple[float, float] | None

    @classmethod
    def around(cls, data: ChartData) -> _Frame:
        """Return limits that hold all points and their intervals; both axes alike where there is a diagonal."""
        heights = [height for point in list_points(data) for height in (point.y, *(point.ends or ()))]
        places = [x for row in data.rows if (x := data.cell_number(row, "x")) is not None]
        x_log, y_log = data.is_log("x"), data.is_log("y")
        diagonal = None
        if _has_diagonal(data):  # the line of equal shares runs from corner to corner
            places = heights = [*heights, *places, *((1.0,) if x_log or y_log else (0.0, 1.0))]
            diagonal = choose_log_limits(places) if x_log or y_log else choose_limits(places)
        across = choose_log_limits(places) if x_log else choose_limits(places)
        return cls(across, choose_log_limits(heights) if y_log else choose_limits(heights), diagonal)

    def apply_to(self, axes: Axes, data: ChartData, *, most: int = 5) -> None:
        """Give the axes their limits, at most so many ticks, and the diagonal."""
        if self.diagonal:
            _draw_diagonal(axes, self.diagonal)
        set_ticks(axes, "x", self.across, whole=is_whole(data), log=data.is_log("x"), most=most, grid=False)
        set_ticks(axes, "y", self.up, log=data.is_log("y"))


def draw_lines(data: ChartData) -> Canvas:
    """Draw the series in one frame, or each facet in a frame of its own before the others."""
    if data.has_channel("facet"):
        return _draw_panels(data)
    canvas, axes, looks = lay_out_plot(data)
    for name, rows in data.group_rows("series").items():
        _draw_line(axes, data.with_rows(rows), looks[name])
    _Frame.around(data).apply_to(axes, data)
    return canvas


def _draw_panels(data: ChartData) -> Canvas:
    """Draw small multiples, two side by side: curves with intervals in one frame cannot be told apart."""
    facets = data.group_rows("facet")
    width = (WIDTH - _PANEL_MARGIN - _PANEL_GAP) / 2 if len(facets) > 1 else 300
    height = width if _has_diagonal(data) else 0.7 * width
    names = {name: wrap_text(name, width, SMALL_TEXT) for name in facets}
    head = max(map(len, names.values())) * LINE_HEIGHT + 6
    block = head + height + AXIS_HEIGHT + 8
    notes, top = _explain_missing_points(data), 22 if data.figure.y_label else 0
    foot = title_height(data.figure.x_label, _PANEL_MARGIN) + 18 * len(notes) + (20 if len(facets) > 1 else 0)
    canvas = Canvas(top + -(-len(facets) // 2) * block + foot)
    canvas.write_text(0, 8, data.figure.y_label, size=SMALL_TEXT, colour="muted")
    frame = _Frame.around(data)
    for index, (name, rows) in enumerate(facets.items()):
        left, above = _PANEL_MARGIN + (index % 2) * (width + _PANEL_GAP), top + index // 2 * block + head
        canvas.write_lines(
            left, above - 4 - len(names[name]) * LINE_HEIGHT / 2, names[name], size=SMALL_TEXT, bold=True
        )
        axes = canvas.add_axes(left, above, width, height)
        _draw_behind(axes, [data.with_rows(behind) for facet, behind in facets.items() if facet != name])
        _draw_line(axes, data.with_rows(rows), style_series(0))
        frame.apply_to(axes, data, most=4)
        if index % 2:
            axes.tick_params(labelleft=False)
    _write_panel_notes(canvas, data, notes, several=len(facets) > 1)
    return canvas


def _draw_behind(axes: Axes, panels: Sequence[ChartData]) -> None:
    """Draw the lines of other panels, thin."""
    lines = [[(point.x, point.y) for point in list_points(panel)] for panel in panels]
    thin = LineCollection(lines, color=COLOURS["muted"], linewidth=1, alpha=0.45, zorder=1.5)
    axes.add_collection(thin, autolim=False)


def _write_panel_notes(canvas: Canvas, data: ChartData, notes: Sequence[str], *, several: bool) -> None:
    written = [*notes, *(["Thin lines: the other panels."] if several else [])]
    below = 0.0
    for text in reversed(written):
        canvas.write_text(0, canvas.height - 8 - below, text, size=SMALL_TEXT, colour="muted")
        below += 18
    write_axis_title(canvas, data.figure.x_label, _PANEL_MARGIN, below=below)


def _has_diagonal(data: ChartData) -> bool:
    return data.figure.options.get("diagonal") == "yes"


def _is_joined(data: ChartData) -> bool:
    return data.figure.options.get("joined") != "no"


def _draw_diagonal(axes: Axes, ends: tuple[float, float]) -> None:
    places = np.linspace(*ends, 2) if ends[0] <= 0 else np.geomspace(*ends, 100)  # bent where one axis is logarithmic
    axes.plot(places, places, color=COLOURS["muted"], linewidth=1.2, linestyle=(0, (4, 3)), zorder=1)


def _draw_line(axes: Axes, data: ChartData, look: Style) -> None:
    joined = _is_joined(data)
    marker = look.marker if len(data.rows) <= _MARKED_UP_TO_POINTS or not joined else ""
    dash = look.dash if joined else "none"

    def is_measured(row: Row) -> bool:
        return None not in (data.placed_number(row, "x"), data.placed_number(row, "y"))

    for measured, rows in groupby(data.rows, key=is_measured):
        if measured:  # what was not measured breaks the line
            points = list_points(data.with_rows(list(rows)))
            path = ([point.x for point in points], [point.y for point in points])
            axes.plot(*path, color=look.colour, linestyle=dash, linewidth=2, marker=marker, clip_on=False)
            _draw_intervals(axes, points, look, whiskers=len(data.rows) <= _WHISKERS_UP_TO_POINTS)


def list_points(data: ChartData) -> list[Point]:
    """Return the measured rows in numbers."""
    points = []
    for row in data.rows:
        x, y, low, high = (data.placed_number(row, channel) for channel in ("x", "y", "low", "high"))
        if x is not None and y is not None:
            points.append(Point(x, y, None if low is None or high is None else (low, high)))
    return points


def is_whole(data: ChartData) -> bool:
    """Return whether x counts."""
    return all(isinstance(row[data.figure.encode["x"]], int) for row in data.rows)


def _draw_intervals(axes: Axes, points: Sequence[Point], look: Style, *, whiskers: bool) -> None:
    """Draw intervals: whiskers where each can be seen, else a band."""
    ends = [(point.x, *point.ends) for point in points if point.ends]
    if not ends:
        return
    places, lows, highs = zip(*ends, strict=True)
    if whiskers:
        axes.vlines(places, lows, highs, color=look.colour, linewidth=1.6)
    else:
        axes.fill_between(places, lows, highs, color=look.colour, alpha=0.16, linewidth=0)
        for edge in (lows, highs):
            axes.plot(places, edge, color=look.colour, linewidth=0.8)


def lay_out_plot(data: ChartData) -> tuple[Canvas, Axes, dict[str, Style]]:
    """Return a canvas with axes that have numbers on both sides, the legend written and the absent counted."""
    looks = data.style_series()
    legend = legend_height(looks) + 8 if len(looks) > 1 else 0
    notes = _explain_missing_points(data)
    head = 22 if data.figure.y_label else 6
    square = _has_diagonal(data)
    height = 300 if square else 210
    note = 18 * len(notes)
    foot = AXIS_HEIGHT + title_height(data.figure.x_label, LEFT_MARGIN) + note
    canvas = Canvas(legend + head + height + foot)
    axes = canvas.add_axes(LEFT_MARGIN, legend + head, height + 20 if square else WIDTH - LEFT_MARGIN - 14, height)
    if len(looks) > 1:
        canvas.write_legend(looks, 0, joined=_is_joined(data))
    if data.figure.y_label:
        canvas.write_text(0, legend + 8, data.figure.y_label, size=SMALL_TEXT, colour="muted")
    write_axis_title(canvas, data.figure.x_label, LEFT_MARGIN, below=note)
    for index, text in enumerate(reversed(notes)):
        canvas.write_text(0, canvas.height - 8 - 18 * index, text, size=SMALL_TEXT, colour="muted")
    return canvas, axes, looks


def _explain_missing_points(data: ChartData) -> list[str]:
    """Return what is not drawn, in words."""
    total = len(data.rows)
    absent = sum(None in (data.cell_number(row, "x"), data.cell_number(row, "y")) for row in data.rows)
    off_axis = sum(
        any(data.cell_number(row, axis) is not None and data.placed_number(row, axis) is None for axis in "xy")
        for row in data.rows
    )
    notes = [f"{absent} of {total} points not measured: no mark there"] if absent else []
    return [*notes, f"{off_axis} of {total} points at {OFF_LOG_AXIS}"] if off_axis else notes
