"""Robust membership inference attack (RMIA: Zarifzadeh et al. 2024, ICML): numbers only, no models.

Is the audited model more confident about an example, compared with reference models, than it is about other people's?
"""

from __future__ import annotations

import numpy as np
from scipy.special import logsumexp

GAMMA = 1.0


def score_rmia(target: np.ndarray, shadows: np.ndarray, *, members: np.ndarray, gamma: float = GAMMA) -> np.ndarray:
    """Return (N,) shares, in [0, 1], of population examples z that x beats: ratio(x) >= gamma * ratio(z).

    The ratio is the probability of the label under the audited model over its mean under the reference models, half of
    the weight on those trained with the example (equations 5 and 8 of the paper, online). The population z is the pool
    itself, members and others alike. Then the share is the same rising function of the ratio for every x, so that gamma
    decides nothing but ties; linear heads differ too little for a ratio of 2.

    Args:
        target: (N,) confidences under the audited model, log p / (1 - p) for the probability p of the label.
        shadows: (S, N) the same under the shadow models.
        members: (S, N) bool, which examples each shadow was trained on; every column has both values.
        gamma: at least 1.

    Raises:
        ValueError: some example has no model on one side.
    """
    if not (members.any(axis=0) & ~members.all(axis=0)).all():
        raise ValueError("expected shadow models with and without every example")
    reference = log_probability(shadows)
    halves = [_log_mean(reference, chosen) for chosen in (members, ~members)]
    ratio = log_probability(target) - (np.logaddexp(*halves) - np.log(2))
    beaten = np.searchsorted(np.sort(ratio), ratio - np.log(gamma), side="right")
    shares: np.ndarray = beaten / len(ratio)
    return shares


def log_probability(confidence: np.ndarray) -> np.ndarray:
    """Return log p from log p / (1 - p), any shape, exact where p is close to 0 or to 1."""
    log_p: np.ndarray = -np.logaddexp(0.0, -confidence)
    return log_p


def _log_mean(values: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """Return (N,) log of the mean of exp over the chosen (S, N) values of each example."""
    log_mean: np.ndarray = logsumexp(np.where(chosen, values, -np.inf), axis=0) - np.log(chosen.sum(axis=0))
    return log_mean
