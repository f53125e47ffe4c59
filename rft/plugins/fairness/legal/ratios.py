"""Shares of each group that are chosen, and the ratio of each to the group with the highest share."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from rft.predictions.table import Grouping
from rft.records import Interval
from rft.stats import intervals
from rft.stats.intervals import LEVEL


@dataclass(frozen=True)
class Shares:
    """How many of each group are chosen: selected, or scored above the median.

    Attributes:
        grouping: the G groups.
        n, chosen: (G,) rows of each group, and those of them that are chosen.
        effective: (G,) how many independent rows those of each group are worth (Kish 1965); ``n`` if no unit repeats.
        total: all rows, those without a group too.
        compared: (G,) whether a group takes part in ratios.
    """

    grouping: Grouping
    n: np.ndarray
    chosen: np.ndarray
    effective: np.ndarray
    total: int
    compared: np.ndarray

    @classmethod
    def of(cls, grouping: Grouping, chosen: np.ndarray, units: np.ndarray | None, *, min_group: int) -> Shares:
        """Return the shares of (N,) booleans; groups with fewer than ``min_group`` rows are not compared."""
        groups = len(grouping.names)
        n = np.bincount(grouping.codes + 1, minlength=groups + 1)[1:]
        hits = np.bincount(grouping.codes[chosen] + 1, minlength=groups + 1)[1:]
        effective = n.astype(np.float64) if units is None else _effective(grouping.codes, units, groups)
        return cls(grouping, n, hits, effective, len(chosen), n >= max(min_group, 1))

    @cached_property
    def rates(self) -> np.ndarray:
        """(G,) shares, 0 to 1; NaN for a group without rows."""
        return np.divide(self.chosen, self.n, out=np.full(len(self.n), np.nan), where=self.n > 0)

    @cached_property
    def reference(self) -> int | None:
        """The first of the compared groups with the highest share; None when fewer than two are compared or it is 0."""
        if np.count_nonzero(self.compared) < 2:
            return None
        best = int(np.argmax(np.where(self.compared, self.rates, -1.0)))
        return best if self.chosen[best] else None

    @property
    def undefined(self) -> str:
        """Why no ratio exists, in words; to be asked when ``reference`` is None."""
        return "nobody is chosen" if np.count_nonzero(self.compared) > 1 else "nothing to compare"

    @property
    def repeats(self) -> bool:
        """Whether some unit has several rows of one group."""
        return bool(np.any(self.effective < self.n))

    @property
    def pairs(self) -> int:
        """Number of pairs of groups that could have been compared."""
        groups = int(np.count_nonzero(self.compared))
        return groups * (groups - 1) // 2

    def ratio(self, group: int) -> float | None:
        """Return the share of a group divided by the highest one; None where it has none."""
        if self.reference is None or not self.compared[group]:
            return None
        return float(self.rates[group] / self.rates[self.reference])

    def interval(self, group: int) -> Interval | None:
        """Return the interval of ``ratio``, wide enough for all pairs at once; None for the reference itself.

        The reference is a selected maximum: which pair is looked at depends on the sample, so the level is divided by
        the number of pairs (Bonferroni).
        """
        if self.ratio(group) is None or group == self.reference or self.reference is None:
            return None
        first, other = (
            (self.rates[each] * self.effective[each], self.effective[each]) for each in (group, self.reference)
        )
        interval = intervals.katz_ratio(*map(float, first), *map(float, other), level=1 - (1 - LEVEL) / self.pairs)
        assert interval is not None  # the reference is the highest share, and above 0
        pairs = f", Bonferroni over {self.pairs} pairs" if self.pairs > 1 else ""
        units = ", rows of one unit counted as one" if self.repeats else ""
        return interval.model_copy(update={"method": f"Katz log with 1/2, {100 * LEVEL:g} %{pairs}{units}"})

    def lowest(self) -> int | None:
        """Return the group with the lowest ratio; None where no ratio exists."""
        ratios = [self.ratio(group) for group in range(len(self.n))]
        known = [(ratio, group) for group, ratio in enumerate(ratios) if ratio is not None and group != self.reference]
        return min(known)[1] if known else None


def _effective(codes: np.ndarray, units: np.ndarray, groups: int) -> np.ndarray:
    """Return (G,) effective numbers of rows: the squared sum of rows of each unit over the sum of their squares."""
    known = codes >= 0
    pairs, sizes = np.unique(codes[known] * (np.int64(units.max()) + 1) + units[known], return_counts=True)
    owners = pairs // (np.int64(units.max()) + 1)
    rows, squares = (
        np.bincount(owners, weights=sizes.astype(np.float64) ** power, minlength=groups) for power in (1, 2)
    )
    return np.divide(rows**2, squares, out=np.zeros(groups), where=squares > 0)
