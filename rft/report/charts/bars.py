"""Bars: of categories they lie, so that names can be read; over numbers they stand, as in a histogram."""

from __future__ import annotations

from itertools import pairwise

from rft.report.charts.canvas import WIDTH, Canvas, choose_limits, legend_height, set_ticks
from rft.report.charts.chart_data import ChartData
from rft.report.charts.lines import is_whole, lay_out_plot, list_points
from rft.report.charts.marks import (
    AXIS_HEIGHT,
    ROW_HEIGHT,
    annotate_point,
    mark_absence,
    title_height,
    write_axis_title,
)
from rft.report.charts.row_layout import RowLayout
from rft.report.views import tables


def draw_bars(data: ChartData) -> Canvas:
    """Bars of categories lie, so that their names can be read; bars over numbers stand, as in a histogram."""
    standing = all(data.cell_number(row, "x") is not None for row in data.rows)
    return _draw_standing_bars(data) if standing else _draw_lying_bars(data)


def _draw_lying_bars(data: ChartData) -> Canvas:
    looks = data.style_series()
    layout = RowLayout(data, label="x", row_height=ROW_HEIGHT if len(looks) < 2 else 19)
    top = legend_height(looks) + 2 if len(looks) > 1 else 4
    canvas = Canvas(top + layout.height + AXIS_HEIGHT + title_height(data.figure.y_label, layout.left))
    axes = canvas.add_axes(layout.left, top, WIDTH - layout.left - 44, layout.height)
    layout.write(canvas, top)
    if len(looks) > 1:
        canvas.write_legend(looks, 0, patches=True)
    values = [value for row in data.rows if (value := data.cell_number(row, "y")) is not None]
    set_ticks(axes, "x", choose_limits(values, zero=True), most=4)
    axes.set(ylim=(layout.height, 0), yticks=[])
    for row, middle in zip(layout.rows, layout.middles, strict=True):
        value = data.cell_number(row, "y")
        if value is None:
            mark_absence(axes, data.explain_absence(row), middle)
            continue
        axes.barh(middle, value, height=15, color=looks[data.series_of(row)].colour)
        annotate_point(
            axes, max(value, 0), middle, tables.cell_text(row[data.figure.encode["y"]]), shift=(5, 0), align="left"
        )
    write_axis_title(canvas, data.figure.y_label, layout.left)
    return canvas


def _draw_standing_bars(data: ChartData) -> Canvas:
    canvas, axes, looks = lay_out_plot(data)
    places = sorted({x for row in data.rows if (x := data.cell_number(row, "x")) is not None})
    step = min((after - before for before, after in pairwise(places)), default=1.0)
    width = 0.86 * step / len(looks)
    series = data.group_rows("series")
    for index, (name, look) in enumerate(looks.items()):
        points = list_points(data.with_rows(series[name]))
        shift = (index - (len(looks) - 1) / 2) * width
        axes.bar([point.x + shift for point in points], [point.y for point in points], width=width, color=look.colour)
    set_ticks(axes, "x", (places[0] - step / 2, places[-1] + step / 2), whole=is_whole(data), grid=False)
    set_ticks(axes, "y", choose_limits([point.y for point in list_points(data)], zero=True))
    return canvas
