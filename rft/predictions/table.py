"""The rows of one split as numbers: classes, units and groups as codes, so that ten million rows stay small and quick.

Nothing here is a metric. A code of -1 is a value that is missing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, reduce

import numpy as np
import pandas as pd

from rft.errors import Unavailable
from rft.predictions.crossing import CROSSING_SEPARATOR


@dataclass(frozen=True)
class Grouping:
    """Which group each row is in.

    Attributes:
        attribute: what the groups differ in; crossed attributes are joined by `` x ``.
        names: the G groups, in order of their names; each has at least one row.
        codes: (N,) indices into ``names``; -1 where the value is missing.
        parts: the attributes that were crossed; the attribute alone when none were.
        withheld: groups that may not be looked at, in order of their names: their rows are in none. Empty too where
            rows without a value are all that is withheld.
        hides: whether anything of it is withheld, so that ``missing`` is no count of rows without a value.
    """

    attribute: str
    names: tuple[str, ...]
    codes: np.ndarray
    parts: tuple[str, ...]
    withheld: tuple[str, ...] = ()
    hides: bool = False

    @classmethod
    def from_values(cls, attribute: str, values: pd.Series) -> Grouping:
        """Return the grouping of (N,) values, strings or missing."""
        column = values if isinstance(values.dtype, pd.CategoricalDtype) else values.astype("category")
        codes = column.cat.codes.to_numpy().astype(np.int32)
        return cls._number_occurring(attribute, [str(name) for name in column.cat.categories], codes, (attribute,))

    @classmethod
    def from_crossing(cls, groupings: Sequence[Grouping]) -> Grouping:
        """Return the groups of all combinations that occur; a row is in none when one of its values is missing."""
        return reduce(cls._cross_pair, groupings)

    @classmethod
    def _cross_pair(cls, first: Grouping, second: Grouping) -> Grouping:
        known = (first.codes >= 0) & (second.codes >= 0)
        codes = np.where(known, first.codes * len(second.names) + second.codes, -1).astype(np.int32)
        names = [f"{a}{CROSSING_SEPARATOR}{b}" for a in first.names for b in second.names]
        attribute = f"{first.attribute}{CROSSING_SEPARATOR}{second.attribute}"
        return cls._number_occurring(attribute, names, codes, (*first.parts, *second.parts))

    @classmethod
    def _number_occurring(
        cls, attribute: str, names: Sequence[str], codes: np.ndarray, parts: tuple[str, ...]
    ) -> Grouping:
        """Number the groups that have rows among (N,) codes, in order of their names."""
        counts = np.bincount(codes + 1, minlength=len(names) + 1)[1:]
        occurring = sorted(np.flatnonzero(counts).tolist(), key=lambda code: names[code])
        renumbered = np.full(len(names) + 1, -1, dtype=np.int32)  # the last one is for the code -1
        renumbered[occurring] = np.arange(len(occurring))
        return cls(attribute, tuple(names[code] for code in occurring), renumbered[codes], parts)

    @property
    def missing(self) -> int:
        """Return how many rows have no value."""
        return int(np.count_nonzero(self.codes < 0))

    def select_rows(self, mask: np.ndarray) -> Grouping:
        """Return the groups of the rows of a (N,) mask, in which a group may have no row left."""
        return replace(self, codes=self.codes[mask])

    def withhold_groups(self, names: Sequence[str], *, hides: bool = True) -> Grouping:
        """Return the grouping in which the rows of these groups are in none."""
        if not hides:
            return self
        kept = [name for name in self.names if name not in names]
        renumbered = np.full(len(self.names) + 1, -1, dtype=np.int32)  # the last one is for the code -1
        renumbered[[self.names.index(name) for name in kept]] = np.arange(len(kept))
        return replace(self, names=tuple(kept), codes=renumbered[self.codes], withheld=tuple(sorted(names)), hides=True)


@dataclass(frozen=True)
class PredictionArrays:
    """The predictions of one split.

    Attributes:
        classes: the K class names.
        labels, predictions: (N,) indices into ``classes``.
        scores: (N, K) probabilities, rows that sum to 1; None when only decisions are known.
        units: (N,) codes from 0 on of whose row each is; None when every row stands for itself.
        no_scores: why there are no scores; empty where there are some.
    """

    classes: tuple[str, ...]
    labels: np.ndarray
    predictions: np.ndarray
    scores: np.ndarray | None = None
    units: np.ndarray | None = None
    no_scores: str = ""

    def __len__(self) -> int:
        return len(self.labels)

    @classmethod
    def from_frame(cls, frame: pd.DataFrame, classes: Sequence[str]) -> PredictionArrays:
        """Return the rows of a table of predictions (see ``rft.plugins.AuditedModel``).

        Raises:
            Unavailable: a row has no label or no prediction among the classes.
        """
        labels, predictions = (_class_codes(frame[column], classes) for column in ("label", "prediction"))
        if unknown := int(np.count_nonzero((labels < 0) | (predictions < 0))):
            raise Unavailable(f"{unknown} of {len(frame)} rows have no label or no prediction among the classes")
        scores, no_scores = read_scores(frame, classes)
        return cls(tuple(classes), labels, predictions, scores, read_units(frame), no_scores)

    @cached_property
    def confusion(self) -> np.ndarray:
        """Return (K, K) counts, label by prediction."""
        k = len(self.classes)
        return np.bincount(self.labels.astype(np.int64) * k + self.predictions, minlength=k * k).reshape(k, k)

    @cached_property
    def n(self) -> int:
        """Return the number of units; of rows where every row stands for itself."""
        return len(self) if self.units is None else len(np.unique(self.units))

    @property
    def counted(self) -> str:
        """Return what ``n`` counts, in a word: ``units`` where several rows are of one, ``examples`` elsewhere."""
        return "examples" if self.units is None else "units"

    def n_where(self, mask: np.ndarray) -> int:
        """Return the number of units that have a row in a (N,) mask."""
        return int(np.count_nonzero(mask)) if self.units is None else len(np.unique(self.units[mask]))

    def select_rows(self, mask: np.ndarray) -> PredictionArrays:
        """Return the rows of a (N,) mask."""
        scores = None if self.scores is None else self.scores[mask]
        units = None if self.units is None else self.units[mask]
        return PredictionArrays(self.classes, self.labels[mask], self.predictions[mask], scores, units, self.no_scores)


def _class_codes(column: pd.Series, classes: Sequence[str]) -> np.ndarray:
    return pd.Categorical(column, categories=list(classes)).codes.astype(np.int32)


def read_scores(frame: pd.DataFrame, classes: Sequence[str]) -> tuple[np.ndarray | None, str]:
    """Return (N, K) probabilities, or None and why there are none."""
    columns = [f"score_{name}" for name in classes]
    if absent := [column for column in columns if column not in frame]:
        return None, f"the predictions have no column {absent[0]}"
    scores = frame[columns].to_numpy(np.float64)
    if bad := int(np.count_nonzero(~np.isfinite(scores).all(axis=1))):
        return None, f"{bad} of {len(frame)} rows have a probability that is not a number"
    return scores, ""


def read_units(frame: pd.DataFrame) -> np.ndarray | None:
    """Return (N,) codes of units, or None when no unit has two rows; a row without a unit stands for itself."""
    units = frame["unit"]
    known = units.notna().to_numpy()
    if not known.any():
        return None
    codes, names = pd.factorize(units[known])
    if len(names) == len(codes):
        return None
    unit_codes = np.empty(len(frame), dtype=np.int64)
    unit_codes[known] = codes
    unit_codes[~known] = len(names) + np.arange(np.count_nonzero(~known))
    return unit_codes
