"""Rows under each other with their labels on the left: what dots and lying bars are drawn on."""

from __future__ import annotations

from rft.records import Row
from rft.report.charts.canvas import LINE_HEIGHT, WIDTH, Canvas, text_width, wrap_text
from rft.report.charts.chart_data import ChartData

MAX_LABEL_WIDTH = 140  # widest column of row labels


class RowLayout:
    """Rows under each other, their labels in a column on the left, a heading before each facet.

    Attributes:
        rows, middles: the rows, those of a facet and of a label together, and the height in pixels of each.
        left, height: width of the column of labels, and height of everything.
    """

    def __init__(self, data: ChartData, *, label: str, row_height: float) -> None:
        facets = [self._facet_text(data, row) for row in data.rows]
        labels = [data.cell_text(row, label) for row in data.rows]
        self.left = min(max((text_width(text) for text in labels), default=0.0) + 14, MAX_LABEL_WIDTH)
        self.rows: list[Row] = []
        self.middles: list[float] = []
        self.height = 0.0
        self._texts: list[tuple[float, list[str], bool]] = []  # middle, lines, bold
        for facet in dict.fromkeys(facets):
            if facet:
                self._add_lines(wrap_text(facet.replace("_", " "), WIDTH), 13, bold=True)
            for text in dict.fromkeys(text for text, name in zip(labels, facets, strict=True) if name == facet):
                rows = [row for row, *key in zip(data.rows, facets, labels, strict=True) if key == [facet, text]]
                self._add_rows(wrap_text(text, self.left - 10), rows, row_height)

    @staticmethod
    def _facet_text(data: ChartData, row: Row) -> str:
        """Return the facet of a row; empty where it has none."""
        name = data.figure.encode.get("facet", "")
        return "" if row.get(name) is None else data.cell_text(row, "facet")

    def _add_rows(self, lines: list[str], rows: list[Row], row_height: float) -> None:
        top = self.height
        gap = 8 if len(rows) > 1 else 0  # keeps the rows of one label together
        self._add_lines(lines, max(8, len(rows) * row_height + gap - len(lines) * LINE_HEIGHT))
        step = (self.height - top - gap) / len(rows)
        self.middles += [top + gap / 2 + (index + 0.5) * step for index in range(len(rows))]
        self.rows += rows

    def _add_lines(self, lines: list[str], room: float, *, bold: bool = False) -> None:
        height = len(lines) * LINE_HEIGHT + room
        self._texts.append((self.height + height / 2, lines, bold))
        self.height += height

    def write(self, canvas: Canvas, top: float) -> None:
        """Write labels and headings; the layout begins at ``top``."""
        for middle, lines, bold in self._texts:
            canvas.write_lines(0, top + middle, lines, bold=bold)
