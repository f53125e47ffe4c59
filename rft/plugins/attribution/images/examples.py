"""Attribution maps laid over photos. Made only when the report may show examples."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from rft.plugins.attribution.images.mean_maps import Covered, name_place
from rft.plugins.attribution.images.suited_methods import Attributed
from rft.plugins.attribution.modality_words import METHOD_NAMES
from rft.records import Figure, Table, asset_name, images_figure

MAX_IMAGES_PER_METHOD = 6  # images a method
_WIDTH = 160  # px
_BEYOND = 0.1  # how far sharp resampling takes pixels out of [0, 1]
_FOR, _AGAINST = np.array([[230, 159, 0], [0, 114, 178]]) / 255  # colour-blind readers tell them apart (Okabe, Ito)
_OPACITY = 0.85  # of the strongest pixels
_PEAK = 99.5  # percentile that gets the full colour: single bright pixels would leave the rest pale


def draw_overlays(
    attributed: Sequence[Attributed], captions: Sequence[str], regions: Sequence[Sequence[Covered]] = ()
) -> tuple[Table, dict[str, bytes]]:
    """Return the table ``examples`` and its images by name: the first few images with a map, by each method.

    Args:
        attributed: images with their maps, by method.
        captions: of all N explained images.
        regions: N places of each region that is drawn as a box.
    """
    table: Table = []
    assets: dict[str, bytes] = {}
    for group in (group for group in attributed if group.maps.sound.any()):
        shown = np.flatnonzero(group.maps.sound)[:MAX_IMAGES_PER_METHOD]
        photos = group.explained.take(shown).read_batch(slice(0, len(shown))).pixels.permute(0, 2, 3, 1).numpy()
        maps = group.maps.enlarge(group.explained.size, shown)
        peak = _find_peak(maps)
        for photo, signed, place in zip(photos, maps, group.places[shown].tolist(), strict=True):
            png = _overlay_png(photo, signed, peak, [covered[place] for covered in regions])
            name = asset_name(png)
            assets[name] = png
            caption = f"{captions[place]}; {_say_where(signed)}"
            table.append({"asset": name, "caption": caption, "method": METHOD_NAMES[group.maps.method]})
    return table, assets


def _find_peak(maps: np.ndarray) -> float:
    """Return what gets the full colour in all (M, H, W) maps of one method: they have one scale."""
    size = np.abs(maps)
    return float(np.percentile(size, _PEAK) or size.max())


def _say_where(signed: np.ndarray) -> str:
    """Return in which ninth of the image most of what speaks for the class lies, and how much of it."""
    weights = signed.clip(min=0)
    height, width = signed.shape
    rows, columns = (np.linspace(0, side, 4).round().astype(int) for side in (height, width))
    ninths = np.add.reduceat(np.add.reduceat(weights, rows[:-1], axis=0), columns[:-1], axis=1) / weights.sum()
    row, column = np.unravel_index(int(ninths.argmax()), ninths.shape)
    share = ninths[row, column]
    return f"{100 * share:.0f} % of what speaks for it lies {name_place((row + 0.5) / 3, (column + 0.5) / 3)}"


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
        alt="Test photos, each as it is and, below, with its attribution map laid over it: orange where the map speaks "
        "for the predicted class, blue where it speaks against it. The maps of a method have one scale.",
    )


def _overlay_png(photo: np.ndarray, signed: np.ndarray, peak: float, regions: Sequence[Covered]) -> bytes:
    """Return the PNG of an (H, W, C) photo, and below it the same with an (H, W) map over it.

    The map is clear where it is zero and has its full colour at ``peak``. Each region is drawn as a box in both.
    """
    low, high = float(photo.min()), float(photo.max())
    if low < -_BEYOND or high > 1 + _BEYOND:  # the model's own preprocessing gives no shares of brightness
        photo = (photo - low) / (high - low)
    photo = np.broadcast_to(photo.clip(0, 1), (*photo.shape[:2], len(_FOR)))  # grey: of one channel
    opacity = _OPACITY * np.sqrt(np.clip(np.abs(signed) / peak, 0, 1))[..., None]
    blend = (1 - opacity) * photo + opacity * np.where(signed[..., None] > 0, _FOR, _AGAINST)
    height, width = signed.shape
    size = (_WIDTH, round(_WIDTH * height / width))
    both = Image.new("RGB", (size[0], 2 * size[1]))
    for number, pixels in enumerate((photo, blend)):
        image = Image.fromarray((pixels * 255).round().astype(np.uint8)).resize(size)
        for covered in regions:
            _draw_box(image, covered, _WIDTH / width)
        both.paste(image, (0, number * size[1]))
    buffer = io.BytesIO()
    both.save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()


def _draw_box(image: Image.Image, covered: Covered, scale: float) -> None:
    """Draw the outline of a region, in white and black: one of them shows on any ground."""
    if covered is None:
        return
    rows, columns = covered
    edges = np.array([columns.start, rows.start, columns.stop, rows.stop]) * scale + [0, 0, -1, -1]
    left, top, right, bottom = edges.round().tolist()
    pen = ImageDraw.Draw(image)
    pen.rectangle((left, top, right, bottom), outline="white")
    if right - left > 2 and bottom - top > 2:
        pen.rectangle((left + 1, top + 1, right - 1, bottom - 1), outline="black")
