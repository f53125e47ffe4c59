"""The main numbers of a chart as a sentence, for someone who cannot see it."""

from __future__ import annotations

from collections.abc import Iterator

from rft import number_format
from rft.records import FIGURE_KINDS, Row
from rft.report.charts.chart_data import ChartData

MAX_NAMED = 12  # numbers that are read out one by one; of more the lowest and the highest


def write_main_numbers(data: ChartData) -> str:
    """Return what a chart shows in numbers: each of a few, the lowest and the highest of many, both ends of curves."""
    if data.figure.kind == "lines":
        return _join_parts([_write_curve(name, data, rows) for name, rows in _split_curves(data)])
    value = FIGURE_KINDS[data.figure.kind].value
    if data.figure.kind == "heatmap" and all(
        data.cell_number(row, side) is not None for row in data.rows for side in "xy"
    ):
        return ""  # a map, whose places have no names
    numbers = [(number, row) for row in data.rows if (number := data.cell_number(row, value)) is not None]
    if len(numbers) > MAX_NAMED:
        ordered = sorted(numbers, key=lambda pair: pair[0])
        (low, lowest), (high, highest) = ordered[0], ordered[-1]
        least = f"{_name_row(data, lowest)} {_write_number(data, lowest, low)}"
        most = f"{_name_row(data, highest)} {_write_number(data, highest, high)}"
        return f"Of {len(numbers)} values the lowest is {least}, the highest {most}."
    return _join_parts([f"{_name_row(data, row)} {_write_number(data, row, number)}" for number, row in numbers])


def _join_parts(parts: list[str]) -> str:
    return f"{'; '.join(filter(None, parts))}." if any(parts) else ""


def _name_row(data: ChartData, row: Row) -> str:
    """Return what a row is about, by the channels that say so."""
    channels = FIGURE_KINDS[data.figure.kind].names
    return ", ".join(data.cell_text(row, channel) for channel in channels if data.has_channel(channel))


def _write_number(data: ChartData, row: Row, number: float) -> str:
    low, high = (data.cell_number(row, channel) for channel in ("low", "high"))
    if isinstance(number, int):
        return number_format.format_count(number)
    if low is None or high is None:
        return number_format.format_quantity(number)
    interval = number_format.format_interval(low, high)
    return f"{number_format.format_quantity(number, 'fraction', (low, high))} {interval}"


def _split_curves(data: ChartData) -> Iterator[tuple[str, list[Row]]]:
    for panel, rows in data.group_rows("facet").items():
        for name, curve in data.with_rows(rows).group_rows("series").items():
            yield ", ".join(filter(None, (panel, name))), curve


def _write_curve(name: str, data: ChartData, rows: list[Row]) -> str:
    places = [
        (x, y)
        for row in rows
        if (x := data.cell_number(row, "x")) is not None and (y := data.cell_number(row, "y")) is not None
    ]
    if not places:
        return ""
    ends = [
        f"{number_format.format_quantity(y)} at {number_format.format_plain(round(x, 4))}" for x, y in sorted(places)
    ]
    return f"{name or 'The curve'} goes from {ends[0]} to {ends[-1]}" if len(ends) > 1 else f"{name}: {ends[0]}"
