"""The attacker of the accounting: sees the noised gradient of every step, and knows where a canary would push it.

The canary's clipped gradient, of length C, points in one direction that nobody else's gradient has. Along it a step
shows N(0, sigma^2) in units of C, or N(1, sigma^2) with probability q where the canary takes part. The best test of
whether it does (Neyman and Pearson) adds up log(1 - q + q exp((x - 1/2) / sigma^2)) over the steps.

Pure numbers: what a step adds, and the distribution of the sum under any noise and sampling rate, the claimed or not.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr

from rft.plugins.privacy.accounting.accountants import Mechanism
from rft.plugins.privacy.empirical.many_runs import RunScores

SUM_POINTS = 2**16  # of the discretised distribution of a sum
STEP_POINTS = 20_000  # points of what one step shows
DEVIATIONS = 9.0


def log_odds(seen: np.ndarray, claim: Mechanism) -> np.ndarray:
    """Return (R,) the log-likelihood ratio of the canary taking part or not, under the claim.

    Args:
        seen: noised sums of gradients along the canary's direction, in units of the clipping norm.
        claim: its steps do not matter.
    """
    q, variance = claim.sample_rate, claim.noise_multiplier**2
    without = math.log1p(-q) if q < 1 else -math.inf
    return np.logaddexp(without, math.log(q) + (seen - 0.5) / variance)


@dataclass(frozen=True)
class SumDistribution:
    """The distribution of a sum over steps: probabilities (P,) of ascending values (P,)."""

    values: np.ndarray
    cumulated: np.ndarray

    def draw_scores(self, random: np.random.Generator, count: int) -> np.ndarray:
        """Return (N,) independent draws."""
        places = np.searchsorted(self.cumulated, random.random(count) * self.cumulated[-1], side="right")
        drawn: np.ndarray = self.values[np.minimum(places, len(self.values) - 1)]
        return drawn


@dataclass(frozen=True)
class ScoreDistributions:
    """The scores of runs without the canary and with it, as distributions."""

    without_canary: SumDistribution
    with_canary: SumDistribution

    def draw_scores(self, random: np.random.Generator, runs: int) -> RunScores:
        """Return the scores of as many runs on each side."""
        return RunScores(self.without_canary.draw_scores(random, runs), self.with_canary.draw_scores(random, runs))


def score_distributions(claim: Mechanism, actual: Mechanism, *, contribution: float = 1.0) -> ScoreDistributions:
    """Return how scores made by the claim are distributed when training in truth is another mechanism.

    Args:
        claim: what the attacker believes.
        actual: the noise, the sampling rate and the number of steps that there are.
        contribution: length of the canary's gradient after clipping, in units of the clipping norm.
    """
    noise, rate = actual.noise_multiplier, actual.sample_rate
    edges = np.linspace(-DEVIATIONS * noise, DEVIATIONS * noise + contribution, STEP_POINTS + 1)
    scores = log_odds((edges[1:] + edges[:-1]) / 2, claim)
    nobody = np.diff(ndtr(edges / noise))
    taken = np.diff(ndtr((edges - contribution) / noise))
    return ScoreDistributions(
        _sum_distribution(scores, nobody, actual.steps),
        _sum_distribution(scores, (1 - rate) * nobody + rate * taken, actual.steps),
    )


def _sum_distribution(values: np.ndarray, masses: np.ndarray, times: int) -> SumDistribution:
    """Return the distribution of a sum of independent copies, by the discrete Fourier transform.

    Each value is shared between its neighbours on the grid so that the mean stays.
    """
    masses = masses / masses.sum()
    mean = masses @ values
    deviation = math.sqrt(masses @ (values - mean) ** 2)
    half = max(np.abs(values - mean).max(), 2 * DEVIATIONS * deviation * math.sqrt(times), 1e-12)
    spacing = 2 * half / SUM_POINTS * 1.01
    place = (values - mean) / spacing
    below = np.floor(place).astype(np.int64)
    step_masses = np.zeros(SUM_POINTS)
    np.add.at(step_masses, below % SUM_POINTS, masses * (below + 1 - place))
    np.add.at(step_masses, (below + 1) % SUM_POINTS, masses * (place - below))
    total = np.fft.fftshift(np.fft.irfft(np.fft.rfft(step_masses) ** times, SUM_POINTS))
    grid = (np.arange(SUM_POINTS) - SUM_POINTS // 2) * spacing + times * mean
    return SumDistribution(grid, np.cumsum(np.maximum(total, 0.0)))
