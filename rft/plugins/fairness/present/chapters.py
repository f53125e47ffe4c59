"""The chapters of the section, each with its findings, tables and figures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from rft.plugins.fairness.measure.gaps import Gap
from rft.plugins.fairness.measure.group_comparison import Compared
from rft.plugins.fairness.measure.group_metrics import GroupMetric, Limits, measure
from rft.plugins.fairness.measure.permutation_check import self_check
from rft.plugins.fairness.measure.plan import Plan
from rft.plugins.fairness.measure.warning_family import corrected_p_values
from rft.plugins.fairness.present import figures, findings, reliability_table, tables, withheld_tables
from rft.records import Chapter, Figure, Finding, Row, Table
from rft.stats.scores import dispersion
from rft.stats.scores.classification import METRICS
from rft.stats.scores.dispersion import Dispersion


@dataclass(frozen=True)
class Part:
    """A chapter with what it holds; empty tables are left out.

    ``drawn`` names the tables that figures, or the table turned for reading, show already.
    """

    title: str
    findings: Sequence[Finding] = ()
    tables: Mapping[str, Table] = field(default_factory=dict)
    captions: Mapping[str, str] = field(default_factory=dict)
    figures: Sequence[Figure] = ()
    text: Sequence[str] = ()
    drawn: Sequence[str] = ()

    @property
    def empty(self) -> bool:
        """Whether there is nothing to show."""
        return not (self.findings or self.figures or any(self.tables.values()))

    def chapter(self) -> Chapter:
        """Return the chapter, which names what it holds."""
        return Chapter(
            title=self.title,
            text=tuple(self.text),
            findings=tuple(finding.id for finding in self.findings),
            tables=tuple(name for name, table in self.tables.items() if table and name not in self.drawn),
            figures=tuple(figure.id for figure in self.figures),
        )


def parts(plan: Plan, compared: Sequence[Compared], *, model: str, limits: Limits, seed: int) -> list[Part]:
    """Return the chapters about the model itself, in their order.

    Args:
        plan: what is compared.
        compared: the groupings of ``plan.grouped()``.
        model: what the table calls it.
        limits: how many cases are too few.
        seed: of resampling and shuffling.
    """
    single = compared[: len(plan.attributes)]
    crossed = compared[len(single) : len(single) + len(plan.crossed)]
    return [
        *_gaps(single, compared),
        _groups(plan, by_group_rows(plan, compared, model, seed)),
        Part("Worst-off groups and ratios", [finding for own in single for finding in _extremes(own)]),
        _intersections(plan, crossed),
        Part("Missing values", [_missing(own, len(plan.rows), plan.withheld.reason) for own in single]),
        Part(
            "The audit checked",
            [self_check(own.grouped, limits, positive=plan.positive, seed=seed) for own in single],
        ),
    ]


def by_group_rows(plan: Plan, compared: Sequence[Compared], model: str, seed: int) -> list[Row]:
    """Return the rows of the table ``by_group``, those of everybody first."""
    everybody = plan.overall()
    overall = [
        tables.by_group(model, None, each)
        for metric, target in plan.asked
        for each in measure(everybody, metric, target, limits=Limits(1, 1), positive=plan.positive)
    ]
    return [withheld_tables.of_everybody(row, plan) for row in overall] + [
        row
        for own in compared
        for row in (
            *(tables.by_group(model, own.grouped.grouping.attribute, each) for each in own.measured),
            *withheld_tables.by_group(model, own.grouped, plan),
        )
    ]


def _gaps(single: Sequence[Compared], compared: Sequence[Compared]) -> list[Part]:
    made = {"gaps": _gap_rows(compared), "dispersion": tables.dispersions(list(_spreads(compared)))}
    stated = [findings.of_gap(gap) for own in single for gap in own.stated]
    return [
        Part("At a glance", figures=figures.gap_figures(made["gaps"])),
        Part(
            "Gaps",
            stated,
            made,
            tables.CAPTIONS,
            drawn=() if any(not row["finding"] for row in made["gaps"]) else ("gaps",),
        ),
    ]


def _gap_rows(compared: Sequence[Compared]) -> list[Row]:
    """Return the rows of the table ``gaps``; p-values of findings are corrected for them, of others for all rows."""
    rows = [(own, gap, bounds) for own in compared for gap, bounds in zip(own.gaps, own.bounds, strict=True)]
    of_findings = [gap for own in compared for gap in own.stated]
    p_findings = dict(zip(map(id, of_findings), corrected_p_values(of_findings), strict=True))
    p_rows = corrected_p_values([gap for _, gap, _ in rows])
    return [
        tables.gap(gap, judged=id(gap) in p_findings, p_holm=p_findings.get(id(gap), p_row), bounds=bounds)
        for (_, gap, bounds), p_row in zip(rows, p_rows, strict=True)
    ]


def _spreads(compared: Sequence[Compared]) -> Iterator[tuple[Gap, Dispersion]]:
    for gap in (gap for own in compared if own.grouped.control is None for gap in own.gaps):
        if gap.is_share and len(gap.scored) > 2:
            values, worth = (np.array([getattr(group, name) for group in gap.scored]) for name in ("value", "worth"))
            yield gap, dispersion.measure_dispersion(values, dispersion.rate_variances(values * worth, worth))


def _groups(plan: Plan, by_group: Table) -> Part:
    made = {"by_group": by_group, "calibration": reliability_table.table(plan)}
    return Part("Groups", (), made, tables.CAPTIONS, figures.group_figures(plan, made), drawn=tuple(made))


def _extremes(own: Compared) -> Iterator[Finding]:
    for gap in own.stated:
        if gap.is_share and gap.metric.worst:
            yield findings.of_worst(gap)
        if gap.metric.name == "selection_rate":
            yield findings.of_ratio(gap)


def _intersections(plan: Plan, crossed: Sequence[Compared]) -> Part:
    attributes = {grouping.attribute: grouping for grouping in plan.attributes}
    table = [
        row
        for own in crossed
        if len(own.grouped.grouping.parts) == 2
        for row in withheld_tables.intersections(
            tables.intersections(own.grouped.grouping, attributes, _mapped(own, plan)), own.grouped.grouping, plan
        )
    ]
    stated = [finding for own in crossed for finding in _of_intersection(own)]
    made = {"intersections": table}
    return Part("Intersections", stated, made, tables.CAPTIONS, figures.intersection_figures(table), drawn=tuple(made))


def _mapped(own: Compared, plan: Plan) -> list[GroupMetric]:
    """Return what a heat map shows: metrics of all classes, and of the favourable one where there are two."""
    shown = (None, plan.positive) if len(plan.rows.classes) == 2 else (None,)
    return [each for each in own.measured if each.target.positive in shown and METRICS[each.metric].bound is not None]


def _of_intersection(own: Compared) -> list[Finding]:
    """Return the gaps that can be measured, or one finding that says why none can."""
    stated = [findings.of_gap(gap) for gap in own.stated if gap.value is not None]
    return stated or [findings.no_intersection(own.gaps[0])]


def _missing(own: Compared, n: int, reason: str) -> Finding:
    if own.grouped.grouping.hides:
        return withheld_tables.missing(own.grouped.grouping.attribute, reason)
    bounded = [
        (gap, bounds)
        for gap, bounds in zip(own.gaps, own.bounds, strict=True)
        if bounds and any(gap is each for each in own.stated)
    ]
    return findings.of_missing(own.grouped.grouping.attribute, own.grouped.grouping.missing, n, bounded)
