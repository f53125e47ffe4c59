"""From a figure and the rows of its table to an inline SVG. A kind of chart is one entry of ``CHART_KINDS``.

A row without a value is never drawn as zero: its place says that it was not measured. Images (kind ``images``)
and texts (``tokens``) are no charts; the template shows them.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from rft.records import FIGURE_KINDS, Column, Figure, Table, describe_columns
from rft.report.charts import main_numbers, svg
from rft.report.charts.bars import draw_bars
from rft.report.charts.canvas import Canvas
from rft.report.charts.chart_data import ChartData
from rft.report.charts.dots import draw_dots
from rft.report.charts.heatmap import draw_heatmap
from rft.report.charts.lines import draw_lines
from rft.report.views import tables


@dataclass(frozen=True)
class ChartKind:
    """A kind of chart.

    Attributes:
        name: as in ``Figure.kind``.
        draw: draws the rows of a figure; it has every required channel of its kind (``FIGURE_KINDS``) by then.
        number_channels: required channels whose cells must be numbers, where they hold anything.
        log_axes: axes that may be logarithmic.
    """

    name: str
    draw: Callable[[ChartData], Canvas]
    number_channels: tuple[str, ...] = ()
    log_axes: tuple[str, ...] = ()


CHART_KINDS = {
    kind.name: kind
    for kind in (
        ChartKind("dots", draw_dots, log_axes=("x",)),
        ChartKind("lines", draw_lines, number_channels=("x",), log_axes=("x", "y")),
        ChartKind("bars", draw_bars),
        ChartKind("heatmap", draw_heatmap),
    )
}


class ChartError(ValueError):
    """A figure cannot be drawn from its table; the message is the reason."""


def draw_figure(figure: Figure, table: Table, columns: Mapping[str, Column] | None = None, *, id: str) -> str:
    """Return the figure as an ``<svg>`` element.

    Args:
        figure: what to draw, of a kind in ``CHART_KINDS``.
        table: the whole table that the figure names; ``figure.where`` is applied here.
        columns: the columns of the table (``Section.describe_table``); inferred when None.
        id: unique in the page.

    Raises:
        ChartError: there is no such kind, there are no rows, ``encode`` lacks a channel or names a column that the
            table lacks, or an axis has a scale that it cannot have.
    """
    if columns is None:
        columns = describe_columns(table)
    data = ChartData(figure, tables.matching_rows(table, figure.where), columns)
    kind = _check_figure(data)
    with warnings.catch_warnings(), svg.drawing_settings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")  # the browser has more fonts
        canvas = kind.draw(data)
        alt = " ".join(filter(None, (figure.alt, main_numbers.write_main_numbers(data))))
        return svg.to_element(canvas.figure, id=id, title=figure.title, alt=alt)


def _check_figure(data: ChartData) -> ChartKind:
    """Return the kind of a figure that can be drawn; raises ``ChartError`` for another one."""
    figure = data.figure
    kind = CHART_KINDS.get(figure.kind)
    if kind is None:
        raise ChartError(f"there is no chart of kind {figure.kind!r}; kinds are {', '.join(CHART_KINDS)}")
    if not data.rows:
        raise ChartError(f"table {figure.table} has no rows for it")
    missing = [channel for channel in FIGURE_KINDS[kind.name].required if channel not in figure.encode]
    missing += [name for name in figure.encode.values() if name not in data.rows[0]]
    if missing:
        raise ChartError(f"table {figure.table} or the figure lacks {', '.join(missing)}")
    for channel in kind.number_channels:
        cells = [row[figure.encode[channel]] for row in data.rows]
        if any(tables.to_number(cell) is None and cell is not None for cell in cells):
            raise ChartError(f"column {figure.encode[channel]} of table {figure.table} holds what is not a number")
    for axis in ("x", "y"):
        scale = figure.options.get(f"{axis}_scale", "linear")
        if scale not in ("linear", "log") or (scale == "log" and axis not in kind.log_axes):
            raise ChartError(f"the {axis} axis of {figure.kind} has no scale {scale!r}")
    return kind
