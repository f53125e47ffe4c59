"""A linear head from one noised sum: least squares by differentially private sufficient statistics.

The head that minimises a squared error depends on the data through second moments of the features and their products
with the classes alone. Each unit's part in these sums is bounded, Gaussian noise is added once, and the head follows
from what is released then: one step of a Gaussian mechanism with everybody in it, ``Mechanism(sigma, 1.0, 1)``. Under
an epsilon of 1 it can do better than many noisy steps (Mehta et al. 2023, TMLR, arXiv:2211.13403), and no learning rate
has to be chosen. The sums themselves are those of Vu and Slavkovic 2009 and Wang 2018 (UAI); that each row is scaled to
length 1, the balance of the two sums and the ridge are ours.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from rft.plugins.privacy.training.randomness import RandomSource
from rft.training.linear_heads import Vectors

BALANCE = 2.0  # weight of the products with the classes against the second moments; the ridge below goes with it
RIDGE = 0.3  # of the noise's largest eigenvalue; both were chosen on made-up features and scikit-learn's digits


@dataclass(frozen=True)
class SufficientStatistics:
    """Private sums, not to be released without noise.

    Attributes:
        moments: (D + 1, D + 1) sum of z z', where z is a row (x, 1) scaled to length 1.
        products: (D + 1, K) sum of z y', where y is the class, one-hot and centred, times ``BALANCE``.
        bound: the largest length that one unit's part of both, taken together, can have.
        non_finite: examples that are not finite and count as zero.
    """

    moments: np.ndarray
    products: np.ndarray
    bound: float
    non_finite: int


def sufficient_statistics(
    data: Vectors, units: np.ndarray, classes: int, members: np.ndarray | None = None
) -> SufficientStatistics:
    """Return the sums over all units, each unit's part scaled down to the bound where it is longer.

    An example counts with its class weight over the largest one, so that one example alone is never scaled down; its
    views are averaged.

    Args:
        data: N examples.
        units: (N,) int64, whose each example is, from 0 on.
        classes: K.
        members: (N,) bool, who counts; None: all.
    """
    views = data.views
    features = data.scaled_rows(torch.arange(len(units) * views, device=data.stored.device)).cpu().double().numpy()
    weights = _relative_weights(data) * (1 if members is None else members)
    finite = np.isfinite(features).all(axis=1).reshape(-1, views).all(axis=1)
    non_finite, weights = int(np.sum(~finite & (weights > 0))), np.where(finite, weights, 0.0)
    rows = np.column_stack([np.where(finite.repeat(views)[:, None], features, 0.0), np.ones(len(features))])
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    targets = BALANCE * (np.eye(classes) - 1 / classes)[data.labels.cpu().numpy().repeat(views)]
    most = unit_bound(classes)
    shares = weights.repeat(views) / views
    shares *= _unit_factors(rows, targets, shares, units.repeat(views), most)
    weighted = rows * shares[:, None]
    return SufficientStatistics(weighted.T @ rows, weighted.T @ targets, most, non_finite)


def unit_bound(classes: int) -> float:
    """Return the length of one example's part: its moments' length is 1, its products' ``BALANCE`` sqrt(1 - 1 / K)."""
    return math.sqrt(1 + BALANCE**2 * (1 - 1 / classes))


def _relative_weights(data: Vectors) -> np.ndarray:
    """Return (N,) class weights over the largest there could be, whether or not an example has it."""
    if data.class_weights is None:
        return np.ones(len(data.labels))
    return (data.class_weights / data.class_weights.max())[data.labels].cpu().double().numpy()


def _unit_factors(
    rows: np.ndarray, targets: np.ndarray, shares: np.ndarray, units: np.ndarray, most: float
) -> np.ndarray:
    """Return (R,) what each row is multiplied by, the same for all of a unit, so that no unit exceeds the bound."""
    factors = np.ones(len(rows))
    order = np.argsort(units, kind="stable")
    for unit_rows in np.split(order, np.flatnonzero(np.diff(units[order])) + 1):
        if len(unit_rows) > 1:  # a single row is as long as the bound, or shorter
            factors[unit_rows] = most / max(most, _part_length(rows[unit_rows], targets[unit_rows], shares[unit_rows]))
    return factors


def _part_length(rows: np.ndarray, targets: np.ndarray, shares: np.ndarray) -> float:
    """Return the length of one unit's part: the root of the sum of squares of all numbers in both matrices."""
    if len(rows) > rows.shape[1]:
        weighted = rows * shares[:, None]
        return math.hypot(float(np.linalg.norm(weighted.T @ rows)), float(np.linalg.norm(weighted.T @ targets)))
    alike = rows @ rows.T  # <z z', w w'> = <z, w>^2, which spares the large matrices
    return math.sqrt(max(0.0, float(shares @ (alike**2 + alike * (targets @ targets.T)) @ shares)))


def add_noise(
    sums: SufficientStatistics, noise_multiplier: float, noise: RandomSource
) -> tuple[np.ndarray, np.ndarray]:
    """Return moments and products with noise: what may be released.

    Args:
        sums: the private sums.
        noise_multiplier: standard deviation of the noise over the bound.
        noise: draws it.
    """
    d, k = sums.products.shape
    by_moments, by_products = np.split(noise.draw_normals(d * (d + 1) // 2 + d * k), [d * (d + 1) // 2])
    scale = noise_multiplier * sums.bound
    return sums.moments + scale * _symmetric_noise(by_moments, d), sums.products + scale * by_products.reshape(d, k)


def solve_head(sums: SufficientStatistics, noise_multiplier: float, noise: RandomSource) -> dict[str, Tensor]:
    """Return the state of a ``Head``: ridge regression on the noised sums. Arguments as for ``add_noise``.

    The noised moments may have negative eigenvalues, which true ones cannot: they are set to 0. The ridge depends on
    the noise alone. Logits of such a head rank the classes; their softmax is no estimate of a probability.
    """
    moments, products = add_noise(sums, noise_multiplier, noise)
    values, vectors = np.linalg.eigh(moments)
    # The largest eigenvalue of symmetric noise: twice its deviation off the diagonal times sqrt(D + 1) (Wigner 1958).
    ridge = RIDGE * noise_multiplier * sums.bound * math.sqrt(2 * len(moments))
    solved = vectors @ ((vectors.T @ products) / (np.maximum(values, 0) + ridge)[:, None])  # (D + 1, K)
    weights = torch.from_numpy(solved.T.astype(np.float32))
    return {"linear.weight": weights[:, :-1].contiguous(), "linear.bias": weights[:, -1].contiguous()}


def _symmetric_noise(drawn: np.ndarray, d: int) -> np.ndarray:
    """Return a symmetric (d, d) matrix of noise with deviation 1, and sqrt(1/2) where a number stands twice.

    Such a number counts twice in the length that the bound is about.
    """
    upper = np.zeros((d, d))
    upper[np.triu_indices(d)] = drawn
    upper[np.diag_indices(d)] *= math.sqrt(0.5)
    return (upper + upper.T) * math.sqrt(0.5)
