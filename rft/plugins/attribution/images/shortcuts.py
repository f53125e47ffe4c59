"""The verdict on a suspected shortcut: swap the region between images of different classes and count the flips.

Attribution mass understates reliance, so maps do not decide. What decides is how many predictions change when an image
gets the region of an image of another class, beyond those that change when it gets the region of an image of its own
class: the control pastes the same kind of content, with the same seams, that does not speak for another class.

A region is a share of the image as its file shows it. What the model sees of it follows from the geometry of each
image, and only that part is swapped: images of several sizes are cut and scaled in several ways.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor
from torch.nn import functional

from rft.data.images.geometry import Box, ImageGeometry
from rft.plugins.attribution.interventions import MIN_VISIBLE_SHARE, Condition, Intervention, one_per_unit
from rft.plugins.attribution.network import Network, batch_slices
from rft.runtime.progress import track_progress

OTHER_CLASS, SAME_CLASS, ELSEWHERE = "region, other class", "region, same class", "elsewhere, other class"


@dataclass(frozen=True)
class TestImages:
    """The images of the test split as the model is given them.

    Attributes:
        read: rows -> a new tensor of (B, 3, H, W) pixels in [0, 1].
        locate: row -> where that image stands in its pixels.
    """

    __test__ = False  # no class of tests, whatever pytest makes of its name

    read: Callable[[np.ndarray], Tensor]
    locate: Callable[[int], ImageGeometry]


def swap_regions(
    network: Network,
    images: TestImages,
    predicted: np.ndarray,
    units: np.ndarray | None,
    *,
    region: Box,
    pairs: int,
    rng: np.random.Generator,
) -> Intervention:
    """Swap a region between test images and count the predictions that change.

    Within a condition each image, and of each unit one image, occurs at most once, and of a pair only one image is
    counted: the cases of a condition are independent.

    Args:
        network: the classifier.
        images: of the test split.
        predicted: (N,) predicted class of each row, as an index; says who is paired with whom.
        units: (N,) whose image each row is, or None.
        region: in shares of the image as its file shows it.
        pairs: largest number of pairs; those of which the model sees less than half of the region are left out.
        rng: source of the draws.

    Returns:
        ``shortcut``: the region comes from an image of another predicted class. ``control``: the same region, from an
        image of the same predicted class. ``elsewhere``: the pairs of ``shortcut``, with the mirrored region; None
        where that overlaps the region itself.
    """
    candidates = one_per_unit(len(predicted), units, rng)
    recipients, donors = pair_classes(candidates, predicted, pairs, rng)
    likes = same_class_donors(recipients, candidates, predicted, rng)
    before = _predict_images(network, images, recipients)

    def measure_condition(name: str, place: Box, content_donors: np.ndarray) -> Condition:
        swaps = {
            index: _PlannedSwap.between(images, place, int(recipients[index]), int(content_donors[index]))
            for index in np.flatnonzero(content_donors >= 0).tolist()
        }
        seen = [index for index, swap in swaps.items() if swap.share >= MIN_VISIBLE_SHARE]
        after = _predict_swapped(network, images, [swaps[index] for index in seen])
        return Condition(name, flips=int((after != before[seen]).sum()), n=len(seen))

    opposite = mirror_region(region)
    shortcut = measure_condition(OTHER_CLASS, region, donors)
    return Intervention(
        shortcut=shortcut,
        control=measure_condition(SAME_CLASS, region, likes),
        elsewhere=measure_condition(ELSEWHERE, opposite, donors) if opposite else None,
        visible_share=float(np.mean([images.locate(row).visible_share(region) for row in candidates[:pairs].tolist()])),
        left_out=len(recipients) - shortcut.n,
    )


def pair_classes(
    candidates: np.ndarray, predicted: np.ndarray, pairs: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return (P,) recipients and (P,) donors of other predicted classes; no candidate occurs twice, P <= ``pairs``.

    Pairing the two classes with most candidates left, over and over, gives as many pairs as there can be. Which of the
    two receives is drawn by lot, so both directions are tried.
    """
    waiting = [
        list(candidates[predicted[candidates] == class_index]) for class_index in np.unique(predicted[candidates])
    ]
    chosen: list[tuple[int, int]] = []
    while len(chosen) < pairs:
        by_lot = [waiting[place] for place in rng.permutation(len(waiting))]  # ties between classes
        waiting = sorted(by_lot, key=len, reverse=True)
        if len(waiting) < 2 or not waiting[1]:
            break
        pair = [waiting[0].pop(), waiting[1].pop()]
        chosen.append((pair[0], pair[1]) if rng.random() < 0.5 else (pair[1], pair[0]))
    recipients, donors = np.array(chosen, dtype=np.int64).reshape(-1, 2).T
    return recipients, donors


def same_class_donors(
    recipients: np.ndarray, candidates: np.ndarray, predicted: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Return (P,) a donor of the same predicted class for each recipient, none used twice; -1 where none is left."""
    rest = rng.permutation(np.setdiff1d(candidates, recipients))
    waiting = {class_index: list(rest[predicted[rest] == class_index]) for class_index in np.unique(predicted)}
    donors = [waiting[class_index].pop() if waiting[class_index] else -1 for class_index in predicted[recipients]]
    return np.array(donors, dtype=np.int64)


def mirror_region(region: Box) -> Box | None:
    """Return the region point-reflected, or reflected left to right or top to bottom; None when each overlaps it."""
    left, top, right, bottom = region
    across, down = (1 - right, 1 - left), (1 - bottom, 1 - top)
    for x, y in ((across, down), (across, (top, bottom)), ((left, right), down)):
        if x[1] <= left or right <= x[0] or y[1] <= top or bottom <= y[0]:
            return Box(x[0], y[0], x[1], y[1])
    return None


@dataclass(frozen=True)
class _PlannedSwap:
    """What one image gets of another: the part of the region that the model sees in both.

    Attributes:
        recipient, donor: rows of the test split.
        share: of the region that this part is.
        to, source: its rows and columns of pixels in the recipient and in the donor.
    """

    recipient: int
    donor: int
    share: float
    to: tuple[slice, slice]
    source: tuple[slice, slice]

    @classmethod
    def between(cls, images: TestImages, region: Box, recipient: int, donor: int) -> _PlannedSwap:
        """Return the swap of a region with an area between two rows."""
        places = images.locate(recipient), images.locate(donor)
        part = region.intersect(places[0].visible).intersect(places[1].visible)
        to, source = (place.pixel_slices(part) for place in places)
        return cls(recipient, donor, part.area / region.area, to, source)


def _predict_images(network: Network, images: TestImages, rows: np.ndarray) -> np.ndarray:
    """Return (B,) predicted classes of images as they are."""
    predictions = [np.empty(0, dtype=np.int64)]
    for part in track_progress(list(batch_slices(len(rows))), "Interventions"):
        predictions.append(network.logits({"pixels": images.read(rows[part])}).argmax(dim=1).numpy())
    return np.concatenate(predictions)


def _predict_swapped(network: Network, images: TestImages, swaps: Sequence[_PlannedSwap]) -> np.ndarray:
    """Return (B,) predicted classes of the recipients of B swaps, with what they get in its place."""
    predictions = [np.empty(0, dtype=np.int64)]
    for part in track_progress(list(batch_slices(len(swaps))), "Interventions"):
        pixels = images.read(np.array([swap.recipient for swap in swaps[part]]))
        contents = images.read(np.array([swap.donor for swap in swaps[part]]))
        for image, content, swap in zip(pixels, contents, swaps[part], strict=True):
            hole = image[(..., *swap.to)]
            hole.copy_(_scale_patch(content[(..., *swap.source)], hole.shape[-2:]))
        predictions.append(network.logits({"pixels": pixels}).argmax(dim=1).numpy())
    return np.concatenate(predictions)


def _scale_patch(patch: Tensor, size: Sequence[int]) -> Tensor:
    """Return a (C, h, w) patch scaled to a height and width; the same pixels where it has them."""
    if tuple(patch.shape[-2:]) == tuple(size):
        return patch
    return functional.interpolate(patch[None], size=tuple(size), mode="bilinear", antialias=True)[0]
