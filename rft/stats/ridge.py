"""What ridge regression predicts without some of the examples that it learnt from, without fitting it again for each.

With a fixed penalty the predictions of a least-squares fit are H Y. Leaving the rows U of a unit out changes the
residuals r of these rows to e = (I - H_UU)^-1 r, and any other prediction x by -h_xU e, which is exact (Cook and
Weisberg 1982, Residuals and Influence in Regression, section 2.2 for one row and 3.6 for several; Golub, Heath and
Wahba 1979, Technometrics 21:215, on the choice of the penalty by it). The intercept is not penalised, so H is that of
the centred features plus 1 / N.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.linalg import eigh

from rft.stats.cross_validation import limit_to_one_thread

PENALTIES = tuple(10.0**power for power in range(-4, 4))  # of features whose rows have length 1 on average
_NEGLIGIBLE = 1e-14  # of the largest squared length: an axis that is rounding errors alone


@dataclass(frozen=True)
class RidgeBasis:
    """N examples in the coordinates in which ridge regression on their features is diagonal.

    Attributes:
        coordinates: (N, R) centred, orthogonal columns.
        strengths: (R,) squared lengths of these columns, at least 0.
        unit_rows: the rows of each unit; None where every row stands for itself.
        mean: (D,) of the features.
        axes: (D, R) so that ``coordinates = (features - mean) @ axes``.
    """

    coordinates: np.ndarray
    strengths: np.ndarray
    unit_rows: tuple[np.ndarray, ...] | None
    mean: np.ndarray
    axes: np.ndarray

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
        mean = features.mean(axis=0, dtype=np.float64)
        centred = features.astype(np.float64) - mean
        length = float(np.sqrt(np.mean(np.sum(centred**2, axis=1)))) or 1.0
        centred /= length
        with limit_to_one_thread():
            axes, strengths = _find_axes(centred)
            coordinates = centred @ axes
        repeats = len(unit_rows) < len(features)
        return cls(coordinates, strengths, tuple(unit_rows) if repeats else None, mean, axes / length)

    def predict_points(self, features: np.ndarray, targets: np.ndarray, penalty: float) -> np.ndarray:
        """Return (T, K) what the fit to all N rows predicts of (T, D) features; arguments as below."""
        mean = targets.mean(axis=0)
        with limit_to_one_thread():
            weights = (self.coordinates.T @ (targets - mean)) / (self.strengths + penalty)[:, None]
            predicted: np.ndarray = mean + (features - self.mean) @ self.axes @ weights
        return predicted

    def weigh_rows(self, features: np.ndarray, penalty: float) -> np.ndarray:
        """Return (T, N) h_xi: how much the fit's prediction of each of (T, D) features grows with each row's target."""
        with limit_to_one_thread():
            points = (features - self.mean) @ self.axes / (self.strengths + penalty)
            weights: np.ndarray = 1 / len(self.coordinates) + points @ self.coordinates.T
        return weights

    def predict_left_out(self, targets: np.ndarray, penalty: float) -> np.ndarray:
        """Return (N, K) what is predicted of each row by a fit to the rows of all other units.

        Args:
            targets: (N, K) numbers.
            penalty: above 0, of the sum of squared weights.
        """
        return np.asarray(targets - self.left_out_residuals(targets, penalty))

    def left_out_residuals(self, targets: np.ndarray, penalty: float) -> np.ndarray:
        """Return (N, K) by how much each target exceeds what is predicted of it without its unit.

        Without unit U the prediction of any x falls by the sum of ``weigh_rows`` times these over the rows of U.
        """
        mean = targets.mean(axis=0)
        shrinkage = 1 / (self.strengths + penalty)
        with limit_to_one_thread():
            weights = shrinkage[:, None] * (self.coordinates.T @ (targets - mean))
            residuals = targets - mean - self.coordinates @ weights
            return self._leave_out(residuals, shrinkage)

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


def _find_axes(centred: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return (D, R) axes and (R,) the squared lengths of (N, D) rows along them, from the smaller of two products."""
    n, dimension = centred.shape
    if dimension <= n:
        strengths, axes = eigh(centred.T @ centred)
        return axes, np.maximum(strengths, 0)
    strengths, directions = eigh(centred @ centred.T)
    present = strengths > _NEGLIGIBLE * max(float(strengths[-1]), np.finfo(np.float64).tiny)
    axes = centred.T @ directions[:, present] / np.sqrt(strengths[present])
    return axes, strengths[present]
