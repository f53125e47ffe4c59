"""Which labels the features speak against, and how many wrong ones a review of the first on the list would find.

Each example is judged by a ridge regression on the classes that has not seen it, nor any other example of its unit. Its
margin is the score of its label minus the highest score of another class: the lower, the more the others speak against
the label. How good that ranking is on these very examples is measured by making labels wrong on purpose.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rft.plugins.training_vectors import LabelledExamples
from rft.stats.ridge import RidgeBasis

PLANTED_SHARE = 0.05  # of the labels, made wrong in each of ...
PLANTINGS = 20  # ... these many rounds


@dataclass(frozen=True)
class LabelRanking:
    """The margins of N labels, and the review of the ``review_size`` lowest.

    Attributes:
        margins: (N,) score of the label minus the highest of another class.
        rivals: (N,) index of the class with that highest score.
        review_size: how many labels are looked at.
    """

    margins: np.ndarray
    rivals: np.ndarray
    review_size: int

    @property
    def reviewed(self) -> np.ndarray:
        """Return the rows that are looked at, the lowest margin first."""
        return np.argsort(self.margins, kind="stable")[: self.review_size]


@dataclass(frozen=True)
class PlantedErrors:
    """Labels that were made wrong on purpose.

    Attributes:
        rows: (P,) the example of each, over all rounds.
        rounds: (P,) the round it was made wrong in.
        is_found: (P,) whether it was among the labels that are looked at.
    """

    rows: np.ndarray
    rounds: np.ndarray
    is_found: np.ndarray


class LabelRanker:
    """Ranks labels of the same examples, as they are or with errors planted.

    Args:
        examples: the training examples.
        classes: number K of classes.
        review_share: the share of labels that are looked at.
    """

    def __init__(self, examples: LabelledExamples, classes: int, review_share: float) -> None:
        self._labels, self._classes = examples.labels, classes
        self._review_size = max(1, round(review_share * len(examples)))
        self._basis = RidgeBasis.from_features(examples.features, examples.units)
        self._penalty = self._basis.choose_penalty(self._encode_one_hot(examples.labels))

    def rank(self) -> LabelRanking:
        """Return the ranking of the labels as they are."""
        return self._rank_labels(self._labels)

    def plant_errors(self, rng: np.random.Generator) -> PlantedErrors:
        """Return which of the labels that were made wrong a review would find.

        In each of ``PLANTINGS`` rounds ``PLANTED_SHARE`` of the labels, drawn at random, become another class, drawn
        at random of those that occur. The penalty stays that of the labels as they are.
        """
        occurring = np.unique(self._labels)
        count = max(1, round(PLANTED_SHARE * len(self._labels)))
        rows, is_found = [], []
        for _ in range(PLANTINGS):
            wrong = rng.choice(len(self._labels), count, replace=False)
            labels = self._labels.copy()
            places = np.searchsorted(occurring, labels[wrong])
            labels[wrong] = occurring[(places + rng.integers(1, len(occurring), count)) % len(occurring)]
            rows.append(wrong)
            is_found.append(np.isin(wrong, self._rank_labels(labels).reviewed))
        return PlantedErrors(np.concatenate(rows), np.repeat(np.arange(PLANTINGS), count), np.concatenate(is_found))

    def _rank_labels(self, labels: np.ndarray) -> LabelRanking:
        scores = self._basis.predict_left_out(self._encode_one_hot(labels), self._penalty)
        of_label = np.take_along_axis(scores, labels[:, None], axis=1)[:, 0]
        np.put_along_axis(scores, labels[:, None], -np.inf, axis=1)
        rivals = scores.argmax(axis=1)
        margins = of_label - np.take_along_axis(scores, rivals[:, None], axis=1)[:, 0]
        return LabelRanking(margins, rivals, self._review_size)

    def _encode_one_hot(self, labels: np.ndarray) -> np.ndarray:
        return np.asarray(np.eye(self._classes)[labels])
