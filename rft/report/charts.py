"""From a figure and the rows of its table to an inline SVG: dots, lines, bars and heatmaps.

A row without a value is never drawn as zero: its place says that it was not measured. Pictures (kind ``images``)
and texts (``tokens``) are no charts; the template shows them.
"""

from __future__ import annotations

import textwrap
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise

import numpy as np
from matplotlib.axes import Axes
from matplotlib.text import Annotation

from rft.records import Figure, Row, Table
from rft.report import heatmap, numbers, svg, tables
from rft.report.sheet import (
    LINE,
    SMALL,
    WIDTH,
    Sheet,
    Style,
    legend_height,
    limits,
    log_limits,
    style,
    text_width,
    ticks,
    wrap,
)
from rft.report.svg import COLOURS
from rft.report.tables import number

SCALES = {"dots": ("x",), "lines": ("x", "y"), "bars": (), "heatmap": ()}  # axes that may be logarithmic
CHANNELS = {"dots": ("x", "y"), "lines": ("x", "y"), "bars": ("x", "y"), "heatmap": ("x", "y", "value")}
ROW = 26  # height of a row of dots or bars
SIDE = 52  # room for tick labels beside the drawing
AXIS = 22  # room for tick labels under the drawing
LABELS = 160  # widest column of row labels
NO_PLACE = "0 or less: no place on a logarithmic axis"


class ChartError(ValueError):
    """A figure cannot be drawn from its table; the message is the reason."""


@dataclass(frozen=True)
class _Point:
    """A measured row in numbers."""

    x: float
    y: float
    ends: tuple[float, float] | None


def draw(figure: Figure, table: Table, *, id: str) -> str:
    """Return the figure as an ``<svg>`` element.

    Args:
        figure: what to draw; any kind but ``images`` and ``tokens``.
        table: the whole table that the figure names; ``figure.where`` is applied here.
        id: unique in the page.

    Raises:
        ChartError: there are no rows, ``encode`` lacks a channel or names a column that the table lacks, or an axis
            has a scale that it cannot have.
    """
    rows = tables.matching(table, figure.where)
    _check(figure, rows)
    with warnings.catch_warnings(), svg.settings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")  # the browser has more fonts
        sheet = _KINDS[figure.kind](figure, rows)
        return svg.to_element(sheet.figure, id=id, title=figure.title, alt=figure.alt)


def _check(figure: Figure, rows: Table) -> None:
    if not rows:
        raise ChartError(f"table {figure.table} has no rows for it")
    missing = [channel for channel in CHANNELS[figure.kind] if channel not in figure.encode]
    missing += [name for name in figure.encode.values() if name not in rows[0]]
    if missing:
        raise ChartError(f"table {figure.table} or the figure lacks {', '.join(missing)}")
    if figure.kind == "lines" and any(number(row[figure.encode["x"]]) is None for row in rows):
        raise ChartError(f"column {figure.encode['x']} of table {figure.table} holds what is not a number")
    for which in ("x", "y"):
        scale = figure.options.get(f"{which}_scale", "linear")
        if scale not in ("linear", "log") or (scale == "log" and which not in SCALES[figure.kind]):
            raise ChartError(f"the {which} axis of {figure.kind} has no scale {scale!r}")


def _is_log(figure: Figure, which: str) -> bool:
    return figure.options.get(f"{which}_scale") == "log"


def _number(figure: Figure, row: Row, channel: str) -> float | None:
    """Return the number of a channel; None where there is none, or where its axis has no place for it."""
    value = number(row.get(figure.encode.get(channel, "")))
    return None if value is not None and value <= 0 and _is_log(figure, channel) else value


def _dots(figure: Figure, rows: Table) -> Sheet:
    x = figure.encode["x"]
    ends = [figure.encode[name] for name in ("low", "high") if name in figure.encode]
    reference = figure.options.get("reference")
    values = [value for row in rows for value in (number(row[name]) for name in (x, *ends)) if value is not None]
    log = _is_log(figure, "x")
    marks = [float(reference)] if isinstance(reference, int | float) and not (log and reference <= 0) else []
    ladder = _Ladder(figure, rows, label="y", row_height=ROW + (10 if "label" in figure.encode else 0))
    top = 20 if marks else 4
    sheet = Sheet(top + ladder.height + AXIS + _title_height(figure.x_label, ladder.left))
    axes = sheet.axes(ladder.left, top, WIDTH - ladder.left - 12, ladder.height)
    ladder.write(sheet, top)
    ticks(axes, "x", log_limits([*values, *marks]) if log else limits([*values, *marks]), log=log)
    axes.set(ylim=(ladder.height, 0), yticks=[])
    for mark in marks:
        axes.axvline(mark, color=COLOURS["ink"], linewidth=1.2, linestyle=(0, (4, 3)))
        _annotate(axes, mark, 0, numbers.plain(round(mark, 3)), shift=(0, 9), align="center")
    for row, middle in zip(ladder.rows, ladder.middles, strict=True):
        _dot(axes, figure, row, middle)
    _axis_title(sheet, figure.x_label, ladder.left)
    return sheet


def _dot(axes: Axes, figure: Figure, row: Row, y: float) -> None:
    value = _number(figure, row, "x")
    if value is None:
        _absent(axes, _absence(row) if number(row[figure.encode["x"]]) is None else NO_PLACE, y)
        return
    low, high = (number(row.get(figure.encode.get(name, ""))) for name in ("low", "high"))
    colour = COLOURS["series-1"]
    if low is not None and high is not None:
        axes.plot([low, high], [y, y], color=colour, linewidth=2.4, solid_capstyle="butt")
        axes.plot([low, high], [y, y], color=colour, marker="|", markersize=9, markeredgewidth=1.6, linestyle="none")
    axes.plot([value], [y], marker="o", markersize=8.5, color=colour, markeredgecolor=COLOURS["paper"], clip_on=False)
    if "label" in figure.encode:
        text = _text(figure, row, "label")
        right = value < _across(axes, 0.5)  # towards the side with more room
        text = textwrap.shorten(text, 32, placeholder=" …")  # the table has all of it
        _annotate(axes, value, y, text, shift=(-4 if right else 4, 13), align="left" if right else "right")


def _bars(figure: Figure, rows: Table) -> Sheet:
    """Bars of categories lie, so that their names can be read; bars over numbers stand, as in a histogram."""
    standing = all(number(row[figure.encode["x"]]) is not None for row in rows)
    return _standing_bars(figure, rows) if standing else _lying_bars(figure, rows)


def _lying_bars(figure: Figure, rows: Table) -> Sheet:
    y = figure.encode["y"]
    looks = _series(figure, rows)
    ladder = _Ladder(figure, rows, label="x", row_height=ROW if len(looks) < 2 else 19)
    top = legend_height(looks) + 2 if len(looks) > 1 else 4
    sheet = Sheet(top + ladder.height + AXIS + _title_height(figure.y_label, ladder.left))
    axes = sheet.axes(ladder.left, top, WIDTH - ladder.left - 44, ladder.height)
    ladder.write(sheet, top)
    if len(looks) > 1:
        sheet.legend(looks, 0, patches=True)
    values = [value for row in rows if (value := number(row[y])) is not None]
    ticks(axes, "x", limits(values, zero=True), most=4)
    axes.set(ylim=(ladder.height, 0), yticks=[])
    for row, middle in zip(ladder.rows, ladder.middles, strict=True):
        value = number(row[y])
        if value is None:
            _absent(axes, _absence(row), middle)
            continue
        axes.barh(middle, value, height=15, color=looks[_series_name(figure, row)].colour)
        _annotate(axes, max(value, 0), middle, tables.cell_text(row[y]), shift=(5, 0), align="left")
    _axis_title(sheet, figure.y_label, ladder.left)
    return sheet


def _standing_bars(figure: Figure, rows: Table) -> Sheet:
    sheet, axes, looks = _plot_area(figure, rows)
    places = sorted({x for row in rows if (x := number(row[figure.encode["x"]])) is not None})
    step = min((after - before for before, after in pairwise(places)), default=1.0)
    width = 0.86 * step / len(looks)
    for index, (name, look) in enumerate(looks.items()):
        points = _points(figure, [row for row in rows if _series_name(figure, row) == name])
        shift = (index - (len(looks) - 1) / 2) * width
        axes.bar([point.x + shift for point in points], [point.y for point in points], width=width, color=look.colour)
    ticks(axes, "x", (places[0] - step / 2, places[-1] + step / 2), whole=_is_whole(figure, rows))
    ticks(axes, "y", limits([point.y for point in _points(figure, rows)], zero=True))
    axes.grid(visible=False, axis="x")
    return sheet


def _lines(figure: Figure, rows: Table) -> Sheet:
    sheet, axes, looks = _plot_area(figure, rows)
    for name, look in looks.items():
        _line(axes, figure, [row for row in rows if _series_name(figure, row) == name], look)
    points = _points(figure, rows)
    heights = [height for point in points for height in (point.y, *(point.ends or ()))]
    places = [x for row in rows if (x := number(row[figure.encode["x"]])) is not None]
    x_log, y_log = _is_log(figure, "x"), _is_log(figure, "y")
    if figure.options.get("diagonal") == "yes":  # the line of equal shares runs from corner to corner
        places = heights = [*heights, *places, *((1.0,) if x_log or y_log else (0.0, 1.0))]
        _diagonal(axes, log_limits(places) if x_log or y_log else limits(places))
    across, up = log_limits(places) if x_log else limits(places), log_limits(heights) if y_log else limits(heights)
    ticks(axes, "x", across, whole=_is_whole(figure, rows), log=x_log)
    ticks(axes, "y", up, log=y_log)
    axes.grid(visible=False, axis="x")
    return sheet


def _diagonal(axes: Axes, ends: tuple[float, float]) -> None:
    places = np.linspace(*ends, 2) if ends[0] <= 0 else np.geomspace(*ends, 100)  # bent where one axis is logarithmic
    axes.plot(places, places, color=COLOURS["muted"], linewidth=1.2, linestyle=(0, (4, 3)), zorder=1)


def _line(axes: Axes, figure: Figure, rows: Sequence[Row], look: Style) -> None:
    joined = figure.options.get("joined") != "no"
    marker = look.marker if len(rows) <= 20 or not joined else ""
    dash = look.dash if joined else "none"
    for drawn, run in groupby(rows, key=lambda row: None not in (_number(figure, row, "x"), _number(figure, row, "y"))):
        if drawn:  # what was not measured breaks the line
            points = _points(figure, run)
            path = ([point.x for point in points], [point.y for point in points])
            axes.plot(*path, color=look.colour, linestyle=dash, linewidth=2, marker=marker, clip_on=False)
            _spread(axes, points, look, whiskers=len(rows) <= 12)


def _points(figure: Figure, rows: Iterable[Row]) -> list[_Point]:
    points = []
    for row in rows:
        x, y, low, high = (_number(figure, row, channel) for channel in ("x", "y", "low", "high"))
        if x is not None and y is not None:
            points.append(_Point(x, y, None if low is None or high is None else (low, high)))
    return points


def _is_whole(figure: Figure, rows: Table) -> bool:
    return all(isinstance(row[figure.encode["x"]], int) for row in rows)


def _spread(axes: Axes, points: Sequence[_Point], look: Style, *, whiskers: bool) -> None:
    """Draw intervals: whiskers where each can be seen, else a band."""
    ends = [(point.x, *point.ends) for point in points if point.ends]
    if not ends:
        return
    places, lows, highs = zip(*ends, strict=True)
    if whiskers:
        axes.vlines(places, lows, highs, color=look.colour, linewidth=5, alpha=0.28)
    else:
        axes.fill_between(places, lows, highs, color=look.colour, alpha=0.16, linewidth=0)


def _plot_area(figure: Figure, rows: Table) -> tuple[Sheet, Axes, dict[str, Style]]:
    """Return a sheet with axes that have numbers on both sides, the legend written and the absent counted."""
    looks = _series(figure, rows)
    legend = legend_height(looks) + 8 if len(looks) > 1 else 0
    notes = _missing(figure, rows)
    head = 22 if figure.y_label else 6
    square = figure.options.get("diagonal") == "yes"
    height = 300 if square else 210
    note = 18 * len(notes)
    foot = AXIS + _title_height(figure.x_label, SIDE) + note
    sheet = Sheet(legend + head + height + foot)
    axes = sheet.axes(SIDE, legend + head, height + 20 if square else WIDTH - SIDE - 14, height)
    if len(looks) > 1:
        sheet.legend(looks, 0, joined=figure.options.get("joined") != "no")
    if figure.y_label:
        sheet.text(0, legend + 8, figure.y_label, size=SMALL, colour="muted")
    _axis_title(sheet, figure.x_label, SIDE, below=note)
    for index, text in enumerate(reversed(notes)):
        sheet.text(0, sheet.height - 8 - 18 * index, text, size=SMALL, colour="muted")
    return sheet, axes, looks


def _missing(figure: Figure, rows: Table) -> list[str]:
    """Return what is not drawn, in words."""
    absent = sum(number(row[figure.encode["y"]]) is None for row in rows)
    nowhere = sum(
        any(number(row[figure.encode[which]]) is not None and _number(figure, row, which) is None for which in "xy")
        for row in rows
    )
    notes = [f"{absent} of {len(rows)} points not measured: no mark there"] if absent else []
    return [*notes, f"{nowhere} of {len(rows)} points at {NO_PLACE}"] if nowhere else notes


class _Ladder:
    """Rows under each other, their labels in a column on the left, a heading before each facet.

    Attributes:
        rows, middles: the rows, those of a facet and of a label together, and the height in pixels of each.
        left, height: width of the column of labels, and height of everything.
    """

    def __init__(self, figure: Figure, rows: Table, *, label: str, row_height: float) -> None:
        facet = figure.encode.get("facet", "")
        facets = ["" if row.get(facet) is None else tables.cell_text(row[facet], facet) for row in rows]
        labels = [_text(figure, row, label) for row in rows]
        self.left = min(max((text_width(text) for text in labels), default=0.0) + 14, LABELS)
        self.rows: Table = []
        self.middles: list[float] = []
        self.height = 0.0
        self._texts: list[tuple[float, list[str], bool]] = []  # middle, lines, bold
        for facet in dict.fromkeys(facets):
            if facet:
                self._add_lines(wrap(facet.replace("_", " "), WIDTH), 13, bold=True)
            for text in dict.fromkeys(text for text, own in zip(labels, facets, strict=True) if own == facet):
                own_rows = [row for row, *key in zip(rows, facets, labels, strict=True) if key == [facet, text]]
                self._add_rows(wrap(text, self.left - 10), own_rows, row_height)

    def _add_rows(self, lines: list[str], rows: Table, row_height: float) -> None:
        top = self.height
        gap = 8 if len(rows) > 1 else 0  # keeps the rows of one label together
        self._add_lines(lines, max(8, len(rows) * row_height + gap - len(lines) * LINE))
        step = (self.height - top - gap) / len(rows)
        self.middles += [top + gap / 2 + (index + 0.5) * step for index in range(len(rows))]
        self.rows += rows

    def _add_lines(self, lines: list[str], room: float, *, bold: bool = False) -> None:
        height = len(lines) * LINE + room
        self._texts.append((self.height + height / 2, lines, bold))
        self.height += height

    def write(self, sheet: Sheet, top: float) -> None:
        """Write labels and headings; the ladder begins at ``top``."""
        for middle, lines, bold in self._texts:
            sheet.lines(0, top + middle, lines, bold=bold)


def _series(figure: Figure, rows: Table) -> dict[str, Style]:
    names = dict.fromkeys(_series_name(figure, row) for row in rows)
    return {name: style(index) for index, name in enumerate(names)}


def _series_name(figure: Figure, row: Row) -> str:
    return _text(figure, row, "series") if "series" in figure.encode else ""


def _absent(axes: Axes, reason: str, y: float) -> None:
    axes.axhline(y, color=COLOURS["line"], linewidth=1, linestyle=(0, (2, 3)))
    text = _annotate(axes, _across(axes, 0.02), y, reason, shift=(0, 0), align="left", colour="muted")
    text.set_bbox({"facecolor": COLOURS["paper"], "edgecolor": "none", "pad": 1.5})  # no grid line through the words


def _across(axes: Axes, share: float) -> float:
    """Return the place that lies this share of the way from the left edge to the right one."""
    left, right = axes.get_xlim()
    if axes.get_xscale() == "log":
        return float(left * (right / left) ** share)
    return float(left + share * (right - left))


def _absence(row: Row) -> str:
    n = row.get("n")
    return tables.absence(row) + (f" (n = {numbers.count(n)})" if isinstance(n, int) else "")


def _annotate(
    axes: Axes, x: float, y: float, text: str, *, shift: tuple[float, float], align: str, colour: str = "ink"
) -> Annotation:
    return axes.annotate(
        svg.printable(text),
        (x, y),
        xytext=shift,
        textcoords="offset points",
        ha=align,
        va="center_baseline",
        size=SMALL,
        color=COLOURS[colour],
        annotation_clip=False,
    )


def _title_height(title: str, left: float) -> float:
    return LINE * len(wrap(title, WIDTH - left, SMALL)) + 2 if title else 0


def _axis_title(sheet: Sheet, title: str, left: float, *, below: float = 0) -> None:
    """Write the title of the horizontal axis, ``below`` pixels above the lower edge."""
    if title:
        middle = sheet.height - below - _title_height(title, left) / 2
        sheet.lines(left, middle, wrap(title, WIDTH - left, SMALL), size=SMALL, colour="muted")


def _text(figure: Figure, row: Row, channel: str) -> str:
    name = figure.encode[channel]
    return tables.cell_text(row[name], name)


_KINDS: dict[str, Callable[[Figure, Table], Sheet]] = {
    "dots": _dots,
    "lines": _lines,
    "bars": _bars,
    "heatmap": heatmap.heatmap,
}
