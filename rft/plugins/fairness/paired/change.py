"""Two models on the same people: how the gap of each pair of groups differs between them, and who changed sides.

The two are paired: what one model gives a person is set against what the other gives the same person, so that what
both find hard about a person cancels out. Pairs of groups are fixed by their names, not chosen for being the largest
gap of either model: the difference of two largest gaps is covered by its interval in 53 to 82 % of samples only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from rft.plugins.fairness.measure.gaps import DRAWS_AT_ONE_LEVEL, DRAWS_FOR_VERDICTS
from rft.plugins.fairness.measure.group_metrics import INCONCLUSIVE, TOO_FEW, SampleSizeRules
from rft.predictions.grouped import ClassTarget, GroupedPredictions
from rft.predictions.table import Grouping, PredictionArrays
from rft.records import Interval, NotMeasured, Row
from rft.stats.gaps.max_t import largest_gap
from rft.stats.intervals import CONFIDENCE_LEVEL
from rft.stats.resampling import RatioTotals, ratio_totals_by_group, resample_ratios
from rft.stats.scores.classification import METRICS, Ratios

PAIRED = ("accuracy", "selection_rate", "tpr", "fpr")  # their cases are the same rows for both models


@dataclass(frozen=True)
class PairedPredictions:
    """The predictions of two models for the same rows.

    Attributes:
        before, after: rows with the same labels and units.
    """

    before: PredictionArrays
    after: PredictionArrays

    def __post_init__(self) -> None:
        """Refuse rows that are not the same examples."""
        if not np.array_equal(self.before.labels, self.after.labels):
            raise ValueError("expected two models of the same rows, got rows with different labels")


@dataclass(frozen=True)
class GapChange:
    """How the size of the gap between two groups differs between two models.

    Attributes:
        first, second: the groups; a gap is the metric of ``first`` minus that of ``second``.
        before, after: that gap for each model, with its sign.
        intervals: of ``value``, at each level that was asked for, for all pairs of groups of the attribute at once.
        p_value: of no change of size, adjusted for all those pairs.
        n: independent cases of both groups.
    """

    first: str
    second: str
    before: float
    after: float
    intervals: tuple[Interval, ...]
    p_value: float
    n: int

    @property
    def value(self) -> float:
        """Return the size of the gap after minus its size before: below 0 where it is narrower."""
        return abs(self.after) - abs(self.before)

    @property
    def interval(self) -> Interval:
        """Return the interval at the first level."""
        return self.intervals[0]

    @property
    def reversed(self) -> bool:
        """Whether the other group is ahead after."""
        return self.before * self.after < 0


@dataclass(frozen=True)
class PairedChanges:
    """The changes of all pairs of groups that can be compared, and the groups that are too small for it."""

    changes: tuple[GapChange, ...]
    small_groups: tuple[str, ...]


def measure_changes(
    pair: PairedPredictions,
    grouping: Grouping,
    metric: str,
    target: ClassTarget,
    *,
    size_rules: SampleSizeRules,
    seed: int,
    levels: Sequence[float] = (CONFIDENCE_LEVEL,),
) -> PairedChanges | NotMeasured:
    """Return the change of every pair of groups that can be compared.

    Args:
        pair: the two models.
        grouping: of their rows.
        metric: one of ``PAIRED``.
        target: the class that it is about, or none for accuracy.
        size_rules: how many cases are too few.
        seed: of resampling.
        levels: of the intervals.
    """
    shifts, totals = (
        _totals_of_both_models(pair, grouping, metric, target, combined) for combined in (_half_shift, _half_total)
    )
    grouped = GroupedPredictions(pair.before, grouping)
    chosen = [
        index for index, sums in enumerate(shifts) if _explain_small_group(grouped, index, sums, size_rules) is None
    ]
    if len(chosen) < 2:
        return NotMeasured(
            f"fewer than two groups have {size_rules.min_group_size} independent examples and "
            f"{size_rules.min_reported_size} cases"
        )
    shift_pairs, total_pairs = (
        _simultaneous_pairs([sums[index] for index in chosen], levels, seed) for sums in (shifts, totals)
    )
    values = [_metric_by_group(rows, grouping, metric, target) for rows in (pair.before, pair.after)]
    compared = []
    for key in combinations(range(len(chosen)), 2):
        first, second = sorted((chosen[index] for index in key), key=lambda index: grouping.names[index])
        sign = 1.0 if first == chosen[key[0]] else -1.0
        before, after = (float(value[first] - value[second]) for value in values)
        compared.append(
            GapChange(
                first=grouping.names[first],
                second=grouping.names[second],
                before=before,
                after=after,
                intervals=tuple(
                    size_change_interval(
                        shift_pairs[key].signed_ends(at, sign, after - before),
                        total_pairs[key].signed_ends(at, sign, after + before),
                        len(chosen),
                        level,
                    )
                    for at, level in enumerate(levels)
                ),
                p_value=min(1.0, 1.5 * max(shift_pairs[key].p_value, total_pairs[key].p_value)),
                n=round(float(shifts[first].units.sum() + shifts[second].units.sum())),
            )
        )
    small = tuple(name for index, name in enumerate(grouping.names) if index not in chosen)
    return PairedChanges(tuple(compared), small)


def size_change_interval(shift: tuple[float, float], total: tuple[float, float], groups: int, level: float) -> Interval:
    """Return the interval of |after| - |before| from intervals of after - before and of after + before.

    |a| - |b| is sign(t s) min(|t|, |s|) of the shift t = a - b and the total s = a + b, which rises or falls with each
    of them alone; so its range over both intervals lies at their corners. Where a gap keeps its side, that is the
    shift; where it changes sides, the total. A wrong end takes one end of either interval, or one of two at the other
    end, so intervals whose tails are two thirds of what the level leaves suffice (three tails of a half each).

    Args:
        shift, total: intervals at ``1 - 2 / 3 * (1 - level)`` each.
        groups: how many groups were compared.
        level: nominal coverage.
    """
    corners = [_size_change(t, s) for t in shift for s in total]
    method = f"paired simultaneous max-t {100 * level:g} % of the change of size, {groups} groups"
    return Interval(low=min(corners), high=max(corners), method=method)


def _size_change(shift: float, total: float) -> float:
    return float(np.sign(shift * total)) * min(abs(shift), abs(total))


@dataclass(frozen=True)
class _PairEnds:
    """A pair of groups in one statistic: its ends at each level, and its p-value for all pairs at once."""

    ends: tuple[tuple[float, float], ...]
    p_value: float

    def signed_ends(self, at: int, sign: float, value: float) -> tuple[float, float]:
        """Return the ends at a level, turned round by a sign of -1, and widened to hold the observed value."""
        low, high = sorted(sign * end for end in self.ends[at])
        return min(low, value), max(high, value)


def _simultaneous_pairs(
    sums: Sequence[RatioTotals], levels: Sequence[float], seed: int
) -> dict[tuple[int, int], _PairEnds]:
    """Return the pairs of groups (first, other), first below other, with ends of the first minus the other."""
    draws = DRAWS_AT_ONE_LEVEL if len(levels) == 1 else DRAWS_FOR_VERDICTS
    largest = largest_gap(resample_ratios(sums, np.random.default_rng(seed), draws=draws))
    at_levels = [largest.compare_pairs(1 - 2 / 3 * (1 - level)) for level in levels]
    pairs = {}
    for same_pair in zip(*at_levels, strict=True):
        key = (min(same_pair[0].first, same_pair[0].second), max(same_pair[0].first, same_pair[0].second))
        sign = 2.0 if same_pair[0].first == key[0] else -2.0  # of halves, see _sums
        ends = tuple((sign * gap.interval.low, sign * gap.interval.high) for gap in same_pair)
        pairs[key] = _PairEnds(ends, same_pair[0].p_value)
    return pairs


def _half_shift(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    return np.asarray((after.astype(np.float64) - before + 1) / 2)


def _half_total(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    return np.asarray((after.astype(np.float64) + before) / 2)


def _totals_of_both_models(
    pair: PairedPredictions,
    grouping: Grouping,
    metric: str,
    target: ClassTarget,
    combined: Callable[[np.ndarray, np.ndarray], np.ndarray],
) -> list[RatioTotals]:
    """Return for each group the totals of (N,) halves of what both models make of each case.

    Halves keep the statistic between 0 and 1, where one success and one failure can be added to it: of the shift a half
    for no change, one for a row that becomes a hit, none for one no longer; of the total one for a hit of both.
    """
    shares = Ratios.from_metric(METRICS[metric], pair.before.classes, target.positive)
    (before, cases), (after, _) = (
        shares.mark_rows(rows.labels, rows.predictions) for rows in (pair.before, pair.after)
    )
    halves = np.where(cases, combined(before, after), 0.0)
    return ratio_totals_by_group(halves, cases, grouping.codes, pair.before.units, n_groups=len(grouping.names))


def _metric_by_group(rows: PredictionArrays, grouping: Grouping, metric: str, target: ClassTarget) -> np.ndarray:
    ratios = Ratios.from_metric(METRICS[metric], rows.classes, target.positive)
    return ratios.metric_value(GroupedPredictions(rows, grouping).confusion)


def _explain_small_group(
    grouped: GroupedPredictions, group: int, sums: RatioTotals, size_rules: SampleSizeRules
) -> str | None:
    """Return why a group cannot be compared, or None."""
    if min(int(grouped.units[group]), round(float(sums.units.sum()))) < size_rules.min_reported_size:
        return TOO_FEW
    return INCONCLUSIVE if sums.units.sum() < size_rules.min_group_size else None


def rows_of_changes(attribute: str, metric: str, target: ClassTarget, compared: Sequence[GapChange]) -> list[Row]:
    """Return the rows of the table ``measure_changes``."""
    return [
        {
            "attribute": attribute,
            "metric": metric,
            "class": target.name,
            "groups": f"{change.first} minus {change.second}",
            "before": change.before,
            "after": change.after,
            "change": change.value,
            "low": change.interval.low,
            "high": change.interval.high,
            "p": change.p_value,
            "sides": "changed" if change.reversed else "kept",
            "n": change.n,
        }
        for change in compared
    ]


def count_changed_decisions(pair: PairedPredictions, grouping: Grouping, positive: int) -> Iterator[Row]:
    """Yield for each group how many rows the second model treats unlike the first, and in which direction."""
    selected = [rows.predictions == positive for rows in (pair.before, pair.after)]
    right = [rows.predictions == rows.labels for rows in (pair.before, pair.after)]
    for index, name in enumerate(grouping.names):
        in_group = grouping.codes == index
        yield {
            "attribute": grouping.attribute,
            "group": name,
            "n": int(in_group.sum()),
            "newly_given": int((in_group & ~selected[0] & selected[1]).sum()),
            "no_longer_given": int((in_group & selected[0] & ~selected[1]).sum()),
            "newly_right": int((in_group & ~right[0] & right[1]).sum()),
            "newly_wrong": int((in_group & right[0] & ~right[1]).sum()),
        }
