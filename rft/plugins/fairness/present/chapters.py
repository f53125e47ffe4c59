"""The chapters of the section, each with its findings, tables and figures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from rft.plugins.chapter_content import ChapterContent
from rft.plugins.fairness.measure.gaps import Gap
from rft.plugins.fairness.measure.group_comparison import GroupComparison
from rft.plugins.fairness.measure.group_metrics import GroupMetric, SampleSizeRules, measure_groups
from rft.plugins.fairness.measure.permutation_check import check_by_permutation
from rft.plugins.fairness.measure.plan import ComparisonPlan
from rft.plugins.fairness.measure.warning_family import correct_p_values
from rft.plugins.fairness.present import figures, findings, reliability_table, tables, withheld_tables
from rft.records import Finding, Row, Table
from rft.stats.scores import dispersion
from rft.stats.scores.classification import METRICS
from rft.stats.scores.dispersion import Dispersion


def build_chapters(
    plan: ComparisonPlan, comparisons: Sequence[GroupComparison], *, model: str, size_rules: SampleSizeRules, seed: int
) -> list[ChapterContent]:
    """Return the chapters about the model itself, in their order.

    Args:
        plan: what is compared.
        comparisons: the groupings of ``plan.group_predictions()``.
        model: what the table calls it.
        size_rules: how many cases are too few.
        seed: of resampling and shuffling.
    """
    single = comparisons[: len(plan.attributes)]
    crossed = comparisons[len(single) : len(single) + len(plan.crossed)]
    return [
        *_gap_chapters(single, comparisons),
        _groups_chapter(plan, tabulate_by_group(plan, comparisons, model, seed)),
        ChapterContent(
            "Worst groups and ratios",
            [finding for comparison in single for finding in _state_extremes(comparison)],
            folded=True,
            computed_from="test",
        ),
        _intersections_chapter(plan, crossed),
        ChapterContent(
            "Missing values",
            [_state_missing_values(comparison, len(plan.rows), plan.withheld.reason) for comparison in single],
            computed_from="test",
        ),
        ChapterContent(
            "The audit checked",
            [
                check_by_permutation(comparison.grouped, size_rules, positive=plan.positive, seed=seed)
                for comparison in single
            ],
            computed_from="test",
        ),
    ]


def tabulate_by_group(plan: ComparisonPlan, comparisons: Sequence[GroupComparison], model: str, seed: int) -> list[Row]:
    """Return the rows of the table ``by_group``, those of everybody first."""
    everybody = plan.pool_predictions()
    overall = [
        tables.row_of_group_metric(model, None, group_metric)
        for metric, target in plan.planned_metrics
        for group_metric in measure_groups(
            everybody, metric, target, size_rules=SampleSizeRules(1, 1), positive=plan.positive
        )
    ]
    return [withheld_tables.clear_pooled_row(row, plan) for row in overall] + [
        row
        for comparison in comparisons
        for row in (
            *(
                tables.row_of_group_metric(model, comparison.grouped.grouping.attribute, group_metric)
                for group_metric in comparison.measured
            ),
            *withheld_tables.rows_of_withheld_groups(model, comparison.grouped, plan),
        )
    ]


def _gap_chapters(single: Sequence[GroupComparison], comparisons: Sequence[GroupComparison]) -> list[ChapterContent]:
    tables_of_chapter = {
        "gaps": _tabulate_gaps(comparisons),
        "dispersion": tables.rows_of_dispersions(list(_measure_dispersions(comparisons))),
    }
    stated = [findings.state_gap(gap) for comparison in single for gap in comparison.stated]
    return [
        ChapterContent("At a glance", computed_from="test", figures=figures.draw_gaps(tables_of_chapter["gaps"])),
        ChapterContent(
            "Gaps",
            stated,
            tables_of_chapter,
            tables.CAPTIONS,
            drawn=() if any(not row["finding"] for row in tables_of_chapter["gaps"]) else ("gaps",),
            computed_from="test",
        ),
    ]


def _tabulate_gaps(comparisons: Sequence[GroupComparison]) -> list[Row]:
    """Return the rows of the table ``gaps``; p-values of findings are corrected for them, of others for all rows."""
    rows = [
        (comparison, gap, bounds)
        for comparison in comparisons
        for gap, bounds in zip(comparison.gaps, comparison.bounds, strict=True)
    ]
    of_findings = [gap for comparison in comparisons for gap in comparison.stated]
    p_findings = dict(zip(map(id, of_findings), correct_p_values(of_findings), strict=True))
    p_rows = correct_p_values([gap for _, gap, _ in rows])
    return [
        tables.row_of_gap(gap, judged=id(gap) in p_findings, p_holm=p_findings.get(id(gap), p_row), bounds=bounds)
        for (_, gap, bounds), p_row in zip(rows, p_rows, strict=True)
    ]


def _measure_dispersions(comparisons: Sequence[GroupComparison]) -> Iterator[tuple[Gap, Dispersion]]:
    for gap in (gap for comparison in comparisons if comparison.grouped.control is None for gap in comparison.gaps):
        if gap.is_share and len(gap.compared) > 2:
            values, effective_n = (
                np.array([getattr(group, name) for group in gap.compared]) for name in ("value", "effective_n")
            )
            yield (
                gap,
                dispersion.measure_dispersion(values, dispersion.rate_variances(values * effective_n, effective_n)),
            )


def _groups_chapter(plan: ComparisonPlan, by_group: Table) -> ChapterContent:
    tables_of_chapter = {"by_group": by_group, "calibration": reliability_table.tabulate_reliability(plan)}
    return ChapterContent(
        "Groups",
        (),
        tables_of_chapter,
        tables.CAPTIONS,
        figures.draw_groups(plan, tables_of_chapter),
        drawn=tuple(tables_of_chapter),
        computed_from="test",
    )


def _state_extremes(comparison: GroupComparison) -> Iterator[Finding]:
    for gap in comparison.stated:
        if gap.is_share and gap.metric.worst:
            yield findings.state_worst_group(gap)
        if gap.metric.name == "selection_rate":
            yield findings.state_ratio(gap)


def _intersections_chapter(plan: ComparisonPlan, crossed: Sequence[GroupComparison]) -> ChapterContent:
    attributes = {grouping.attribute: grouping for grouping in plan.attributes}
    table = [
        row
        for comparison in crossed
        if len(comparison.grouped.grouping.parts) == 2
        for row in withheld_tables.clear_intersections(
            tables.rows_of_intersections(
                comparison.grouped.grouping, attributes, _metrics_in_heatmap(comparison, plan)
            ),
            comparison.grouped.grouping,
            plan,
        )
    ]
    stated = [finding for comparison in crossed for finding in _state_intersection(comparison)]
    tables_of_chapter = {"intersections": table}
    return ChapterContent(
        "Intersections",
        stated,
        tables_of_chapter,
        tables.CAPTIONS,
        figures.draw_intersections(table),
        drawn=tuple(tables_of_chapter),
        computed_from="test",
    )


def _metrics_in_heatmap(comparison: GroupComparison, plan: ComparisonPlan) -> list[GroupMetric]:
    """Return what a heat map shows: metrics of all classes, and of the favourable one where there are two."""
    shown = (None, plan.positive) if len(plan.rows.classes) == 2 else (None,)
    return [
        group_metric
        for group_metric in comparison.measured
        if group_metric.target.positive in shown and METRICS[group_metric.metric].bound is not None
    ]


def _state_intersection(comparison: GroupComparison) -> list[Finding]:
    """Return the gaps that can be measured, or one finding that says why none can."""
    stated = [findings.state_gap(gap) for gap in comparison.stated if gap.value is not None]
    return stated or [findings.state_no_intersection(comparison.gaps[0])]


def _state_missing_values(comparison: GroupComparison, n: int, reason: str) -> Finding:
    if comparison.grouped.grouping.hides:
        return withheld_tables.state_withheld_missing_values(comparison.grouped.grouping.attribute, reason)
    bounded = [
        (gap, bounds)
        for gap, bounds in zip(comparison.gaps, comparison.bounds, strict=True)
        if bounds and any(gap is stated_gap for stated_gap in comparison.stated)
    ]
    return findings.state_missing_values(
        comparison.grouped.grouping.attribute, comparison.grouped.grouping.missing, n, bounded
    )
