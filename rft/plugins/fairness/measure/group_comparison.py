"""One grouping of the rows: every metric of its groups, the gap in each, and what rows without a group leave open."""

from __future__ import annotations

from dataclasses import dataclass

from rft.plugins.fairness.measure.gaps import Gap, compare_groups
from rft.plugins.fairness.measure.group_metrics import GroupMetric, SampleSizeRules, measure_groups
from rft.plugins.fairness.measure.plan import ComparisonPlan
from rft.predictions.grouped import GroupedPredictions
from rft.stats.gaps import partial_identification
from rft.stats.gaps.partial_identification import GapBounds
from rft.stats.scores.classification import Ratios


@dataclass(frozen=True)
class GroupComparison:
    """One grouping, measured and compared.

    Attributes:
        grouped: the rows by group.
        measured: every metric of every group, in the order of the plan.
        gaps: one for each metric that was asked for.
        bounds: for each gap what rows without a group allow it to be; None where there are none.
        stated: the gaps that become findings, which rules may name: of all classes, of the favourable one and of the
            mean over classes; none within a control.
    """

    grouped: GroupedPredictions
    measured: tuple[GroupMetric, ...]
    gaps: tuple[Gap, ...]
    bounds: tuple[GapBounds | None, ...]
    stated: tuple[Gap, ...]

    @classmethod
    def from_plan(
        cls, grouped: GroupedPredictions, plan: ComparisonPlan, size_rules: SampleSizeRules, seed: int
    ) -> GroupComparison:
        """Measure every metric of the plan and compare the groups in each."""
        measured, gaps, stated = [], [], []
        for metric, target in plan.planned_metrics:
            group_metrics = measure_groups(grouped, metric, target, size_rules=size_rules, positive=plan.positive)
            verdicts = grouped.control is None and target.positive in (None, plan.positive)
            gap = compare_groups(
                grouped, metric, target, group_metrics, seed=seed, verdicts=verdicts, comparisons=plan.comparisons
            )
            measured += group_metrics
            gaps.append(gap)
            stated += [gap] if verdicts else []
        bounds = tuple(_bounds_of_gap(grouped, gap) for gap in gaps)
        return cls(grouped, tuple(measured), tuple(gaps), bounds, tuple(stated))


def _bounds_of_gap(grouped: GroupedPredictions, gap: Gap) -> GapBounds | None:
    """Return what a gap of shares may be, whatever group the rows without one belong to."""
    hides = grouped.grouping.hides  # then rows without a group are known to be in none of the others
    if gap.value is None or not gap.is_share or hides or not grouped.grouping.missing or grouped.control is not None:
        return None
    ratios = Ratios.from_metric(gap.metric, grouped.rows.classes, gap.target.positive)
    unknown = grouped.rows.select_rows(grouped.grouping.codes < 0)
    numerators, denominators = (int(part.sum()) for part in ratios.mark_rows(unknown.labels, unknown.predictions))
    chosen = [grouped.names.index(group.group) for group in gap.compared if group.group is not None]
    known_numerators, known_denominators = (part[chosen, 0] for part in ratios.count_cells(grouped.confusion))
    return partial_identification.gap_bounds(known_numerators, known_denominators, numerators, denominators)
