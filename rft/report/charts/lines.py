"""Lines over numbers, with intervals."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
from matplotlib.axes import Axes

from rft.records import Figure, Row, Table
from rft.report.charts.canvas import (
    LINE,
    SMALL,
    WIDTH,
    Sheet,
    Style,
    legend_height,
    limits,
    log_limits,
    style,
    ticks,
    wrap,
)
from rft.report.charts.marks import (
    AXIS,
    NO_PLACE,
    SIDE,
    axis_title,
    is_log,
    number_of,
    series_name,
    styles,
    title_height,
)
from rft.report.charts.svg import COLOURS
from rft.report.views import tables
from rft.report.views.tables import number

_LEFT, _BETWEEN = 40, 22  # room beside the panels, and between two of them


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
    def of(cls, figure: Figure, rows: Table) -> _Frame:
        """Return limits that hold all points and their intervals; both axes alike where there is a diagonal."""
        heights = [height for point in points_of(figure, rows) for height in (point.y, *(point.ends or ()))]
        places = [x for row in rows if (x := number(row[figure.encode["x"]])) is not None]
        x_log, y_log = is_log(figure, "x"), is_log(figure, "y")
        diagonal = None
        if figure.options.get("diagonal") == "yes":  # the line of equal shares runs from corner to corner
            places = heights = [*heights, *places, *((1.0,) if x_log or y_log else (0.0, 1.0))]
            diagonal = log_limits(places) if x_log or y_log else limits(places)
        across = log_limits(places) if x_log else limits(places)
        return cls(across, log_limits(heights) if y_log else limits(heights), diagonal)

    def apply(self, axes: Axes, figure: Figure, rows: Table, *, most: int = 5) -> None:
        """Give the axes their limits, ticks and diagonal."""
        if self.diagonal:
            _diagonal(axes, self.diagonal)
        ticks(axes, "x", self.across, whole=is_whole(figure, rows), log=is_log(figure, "x"), most=most)
        ticks(axes, "y", self.up, log=is_log(figure, "y"))
        axes.grid(visible=False, axis="x")


def lines(figure: Figure, rows: Table) -> Sheet:
    """Draw the series in one frame, or each facet in a frame of its own before the others."""
    if "facet" in figure.encode:
        return _panels(figure, rows)
    sheet, axes, looks = plot_area(figure, rows)
    for name, look in looks.items():
        _line(axes, figure, [row for row in rows if series_name(figure, row) == name], look)
    _Frame.of(figure, rows).apply(axes, figure, rows)
    return sheet


def _panels(figure: Figure, rows: Table) -> Sheet:
    """Draw small multiples, two side by side: curves with intervals in one frame cannot be told apart."""
    facets: dict[str, Table] = {}
    for row in rows:
        facets.setdefault(tables.cell_text(row[figure.encode["facet"]], figure.encode["facet"]), []).append(row)
    width = (WIDTH - _LEFT - _BETWEEN) / 2 if len(facets) > 1 else 300
    height = width if figure.options.get("diagonal") == "yes" else 0.7 * width
    names = {name: wrap(name, width, SMALL) for name in facets}
    head = max(map(len, names.values())) * LINE + 6
    block = head + height + AXIS + 8
    notes, top = _missing(figure, rows), 22 if figure.y_label else 0
    foot = title_height(figure.x_label, _LEFT) + 18 * len(notes) + (20 if len(facets) > 1 else 0)
    sheet = Sheet(top + -(-len(facets) // 2) * block + foot)
    sheet.text(0, 8, figure.y_label, size=SMALL, colour="muted")
    frame = _Frame.of(figure, rows)
    for index, (name, own) in enumerate(facets.items()):
        left, above = _LEFT + (index % 2) * (width + _BETWEEN), top + index // 2 * block + head
        sheet.lines(left, above - 4 - len(names[name]) * LINE / 2, names[name], size=SMALL, bold=True)
        axes = sheet.axes(left, above, width, height)
        _others(axes, figure, [each for other, each in facets.items() if other != name])
        _line(axes, figure, own, style(0))
        frame.apply(axes, figure, rows, most=4)
        if index % 2:
            axes.tick_params(labelleft=False)
    _panel_notes(sheet, figure, notes, several=len(facets) > 1)
    return sheet


def _others(axes: Axes, figure: Figure, others: Sequence[Table]) -> None:
    for rows in others:
        points = points_of(figure, rows)
        path = ([point.x for point in points], [point.y for point in points])
        axes.plot(*path, color=COLOURS["muted"], linewidth=1, alpha=0.45, zorder=1.5)


def _panel_notes(sheet: Sheet, figure: Figure, notes: Sequence[str], *, several: bool) -> None:
    written = [*notes, *(["Thin lines: the other panels."] if several else [])]
    below = 0.0
    for text in reversed(written):
        sheet.text(0, sheet.height - 8 - below, text, size=SMALL, colour="muted")
        below += 18
    axis_title(sheet, figure.x_label, _LEFT, below=below)


def _diagonal(axes: Axes, ends: tuple[float, float]) -> None:
    places = np.linspace(*ends, 2) if ends[0] <= 0 else np.geomspace(*ends, 100)  # bent where one axis is logarithmic
    axes.plot(places, places, color=COLOURS["muted"], linewidth=1.2, linestyle=(0, (4, 3)), zorder=1)


def _line(axes: Axes, figure: Figure, rows: Sequence[Row], look: Style) -> None:
    joined = figure.options.get("joined") != "no"
    marker = look.marker if len(rows) <= 20 or not joined else ""
    dash = look.dash if joined else "none"
    for drawn, run in groupby(
        rows, key=lambda row: None not in (number_of(figure, row, "x"), number_of(figure, row, "y"))
    ):
        if drawn:  # what was not measured breaks the line
            points = points_of(figure, run)
            path = ([point.x for point in points], [point.y for point in points])
            axes.plot(*path, color=look.colour, linestyle=dash, linewidth=2, marker=marker, clip_on=False)
            _spread(axes, points, look, whiskers=len(rows) <= 12)


def points_of(figure: Figure, rows: Iterable[Row]) -> list[Point]:
    """Return the measured rows in numbers."""
    points = []
    for row in rows:
        x, y, low, high = (number_of(figure, row, channel) for channel in ("x", "y", "low", "high"))
        if x is not None and y is not None:
            points.append(Point(x, y, None if low is None or high is None else (low, high)))
    return points


def is_whole(figure: Figure, rows: Table) -> bool:
    """Return whether x counts."""
    return all(isinstance(row[figure.encode["x"]], int) for row in rows)


def _spread(axes: Axes, points: Sequence[Point], look: Style, *, whiskers: bool) -> None:
    """Draw intervals: whiskers where each can be seen, else a band."""
    ends = [(point.x, *point.ends) for point in points if point.ends]
    if not ends:
        return
    places, lows, highs = zip(*ends, strict=True)
    if whiskers:
        axes.vlines(places, lows, highs, color=look.colour, linewidth=5, alpha=0.28)
    else:
        axes.fill_between(places, lows, highs, color=look.colour, alpha=0.16, linewidth=0)


def plot_area(figure: Figure, rows: Table) -> tuple[Sheet, Axes, dict[str, Style]]:
    """Return a sheet with axes that have numbers on both sides, the legend written and the absent counted."""
    looks = styles(figure, rows)
    legend = legend_height(looks) + 8 if len(looks) > 1 else 0
    notes = _missing(figure, rows)
    head = 22 if figure.y_label else 6
    square = figure.options.get("diagonal") == "yes"
    height = 300 if square else 210
    note = 18 * len(notes)
    foot = AXIS + title_height(figure.x_label, SIDE) + note
    sheet = Sheet(legend + head + height + foot)
    axes = sheet.axes(SIDE, legend + head, height + 20 if square else WIDTH - SIDE - 14, height)
    if len(looks) > 1:
        sheet.legend(looks, 0, joined=figure.options.get("joined") != "no")
    if figure.y_label:
        sheet.text(0, legend + 8, figure.y_label, size=SMALL, colour="muted")
    axis_title(sheet, figure.x_label, SIDE, below=note)
    for index, text in enumerate(reversed(notes)):
        sheet.text(0, sheet.height - 8 - 18 * index, text, size=SMALL, colour="muted")
    return sheet, axes, looks


def _missing(figure: Figure, rows: Table) -> list[str]:
    """Return what is not drawn, in words."""
    absent = sum(None in (number(row[figure.encode["x"]]), number(row[figure.encode["y"]])) for row in rows)
    nowhere = sum(
        any(number(row[figure.encode[which]]) is not None and number_of(figure, row, which) is None for which in "xy")
        for row in rows
    )
    notes = [f"{absent} of {len(rows)} points not measured: no mark there"] if absent else []
    return [*notes, f"{nowhere} of {len(rows)} points at {NO_PLACE}"] if nowhere else notes
