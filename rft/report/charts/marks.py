"""What the kinds of charts share: texts beside marks, marks for what is absent, titles of axes."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.text import Annotation

from rft.report.charts.canvas import LINE_HEIGHT, PAPER_BEHIND, SMALL_TEXT, WIDTH, Canvas, wrap_text
from rft.report.charts.svg import COLOURS
from rft.visible import visible

ROW_HEIGHT = 26  # height of a row of dots or bars
LEFT_MARGIN = 52  # room for tick labels beside the drawing
AXIS_HEIGHT = 22  # room for tick labels under the drawing
OFF_LOG_AXIS = "0 or less: no place on a logarithmic axis"


def annotate_point(
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
        size=SMALL_TEXT,
        color=COLOURS[colour],
        annotation_clip=False,
    )


def mark_absence(axes: Axes, reason: str, y: float) -> None:
    """Write why a row has no mark, on a dotted line in its place."""
    axes.axhline(y, color=COLOURS["line"], linewidth=1, linestyle=(0, (2, 3)))
    text = annotate_point(axes, x_at_share(axes, 0.02), y, reason, shift=(0, 0), align="left", colour="muted")
    text.set_bbox(PAPER_BEHIND)


def x_at_share(axes: Axes, share: float) -> float:
    """Return the place that lies this share of the way from the left edge to the right one."""
    left, right = axes.get_xlim()
    if axes.get_xscale() == "log":
        return float(left * (right / left) ** share)
    return float(left + share * (right - left))


def title_height(title: str, left: float) -> float:
    """Return the height that ``write_axis_title`` takes."""
    return LINE_HEIGHT * len(wrap_text(title, WIDTH - left, SMALL_TEXT)) + 2 if title else 0


def write_axis_title(canvas: Canvas, title: str, left: float, *, below: float = 0) -> None:
    """Write the title of the horizontal axis, ``below`` pixels above the lower edge."""
    if title:
        middle = canvas.height - below - title_height(title, left) / 2
        canvas.write_lines(left, middle, wrap_text(title, WIDTH - left, SMALL_TEXT), size=SMALL_TEXT, colour="muted")
