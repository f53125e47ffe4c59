"""A rare mark that is given as a small picture: planted into images, and flips are counted.

In the control the same place of the same image is covered with its own mean colour: what the patch hides is hidden too,
and nothing of the mark comes in. The patch with its pixels in random order would not do as the control: a mark of one
colour stays the same then, and would be cleared whatever the model makes of it. It is tried beside, and decides
nothing: what it flips, the colours of the mark do, or that anything strange is there, and not its shape.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from rft.data.images.geometry import Box, ImageGeometry
from rft.plugins.attribution.images.shortcuts.patch import Patch
from rft.plugins.attribution.images.shortcuts.region_swaps import TestImages
from rft.plugins.attribution.interventions import MIN_VISIBLE_SHARE, Condition, Intervention, one_per_unit
from rft.plugins.attribution.network import Network, batch_slices
from rft.plugins.attribution.shortcuts.options import PLANTED
from rft.runtime.progress import track_progress

COVERED, SHUFFLED = "its place in the mean colour", "patch, pixels in random order"

_Paint = Callable[[Tensor, Patch, np.random.Generator], Tensor]  # (3, h, w) pixels, patch of the same size -> pixels


def choose_recipients(
    n: int,
    units: np.ndarray | None,
    *,
    most: int,
    rng: np.random.Generator,
    marked: np.ndarray | None = None,
) -> np.ndarray:
    """Return (P,) rows of the test split that get a patch, P <= ``most``: of each unit one, none with the mark.

    Args:
        n: number of test images.
        units: (N,) whose image each is, or None.
        most: largest number of them.
        rng: source of the draws.
        marked: (N,) which images have the mark already, or None where nothing says it.
    """
    unmarked = np.arange(n) if marked is None else np.flatnonzero(~marked)
    drawn = one_per_unit(len(unmarked), None if units is None else np.asarray(units)[unmarked], rng)
    recipients: np.ndarray = unmarked[drawn][:most]
    return recipients


def plant_patches(
    network: Network,
    images: TestImages,
    recipients: np.ndarray,
    patches: Sequence[tuple[Patch, Box]],
    rng: np.random.Generator,
) -> list[Intervention]:
    """Plant each of several patches into test images and count the predictions that change.

    Images are read once, and their predictions as they are computed once, for all patches together.

    Args:
        network: the classifier.
        images: of the test split.
        recipients: (P,) their rows.
        patches: each with its place in shares of the image as its file shows it, into which it is scaled. Images in
            which the model sees less than half of the place are left out.
        rng: source of the random orders of pixels.

    Returns:
        For each patch ``shortcut``: it is planted. ``control``: its place is covered with the mean colour that the
        image has there, as opaque as the patch is. ``elsewhere``: the patch with its pixels in random order.
    """
    places = [images.locate(row) for row in recipients.tolist()]
    paints = (_paint_patch, _paint_mean, _paint_shuffled)
    flips = [np.zeros((len(paints), len(recipients)), dtype=bool) for _ in patches]
    for part in track_progress(list(batch_slices(len(recipients))), "Interventions"):
        pixels = images.read(recipients[part])
        before = network.logits({"pixels": pixels}).argmax(dim=1)
        for (patch, box), flipped in zip(patches, flips, strict=True):
            for row, paint in zip(flipped, paints, strict=True):
                changed = _paint_images(pixels, places[part], patch, box, paint, rng)
                row[part] = (network.logits({"pixels": changed}).argmax(dim=1) != before).numpy()
    return [
        _conclude(flipped, np.array([place.visible_share(box) for place in places]), recipients)
        for (_, box), flipped in zip(patches, flips, strict=True)
    ]


def _conclude(flipped: np.ndarray, visible: np.ndarray, recipients: np.ndarray) -> Intervention:
    """Return what (3, P) flips say, of the images in which at least half of the place is ``visible`` (P,)."""
    seen = visible >= MIN_VISIBLE_SHARE
    planted, covered, shuffled = (
        Condition(name, row[seen]) for name, row in zip((PLANTED, COVERED, SHUFFLED), flipped, strict=True)
    )
    return Intervention(
        shortcut=planted,
        control=covered,
        rows=recipients[seen],
        elsewhere=shuffled,
        visible_share=float(visible.mean()) if len(visible) else 1.0,
        left_out=int((~seen).sum()),
    )


def _paint_images(
    pixels: Tensor,
    places: Sequence[ImageGeometry],
    patch: Patch,
    box: Box,
    paint: _Paint,
    rng: np.random.Generator,
) -> Tensor:
    changed = pixels.clone()
    for image, place in zip(changed, places, strict=True):
        if (part := box.intersect(place.visible)).area > 0:
            hole = image[(..., *place.pixel_slices(part))]
            hole.copy_(paint(hole.clone(), _cut_patch(patch, box, part, hole.shape[-2:]), rng))
    return changed


def _cut_patch(patch: Patch, box: Box, part: Box, size: Sequence[int]) -> Patch:
    """Return what of a patch over a box lies in a part of the box, in a height and width of pixels."""
    height, width = patch.colours.shape[-2:]
    rows = _cut_side(part.top - box.top, part.bottom - box.top, box.bottom - box.top, height)
    columns = _cut_side(part.left - box.left, part.right - box.left, box.right - box.left, width)
    return Patch(*(_scale(layer[:, rows, columns], size) for layer in (patch.colours, patch.opacity)))


def _cut_side(start: float, stop: float, whole: float, pixels: int) -> slice:
    first = min(round(start / whole * pixels), pixels - 1)
    return slice(first, max(round(stop / whole * pixels), first + 1))


def _scale(layer: Tensor, size: Sequence[int]) -> Tensor:
    if tuple(layer.shape[-2:]) == tuple(size):
        return layer
    return functional.interpolate(layer[None], size=tuple(size), mode="bilinear", antialias=True)[0]


def _paint_patch(hole: Tensor, patch: Patch, _rng: np.random.Generator) -> Tensor:
    return torch.lerp(hole, patch.colours, patch.opacity)


def _paint_mean(hole: Tensor, patch: Patch, _rng: np.random.Generator) -> Tensor:
    return torch.lerp(hole, hole.mean(dim=(1, 2), keepdim=True).expand_as(hole), patch.opacity)


def _paint_shuffled(hole: Tensor, patch: Patch, rng: np.random.Generator) -> Tensor:
    order = torch.from_numpy(rng.permutation(patch.opacity.numel()))
    colours, opacity = (layer.flatten(1)[:, order].view_as(layer) for layer in (patch.colours, patch.opacity))
    return torch.lerp(hole, colours, opacity)
