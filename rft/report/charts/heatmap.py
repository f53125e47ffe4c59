"""Heatmaps: a matrix of names with its numbers in the cells, or small maps over coordinates side by side.

Strength is the opacity of one colour over the paper (a second colour below the centre, which is zero unless the figure
says otherwise), so light and dark pages both work. A cell without a value says why by its look: hatched for too few
cases and for numbers that are withheld, signs for what is undefined or was not measured.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rft import number_format
from rft.records import Cell, Column, Outline, Row, find_column
from rft.report.charts.canvas import LINE_HEIGHT, SMALL_TEXT, WIDTH, Box, Canvas, text_width, wrap_text
from rft.report.charts.chart_data import ChartData
from rft.report.charts.svg import COLOURS
from rft.report.views import tables
from rft.report.views.tables import to_number

_NUMBERS_UP_TO_COLUMNS = 12  # more, and numbers do not fit into cells
_MAX_LABEL_WIDTH = 150  # widest column of row labels
_FACET_GAP = 16
_SCALE_STEPS = 12
_HATCHED = {"too few": 6.0, "suppressed": 3.5}  # pixels between the lines
_ABSENCES = {
    "too few": "inconclusive (small sample); n of them",
    "suppressed": "withheld: fewer cases than may leave the machine",
    "undefined": "undefined: no case that the rate is a share of",
    "not measured": "not measured",
}
_MAX_OPACITY_UNDER_TEXT = 0.5  # the contrast of numbers stays above 4.5 on light and on dark paper


@dataclass(frozen=True)
class _Matrix:
    """The rows of a heatmap by facet, and what its sides and its values run over.

    Attributes:
        data: what is drawn.
        facets: (F,) the rows of each facet by its name.
        columns, lines: the values of both sides.
        low, centre: the lowest value of the scale, and where the colours change.
        strongest: the largest distance from the centre.
        diverging: whether there are two colours.
    """

    data: ChartData
    facets: dict[str, list[Row]]
    columns: list[Cell]
    lines: list[Cell]
    low: float
    strongest: float
    centre: float
    diverging: bool

    @classmethod
    def from_data(cls, data: ChartData) -> _Matrix:
        """Return the matrix of a figure."""
        centre = data.option_number("centre")
        values = [value for row in data.rows if (value := data.cell_number(row, "value")) is not None]
        middle = float(centre or 0)
        strongest = max((abs(value - middle) for value in values), default=0.0) or 1.0
        diverging = centre is not None or min(values, default=0.0) < 0
        low = middle - strongest if diverging else 0.0
        sides = [_list_distinct([row[data.figure.encode[side]] for row in data.rows]) for side in ("x", "y")]
        return cls(data, data.group_rows("facet"), sides[0], sides[1], low, strongest, middle, diverging)

    def column_of(self, channel: str) -> Column:
        """Return the column of the table that a channel shows."""
        return self.data.columns[self.data.figure.encode[channel]]

    def side_texts(self, channel: str) -> list[str]:
        """Return the values of a side, ``x`` or ``y``, as they are written."""
        values = self.columns if channel == "x" else self.lines
        return [tables.cell_text(value, self.column_of(channel)) for value in values]

    def draw_cells(self, canvas: Canvas, facet: str, inside: Box, *, written: bool) -> None:
        """Draw the cells of a facet so that they fill a box, with their numbers where these are ``written``."""
        rows, encode = self.facets[facet], self.data.figure.encode
        for row, text in zip(rows, tables.cell_texts([row[encode["value"]] for row in rows]), strict=True):
            cell = self._place_cell(row, inside)
            value = self.data.cell_number(row, "value")
            if value is None:
                count = self._write_count(row) if written else ""
                _draw_absence(canvas, cell, self._absence_of(row), count)
                continue
            lines = [text + self._mark_side(value), self._write_count(row)] if written else []
            _draw_cell(canvas, cell, (value - self.centre) / self.strongest, [line for line in lines if line])

    def _place_cell(self, row: Row, inside: Box) -> Box:
        encode = self.data.figure.encode
        width, height = inside.width / len(self.columns), inside.height / len(self.lines)
        column, line = self.columns.index(row[encode["x"]]), self.lines.index(row[encode["y"]])
        return Box(inside.left + column * width, inside.top + line * height, width, height)

    def name_facets(self) -> list[str]:
        """Return the facets by name, with the number of cases where the figure has one."""
        counts = [self._write_count(rows[0]) for rows in self.facets.values()]
        return [", ".join(filter(None, parts)) for parts in zip(self.facets, counts, strict=True)]

    def _write_count(self, row: Row) -> str:
        n = row.get(self.data.figure.encode.get("n", ""))
        return f"n {number_format.format_count(n)}" if isinstance(n, int) else ""

    def _mark_side(self, value: float) -> str:
        """Return a mark that tells above from below the centre where colours do not: in grey."""
        if not self.diverging or value == self.centre or self.centre == 0:
            return ""
        return " ▴" if value > self.centre else " ▾"

    def _absence_of(self, row: Row) -> str:
        """Return which of the kinds of absence a row without a value is."""
        name = find_column(self.data.columns, "status")
        status = str((row.get(name) if name else None) or "").replace("_", " ")
        return next((kind for kind in _ABSENCES if status.startswith(kind)), "not measured")

    @property
    def absences(self) -> list[str]:
        """The kinds of absence that occur, in the order of the legend."""
        kinds = {self._absence_of(row) for row in self.data.rows if self.data.cell_number(row, "value") is None}
        return [kind for kind in _ABSENCES if kind in kinds]


def draw_heatmap(data: ChartData) -> Canvas:
    """Draw labelled cells when a side is made of names, and bare maps when both sides are coordinates."""
    matrix = _Matrix.from_data(data)
    coordinates = all(to_number(place) is not None for place in [*matrix.columns, *matrix.lines])
    return _draw_maps(matrix) if coordinates else _draw_matrices(matrix)


def _draw_matrices(matrix: _Matrix) -> Canvas:
    figure, names, lines = matrix.data.figure, matrix.side_texts("x"), matrix.side_texts("y")
    left = min(max(map(text_width, lines), default=0.0) + 12, _MAX_LABEL_WIDTH)
    cell = min((WIDTH - left) / max(len(names), 1), 110)
    height = max(min(cell, 46), 2 * LINE_HEIGHT if len(names) <= _NUMBERS_UP_TO_COLUMNS else 0)
    legend = _Legend(matrix)
    foot = _ColumnLabels(names, cell)
    head = 20 if figure.y_label else 0
    heading = 24 if len(matrix.facets) > 1 else 0
    block = heading + len(matrix.lines) * height + foot.height + _FACET_GAP
    canvas = Canvas(
        head + max(len(matrix.facets), 1) * block - _FACET_GAP + (18 if figure.x_label else 0) + legend.height
    )
    canvas.write_text(0, 9, figure.y_label, size=SMALL_TEXT, colour="muted")
    for index, facet in enumerate(matrix.facets):
        top = head + index * block + heading
        if heading:
            canvas.write_text(0, top - 13, facet, bold=True)
        inside = Box(left, top, cell * len(names), height * len(matrix.lines))
        matrix.draw_cells(canvas, facet, inside, written=len(names) <= _NUMBERS_UP_TO_COLUMNS)
        _part_cells(canvas, inside, len(names), len(matrix.lines))
        for position, line in enumerate(lines):
            canvas.write_lines(0, top + (position + 0.5) * height, wrap_text(line, left - 8))
        foot.write(canvas, left, top + inside.height)
    if figure.x_label:
        canvas.write_text(left, canvas.height - legend.height - 9, figure.x_label, size=SMALL_TEXT, colour="muted")
    legend.write(canvas)
    return canvas


class _ColumnLabels:
    """Names under the columns: in lines when they fit into three, turned by 90 degrees when not."""

    def __init__(self, names: list[str], cell: float) -> None:
        self.names, self.cell = names, cell
        self.lines = [wrap_text(name, cell - 6, SMALL_TEXT) for name in names]
        self.turned = len(names) > _NUMBERS_UP_TO_COLUMNS or any(len(lines) > 3 for lines in self.lines)
        longest = max((text_width(name, SMALL_TEXT) for name in names), default=0.0)
        self.height = longest + 10 if self.turned else max(map(len, self.lines), default=1) * LINE_HEIGHT + 6

    def write(self, canvas: Canvas, left: float, top: float) -> None:
        """Write the names; the columns begin at ``left`` and end at ``top``."""
        for position, (name, lines) in enumerate(zip(self.names, self.lines, strict=True)):
            middle = left + (position + 0.5) * self.cell
            if self.turned:
                canvas.write_upright(middle, top + 5, name)
            else:
                below = top + 4 + len(lines) * LINE_HEIGHT / 2
                canvas.write_lines(middle, below, lines, align="center", size=SMALL_TEXT)


def _draw_maps(matrix: _Matrix) -> Canvas:
    across = min(len(matrix.facets), 3)
    width = min((WIDTH - (across - 1) * _FACET_GAP) / across, 240)
    height = width * len(matrix.lines) / len(matrix.columns)
    names = [wrap_text(name, width, SMALL_TEXT) if name else [] for name in matrix.name_facets()]
    head = max(map(len, names)) * LINE_HEIGHT + 6
    deep = -(-len(names) // across)
    canvas = Canvas(deep * (head + height + _FACET_GAP) + 24)
    for index, facet in enumerate(matrix.facets):
        left = (index % across) * (width + _FACET_GAP)
        top = (index // across) * (head + height + _FACET_GAP) + head
        canvas.write_lines(left, top - 6 - len(names[index]) * LINE_HEIGHT / 2, names[index], size=SMALL_TEXT)
        inside = Box(left, top, width, height)
        matrix.draw_cells(canvas, facet, inside, written=False)
        canvas.draw_box(inside, fill=False, edgecolor=COLOURS["line"], linewidth=1)
        for outline in matrix.data.figure.outlines:
            canvas.draw_box(_place_outline(outline, inside), fill=False, edgecolor=COLOURS["ink"], linewidth=1.5)
    _draw_scale(canvas, matrix)
    return canvas


def _place_outline(outline: Outline, inside: Box) -> Box:
    return Box(
        inside.left + outline.left * inside.width,
        inside.top + outline.top * inside.height,
        (outline.right - outline.left) * inside.width,
        (outline.bottom - outline.top) * inside.height,
    )


def _draw_scale(canvas: Canvas, matrix: _Matrix) -> None:
    top_value = matrix.centre + matrix.strongest
    first, last = tables.cell_texts([matrix.low, top_value])
    left, top = text_width(first, SMALL_TEXT) + 8, canvas.height - 18
    for step in range(_SCALE_STEPS):
        value = matrix.low + (top_value - matrix.low) * (step + 0.5) / _SCALE_STEPS
        _draw_cell(canvas, Box(left + 8 * step, top + 3, 8, 11), (value - matrix.centre) / matrix.strongest, [])
    canvas.write_text(0, top + 8, first, size=SMALL_TEXT, colour="muted")
    canvas.write_text(
        left + 104, top + 8, f"{last}   {matrix.data.figure.x_label}".strip(), size=SMALL_TEXT, colour="muted"
    )


def _draw_cell(canvas: Canvas, cell: Box, strength: float, lines: Sequence[str]) -> None:
    """Draw a cell whose value lies ``strength`` from the centre, -1 to 1, with its lines of text."""
    colour = COLOURS["heat" if strength >= 0 else "heat-negative"]
    opacity = min(abs(strength), 1.0) * (_MAX_OPACITY_UNDER_TEXT if lines else 1.0)
    canvas.draw_box(cell, facecolor=colour, alpha=round(opacity, 3), linewidth=0)
    _write_lines(canvas, cell, lines)


def _part_cells(canvas: Canvas, inside: Box, columns: int, lines: int) -> None:
    """Part the cells of a matrix by lines in the colour of the paper."""
    right, bottom = inside.left + inside.width, inside.top + inside.height
    across = [inside.left + inside.width * column / columns for column in range(1, columns)]
    down = [inside.top + inside.height * line / lines for line in range(1, lines)]
    ends = [((x, x), (inside.top, bottom)) for x in across] + [((inside.left, right), (y, y)) for y in down]
    xs, ys = ([place for pair in ends for place in (*pair[axis], np.nan)] for axis in (0, 1))
    canvas.draw_line(xs, ys, color=COLOURS["paper"], linewidth=2, solid_capstyle="butt")


def _draw_absence(canvas: Canvas, cell: Box, kind: str, text: str) -> None:
    if kind in _HATCHED:
        xs, ys = _hatch_cell(cell, spacing=_HATCHED[kind])
        canvas.draw_line(xs, ys, color=COLOURS["muted"], linewidth=0.8, alpha=0.7, solid_capstyle="butt")
        _write_lines(canvas, cell, [text] if text else [], boxed=True)
    elif kind == "undefined":
        _write_lines(canvas, cell, ["∅"])
    else:  # a dash: not measured, which is not the paper's colour of zero
        x, y = cell.middle
        ends = [x - 0.15 * cell.width, x + 0.15 * cell.width]
        canvas.draw_line(ends, [y, y], color=COLOURS["muted"], linewidth=1.4)


def _write_lines(canvas: Canvas, cell: Box, lines: Sequence[str], *, boxed: bool = False) -> None:
    """Write lines into the middle of a cell."""
    canvas.write_lines(*cell.middle, lines, align="center", size=SMALL_TEXT, boxed=boxed)


def _hatch_cell(cell: Box, *, spacing: float) -> tuple[list[float], list[float]]:
    """Return diagonals within a cell as one path, NaN between them; ``spacing`` pixels apart along the upper edge."""
    xs: list[float] = []
    ys: list[float] = []
    start = spacing / 2
    while start < cell.width + cell.height:
        for x in (max(start - cell.height, 0.0), min(start, cell.width)):
            xs.append(cell.left + x)
            ys.append(cell.top + min(max(start - x, 0.0), cell.height))
        xs.append(np.nan)
        ys.append(np.nan)
        start += spacing
    return xs, ys


class _Legend:
    """Under a matrix: what the signs of absence stand for, and where the colours change."""

    def __init__(self, matrix: _Matrix) -> None:
        self.entries = [(kind, _ABSENCES[kind]) for kind in matrix.absences]
        named = matrix.data.figure.options.get("centre_label")
        if matrix.diverging and matrix.centre:
            centre = number_format.format_plain(round(matrix.centre, 3))
            about = f"{named} ({centre})" if named else centre
            self.entries = [("above", f"above {about}"), ("below", f"below {about}"), *self.entries]
        self.height = len(self.entries) * 20 + 10 if self.entries else 0

    def write(self, canvas: Canvas) -> None:
        """Write the legend at the lower edge of the canvas."""
        for index, (kind, text) in enumerate(self.entries):
            top = canvas.height - self.height + 10 + 20 * index
            key = Box(0, top, 24, 14)
            if kind in ("above", "below"):
                _draw_cell(canvas, key, 1.0 if kind == "above" else -1.0, ["▴" if kind == "above" else "▾"])
            else:
                _draw_absence(canvas, key, kind, "")
            canvas.write_text(32, top + 7, text, size=SMALL_TEXT, colour="muted")


def _list_distinct(values: Sequence[Cell]) -> list[Cell]:
    """Return the values of a side, numbers sorted and names in the order in which they come."""
    distinct = list(dict.fromkeys(values))
    keys = [to_number(value) for value in distinct]
    return [value for _, value in sorted(zip(keys, distinct, strict=True))] if None not in keys else distinct
