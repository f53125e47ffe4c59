"""Shares of each group that are chosen, and the ratio of each to the group with the highest share."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from rft.plugins.fairness.measure.gaps import indices_of_compared
from rft.plugins.fairness.measure.group_metrics import SampleSizeRules, measure_groups
from rft.plugins.fairness.measure.small_groups import GroupRate, judge_ratio, rate_of_group, ratio_interval_of_rates
from rft.predictions.grouped import ClassTarget, GroupedPredictions
from rft.predictions.table import Grouping, PredictionArrays
from rft.records import Adjusted, Interval
from rft.stats import multiplicity
from rft.stats.gaps import rate_ratio
from rft.stats.intervals import CONFIDENCE_LEVEL
from rft.stats.scores.classification import METRICS, Ratios

SELECTION_RATE, CHOSEN = METRICS["selection_rate"], ClassTarget(1, "chosen")


@dataclass(frozen=True)
class SelectionRates:
    """How many of each group are chosen: selected, or scored above the median.

    Attributes:
        grouping: the G groups.
        rows, rows_chosen: (G,) rows of each group, and those of them that are chosen.
        n, chosen: (G,) the same, or units of each group and those of them with a chosen row, where rows share units.
        independent: for each group what its share is worth in independent rows, as the selection rate is measured.
        total: all rows, those without a group too.
        compared: (G,) whether a group takes part in ratios.
        repeats: whether rows share units.
        left_out: (G,) whether a group was left out on purpose, and so does not enter rules either.
    """

    grouping: Grouping
    rows: np.ndarray
    rows_chosen: np.ndarray
    n: np.ndarray
    chosen: np.ndarray
    independent: tuple[GroupRate, ...]
    total: int
    compared: np.ndarray
    repeats: bool
    left_out: np.ndarray

    @classmethod
    def from_selection(
        cls, grouping: Grouping, chosen: np.ndarray, units: np.ndarray | None, *, min_group_size: int
    ) -> SelectionRates:
        """Return the shares of (N,) booleans; groups are compared as in the rest of the section."""
        rows = PredictionArrays(
            ("others", "chosen"), np.zeros(len(chosen), np.int32), chosen.astype(np.int32), units=units
        )
        grouped = GroupedPredictions(rows, grouping)
        size_rules = SampleSizeRules(
            min_group_size=min_group_size, min_reported_size=min(min_group_size, SampleSizeRules.min_reported_size)
        )
        measured = measure_groups(grouped, SELECTION_RATE.name, CHOSEN, size_rules=size_rules, positive=1)
        ratios = Ratios.from_metric(SELECTION_RATE, rows.classes, CHOSEN.positive)
        groups = range(len(grouping.names))
        return cls(
            grouping=grouping,
            rows=grouped.sizes,
            rows_chosen=grouped.confusion[:, :, 1].sum(axis=1),
            n=grouped.units,
            chosen=grouped.count_units_with(ratios.numerators[0]),
            independent=tuple(rate_of_group(grouped, group, ratios) for group in groups),
            total=len(chosen),
            compared=np.isin(groups, indices_of_compared(measured)),
            repeats=any(group_metric.n < group_metric.rows for group_metric in measured),
            left_out=np.zeros(len(groups), dtype=bool),
        )

    def leave_out(self, groups: np.ndarray) -> SelectionRates:
        """Return the shares with (G,) marked groups left out on purpose."""
        return replace(self, compared=self.compared & ~groups, left_out=self.left_out | groups)

    @cached_property
    def rates(self) -> np.ndarray:
        """(G,) shares, 0 to 1; NaN for a group without rows."""
        return np.asarray(
            np.divide(self.rows_chosen, self.rows, out=np.full(len(self.rows), np.nan), where=self.rows > 0)
        )

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
    def n_independent(self) -> int:
        """Return how many independent units the compared groups have, as elsewhere in the section."""
        return int(self.n[self.compared].sum())

    @property
    def pairs(self) -> int:
        """Number of pairs of groups that could have been compared."""
        groups = int(np.count_nonzero(self.compared))
        return groups * (groups - 1) // 2

    def ratio_to_highest(self, group: int) -> float | None:
        """Return the share of a group divided by the highest one; None where it has none."""
        if self.reference is None or not self.compared[group]:
            return None
        return float(self.rates[group] / self.rates[self.reference])

    def ratio_interval(self, group: int) -> Interval | None:
        """Return the interval of the ratio of a group to the highest share, for all groups at once.

        The reference is the highest of this sample only, so that its own ratio has an interval too.
        """
        if self.ratio_to_highest(group) is None:
            return None
        low, high = self._ends
        place = int(np.count_nonzero(self.compared[:group]))
        method = rate_ratio.name_ratio_method(len(low), CONFIDENCE_LEVEL)
        return Interval(low=float(low[place]), high=float(high[place]), method=method)

    @cached_property
    def _ends(self) -> tuple[np.ndarray, np.ndarray]:
        successes, cases = zip(*((share.numerator, share.denominator) for share in self._compared), strict=True)
        return rate_ratio.ratios_to_highest(successes, cases)

    def lowest_group(self) -> int | None:
        """Return the group with the lowest ratio; None where no ratio exists."""
        ratios = [self.ratio_to_highest(group) for group in range(len(self.n))]
        known = [(ratio, group) for group, ratio in enumerate(ratios) if ratio is not None and group != self.reference]
        return min(known)[1] if known else None

    def lowest_ratio_interval(self) -> Interval:
        """Return the interval of the lowest ratio, whichever two groups are the extremes; some pair is compared."""
        return ratio_interval_of_rates(self._compared, CONFIDENCE_LEVEL)

    def judging_intervals(self) -> tuple[Adjusted, ...]:
        """Return what rules about the lowest ratio are judged by, with the groups that are too small to be compared.

        Empty where fewer than two groups are compared and none is too small.
        """
        small = [self.independent[group] for group in self._small]
        if len(self._compared) < 2 and not small:
            return ()
        return multiplicity.adjust_interval(lambda level: judge_ratio(self._compared, small, level))

    @property
    def small_groups(self) -> tuple[str, ...]:
        """Return the names of the groups that are too small to be compared."""
        return tuple(self.grouping.names[group] for group in self._small)

    @property
    def _compared(self) -> list[GroupRate]:
        return [self.independent[group] for group in np.flatnonzero(self.compared)]

    @property
    def _small(self) -> list[int]:
        return [int(group) for group in np.flatnonzero(~self.compared & ~self.left_out)]
