"""From a matplotlib figure to an SVG element that can stand inside an HTML page. Knows nothing of audits.

Matplotlib draws in sentinel colours; here they become CSS variables, so that one drawing serves the light page, the
dark page and print. Text stays text, in the font of the page.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from xml.etree import ElementTree

import matplotlib
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from rft.report.format import bidi
from rft.visible import visible

SERIES = 6
TICK_TEXT_SIZE = 13.1
_NAMES = ("ink", "muted", "line", "paper", "heat", "heat-negative", *(f"series-{k}" for k in range(1, SERIES + 1)))
COLOURS = {name: f"#fe01{index:02x}" for index, name in enumerate(_NAMES)}
_VARIABLES = {colour: f"var(--{name})" for name, colour in COLOURS.items()}

_LOOK: dict[Any, object] = {
    # text as text: it scales and can be selected; a salt, so that every run makes the same ids
    "svg.fonttype": "none",
    "svg.hashsalt": "rft",
    "font.family": "DejaVu Sans",  # ships with matplotlib
    "text.parse_math": False,  # a class may be called "$x$"
    # no frame and no tick marks: set on axes that are there already, each tick would be made twice
    "axes.axisbelow": True,
    **{f"axes.spines.{side}": False for side in ("left", "right", "top", "bottom")},
    "grid.color": COLOURS["line"],
    "grid.linewidth": 1,
    **{f"{axis}tick.major.size": 0 for axis in "xy"},
    **{f"{axis}tick.major.pad": 5 for axis in "xy"},
    **{f"{axis}tick.labelsize": TICK_TEXT_SIZE for axis in "xy"},
    **{f"{axis}tick.labelcolor": COLOURS["muted"] for axis in "xy"},
}

_SVG = "http://www.w3.org/2000/svg"
_XLINK_HREF = "{http://www.w3.org/1999/xlink}href"


@contextmanager
def drawing_settings() -> Iterator[None]:
    """Draw under the same settings whatever the user's are, and leave the user's as they were."""
    with matplotlib.rc_context():
        for name, value in (matplotlib.rcParamsDefault | _LOOK).items():
            # rc_context would not put the backend back; what stands as it should is not checked by matplotlib again
            if name != "backend" and matplotlib.rcParams[name] != value:
                matplotlib.rcParams[name] = value
        yield


def to_element(figure: Figure, *, id: str, title: str, alt: str) -> str:
    """Return the figure as an ``<svg>`` element.

    Args:
        figure: one inch is 72 units of the drawing, which are pixels at its natural width.
        id: put in front of every id inside, so that several drawings can share a page.
        title, alt: the accessible name and description.

    The natural width stands in the ``style`` as ``max-width``; the drawing shrinks to narrower places.
    """
    root = ElementTree.fromstring(_draw_svg(figure))
    for element in list(root.iter()):
        _clean_element(element, id)
        if element.tag == "text":
            _isolate_names(element)
    for child in [*root.findall("metadata"), *root.findall("defs")]:
        if child.tag == "metadata" or child.find("style") is not None:  # its style would reach the whole page
            root.remove(child)
    width, height = (float(side) for side in root.attrib["viewBox"].split()[2:])
    root.attrib = {
        "xmlns": _SVG,
        "viewBox": f"0 0 {width:g} {height:g}",
        "style": f"max-width: {width:g}px",
        "class": "chart",
        "role": "img",
        "aria-labelledby": f"{id}-title {id}-alt",
    }
    _describe_drawing(root, id, title, alt)
    return ElementTree.tostring(root, encoding="unicode")


def _draw_svg(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    print_svg: Callable[..., object] = FigureCanvasSVG(figure).print_svg  # without types of its own
    print_svg(buffer, metadata={"Date": None})
    return buffer.getvalue()


def _clean_element(element: ElementTree.Element, id: str) -> None:
    element.tag = element.tag.rpartition("}")[2]
    element.tail = None
    if element.tag != "text":
        element.text = None if element.tag != "style" else element.text
    attributes = element.attrib
    id_inside = attributes.pop("id", None)
    if id_inside and element.tag != "g":  # groups have ids that nothing refers to
        attributes["id"] = f"{id}-{id_inside}"
    if _XLINK_HREF in attributes:
        attributes["href"] = f"#{id}-{attributes.pop(_XLINK_HREF)[1:]}"
    if "clip-path" in attributes:
        attributes["clip-path"] = attributes["clip-path"].replace("url(#", f"url(#{id}-")
    if "d" in attributes:
        attributes["d"] = " ".join(attributes["d"].split())
    if attributes.get("transform", "").startswith("rotate(-0 "):
        del attributes["transform"]
    if "style" in attributes:
        style = re.sub(r"font-family: [^;]*;? ?", "", attributes["style"])
        attributes["style"] = re.sub(r"#fe01[0-9a-f]{2}", lambda match: _VARIABLES[match[0]], style)


def _isolate_names(text: ElementTree.Element) -> None:
    """Keep right-to-left names apart from the numbers beside them, as ``<bdi>`` does in HTML."""
    last = None
    for part, is_run in bidi.split_runs(text.text or ""):
        if is_run:
            last = ElementTree.SubElement(text, "tspan", {"style": "unicode-bidi: isolate"})
            last.text = part
        elif last is not None:
            last.tail = part
    if last is not None:
        first, is_run = bidi.split_runs(text.text or "")[0]
        text.text = None if is_run else first


def _describe_drawing(root: ElementTree.Element, id: str, title: str, alt: str) -> None:
    for position, (tag, suffix, text) in enumerate((("title", "title", title), ("desc", "alt", alt))):
        element = ElementTree.Element(tag, {"id": f"{id}-{suffix}"})
        element.text = visible(text)
        root.insert(position, element)
