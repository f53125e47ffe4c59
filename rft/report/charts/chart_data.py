"""What a chart is drawn from: a figure, the rows that it shows, and what their columns mean."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from rft import number_format
from rft.records import Column, Figure, Row, find_column
from rft.report.charts.canvas import Style, style_series
from rft.report.views import tables
from rft.report.views.tables import to_number


@dataclass(frozen=True)
class ChartData:
    """The rows of a figure, read by its channels.

    Attributes:
        figure: what is drawn.
        rows: (N,) rows of its table that it shows.
        columns: the columns of the table by name.
    """

    figure: Figure
    rows: Sequence[Row]
    columns: Mapping[str, Column]

    def with_rows(self, rows: Sequence[Row]) -> ChartData:
        """Return the same figure of other rows."""
        return replace(self, rows=rows)

    def has_channel(self, channel: str) -> bool:
        """Whether the figure encodes something in this channel."""
        return bool(self.figure.encode.get(channel))

    def has_counts(self, channel: str) -> bool:
        """Whether a channel shows how many cases there are."""
        column = self.columns.get(self.figure.encode.get(channel, ""))
        return column is not None and column.role == "count"

    def is_log(self, axis: str) -> bool:
        """Whether the ``x`` or ``y`` axis is logarithmic."""
        return self.figure.options.get(f"{axis}_scale") == "log"

    def cell_number(self, row: Row, channel: str) -> float | None:
        """Return the number of a channel in a row; None where it has none."""
        return to_number(row.get(self.figure.encode.get(channel, "")))

    def placed_number(self, row: Row, channel: str) -> float | None:
        """Return the number of a channel; None where there is none, or where its axis has no place for it."""
        value = self.cell_number(row, channel)
        return None if value is not None and value <= 0 and self.is_log(channel) else value

    def cell_text(self, row: Row, channel: str) -> str:
        """Return the text of a channel in a row."""
        name = self.figure.encode[channel]
        return tables.cell_text(row[name], self.columns[name])

    def option_number(self, option: str) -> float | None:
        """Return the number of an option; None where it has none."""
        return to_number(self.figure.options.get(option))

    def group_rows(self, channel: str) -> dict[str, list[Row]]:
        """Return the rows by the text of a channel, in the order in which they come; one group without the channel."""
        groups: dict[str, list[Row]] = {}
        for row in self.rows:
            text = self.cell_text(row, channel) if self.has_channel(channel) else ""
            groups.setdefault(text, []).append(row)
        return groups

    def series_of(self, row: Row) -> str:
        """Return the series of a row; empty without series."""
        return self.cell_text(row, "series") if self.has_channel("series") else ""

    def style_series(self) -> dict[str, Style]:
        """Return how each series is drawn, in the order in which they come; one without a name without series."""
        return {name: style_series(index) for index, name in enumerate(self.group_rows("series"))}

    def explain_absence(self, row: Row) -> str:
        """Return why a row has no value, and how many cases it has."""
        name = find_column(self.columns, "count")
        count = row.get(name) if name else None
        counted = ""
        if name and isinstance(count, int):
            counted = f" ({tables.label_column(self.columns[name])} = {number_format.format_count(count)})"
        return tables.explain_absence(row, self.columns) + counted
