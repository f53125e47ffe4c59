"""A ridge refit to the training examples, and by how much each of them moves its predictions: exact, in closed form.

The influence of a unit on a prediction is what the prediction would lose without the unit's rows: the difference
between two fits, with and without them (``rft.stats.ridge``). No gradient, no approximation; but it is of this refit.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from rft.plugins.training_vectors import LabelledExamples
from rft.stats.ridge import RidgeBasis

NUMBERS_IN_MEMORY = 20_000_000  # float64 of one table of influences: 160 MB


@dataclass(frozen=True)
class Contrast:
    """What is traced of each of T predictions: how far the score of a class lies above that of its rival.

    Attributes:
        classes: (T,) index of the class that the audited model predicts.
        rivals: (T,) index of the class that it has next.
    """

    classes: np.ndarray
    rivals: np.ndarray

    @classmethod
    def from_logits(cls, logits: np.ndarray) -> Contrast:
        """Return the contrast of the highest and the second highest of (T, K) logits."""
        order = np.argsort(-logits, axis=1, kind="stable")
        return cls(order[:, 0], order[:, 1])

    def margins(self, scores: np.ndarray) -> np.ndarray:
        """Return (T,) by how much the class lies above its rival in (T, K) scores."""
        rows = np.arange(len(scores))
        margins: np.ndarray = scores[rows, self.classes] - scores[rows, self.rivals]
        return margins


class RidgeRefit:
    """Ridge regression on the classes, fitted to the features of the training examples.

    Attributes:
        unit_codes: (N,) the unit of each training example, 0 to U - 1.
        units: U.
        penalty: of the squared weights, chosen by left-out units.
    """

    def __init__(self, examples: LabelledExamples, classes: int) -> None:
        self._targets = np.asarray(np.eye(classes)[examples.labels])
        self._basis = RidgeBasis.from_features(examples.features, examples.units)
        self.penalty = self._basis.choose_penalty(self._targets)
        self._residuals = self._basis.left_out_residuals(self._targets, self.penalty)
        rows = np.arange(len(examples))
        self.unit_codes = rows if examples.units is None else np.unique(examples.units, return_inverse=True)[1]
        self.units = int(self.unit_codes.max()) + 1

    def score(self, features: np.ndarray) -> np.ndarray:
        """Return (T, K) the scores of (T, D) features."""
        return self._basis.predict_points(features, self._targets, self.penalty)

    def trace_margins(self, features: np.ndarray, contrast: Contrast) -> np.ndarray:
        """Return (T, U) how much of each margin of (T, D) features would be lost without each unit."""
        weights = self._basis.weigh_rows(features, self.penalty)
        lost = weights * (self._residuals[:, contrast.classes] - self._residuals[:, contrast.rivals]).T
        return self._sum_units(lost)

    def count_deciding_units(self, features: np.ndarray) -> np.ndarray:
        """Return (T,) how many of the units change the predicted class of each of (T, D) features by being left out."""
        scores = self.score(features)
        counts = [
            int((np.argmax(score - lost, axis=1) != np.argmax(score)).sum())
            for score, lost in zip(scores, self._trace_scores(features), strict=True)
        ]
        return np.array(counts, dtype=np.int64)

    def _trace_scores(self, features: np.ndarray) -> Iterator[np.ndarray]:
        """Yield (U, K) how much of its scores each of (T, D) features would lose without each unit."""
        at_once = max(1, NUMBERS_IN_MEMORY // len(self._residuals))
        for start in range(0, len(features), at_once):
            for weights in self._basis.weigh_rows(features[start : start + at_once], self.penalty):
                yield self._sum_units((weights[:, None] * self._residuals).T).T

    def _sum_units(self, values: np.ndarray) -> np.ndarray:
        """Return (M, U) sums of (M, N) values over the rows of each unit."""
        if self.units == values.shape[1]:
            return values[:, np.argsort(self.unit_codes)]
        return np.stack([np.bincount(self.unit_codes, row, minlength=self.units) for row in values])
