"""What the kinds of charts share: numbers and texts of a row, marks for what is absent, titles of axes."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.text import Annotation

from rft.records import Figure, Row, Table
from rft.report.charts.canvas import LINE, SMALL, WIDTH, Sheet, Style, style, wrap
from rft.report.charts.svg import COLOURS
from rft.report.format import numbers
from rft.report.views import tables
from rft.report.views.tables import number
from rft.visible import visible

ROW = 26  # height of a row of dots or bars
SIDE = 52  # room for tick labels beside the drawing
AXIS = 22  # room for tick labels under the drawing
NO_PLACE = "0 or less: no place on a logarithmic axis"


def is_log(figure: Figure, which: str) -> bool:
    """Return whether the ``x`` or ``y`` axis is logarithmic."""
    return figure.options.get(f"{which}_scale") == "log"


def number_of(figure: Figure, row: Row, channel: str) -> float | None:
    """Return the number of a channel; None where there is none, or where its axis has no place for it."""
    value = number(row.get(figure.encode.get(channel, "")))
    return None if value is not None and value <= 0 and is_log(figure, channel) else value


def text_of(figure: Figure, row: Row, channel: str) -> str:
    """Return the text of a channel."""
    name = figure.encode[channel]
    return tables.cell_text(row[name], name)


def styles(figure: Figure, rows: Table) -> dict[str, Style]:
    """Return how each series is drawn, in the order in which they come."""
    names = dict.fromkeys(series_name(figure, row) for row in rows)
    return {name: style(index) for index, name in enumerate(names)}


def series_name(figure: Figure, row: Row) -> str:
    """Return the series of a row; empty without series."""
    return text_of(figure, row, "series") if "series" in figure.encode else ""


def annotate(
    axes: Axes, x: float, y: float, text: str, *, shift: tuple[float, float], align: str, colour: str = "ink"
) -> Annotation:
    """Write beside a place of the axes, ``shift`` points to the right and up."""
    return axes.annotate(
        visible(text),
        (x, y),
        xytext=shift,
        textcoords="offset points",
        ha=align,
        va="center_baseline",
        size=SMALL,
        color=COLOURS[colour],
        annotation_clip=False,
    )


def absent(axes: Axes, reason: str, y: float) -> None:
    """Write why a row has no mark, on a dotted line in its place."""
    axes.axhline(y, color=COLOURS["line"], linewidth=1, linestyle=(0, (2, 3)))
    text = annotate(axes, across(axes, 0.02), y, reason, shift=(0, 0), align="left", colour="muted")
    text.set_bbox({"facecolor": COLOURS["paper"], "edgecolor": "none", "pad": 1.5})  # no grid line through the words


def across(axes: Axes, share: float) -> float:
    """Return the place that lies this share of the way from the left edge to the right one."""
    left, right = axes.get_xlim()
    if axes.get_xscale() == "log":
        return float(left * (right / left) ** share)
    return float(left + share * (right - left))


def why_absent(row: Row) -> str:
    """Return why a row has no value, and its n."""
    n = row.get("n")
    return tables.absence(row) + (f" (n = {numbers.count(n)})" if isinstance(n, int) else "")


def title_height(title: str, left: float) -> float:
    """Return the height that ``axis_title`` takes."""
    return LINE * len(wrap(title, WIDTH - left, SMALL)) + 2 if title else 0


def axis_title(sheet: Sheet, title: str, left: float, *, below: float = 0) -> None:
    """Write the title of the horizontal axis, ``below`` pixels above the lower edge."""
    if title:
        middle = sheet.height - below - title_height(title, left) / 2
        sheet.lines(left, middle, wrap(title, WIDTH - left, SMALL), size=SMALL, colour="muted")
