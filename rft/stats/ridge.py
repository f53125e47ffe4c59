"""What ridge regression predicts of examples that it did not learn from, without fitting it again for each.

With a fixed penalty the predictions of a least-squares fit are H Y. Leaving the rows U of a unit out changes the
residuals r of these rows to (I - H_UU)^-1 r, which is exact (Cook and Weisberg 1982, Residuals and Influence in
Regression, section 2.2 for one row and 3.6 for several; Golub, Heath and Wahba 1979, Technometrics 21:215, on the
choice of the penalty by it). The intercept is not penalised, so H is that of the centred features plus 1 / N.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.linalg import eigh

from rft.stats.cross_validation import limit_to_one_thread

PENALTIES = tuple(10.0**power for power in range(-4, 4))  # of features whose rows have length 1 on average


@dataclass(frozen=True)
class RidgeBasis:
    """N examples in the coordinates in which ridge regression on their features is diagonal.

    Attributes:
        coordinates: (N, R) centred, orthogonal columns.
        strengths: (R,) squared lengths of these columns, at least 0.
        unit_rows: the rows of each unit; None where every row stands for itself.
    """

    coordinates: np.ndarray
    strengths: np.ndarray
    unit_rows: tuple[np.ndarray, ...] | None

    @classmethod
    def from_features(cls, features: np.ndarray, units: np.ndarray | None = None) -> RidgeBasis:
        """Return the basis of N examples, whose features are scaled to rows of length 1 on average after centring.

        Args:
            features: (N, D) finite numbers; the work grows with N min(N, D)^2.
            units: (N,) whose each example is, or None when every example stands for itself.

        Raises:
            ValueError: there are fewer than two units, of which one could be left out.
        """
        units = np.arange(len(features)) if units is None else np.unique(np.asarray(units), return_inverse=True)[1]
        order = np.argsort(units, kind="stable")
        unit_rows = np.split(order, np.flatnonzero(np.diff(units[order])) + 1)
        if len(unit_rows) < 2:
            raise ValueError("expected examples of two units or more")
        centred = features.astype(np.float64) - features.mean(axis=0, dtype=np.float64)
        length = float(np.sqrt(np.mean(np.sum(centred**2, axis=1))))
        if length > 0:
            centred /= length
        with limit_to_one_thread():
            coordinates, strengths = _rotate_to_axes(centred)
        repeats = len(unit_rows) < len(features)
        return cls(coordinates, strengths, tuple(unit_rows) if repeats else None)

    def predict_left_out(self, targets: np.ndarray, penalty: float) -> np.ndarray:
        """Return (N, K) what is predicted of each row by a fit to the rows of all other units.

        Args:
            targets: (N, K) numbers.
            penalty: above 0, of the sum of squared weights.
        """
        mean = targets.mean(axis=0)
        shrinkage = 1 / (self.strengths + penalty)
        with limit_to_one_thread():
            weights = shrinkage[:, None] * (self.coordinates.T @ (targets - mean))
            residuals = targets - mean - self.coordinates @ weights
            left_out: np.ndarray = targets - self._leave_out(residuals, shrinkage)
        return left_out

    def choose_penalty(self, targets: np.ndarray, penalties: Sequence[float] = PENALTIES) -> float:
        """Return the penalty with the smallest mean squared error on left-out rows; of equal ones the larger."""

        def left_out_error(penalty: float) -> float:
            return float(np.mean((targets - self.predict_left_out(targets, penalty)) ** 2))

        return min(sorted(penalties, reverse=True), key=left_out_error)

    def _leave_out(self, residuals: np.ndarray, shrinkage: np.ndarray) -> np.ndarray:
        n = len(residuals)
        if self.unit_rows is None:
            leverages = 1 / n + (self.coordinates**2) @ shrinkage
            return np.asarray(residuals / (1 - leverages)[:, None])
        left_out = np.empty_like(residuals)
        for rows in self.unit_rows:
            block = self.coordinates[rows]
            hat = 1 / n + (block * shrinkage) @ block.T
            left_out[rows] = np.linalg.solve(np.eye(len(rows)) - hat, residuals[rows])
        return left_out


def _rotate_to_axes(centred: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return (N, R) coordinates and (R,) squared lengths, from whichever of the two products is smaller."""
    n, dimension = centred.shape
    if dimension <= n:
        strengths, directions = eigh(centred.T @ centred)
        return centred @ directions, np.maximum(strengths, 0)
    strengths, directions = eigh(centred @ centred.T)
    strengths = np.maximum(strengths, 0)
    return directions * np.sqrt(strengths), strengths
