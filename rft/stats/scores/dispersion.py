"""How far groups are apart as a whole: the variance of a metric across groups, without what sampling adds to it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike


@dataclass(frozen=True)
class Dispersion:
    """The spread of G estimates, in squared units of the metric.

    Attributes:
        observed: S^2, the variance across groups (over G - 1) of the estimates.
        noise: the average sampling variance of the estimates, which S^2 holds on top of the variance of the groups.
    """

    observed: float
    noise: float

    @property
    def corrected(self) -> float:
        """Return S^2 minus the noise: unbiased for the variance across groups, and so below 0 in some samples."""
        return self.observed - self.noise

    @property
    def deviation(self) -> float:
        """Return the corrected standard deviation across groups, 0 where the corrected variance is below 0."""
        return math.sqrt(max(self.corrected, 0.0))

    @property
    def noise_share(self) -> float | None:
        """Return the noise over S^2; above 1 where the groups are closer than chance alone would leave them.

        None where all estimates are equal and there is nothing to share out.
        """
        return self.noise / self.observed if self.observed > 0 else None


def measure_dispersion(values: ArrayLike, variances: ArrayLike) -> Dispersion:
    """Return the dispersion of G independent estimates.

    Args:
        values: (G,) estimates, not smoothed, G above 1.
        variances: (G,) unbiased estimates of their sampling variances, 0 or more; see ``rate_variances``.

    Source: Lum, Zhang and Bower 2022, FAccT ("De-biasing 'bias' measurement"), section 4.
    """
    values, variances = (np.asarray(array, dtype=np.float64) for array in (values, variances))
    if len(values) < 2 or len(values) != len(variances):
        raise ValueError(f"expected two groups or more, got {len(values)} values and {len(variances)} variances")
    if not (np.isfinite(values).all() and np.isfinite(variances).all() and (variances >= 0).all()):
        raise ValueError("expected finite values and variances of 0 or more")
    return Dispersion(observed=float(values.var(ddof=1)), noise=float(variances.mean()))


def rate_variances(numerators: ArrayLike, denominators: ArrayLike) -> np.ndarray:
    """Return (G,) unbiased estimates p (1 - p) / (n - 1) of the sampling variances of rates of independent rows.

    Args:
        numerators: (G,) 0 to ``denominators``.
        denominators: (G,) cases, above 1; an effective number where rows repeat units.
    """
    numerators, denominators = (np.asarray(array, dtype=np.float64) for array in (numerators, denominators))
    if not ((denominators > 1) & (numerators >= 0) & (numerators <= denominators)).all():
        raise ValueError("expected 0 <= numerators <= denominators and denominators > 1 of every group")
    rates = numerators / denominators
    return rates * (1 - rates) / (denominators - 1)
