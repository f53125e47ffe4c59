"""A way to decide on the test examples, measured and compared as the section measures and compares the model itself."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd

from rft.disclosure.withheld import Withheld
from rft.plugins.fairness import FairnessOptions
from rft.plugins.fairness.measure.gaps import Gap, compare_groups
from rft.plugins.fairness.measure.group_metrics import GroupMetric, SampleSizeRules, detail_status, measure_groups
from rft.plugins.fairness.measure.plan import ComparisonPlan
from rft.plugins.fairness.mitigation.dataset import MitigationExamples
from rft.plugins.fairness.mitigation.measure import DecisionMetrics, measure_decisions, one_hot_decisions
from rft.plugins.fairness.mitigation.options import MitigationOptions
from rft.predictions.estimates import estimate_rate
from rft.predictions.grouped import ClassTarget, GroupedPredictions
from rft.stats.rates import Rate
from rft.stats.scores.classification import METRICS, Ratios


def measure_on_test(
    frame: pd.DataFrame,
    test: MitigationExamples,
    options: MitigationOptions,
    classes: tuple[str, ...],
    positive: str,
    *,
    size_rules: SampleSizeRules,
    seed: int,
    withheld: Withheld,
) -> DecisionMetrics:
    """Return what decisions do on test: the same groups, rates, gap and interval as elsewhere in the section.

    Args:
        frame: test rows of a table of predictions.
        test: the same examples, in the same order.
        options: which groups are compared, and in what.
        classes, positive: the class names, and the favourable one.
        size_rules: how many cases are too few.
        seed: of resampling.
        withheld: what may not leave the machine.
    """
    asked = FairnessOptions(attributes=[options.attribute], metrics=[options.metric], max_intersection_order=1)
    plan = ComparisonPlan.from_frame(frame.reset_index(drop=True), classes, asked, positive, withheld)
    [grouped] = plan.group_predictions()
    target = ClassTarget.from_class(positive if METRICS[options.metric].of_class else None, classes)
    measured = measure_groups(grouped, options.metric, target, size_rules=size_rules, positive=plan.positive)
    gap = compare_groups(grouped, options.metric, target, measured, seed=seed, verdicts=True, comparisons=1)
    decisions = one_hot_decisions(plan.rows.predictions, len(classes))
    by_part = measure_decisions(decisions, test, options.metric, classes, plan.positive, size_rules, withheld)
    return replace(
        by_part,
        accuracy=estimate_rate(plan.rows, Ratios.from_metric(METRICS["accuracy"], classes, None)),
        groups={str(group.group): _rate_of_group(grouped, gap, group) for group in gap.compared},
        left_out=_left_out(grouped, gap, withheld),
        compared=gap,
    )


def _rate_of_group(grouped: GroupedPredictions, gap: Gap, group: GroupMetric) -> Rate:
    ratios = Ratios.from_metric(gap.metric, grouped.rows.classes, gap.target.positive)
    return estimate_rate(grouped.rows_of_group(grouped.names.index(str(group.group))), ratios)


def _left_out(grouped: GroupedPredictions, gap: Gap, withheld: Withheld) -> dict[str, str]:
    reasons = {str(group.group): detail_status(group.status, f"n = {group.n}") for group in gap.excluded}
    return reasons | dict.fromkeys(grouped.grouping.withheld, withheld.reason)
