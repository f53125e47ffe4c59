"""From a figure and the rows of its table to an inline SVG: dots, lines, bars and heatmaps.

A row without a value is never drawn as zero: its place says that it was not measured. Pictures (kind ``images``)
and texts (``tokens``) are no charts; the template shows them.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable

from rft.records import Figure, Table
from rft.report.charts import bars, dots, heatmap, lines, svg
from rft.report.charts.canvas import Sheet
from rft.report.views import tables
from rft.report.views.tables import number

SCALES = {"dots": ("x",), "lines": ("x", "y"), "bars": (), "heatmap": ()}  # axes that may be logarithmic
CHANNELS = {"dots": ("x", "y"), "lines": ("x", "y"), "bars": ("x", "y"), "heatmap": ("x", "y", "value")}

_KINDS: dict[str, Callable[[Figure, Table], Sheet]] = {
    "dots": dots.dots,
    "lines": lines.lines,
    "bars": bars.bars,
    "heatmap": heatmap.heatmap,
}


class ChartError(ValueError):
    """A figure cannot be drawn from its table; the message is the reason."""


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
    places = [row[figure.encode["x"]] for row in rows]
    if figure.kind == "lines" and any(number(place) is None and place is not None for place in places):
        raise ChartError(f"column {figure.encode['x']} of table {figure.table} holds what is not a number")
    for which in ("x", "y"):
        scale = figure.options.get(f"{which}_scale", "linear")
        if scale not in ("linear", "log") or (scale == "log" and which not in SCALES[figure.kind]):
            raise ChartError(f"the {which} axis of {figure.kind} has no scale {scale!r}")
