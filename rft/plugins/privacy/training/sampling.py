"""Which units take part in a step: each by itself, with the sampling rate (Poisson sampling), as accountants assume."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from rft.plugins.privacy.training.randomness import RandomSource


@dataclass(frozen=True)
class Sample:
    """Who takes part in a step, for each of H heads that are trained together.

    Attributes:
        units: (H, L) int64, ascending in each row; rows are filled up with the number 0.
        taken: (H, L) bool, false where a row was filled up.
    """

    units: np.ndarray
    taken: np.ndarray


@dataclass(frozen=True)
class PoissonSampler:
    """Draws from ``n`` units, each with probability ``rate`` in (0, 1], independently for every head and step."""

    source: RandomSource
    n: int
    rate: float

    def draw_sample(self, heads: int = 1) -> Sample:
        """Return a fresh sample for each head.

        The distance to the next unit that takes part is geometric: drawing these distances costs as many random
        numbers as units take part, where a coin for each unit would cost n.
        """
        if self.rate == 1:
            return Sample(np.tile(np.arange(self.n), (heads, 1)), np.ones((heads, self.n), dtype=bool))
        units = self._walk_units(heads)
        while units[:, -1].min() < self.n:  # a row has not come to the end yet
            more = self._walk_units(heads) + units[:, -1:] + 1
            units = np.concatenate([units, more], axis=1)
        taken = units < self.n
        longest = int(taken.sum(axis=1).max())
        return Sample(np.where(taken, units, 0)[:, :longest], taken[:, :longest])

    def _walk_units(self, heads: int) -> np.ndarray:
        expected = self.n * self.rate
        length = math.ceil(expected + 6 * math.sqrt(expected)) + 8
        skipped = np.log(self.source.draw_uniforms(heads, length)) / math.log1p(-self.rate)
        return np.cumsum(np.minimum(skipped, self.n).astype(np.int64) + 1, axis=1) - 1
