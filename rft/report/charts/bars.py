"""Bars: of categories they lie, so that names can be read; over numbers they stand, as in a histogram."""

from __future__ import annotations

from itertools import pairwise

from rft.records import Figure, Table
from rft.report.charts.canvas import WIDTH, Sheet, legend_height, limits, ticks
from rft.report.charts.lines import is_whole, plot_area, points_of
from rft.report.charts.marks import (
    AXIS,
    ROW,
    absent,
    annotate,
    axis_title,
    series_name,
    styles,
    title_height,
    why_absent,
)
from rft.report.charts.row_layout import Ladder
from rft.report.views import tables
from rft.report.views.tables import number


def bars(figure: Figure, rows: Table) -> Sheet:
    """Bars of categories lie, so that their names can be read; bars over numbers stand, as in a histogram."""
    standing = all(number(row[figure.encode["x"]]) is not None for row in rows)
    return _standing_bars(figure, rows) if standing else _lying_bars(figure, rows)


def _lying_bars(figure: Figure, rows: Table) -> Sheet:
    y = figure.encode["y"]
    looks = styles(figure, rows)
    ladder = Ladder(figure, rows, label="x", row_height=ROW if len(looks) < 2 else 19)
    top = legend_height(looks) + 2 if len(looks) > 1 else 4
    sheet = Sheet(top + ladder.height + AXIS + title_height(figure.y_label, ladder.left))
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
            absent(axes, why_absent(row), middle)
            continue
        axes.barh(middle, value, height=15, color=looks[series_name(figure, row)].colour)
        annotate(axes, max(value, 0), middle, tables.cell_text(row[y]), shift=(5, 0), align="left")
    axis_title(sheet, figure.y_label, ladder.left)
    return sheet


def _standing_bars(figure: Figure, rows: Table) -> Sheet:
    sheet, axes, looks = plot_area(figure, rows)
    places = sorted({x for row in rows if (x := number(row[figure.encode["x"]])) is not None})
    step = min((after - before for before, after in pairwise(places)), default=1.0)
    width = 0.86 * step / len(looks)
    for index, (name, look) in enumerate(looks.items()):
        points = points_of(figure, [row for row in rows if series_name(figure, row) == name])
        shift = (index - (len(looks) - 1) / 2) * width
        axes.bar([point.x + shift for point in points], [point.y for point in points], width=width, color=look.colour)
    ticks(axes, "x", (places[0] - step / 2, places[-1] + step / 2), whole=is_whole(figure, rows))
    ticks(axes, "y", limits([point.y for point in points_of(figure, rows)], zero=True))
    axes.grid(visible=False, axis="x")
    return sheet
