"""Rows under each other with their labels on the left: what dots and lying bars are drawn on."""

from __future__ import annotations

from rft.records import Figure, Table
from rft.report.charts.canvas import LINE, WIDTH, Sheet, text_width, wrap
from rft.report.charts.marks import text_of
from rft.report.views import tables

LABELS = 160  # widest column of row labels


class Ladder:
    """Rows under each other, their labels in a column on the left, a heading before each facet.

    Attributes:
        rows, middles: the rows, those of a facet and of a label together, and the height in pixels of each.
        left, height: width of the column of labels, and height of everything.
    """

    def __init__(self, figure: Figure, rows: Table, *, label: str, row_height: float) -> None:
        facet = figure.encode.get("facet", "")
        facets = ["" if row.get(facet) is None else tables.cell_text(row[facet], facet) for row in rows]
        labels = [text_of(figure, row, label) for row in rows]
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
