"""Heatmaps: a matrix of names with its numbers in the cells, or small maps over coordinates side by side.

Strength is the opacity of one colour over the paper (a second colour below the centre, which is zero unless the figure
says otherwise), so light and dark pages both work. A cell without a value says why by its look: hatched for too few
cases and for numbers that are withheld, signs for what is undefined or was not measured.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from rft.records import Cell, Figure, Row, Table
from rft.report.charts.canvas import LINE, SMALL, WIDTH, Sheet, text_width, wrap
from rft.report.charts.svg import COLOURS
from rft.report.format import numbers
from rft.report.views import tables
from rft.report.views.tables import number
from rft.visible import visible

_CROWDED = 12  # columns from which on numbers do not fit into cells
_LABELS = 150  # widest column of row labels
_GAP = 16
_SCALE_STEPS = 12
_HATCHED = {"too few": 6.0, "suppressed": 3.5}  # pixels between the lines
_ABSENCES = {
    "too few": "too few cases to tell; n of them",
    "suppressed": "withheld: fewer cases than may leave the machine",
    "undefined": "undefined: no case that the rate is a share of",
    "not measured": "not measured",
}
_UNDER_TEXT = 0.5  # strongest opacity under numbers: their contrast stays above 4.5 on light and on dark paper


@dataclass(frozen=True)
class _Parts:
    """The rows of a heatmap by facet, and what its sides and its values run over."""

    x: str
    y: str
    value: str
    facets: dict[str, Table]
    columns: list[Cell]
    lines: list[Cell]
    n: str
    low: float
    strongest: float
    centre: float
    diverging: bool

    @classmethod
    def of(cls, figure: Figure, rows: Table) -> _Parts:
        x, y, value, facet, n = (figure.encode.get(name, "") for name in ("x", "y", "value", "facet", "n"))
        centre = number(figure.options.get("centre"))
        facets: dict[str, Table] = {}
        for row in rows:
            facets.setdefault(tables.cell_text(row[facet], facet) if facet else "", []).append(row)
        values = [held for row in rows if (held := number(row[value])) is not None]
        middle = float(centre or 0)
        strongest = max((abs(held - middle) for held in values), default=0.0) or 1.0
        diverging = centre is not None or min(values, default=0.0) < 0
        low = middle - strongest if diverging else 0.0
        sides = _distinct(rows, x), _distinct(rows, y)
        return cls(x, y, value, facets, *sides, n, low, strongest, middle, diverging)

    def fill(self, axes: Axes, facet: str, *, written: bool, size: tuple[float, float]) -> None:
        """Draw the cells of a facet; ``size`` is that of a cell in pixels."""
        rows = self.facets[facet]
        for row, text in zip(rows, tables.texts([row[self.value] for row in rows]), strict=True):
            place = (self.columns.index(row[self.x]), self.lines.index(row[self.y]))
            value = number(row[self.value])
            if value is None:
                _absent(axes, place, _why(row), self._count(row) if written else "", size)
                continue
            lines = [text + self._side(value), self._count(row)] if written else []
            _cell(axes, place, (value - self.centre) / self.strongest, [line for line in lines if line], size)

    def _count(self, row: Row) -> str:
        n = row.get(self.n) if self.n else None
        return f"n {numbers.count(n)}" if isinstance(n, int) else ""

    def _side(self, value: float) -> str:
        """Return a mark that tells above from below the centre where colours do not: in grey."""
        if not self.diverging or value == self.centre or self.centre == 0:
            return ""
        return " ▴" if value > self.centre else " ▾"

    @property
    def absences(self) -> list[str]:
        """The kinds of absence that occur, in the order of the legend."""
        rows = [row for own in self.facets.values() for row in own if number(row[self.value]) is None]
        found = {_why(row) for row in rows}
        return [kind for kind in _ABSENCES if kind in found]


def heatmap(figure: Figure, rows: Table) -> Sheet:
    """Draw labelled cells when a side is made of names, and bare maps when both sides are coordinates."""
    parts = _Parts.of(figure, rows)
    coordinates = all(number(place) is not None for place in [*parts.columns, *parts.lines])
    return _maps(figure, parts) if rows and coordinates else _matrices(figure, parts)


def _matrices(figure: Figure, parts: _Parts) -> Sheet:
    names = [tables.cell_text(name, parts.x) for name in parts.columns]
    left = min(max((text_width(tables.cell_text(name, parts.y)) for name in parts.lines), default=0.0) + 12, _LABELS)
    cell = min((WIDTH - left) / max(len(names), 1), 110)
    height = max(min(cell, 46), 2 * LINE if len(names) <= _CROWDED else 0)
    legend = _Legend(parts, figure)
    foot = _ColumnLabels(names, cell)
    head = 20 if figure.y_label else 0
    heading = 24 if len(parts.facets) > 1 else 0
    block = heading + len(parts.lines) * height + foot.height + _GAP
    sheet = Sheet(head + max(len(parts.facets), 1) * block - _GAP + (18 if figure.x_label else 0) + legend.height)
    sheet.text(0, 9, figure.y_label, size=SMALL, colour="muted")
    for index, facet in enumerate(parts.facets):
        top = head + index * block + heading
        if heading:
            sheet.text(0, top - 13, facet, bold=True)
        axes = _empty_cells(sheet, (left, top, cell * len(names), height * len(parts.lines)), parts)
        parts.fill(axes, facet, written=len(names) <= _CROWDED, size=(cell, height))
        _part(axes, len(names), len(parts.lines))
        for position, line in enumerate(parts.lines):
            sheet.lines(0, top + (position + 0.5) * height, wrap(tables.cell_text(line, parts.y), left - 8))
        foot.write(sheet, axes, left, top + height * len(parts.lines))
    if figure.x_label:
        sheet.text(left, sheet.height - legend.height - 9, figure.x_label, size=SMALL, colour="muted")
    legend.write(sheet)
    return sheet


class _ColumnLabels:
    """Names under the columns: in lines when they fit into three, turned by 90 degrees when not."""

    def __init__(self, names: list[str], cell: float) -> None:
        self.names, self.cell = names, cell
        self.lines = [wrap(name, cell - 6, SMALL) for name in names]
        self.turned = len(names) > _CROWDED or any(len(lines) > 3 for lines in self.lines)
        longest = max((text_width(name, SMALL) for name in names), default=0.0)
        self.height = longest + 10 if self.turned else max(map(len, self.lines), default=1) * LINE + 6

    def write(self, sheet: Sheet, axes: Axes, left: float, top: float) -> None:
        """Write the names; the columns begin at ``left`` and end at ``top``."""
        if self.turned:
            middles = [position + 0.5 for position in range(len(self.names))]
            axes.set_xticks(middles, [visible(name) for name in self.names], rotation=90)
            axes.tick_params(axis="x", labelcolor=COLOURS["ink"])
            return
        for position, lines in enumerate(self.lines):
            middle = top + 4 + len(lines) * LINE / 2
            sheet.lines(left + (position + 0.5) * self.cell, middle, lines, align="center", size=SMALL)


def _maps(figure: Figure, parts: _Parts) -> Sheet:
    across = min(len(parts.facets), 3)
    width = min((WIDTH - (across - 1) * _GAP) / across, 240)
    height = width * len(parts.lines) / len(parts.columns)
    names = [wrap(facet, width, SMALL) if facet else [] for facet in parts.facets]
    head = max(map(len, names)) * LINE + 6
    deep = -(-len(names) // across)
    sheet = Sheet(deep * (head + height + _GAP) + 24)
    for index, facet in enumerate(parts.facets):
        left = (index % across) * (width + _GAP)
        top = (index // across) * (head + height + _GAP) + head
        sheet.lines(left, top - 6 - len(names[index]) * LINE / 2, names[index], size=SMALL)
        axes = _empty_cells(sheet, (left, top, width, height), parts)
        size = (width / len(parts.columns), height / len(parts.lines))
        parts.fill(axes, facet, written=False, size=size)
        sides = (len(parts.columns), len(parts.lines))
        axes.add_patch(Rectangle((0, 0), *sides, fill=False, edgecolor=COLOURS["line"], linewidth=1, clip_on=False))
    _scale(sheet, parts, figure.x_label)
    return sheet


def _scale(sheet: Sheet, parts: _Parts, label: str) -> None:
    top_value = parts.centre + parts.strongest
    first, last = tables.texts([parts.low, top_value])
    left, top = text_width(first, SMALL) + 8, sheet.height - 18
    axes = sheet.axes(left, top + 3, 96, 11)
    axes.set(xlim=(0, _SCALE_STEPS), ylim=(1, 0), xticks=[], yticks=[])
    for step in range(_SCALE_STEPS):
        value = parts.low + (top_value - parts.low) * (step + 0.5) / _SCALE_STEPS
        _cell(axes, (step, 0), (value - parts.centre) / parts.strongest, [], (8, 11))
    sheet.text(0, top + 8, first, size=SMALL, colour="muted")
    sheet.text(left + 104, top + 8, f"{last}   {label}".strip(), size=SMALL, colour="muted")


def _empty_cells(sheet: Sheet, box: tuple[float, float, float, float], parts: _Parts) -> Axes:
    axes = sheet.axes(*box)
    axes.set(xlim=(0, max(len(parts.columns), 1)), ylim=(max(len(parts.lines), 1), 0), xticks=[], yticks=[])
    return axes


def _cell(axes: Axes, place: tuple[int, int], strength: float, lines: Sequence[str], size: tuple[float, float]) -> None:
    """Draw a cell whose value lies ``strength`` from the centre, -1 to 1, with its lines of text."""
    column, line = place
    colour = COLOURS["heat" if strength >= 0 else "heat-negative"]
    opacity = min(abs(strength), 1.0) * (_UNDER_TEXT if lines else 1.0)
    axes.add_patch(Rectangle((column, line), 1, 1, facecolor=colour, alpha=round(opacity, 3), linewidth=0))
    _write(axes, place, lines, size)


def _part(axes: Axes, columns: int, lines: int) -> None:
    """Part the cells of a matrix by lines in the colour of the paper."""
    axes.vlines(range(1, columns), 0, lines, color=COLOURS["paper"], linewidth=2)
    axes.hlines(range(1, lines), 0, columns, color=COLOURS["paper"], linewidth=2)


def _absent(axes: Axes, place: tuple[int, int], kind: str, text: str, size: tuple[float, float]) -> None:
    column, line = place
    if kind in _HATCHED:
        xs, ys = _hatching(column, line, *size, spacing=_HATCHED[kind])
        axes.plot(xs, ys, color=COLOURS["muted"], linewidth=0.8, alpha=0.7, solid_capstyle="butt")
        _write(axes, place, [text] if text else [], size, boxed=True)
    elif kind == "undefined":
        _write(axes, place, ["∅"], size)
    else:  # a dash: not measured, which is not the paper's colour of zero
        axes.plot([column + 0.35, column + 0.65], [line + 0.5, line + 0.5], color=COLOURS["muted"], linewidth=1.4)


def _write(
    axes: Axes, place: tuple[int, int], lines: Sequence[str], size: tuple[float, float], *, boxed: bool = False
) -> None:
    """Write lines into the middle of a cell, the first one larger."""
    column, line = place
    for index, text in enumerate(lines):
        down = (index - (len(lines) - 1) / 2) * 15 / size[1]
        written = axes.text(column + 0.5, line + 0.5 + down, text, size=SMALL if not index else SMALL - 1.5)
        written.set(ha="center", va="center_baseline", color=COLOURS["ink"])
        if boxed:
            written.set_bbox({"facecolor": COLOURS["paper"], "edgecolor": "none", "pad": 1.5})


def _hatching(
    column: float, line: float, width: float, height: float, *, spacing: float
) -> tuple[list[float], list[float]]:
    """Return diagonals within a cell as one path, NaN between them; ``spacing`` pixels apart along the upper edge."""
    xs: list[float] = []
    ys: list[float] = []
    start = spacing / 2
    while start < width + height:
        for x in (max(start - height, 0.0), min(start, width)):
            xs.append(column + x / width)
            ys.append(line + min(max((start - x) / height, 0.0), 1.0))
        xs.append(np.nan)
        ys.append(np.nan)
        start += spacing
    return xs, ys


def _why(row: Row) -> str:
    """Return which of the kinds of absence a row without a value is."""
    status = str(row.get("status") or "").replace("_", " ")
    return next((kind for kind in ("too few", "suppressed", "undefined") if status.startswith(kind)), "not measured")


class _Legend:
    """Under a matrix: what the signs of absence stand for, and where the colours change."""

    def __init__(self, parts: _Parts, figure: Figure) -> None:
        self.entries = [(kind, _ABSENCES[kind]) for kind in parts.absences]
        named = figure.options.get("centre_label")
        if parts.diverging and parts.centre:
            centre = numbers.plain(round(parts.centre, 3))
            about = f"{named} ({centre})" if named else centre
            self.entries = [("above", f"above {about}"), ("below", f"below {about}"), *self.entries]
        self.height = len(self.entries) * 20 + 10 if self.entries else 0

    def write(self, sheet: Sheet) -> None:
        """Write the legend at the lower edge of the sheet."""
        for index, (kind, text) in enumerate(self.entries):
            top = sheet.height - self.height + 10 + 20 * index
            axes = sheet.axes(0, top, 24, 14)
            axes.set(xlim=(0, 1), ylim=(1, 0), xticks=[], yticks=[])
            if kind in ("above", "below"):
                _cell(axes, (0, 0), 1.0 if kind == "above" else -1.0, ["▴" if kind == "above" else "▾"], (24, 14))
            else:
                _absent(axes, (0, 0), kind, "", (24, 14))
            sheet.text(32, top + 7, text, size=SMALL, colour="muted")


def _distinct(rows: Table, name: str) -> list[Cell]:
    """Return the values of a column, numbers sorted and names in the order in which they come."""
    values = list(dict.fromkeys(row[name] for row in rows))
    keys = [number(value) for value in values]
    return [value for _, value in sorted(zip(keys, values, strict=True))] if None not in keys else values
