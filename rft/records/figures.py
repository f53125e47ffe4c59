"""Figures: what a figure is, which channels and options each kind has, and how one is declared."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Literal, NotRequired, TypedDict, Unpack

from pydantic import Field

from rft.records.base import Cell, Record, Row

Scale = Literal["linear", "log"]
ASSET_NAME = re.compile(r"[0-9a-f]{64}\.(?:png|wav)")  # as ``asset_name`` makes them


class Outline(Record):
    """A rectangle over a map, in shares of its width and height from the top left, and what it marks."""

    name: str
    left: float
    top: float
    right: float
    bottom: float


class Figure(Record):
    """A chart or images, drawn from the named table of the same section; the functions of this file make one.

    Attributes:
        id: unique in its section.
        kind: a name in ``FIGURE_KINDS``.
        table: name of the table that it draws.
        encode: channel of the kind -> column of the table.
        where: keeps the rows of the table whose columns equal these values.
        options: of the kind.
        x_label, y_label: of the axes.
        title: a few words for a heading.
        alt: what the figure shows, for someone who cannot see it.
        lead: it is shown at once; the others are unfolded when asked for.
        outlines: drawn over each panel of a heatmap over coordinates.
    """

    id: str
    kind: str
    table: str
    encode: dict[str, str]
    where: dict[str, Cell] = Field(default_factory=dict)
    options: dict[str, Cell] = Field(default_factory=dict)
    x_label: str = ""
    y_label: str = ""
    title: str
    alt: str
    lead: bool = False
    outlines: tuple[Outline, ...] = ()


@dataclass(frozen=True)
class FigureKind:
    """What a kind of figure can show.

    Attributes:
        required: channels that every figure of the kind encodes.
        optional: channels that it may encode.
        options: names in ``Figure.options``.
        value: the channel of the number that a row is there for; empty for images and texts.
        names: channels that say what a row is about, in the order in which they are read out.
        groups: channels of which a chart with many shows those at both ends; ``panel`` divides them before that.
    """

    required: tuple[str, ...]
    optional: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    value: str = ""
    names: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    panel: str = ""


_BAND_OPTIONS = ("reference", "reference_low", "reference_high", "dot_label", "band_label", "mark_label")

FIGURE_KINDS = {
    "dots": FigureKind(
        ("x", "y"),
        ("low", "high", "label", "facet", "band_low", "band_high", "mark"),
        (*_BAND_OPTIONS, "x_scale"),
        value="x",
        names=("facet", "y"),
        groups=("y",),
        panel="facet",
    ),
    "lines": FigureKind(
        ("x", "y"),
        ("low", "high", "series", "facet"),
        ("diagonal", "joined", "x_scale", "y_scale"),
        value="y",
        names=("facet", "series"),
        groups=("facet", "series"),
    ),
    "bars": FigureKind(("x", "y"), ("series",), value="y", names=("x", "series"), groups=("x",)),
    "heatmap": FigureKind(
        ("x", "y", "value"),
        ("facet", "n"),
        ("centre", "centre_label"),
        value="value",
        names=("facet", "y", "x"),
        groups=("y", "x"),
    ),
    "images": FigureKind(("asset", "caption"), ("group", "clip")),
    "tokens": FigureKind(("token", "value"), ("text", "caption", "special")),
}


class FigureFrame(TypedDict):
    """What every figure has, whatever its kind; see ``Figure``."""

    id: str
    table: str
    title: str
    alt: str
    where: NotRequired[Row]
    x_label: NotRequired[str]
    y_label: NotRequired[str]
    lead: NotRequired[bool]
    outlines: NotRequired[tuple[Outline, ...]]


def dots_figure(
    *,
    x: str,
    y: str,
    low: str | None = None,
    high: str | None = None,
    label: str | None = None,
    facet: str | None = None,
    band_low: str | None = None,
    band_high: str | None = None,
    mark: str | None = None,
    reference: float | None = None,
    reference_low: float | None = None,
    reference_high: float | None = None,
    dot_label: str | None = None,
    band_label: str | None = None,
    mark_label: str | None = None,
    x_scale: Scale = "linear",
    **frame: Unpack[FigureFrame],
) -> Figure:
    """Return a figure of values as dots, a line each.

    Args:
        x, y: columns of the value and of the line.
        low, high: columns of the interval.
        label: column of the text at the dot; one of counts stands on the right.
        facet: column of the panel.
        band_low, band_high: columns of a band behind the dot of the row, such as the gaps that groups without any
            difference would show.
        mark: column of a line across the row.
        reference, reference_low, reference_high: a vertical line, and a band around it.
        dot_label, band_label, mark_label: what they are, for the legend.
        x_scale: ``log`` has no place for what is 0 or less: it is counted under the chart, and an interval that begins
            there reaches down to the edge.
        frame: what every figure has.
    """
    encode = {"y": y, "x": x, "low": low, "high": high, "label": label, "facet": facet}
    options: dict[str, Cell] = {
        "reference": reference,
        "reference_low": reference_low,
        "reference_high": reference_high,
        "dot_label": dot_label,
        "band_label": band_label,
        "mark_label": mark_label,
        "x_scale": _name_scale(x_scale),
    }
    return _build_figure("dots", encode | {"band_low": band_low, "band_high": band_high, "mark": mark}, options, frame)


def lines_figure(
    *,
    x: str,
    y: str,
    low: str | None = None,
    high: str | None = None,
    series: str | None = None,
    facet: str | None = None,
    diagonal: bool = False,
    joined: bool = True,
    x_scale: Scale = "linear",
    y_scale: Scale = "linear",
    **frame: Unpack[FigureFrame],
) -> Figure:
    """Return a figure of curves, or of marks in a plane.

    Args:
        x, y: columns of the places; x holds numbers.
        low, high: columns of the interval of y.
        series: column of the curve.
        facet: column of the panel, each before the thin lines of the others: better than ``series`` for curves with
            intervals.
        diagonal: draw the line y = x.
        joined: draw lines between the marks.
        x_scale, y_scale: as in ``dots_figure``.
        frame: what every figure has.
    """
    options: dict[str, Cell] = {
        "diagonal": "yes" if diagonal else None,
        "joined": None if joined else "no",
        "x_scale": _name_scale(x_scale),
        "y_scale": _name_scale(y_scale),
    }
    encode = {"x": x, "y": y, "low": low, "high": high, "series": series, "facet": facet}
    return _build_figure("lines", encode, options, frame)


def bars_figure(*, x: str, y: str, series: str | None = None, **frame: Unpack[FigureFrame]) -> Figure:
    """Return a figure of bars.

    Args:
        x, y: columns of the category and of the value.
        series: column of the bars that stand side by side within a category.
        frame: what every figure has.
    """
    return _build_figure("bars", {"x": x, "y": y, "series": series}, {}, frame)


def heatmap_figure(
    *,
    x: str,
    y: str,
    value: str,
    facet: str | None = None,
    n: str | None = None,
    centre: float | None = None,
    centre_label: str | None = None,
    **frame: Unpack[FigureFrame],
) -> Figure:
    """Return a figure of values as colours of cells.

    Of a cell without a value the status says why: what begins with "too few" or "suppressed" is hatched, "undefined"
    has a sign of its own.

    Args:
        x, y, value: columns of the place and of the value.
        facet: column of the panel (small multiples).
        n: column of the number that is written below the value.
        centre: the value between the two colours; zero without it.
        centre_label: what it is, for the legend.
        frame: what every figure has.
    """
    encode = {"x": x, "y": y, "value": value, "facet": facet, "n": n}
    return _build_figure("heatmap", encode, {"centre": centre, "centre_label": centre_label}, frame)


def images_figure(
    *, asset: str, caption: str, group: str | None = None, clip: str | None = None, **frame: Unpack[FigureFrame]
) -> Figure:
    """Return a figure of images.

    Args:
        asset: column of names made by ``asset_name``.
        caption: column of the text below an image.
        group: column of the heading under which it stands.
        clip: column of names, made by ``asset_name`` too, of the sound that is played beside an image.
        frame: what every figure has.
    """
    encode = {"asset": asset, "caption": caption, "group": group, "clip": clip}
    return _build_figure("images", encode, {}, frame)


def tokens_figure(
    *,
    token: str,
    value: str,
    text: str | None = None,
    caption: str | None = None,
    special: str | None = None,
    **frame: Unpack[FigureFrame],
) -> Figure:
    """Return a figure of texts with marks on their pieces.

    Args:
        token: column of the pieces, with the blanks before them.
        value: column of a signed number; None has no mark.
        text: column that is the same in all rows of one text.
        caption: column of the caption of a text.
        special: column that is true where the piece is not a part of the text.
        frame: what every figure has.
    """
    encode = {"token": token, "value": value, "text": text, "caption": caption, "special": special}
    return _build_figure("tokens", encode, {}, frame)


def asset_name(content: bytes) -> str:
    """Return the name of an image or a clip in the folder ``assets``: its sha256, and ``.png`` or ``.wav``."""
    return hashlib.sha256(content).hexdigest() + (".wav" if content.startswith(b"RIFF") else ".png")


def _name_scale(scale: Scale) -> str | None:
    return None if scale == "linear" else scale


def _build_figure(kind: str, encode: dict[str, str | None], options: dict[str, Cell], frame: FigureFrame) -> Figure:
    return Figure(
        kind=kind,
        encode={channel: column for channel, column in encode.items() if column is not None},
        options={option: value for option, value in options.items() if value is not None},
        **frame,
    )
