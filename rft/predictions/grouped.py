"""Rows by group: their counts, and the rows of each group in one piece, sorted once for all metrics."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from rft.predictions.confusion import count_confusion
from rft.predictions.table import Grouping, PredictionArrays

MAX_MARK_BYTES = 200_000_000  # bytes, one a unit and group


@dataclass(frozen=True)
class ClassTarget:
    """What a metric is asked of: one class against the rest, or all classes at once (both None)."""

    positive: int | None
    name: str | None

    @classmethod
    def from_class(cls, name: str | None, classes: Sequence[str]) -> ClassTarget:
        """Return the target of a class, or of all."""
        return cls(None if name is None else tuple(classes).index(name), name)


@dataclass(frozen=True)
class GroupedPredictions:
    """Rows and the G groups that they are in; rows without a group take no part.

    Attributes:
        rows, grouping: as they were given.
        control: the value of the control column that all the rows have; None where there is none.
    """

    rows: PredictionArrays
    grouping: Grouping
    control: str | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """Return the names of the groups."""
        return self.grouping.names

    @cached_property
    def confusion(self) -> np.ndarray:
        """Return (G, K, K) counts, label by prediction."""
        return count_confusion(self.rows, self.grouping)

    @cached_property
    def sizes(self) -> np.ndarray:
        """Return (G,) numbers of rows."""
        return np.asarray(self.confusion.sum(axis=(1, 2)))

    @cached_property
    def units(self) -> np.ndarray:
        """Return (G,) numbers of units; of rows where every row stands for itself."""
        k = len(self.rows.classes)
        return self.count_units_with(np.ones((k, k), dtype=bool))

    def count_units_with(self, cells: np.ndarray) -> np.ndarray:
        """Return (G,) how many units of each group have a row in some cells of the confusion matrix.

        Args:
            cells: (K, K) label by prediction, 0 or False where a row does not count.
        """
        cells = np.asarray(cells) != 0
        if self.rows.units is None:
            return np.asarray(self.confusion[:, cells].sum(axis=1))
        key = cells.tobytes()  # the metrics ask for the same few sets of cells again and again
        if key not in self._units_counted:
            counts = cells[self.rows.labels, self.rows.predictions] & (self.grouping.codes >= 0)
            self._units_counted[key] = _distinct_units(
                self.rows.units[counts], self.grouping.codes[counts], len(self.names)
            )
        return self._units_counted[key]

    @cached_property
    def _units_counted(self) -> dict[bytes, np.ndarray]:
        return {}

    @cached_property
    def _order(self) -> np.ndarray:
        return np.argsort(self.grouping.codes, kind="stable")

    def row_indices(self, group: int) -> np.ndarray:
        """Return the (N_g,) indices of the rows of a group."""
        start = self.grouping.missing + int(self.sizes[:group].sum())
        return self._order[start : start + int(self.sizes[group])]

    def rows_of_group(self, group: int) -> PredictionArrays:
        """Return the rows of a group."""
        return self.rows.select_rows(self.row_indices(group))


def _distinct_units(units: np.ndarray, groups: np.ndarray, n_groups: int) -> np.ndarray:
    """Return (G,) how many distinct units the rows of each group have.

    Args:
        units: (N,) codes from 0 on.
        groups: (N,) codes 0 to G - 1.
        n_groups: G.
    """
    pairs = units.astype(np.int64) * n_groups + groups
    size = (int(units.max()) + 1 if len(units) else 0) * n_groups
    if size > MAX_MARK_BYTES:  # sorted instead: slower, and its memory does not grow with the number of groups
        return np.bincount(np.unique(pairs) % n_groups, minlength=n_groups)
    marks = np.zeros(size, dtype=bool)
    marks[pairs] = True
    return np.asarray(marks.reshape(-1, n_groups).sum(axis=0))
