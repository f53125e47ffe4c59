"""Heatmaps: a matrix of names with its numbers in the cells, or small maps over coordinates side by side.

Strength is the opacity of one colour over the paper (a second colour below zero), so light and dark pages both work.
"""

from __future__ import annotations

from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from rft.records import Cell, Figure, Table
from rft.report import tables
from rft.report.sheet import LINE, SMALL, WIDTH, Sheet, text_width, wrap
from rft.report.svg import COLOURS, printable
from rft.report.tables import number

_CROWDED = 12  # columns from which on numbers do not fit into cells
_LABELS = 150  # widest column of row labels
_GAP = 16
_SCALE_STEPS = 12
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
    low: float
    strongest: float

    @classmethod
    def of(cls, figure: Figure, rows: Table) -> _Parts:
        x, y, value, facet = (figure.encode.get(name, "") for name in ("x", "y", "value", "facet"))
        facets: dict[str, Table] = {}
        for row in rows:
            facets.setdefault(tables.cell_text(row[facet], facet) if facet else "", []).append(row)
        values = [held for row in rows if (held := number(row[value])) is not None]
        strongest = max((abs(held) for held in values), default=0.0) or 1.0
        low = -strongest if min(values, default=0.0) < 0 else 0.0
        return cls(x, y, value, facets, _distinct(rows, x), _distinct(rows, y), low, strongest)

    def fill(self, axes: Axes, facet: str, *, written: bool) -> None:
        """Draw the cells of a facet."""
        rows = self.facets[facet]
        for row, text in zip(rows, tables.texts([row[self.value] for row in rows]), strict=True):
            place = (self.columns.index(row[self.x]), self.lines.index(row[self.y]))
            _cell(axes, place, number(row[self.value]), self.strongest, text=text if written else "")


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
    foot = _ColumnLabels(names, cell)
    head = 20 if figure.y_label else 0
    heading = 24 if len(parts.facets) > 1 else 0
    block = heading + len(parts.lines) * height + foot.height + _GAP
    sheet = Sheet(head + max(len(parts.facets), 1) * block - _GAP + (18 if figure.x_label else 0))
    sheet.text(0, 9, figure.y_label, size=SMALL, colour="muted")
    for index, facet in enumerate(parts.facets):
        top = head + index * block + heading
        if heading:
            sheet.text(0, top - 13, facet, bold=True)
        axes = _empty_cells(sheet, (left, top, cell * len(names), height * len(parts.lines)), parts)
        parts.fill(axes, facet, written=len(names) <= _CROWDED)
        for position, line in enumerate(parts.lines):
            sheet.lines(0, top + (position + 0.5) * height, wrap(tables.cell_text(line, parts.y), left - 8))
        foot.write(sheet, axes, left, top + height * len(parts.lines))
    if figure.x_label:
        sheet.text(left, sheet.height - 9, figure.x_label, size=SMALL, colour="muted")
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
            axes.set_xticks(middles, [printable(name) for name in self.names], rotation=90)
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
        parts.fill(axes, facet, written=False)
        sides = (len(parts.columns), len(parts.lines))
        axes.add_patch(Rectangle((0, 0), *sides, fill=False, edgecolor=COLOURS["line"], linewidth=1, clip_on=False))
    _scale(sheet, parts, figure.x_label)
    return sheet


def _scale(sheet: Sheet, parts: _Parts, label: str) -> None:
    first, last = tables.texts([parts.low, parts.strongest])
    left, top = text_width(first, SMALL) + 8, sheet.height - 18
    axes = sheet.axes(left, top + 3, 96, 11)
    axes.set(xlim=(0, _SCALE_STEPS), ylim=(1, 0), xticks=[], yticks=[])
    for step in range(_SCALE_STEPS):
        value = parts.low + (parts.strongest - parts.low) * (step + 0.5) / _SCALE_STEPS
        _cell(axes, (step, 0), value, parts.strongest)
    sheet.text(0, top + 8, first, size=SMALL, colour="muted")
    sheet.text(left + 104, top + 8, f"{last}   {label}".strip(), size=SMALL, colour="muted")


def _empty_cells(sheet: Sheet, box: tuple[float, float, float, float], parts: _Parts) -> Axes:
    axes = sheet.axes(*box)
    axes.set(xlim=(0, max(len(parts.columns), 1)), ylim=(max(len(parts.lines), 1), 0), xticks=[], yticks=[])
    return axes


def _cell(axes: Axes, place: tuple[int, int], value: float | None, strongest: float, *, text: str = "") -> None:
    column, line = place
    if value is None:  # a dash: not measured, which is not the paper's colour of zero
        axes.plot([column + 0.35, column + 0.65], [line + 0.5, line + 0.5], color=COLOURS["muted"], linewidth=1.4)
        return
    strength = min(abs(value) / strongest, 1.0)
    colour = COLOURS["heat" if value >= 0 else "heat-negative"]
    opacity = strength * (_UNDER_TEXT if text else 1.0)
    axes.add_patch(Rectangle((column, line), 1, 1, facecolor=colour, alpha=round(opacity, 3), linewidth=0))
    if text:
        written = axes.text(column + 0.5, line + 0.5, text, size=SMALL)
        written.set(ha="center", va="center_baseline", color=COLOURS["ink"])


def _distinct(rows: Table, name: str) -> list[Cell]:
    """Return the values of a column, numbers sorted and names in the order in which they come."""
    values = list(dict.fromkeys(row[name] for row in rows))
    keys = [number(value) for value in values]
    return [value for _, value in sorted(zip(keys, values, strict=True))] if None not in keys else values
