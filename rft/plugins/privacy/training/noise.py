"""The noise of private training: Gaussian, in float64, fresh for every head, parameter and step."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from rft.plugins.privacy.training.randomness import RandomSource, draw_normals_on


@dataclass(frozen=True)
class GaussianNoise:
    """What is added to a sum of clipped gradients, and what the noised sum is divided by.

    Attributes:
        source: draws in float64, from the operating system whatever the device.
        noise_multipliers: (H,) standard deviation of each head's noise, in units of ``max_grad_norm``.
        max_grad_norm: bound on the norm of one unit's gradient.
        divisor: a public constant, never the size of a batch.
    """

    source: RandomSource
    noise_multipliers: np.ndarray
    max_grad_norm: float
    divisor: float

    def add_noise(self, totals: list[Tensor]) -> list[Tensor]:
        """Return the noised mean gradients: each of the (H, ...) sums plus noise, over the divisor."""
        sizes = [total[0].numel() for total in totals]
        drawn = draw_normals_on(self.source, totals[0].device, len(self.noise_multipliers), sum(sizes))
        scale = self.noise_multipliers[:, None] * self.max_grad_norm
        drawn *= torch.from_numpy(scale).to(drawn)
        parts = drawn.to(totals[0].device, totals[0].dtype).split(sizes, dim=1)
        return [(total + part.view_as(total)).div_(self.divisor) for total, part in zip(totals, parts, strict=True)]

    def divide_sums(self, totals: list[Tensor]) -> list[Tensor]:
        """Return (H, ...) sums over the divisor, without noise: what joins a sum that is noised elsewhere."""
        return [total / self.divisor for total in totals]
