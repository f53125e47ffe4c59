"""Where in the input of a model an image stands, measured by running the model's own preprocessing.

A pipeline resizes, crops, squashes or pads, each library in a way of its own. Images whose brightness says how far to
the right, or how far down, a pixel lies go through it as every image does; what comes out says from where in the image
each pixel of the input comes. No list of pipelines is kept.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from PIL import Image

from rft.errors import Unavailable

Prepare = Callable[[Image.Image], np.ndarray]  # image -> (H, W, C) pixels, uint8 or float

MIN_SIDE = 8  # px of an image: shorter sides have too few steps of brightness
RAMP_ERROR = 3 / 255  # share of a side: what 8 bits and the edges of an interpolation leave open
GOLDEN_RATIO = (5**0.5 - 1) / 2  # whose multiples, modulo 1, are spread most evenly
EDGE = 2  # px of an image that an interpolation mixes with what lies beyond its edge


class Box(NamedTuple):
    """A rectangle in shares of an image as its file shows it, upright: 0, 0 is its top left corner."""

    left: float
    top: float
    right: float
    bottom: float

    @property
    def area(self) -> float:
        """Share of the image that it covers; 0 for one that is empty."""
        return max(self.right - self.left, 0.0) * max(self.bottom - self.top, 0.0)

    def intersect(self, other: Box) -> Box:
        """Return what two boxes have in common; its area is 0 where that is nothing."""
        return Box(
            max(self.left, other.left),
            max(self.top, other.top),
            min(self.right, other.right),
            min(self.bottom, other.bottom),
        )


@dataclass(frozen=True)
class Axis:
    """One side of an image in one side of a model's input.

    Attributes:
        first, end: pixels of the input between which the image stands; what lies outside is padding.
        offset, scale: share of the image's side at the edge ``x`` of a pixel: ``offset + scale * x``.
    """

    first: int
    end: int
    offset: float
    scale: float

    @property
    def visible(self) -> tuple[float, float]:
        """The part of the image's side that the input shows, as shares of it."""
        start, stop = (self.offset + self.scale * edge for edge in (self.first, self.end))
        return max(start, 0.0), min(stop, 1.0)

    def pixel_span(self, start: float, stop: float) -> slice:
        """Return the pixels of the input that show the part of a side between two shares; at least one."""
        edges = [round((share - self.offset) / self.scale) for share in (start, stop)]
        first = min(max(edges[0], self.first), self.end - 1)
        return slice(first, min(max(edges[1], first + 1), self.end))


@dataclass(frozen=True)
class ImageGeometry:
    """Where an image of one size stands in a model's input: its width ``across``, its height ``down``."""

    across: Axis
    down: Axis

    @property
    def visible(self) -> Box:
        """The part of the image that the model sees."""
        (left, right), (top, bottom) = self.across.visible, self.down.visible
        return Box(left, top, right, bottom)

    def visible_share(self, box: Box) -> float:
        """Return how much of a box with an area the model sees, from 0 to 1."""
        return box.intersect(self.visible).area / box.area

    def pixel_slices(self, box: Box) -> tuple[slice, slice]:
        """Return the rows and the columns of the input that show a box, at least one of each."""
        return self.down.pixel_span(box.top, box.bottom), self.across.pixel_span(box.left, box.right)


def measure_geometry(preprocessing: Prepare, size: tuple[int, int]) -> ImageGeometry:
    """Return where images of a width and height, upright and in pixels, stand in what ``preprocessing`` gives.

    Raises:
        Unavailable: when that cannot be told: the image is too small, or it is mirrored, turned or warped, or its
            brightness is changed in a way that depends on the image.
    """
    width, height = size
    if min(size) < MIN_SIDE:
        raise Unavailable(f"an image of {width} x {height} px is too small to tell which part of it the model sees")
    flat = np.zeros((height, width), np.uint8)
    black, white, rightness, downness = (
        _run_on_greys(preprocessing, greys)
        for greys in (flat, flat + 255, _ramp_image(width, height), _ramp_image(height, width).T)
    )
    contrast = white - black
    shown = np.abs(contrast) > 0.5 * np.abs(contrast).max()
    rows, columns = np.flatnonzero(shown.any(axis=1)), np.flatnonzero(shown.any(axis=0))
    if not len(rows) or not shown[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all():
        raise _geometry_unknown(size)
    frame = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    across, down = ((ramp - black)[frame] / contrast[frame] for ramp in (rightness, downness))
    return ImageGeometry(_fit_axis(across, int(columns[0]), width, size), _fit_axis(down.T, int(rows[0]), height, size))


def _ramp_image(side: int, lines: int) -> np.ndarray:
    """Return (lines, side) greys whose mean over the lines is 255 times the share of the side at each pixel's middle.

    A grey of 8 bits alone could not say it: lines are rounded at thresholds of their own, spread evenly.
    """
    greys = np.float32(255) * (np.arange(side, dtype=np.float32) + np.float32(0.5)) / np.float32(side)
    thresholds = np.arange(lines) * GOLDEN_RATIO % 1
    return (greys[None, :] + thresholds[:, None].astype(np.float32)).astype(np.uint8)


def _run_on_greys(preprocessing: Prepare, greys: np.ndarray) -> np.ndarray:
    """Return the (h, w) brightness of the input that an image of (H, W) greys becomes."""
    pixels = preprocessing(Image.fromarray(greys))
    brightness: np.ndarray = pixels.astype(np.float64).mean(axis=2) / (255 if pixels.dtype == np.uint8 else 1)
    return brightness


def _fit_axis(shares: np.ndarray, first: int, side: int, size: tuple[int, int]) -> Axis:
    """Return the axis along the columns of (h, w) ``shares`` of an image's side of ``side`` px, from column ``first``.

    Raises:
        Unavailable: when the shares do not rise evenly, or differ from row to row.
    """
    middles = first + np.arange(shares.shape[1]) + 0.5
    line = shares.mean(axis=0)
    inner = (line > EDGE / side) & (line < 1 - EDGE / side)
    if inner.sum() < 2:
        raise _geometry_unknown(size)
    scale, offset = np.polyfit(middles[inner], line[inner], 1)
    expected = offset + scale * middles
    if scale <= 0 or np.abs(shares - expected)[:, inner].max() > RAMP_ERROR + 1 / side:
        raise _geometry_unknown(size)
    return Axis(first, first + len(line), float(offset), float(scale))


def _geometry_unknown(size: tuple[int, int]) -> Unavailable:
    return Unavailable(
        f"the preprocessing does more to an image of {size[0]} x {size[1]} px than to scale, crop and pad it, so which "
        "part of it the model sees cannot be told"
    )
