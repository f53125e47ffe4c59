"""Suspected regions: each is swapped between images of different classes, and flips are counted.

Attribution mass understates reliance, so maps do not decide. What decides is how many predictions change when an image
gets the region of an image of another class, beyond those that change when the same image gets the region of an image
of its own class: the control pastes the same kind of content, with the same seams, that speaks for no other class.

A region is a share of the image as its file shows it. What the model sees of it follows from the geometry of each
image, and only that part is swapped: images of several sizes are cut and scaled in several ways.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor
from torch.nn import functional

from rft.data.images.geometry import Box, ImageGeometry
from rft.plugins.attribution.interventions import MIN_VISIBLE_SHARE, Condition, Intervention
from rft.plugins.attribution.network import Network, batch_slices
from rft.plugins.attribution.shortcuts.pairing import SwapPlan
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


def swap_regions(network: Network, images: TestImages, plan: SwapPlan, regions: Sequence[Box]) -> list[Intervention]:
    """Swap each of several regions between test images and count the predictions that change.

    Images are read once, and their predictions as they are computed once, for all regions together. Every recipient is
    changed under both conditions, and counted once: the pairs of outcomes are independent but for donors that serve
    once in either condition.

    Args:
        network: the classifier.
        images: of the test split.
        plan: who gets content from whom.
        regions: in shares of the image as its file shows it. Swaps in which the model sees less than half of the region
            are left out.

    Returns:
        For each region ``shortcut``: it comes from an image of another predicted class. ``control``: it comes from an
        image of the same predicted class. ``elsewhere``: the mirrored region, from the images of ``shortcut``; None
        where that overlaps the region itself.
    """
    rows = np.unique(np.concatenate([plan.recipients, plan.donors, plan.likes])).tolist()
    places = {row: images.locate(row) for row in rows}
    tests = [_RegionTest.prepare(places, plan, region) for region in regions]
    for part in track_progress(list(batch_slices(len(plan.recipients))), "Interventions"):
        pixels, contents, likes = (images.read(rows[part]) for rows in (plan.recipients, plan.donors, plan.likes))
        before = network.logits({"pixels": pixels}).argmax(dim=1).numpy()
        for test in tests:
            test.shortcut.count_flips(network, part, pixels, contents, before)
            test.control.count_flips(network, part, pixels, likes, before)
            if test.elsewhere is not None:
                test.elsewhere.count_flips(network, part, pixels, contents, before)
    return [test.conclude(plan) for test in tests]


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
        share: of the region that this part is.
        to, source: its rows and columns of pixels in the recipient and in the donor.
    """

    share: float
    to: tuple[slice, slice]
    source: tuple[slice, slice]

    @classmethod
    def between(cls, region: Box, recipient: ImageGeometry, donor: ImageGeometry) -> _PlannedSwap:
        """Return the swap of a region with an area between two images."""
        part = region.intersect(recipient.visible).intersect(donor.visible)
        return cls(part.area / region.area, recipient.pixel_slices(part), donor.pixel_slices(part))


class _Swaps:
    """The swaps of one condition, and which of them changed a prediction.

    Attributes:
        planned: P swaps.
        seen: (P,) whether the model sees at least half of the region in the swap.
        flipped: (P,) whether the prediction changed; only read where it is seen.
    """

    def __init__(
        self, places: Mapping[int, ImageGeometry], region: Box, recipients: np.ndarray, donors: np.ndarray
    ) -> None:
        pairs = zip(recipients.tolist(), donors.tolist(), strict=True)
        self.planned = [_PlannedSwap.between(region, places[to], places[source]) for to, source in pairs]
        self.seen = np.array([swap.share >= MIN_VISIBLE_SHARE for swap in self.planned], dtype=bool)
        self.flipped = np.zeros(len(recipients), dtype=bool)

    def count_flips(self, network: Network, part: slice, pixels: Tensor, contents: Tensor, before: np.ndarray) -> None:
        """Note which predictions change for a part of the swaps, of (B, 3, H, W) recipients and what they get."""
        seen = np.flatnonzero(self.seen[part])
        if not len(seen):
            return
        changed = pixels[seen].clone()
        for image, index in zip(changed, seen.tolist(), strict=True):
            swap = self.planned[part.start + index]
            hole = image[(..., *swap.to)]
            hole.copy_(_scale_patch(contents[index][(..., *swap.source)], hole.shape[-2:]))
        after = network.logits({"pixels": changed}).argmax(dim=1).numpy()
        self.flipped[part.start + seen] = after != before[seen]


@dataclass(frozen=True)
class _RegionTest:
    """The swaps of one region under each condition."""

    shortcut: _Swaps
    control: _Swaps
    elsewhere: _Swaps | None
    visible_share: float

    @classmethod
    def prepare(cls, places: Mapping[int, ImageGeometry], plan: SwapPlan, region: Box) -> _RegionTest:
        """Return the swaps of a region, none of them made yet."""
        opposite = mirror_region(region)
        paired = np.concatenate([plan.recipients, plan.donors]).tolist()
        seen = [places[row].visible_share(region) for row in paired]
        return cls(
            _Swaps(places, region, plan.recipients, plan.donors),
            _Swaps(places, region, plan.recipients, plan.likes),
            _Swaps(places, opposite, plan.recipients, plan.donors) if opposite else None,
            float(np.mean(seen)) if seen else 1.0,
        )

    def conclude(self, plan: SwapPlan) -> Intervention:
        """Return what the swaps did that the model sees under both conditions."""
        both = self.shortcut.seen & self.control.seen
        return Intervention(
            shortcut=Condition(OTHER_CLASS, self.shortcut.flipped[both]),
            control=Condition(SAME_CLASS, self.control.flipped[both]),
            rows=plan.recipients[both],
            elsewhere=Condition(ELSEWHERE, self.elsewhere.flipped[self.elsewhere.seen]) if self.elsewhere else None,
            visible_share=self.visible_share,
            left_out=int((~both).sum()),
        )


def _scale_patch(patch: Tensor, size: Sequence[int]) -> Tensor:
    """Return a (C, h, w) patch scaled to a height and width; the same pixels where it has them."""
    if tuple(patch.shape[-2:]) == tuple(size):
        return patch
    return functional.interpolate(patch[None], size=tuple(size), mode="bilinear", antialias=True)[0]
