"""The test images that are explained, read batch by batch: however many there are, only a few are in memory."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from rft.plugins.attribution.network import BATCH_SIZE, Network, batch_slices

BLUR = 0.1  # standard deviation of the baseline's blur, as a share of the shorter side


class ExplainedBatch(NamedTuple):
    """B images of which a map is made.

    Attributes:
        pixels: (B, 3, H, W) in [0, 1], on the CPU.
        baselines: (B, 3, H, W) what integrated gradients start from, and what contrast is measured against.
        target: (B,) index of the class that is explained, int64.
    """

    pixels: Tensor
    baselines: Tensor
    target: Tensor


@dataclass(frozen=True)
class Explained:
    """The test images that are explained.

    Attributes:
        rows: (N,) rows of the test split.
        target: (N,) index of the predicted class, int64.
        same_class: (N,) whether the baseline gets the predicted class of its image.
        size: height and width of the images.
        read: rows of the test split -> (B, 3, H, W) pixels in [0, 1], on the CPU.
        baseline: (3, H, W) what integrated gradients start from; None: from each image itself, blurred.
    """

    rows: np.ndarray
    target: Tensor
    same_class: np.ndarray
    size: tuple[int, int]
    read: Callable[[np.ndarray], Tensor]
    baseline: Tensor | None = None

    @classmethod
    def from_rows(
        cls,
        network: Network,
        rows: np.ndarray,
        read: Callable[[np.ndarray], Tensor],
        baseline: Tensor | None = None,
    ) -> Explained:
        """Predict the test split's ``rows`` (N,), at least one, and their baselines."""
        predicted = []
        for part in batch_slices(len(rows)):
            pixels = read(rows[part])
            pair = (pixels, make_baselines(pixels, baseline))
            predicted.append([network.logits({"pixels": images}).argmax(dim=1) for images in pair])
        target, of_baseline = (torch.cat(column) for column in zip(*predicted, strict=True))
        size = (pixels.shape[2], pixels.shape[3])
        return cls(rows, target, (target == of_baseline).numpy(), size, read, baseline)

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, which: np.ndarray) -> Explained:
        """Return the images at the places ``which`` (M,) alone."""
        return replace(
            self, rows=self.rows[which], target=self.target[torch.from_numpy(which)], same_class=self.same_class[which]
        )

    def read_batch(self, part: slice) -> ExplainedBatch:
        """Return the images of some places."""
        pixels = self.read(self.rows[part])
        return ExplainedBatch(pixels, make_baselines(pixels, self.baseline), self.target[part])

    def batches(self, size: int = BATCH_SIZE) -> Iterator[ExplainedBatch]:
        """Yield all images, at most ``size`` at a time."""
        for part in batch_slices(len(self), size):
            yield self.read_batch(part)


def make_baselines(pixels: Tensor, baseline: Tensor | None) -> Tensor:
    """Return (N, 3, H, W) baselines of the pixels: blurred where no (3, H, W) ``baseline`` is given."""
    return blur_images(pixels) if baseline is None else baseline.expand_as(pixels).contiguous()


def blur_images(pixels: Tensor) -> Tensor:
    """Return (N, 3, H, W) pixels after a wide Gaussian blur, the baseline of integrated gradients.

    A black baseline is an image unlike any other: with it ConvNeXt has a completeness error of 100 % at any number
    of steps (Sturmfels et al. 2020, Distill, on the choice of baselines).
    """
    sigma = BLUR * min(pixels.shape[-2:])
    radius = min(math.ceil(3 * sigma), min(pixels.shape[-2:]) - 1)
    kernel = torch.exp(-(torch.arange(-radius, radius + 1.0) ** 2) / (2 * sigma**2))
    kernel = (kernel / kernel.sum()).view(1, 1, 1, -1)
    planes = pixels.reshape(-1, 1, *pixels.shape[-2:])
    for _ in range(2):  # along the rows, then, transposed, along the columns
        planes = functional.conv2d(functional.pad(planes, (radius, radius, 0, 0), mode="reflect"), kernel).mT
    return planes.reshape(pixels.shape)


def measure_contrast(batch: ExplainedBatch) -> np.ndarray:
    """Return (B, H, W) ``|image - baseline|`` summed over channels: what stands out, whatever a network has learned."""
    contrast: np.ndarray = (batch.pixels - batch.baselines).abs().sum(dim=1).numpy()
    return contrast
