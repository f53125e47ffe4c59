"""Attribution maps laid over photos. Made only when the report may show examples."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from rft.plugins.attribution.images.methods import Explained, Maps
from rft.plugins.attribution.modality_words import METHOD_NAMES
from rft.records import Figure, Table, asset_name, images_figure

MAX_IMAGES_PER_METHOD = 6  # images a method
_WIDTH = 160  # px
_BEYOND = 0.1  # how far sharp resampling takes pixels out of [0, 1]
_FOR, _AGAINST = np.array([[230, 159, 0], [0, 114, 178]]) / 255  # colour-blind readers tell them apart (Okabe, Ito)
_OPACITY = 0.85  # of the strongest pixels
_PEAK = 99.5  # percentile that gets the full colour: single bright pixels would leave the rest dark


def draw_overlays(
    explained: Explained, maps: Sequence[Maps], captions: Sequence[str], regions: Sequence[np.ndarray] = ()
) -> tuple[Table, dict[str, bytes]]:
    """Return the table ``examples`` and its images by name: the first few images, by each method.

    Args:
        explained: N images.
        maps: of them, by method.
        captions: N of them.
        regions: (N, H, W) the pixels of each region that is drawn as a box.
    """
    table: Table = []
    assets: dict[str, bytes] = {}
    for method_maps in maps:
        shown = np.flatnonzero(method_maps.sound[:MAX_IMAGES_PER_METHOD])
        enlarged = method_maps.enlarge(explained.size, shown)
        for index, signed in zip(shown.tolist(), enlarged, strict=True):
            photo = explained.pixels[index].permute(1, 2, 0).numpy()
            png = _overlay_png(photo, signed, [covered[index] for covered in regions])
            name = asset_name(png)
            assets[name] = png
            table.append({"asset": name, "caption": captions[index], "method": METHOD_NAMES[method_maps.method]})
    return table, assets


def examples_figure() -> Figure:
    """Return the figure that shows the table ``examples``."""
    return images_figure(
        id="examples",
        lead=True,
        table="examples",
        asset="asset",
        caption="caption",
        group="method",
        title="Examples from the test split",
        alt="Test photos with their attribution maps laid over them: orange where a map speaks for the predicted "
        "class, blue where it speaks against it.",
    )


def _overlay_png(photo: np.ndarray, signed: np.ndarray, regions: Sequence[np.ndarray]) -> bytes:
    """Return the PNG of an (H, W, C) photo with an (H, W) map over it: clear where it is zero, coloured where strong.

    Each of the (H, W) regions is drawn as a box.
    """
    low, high = float(photo.min()), float(photo.max())
    if low < -_BEYOND or high > 1 + _BEYOND:  # the model's own preprocessing gives no shares of brightness
        photo = (photo - low) / (high - low)
    photo = photo.clip(0, 1)
    size = np.abs(signed)
    peak = np.percentile(size, _PEAK) or size.max()
    opacity = _OPACITY * np.sqrt(np.clip(size / peak, 0, 1))[..., None]
    blend = (1 - opacity) * photo + opacity * np.where(signed[..., None] > 0, _FOR, _AGAINST)
    height, width = signed.shape
    image = Image.fromarray((blend * 255).round().astype(np.uint8)).resize((_WIDTH, round(_WIDTH * height / width)))
    for covered in regions:
        _draw_box(image, covered)
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()


def _draw_box(image: Image.Image, covered: np.ndarray) -> None:
    """Draw the outline of the (H, W) ``covered`` pixels, in white and black: one of them shows on any ground."""
    rows, columns = np.flatnonzero(covered.any(axis=1)), np.flatnonzero(covered.any(axis=0))
    if not len(rows):
        return
    scale = image.width / covered.shape[1]
    edges = np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]) * scale + [0, 0, -1, -1]
    left, top, right, bottom = edges.round().tolist()
    pen = ImageDraw.Draw(image)
    pen.rectangle((left, top, right, bottom), outline="white")
    if right - left > 2 and bottom - top > 2:
        pen.rectangle((left + 1, top + 1, right - 1, bottom - 1), outline="black")
