"""Counting: rows -> distinct cells -> a confusion matrix for each group, and exact resamples of such counts.

A metric that depends on counts alone needs no rows: resampling rows with replacement changes nothing but how many fall
into each cell, so multinomial draws over the cells are the same bootstrap at a cost that does not grow with the rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rft.plugins.fairness.rows import Grouping, Rows

DENSE = 2**24  # combinations up to which all cells are counted in one pass, at 8 bytes each


@dataclass(frozen=True)
class Cells:
    """The M distinct combinations of groups, label and prediction that occur.

    Attributes:
        classes: number of classes, K.
        groups: (A, M) codes of the groups of each attribute; -1 where the value is missing.
        labels, predictions: (M,) indices of classes.
        counts: (M,) rows of each cell.
    """

    classes: int
    groups: np.ndarray
    labels: np.ndarray
    predictions: np.ndarray
    counts: np.ndarray

    @classmethod
    def of(cls, rows: Rows, groupings: Sequence[Grouping]) -> Cells:
        """Count the rows; the groupings are those of single attributes, which intersections are made of."""
        k = len(rows.classes)
        axes = [len(grouping.names) + 1 for grouping in groupings] + [k, k]
        codes = np.zeros(len(rows), dtype=np.int64)
        for grouping, size in zip(groupings, axes, strict=False):
            codes *= size
            codes += grouping.codes
            codes += 1  # a missing value is the first of its axis
        for each in (rows.labels, rows.predictions):
            codes *= k
            codes += each
        cells, counts = _distinct(codes, int(np.prod(axes, dtype=np.float64)))
        *groups, labels, predictions = np.unravel_index(cells, axes)
        return cls(k, np.array(groups).reshape(len(groupings), len(cells)) - 1, labels, predictions, counts)

    def confusion(self, codes: np.ndarray, groups: int, counts: np.ndarray | None = None) -> np.ndarray:
        """Return (..., G, K, K) counts of each group, label by prediction.

        Args:
            codes: (M,) group of each cell, -1 for none.
            groups: G.
            counts: (..., M) resampled counts in the place of the observed ones.
        """
        counts = self.counts if counts is None else counts
        k = self.classes
        places = (codes * k + self.labels) * k + self.predictions
        known = codes >= 0
        summed = np.zeros((*counts.shape[:-1], groups * k * k), dtype=counts.dtype)
        for place in np.unique(places[known]):  # at most G K^2 of them, however many cells there are
            summed[..., place] = counts[..., known & (places == place)].sum(axis=-1)
        return summed.reshape(*counts.shape[:-1], groups, k, k)

    def resampled(self, rng: np.random.Generator, draws: int) -> np.ndarray:
        """Return (B, M) counts of resamples with replacement of as many rows."""
        n = int(self.counts.sum())
        return rng.multinomial(n, self.counts / n, size=draws)


def _distinct(codes: np.ndarray, combinations: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the distinct codes, sorted, and how often each occurs."""
    if combinations > DENSE:
        return np.unique(codes, return_counts=True)
    counts = np.bincount(codes, minlength=combinations)
    cells = np.flatnonzero(counts)
    return cells, counts[cells]


def confusion_of(rows: Rows, grouping: Grouping) -> np.ndarray:
    """Return (G, K, K) counts of the groups of one grouping, label by prediction."""
    cells = Cells.of(rows, [grouping])
    return cells.confusion(cells.groups[0], len(grouping.names))
