"""From predictions to the section: measure, compare, check the audit itself, arrange it in chapters. Test rows only."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from rft import intervals
from rft.errors import Unavailable
from rft.plugins import Subject
from rft.plugins.fairness import FairnessOptions, dispersion, figures, findings, missing, reliability, tables
from rft.plugins.fairness.dispersion import Dispersion
from rft.plugins.fairness.gaps import Gap, compare
from rft.plugins.fairness.group_metrics import GroupMetric, Limits, measure
from rft.plugins.fairness.grouped import GroupedRows
from rft.plugins.fairness.legal import check_attributes
from rft.plugins.fairness.legal.build import Legal
from rft.plugins.fairness.legal.build import build as build_legal
from rft.plugins.fairness.metrics import METRICS, Ratios
from rft.plugins.fairness.missing import GapBounds
from rft.plugins.fairness.plan import Plan
from rft.plugins.fairness.self_check import self_check
from rft.plugins.fairness.simultaneous import holm
from rft.records import Chapter, Figure, Finding, Row, Section, Table

SPLIT = "test"


def audit(subject: Subject, options: FairnessOptions, *, positive: str) -> Section:
    """Return the section; raises ``Unavailable`` without test rows, groups, or a prediction for every row."""
    frame = subject.predictions[subject.predictions["split"] == SPLIT].reset_index(drop=True)
    if frame.empty:
        raise Unavailable("the predictions hold no rows of the split test")
    columns = [str(name) for name in frame]
    check_attributes(options.ll144, [name.removeprefix("group_") for name in columns if name.startswith("group_")])
    plan = Plan.of(frame, subject.facts.classes, options, positive)
    limits = Limits(options.min_group, options.min_shown)
    model = "external" if subject.facts.training.mode == "external" else "fine-tuned"
    compared = [Compared.of(grouped, plan, limits, subject.seed) for grouped in plan.grouped()]
    made = _tables(plan, compared, model, subject.seed)
    legal = build_legal(
        plan.rows,
        [*plan.attributes, *plan.crossed],
        plan.positive,
        tables=options.tables,
        ll144_options=options.ll144,
        min_group=options.min_group,
    )
    parts = _parts(plan, compared, made, limits, subject.seed, legal)
    return Section(
        plugin="fairness",
        title="Fairness",
        findings=tuple(finding for part in parts for finding in part.findings),
        tables=made | dict(legal.tables),
        captions=tables.CAPTIONS | dict(legal.captions),
        figures=tuple(figure for part in parts for figure in part.figures),
        notes=_notes(plan, positive, options),
        chapters=tuple(part.chapter() for part in parts if part.findings or part.figures or part.tables),
    )


@dataclass(frozen=True)
class _Part:
    """A chapter with what it holds."""

    title: str
    findings: Sequence[Finding] = ()
    figures: Sequence[Figure] = ()
    tables: Sequence[str] = ()
    text: Sequence[str] = ()

    def chapter(self) -> Chapter:
        """Return the chapter, which names what it holds."""
        return Chapter(
            title=self.title,
            text=tuple(self.text),
            findings=tuple(finding.id for finding in self.findings),
            figures=figures.ids(self.figures),
            tables=tuple(self.tables),
        )


@dataclass(frozen=True)
class Compared:
    """One grouping of the rows with every metric of its groups, and the gap in each.

    Attributes:
        grouped: the rows by group.
        measured: every metric of every group, in the order of the plan.
        gaps: one for each metric that was asked for.
        bounds: for each gap the least and the largest that rows without a group allow; None where there are none.
    """

    grouped: GroupedRows
    measured: tuple[GroupMetric, ...]
    gaps: tuple[Gap, ...]
    bounds: tuple[GapBounds | None, ...]

    @classmethod
    def of(cls, grouped: GroupedRows, plan: Plan, limits: Limits, seed: int) -> Compared:
        """Measure and compare. Rules may name the gaps of all classes and of the favourable one, outside a control."""
        measured, gaps = [], []
        for metric, target in plan.asked:
            own = measure(grouped, metric, target, limits=limits, positive=plan.positive, seed=seed)
            verdicts = grouped.control is None and target.positive in (None, plan.positive)
            measured += own
            gaps.append(compare(grouped, metric, target, own, seed=seed, verdicts=verdicts))
        return cls(grouped, tuple(measured), tuple(gaps), tuple(_bounds(grouped, gap) for gap in gaps))

    def stated(self, plan: Plan) -> list[Gap]:
        """Return the gaps that become findings: of all classes, of the favourable one, and of the mean over classes."""
        if self.grouped.control is not None:
            return []
        return [gap for gap in self.gaps if gap.target.positive in (None, plan.positive)]


def _bounds(grouped: GroupedRows, gap: Gap) -> GapBounds | None:
    """Return what a gap of shares may be, whatever group the rows without one belong to."""
    if gap.value is None or not gap.is_share or not grouped.grouping.missing or grouped.control is not None:
        return None
    ratios = Ratios.of(gap.metric, grouped.rows.classes, gap.target.positive)
    unknown = grouped.rows.where(grouped.grouping.codes < 0)
    hits, cases = (int(part.sum()) for part in ratios.of_rows(unknown.labels, unknown.predictions))
    chosen = [grouped.names.index(group.group) for group in gap.scored if group.group is not None]
    known_hits, known_cases = (part[chosen, 0] for part in ratios.counts(grouped.confusion))
    return missing.gap_bounds(known_hits, known_cases, hits, cases)


def _by_group(plan: Plan, compared: Sequence[Compared], model: str, seed: int) -> list[Row]:
    everybody = plan.overall()
    overall = [
        each
        for metric, target in plan.asked
        for each in measure(everybody, metric, target, limits=Limits(1, 1), positive=plan.positive, seed=seed)
    ]
    rows = [tables.by_group(model, None, each) for each in overall]
    return rows + [
        tables.by_group(model, own.grouped.grouping.attribute, each) for own in compared for each in own.measured
    ]


def _gap_rows(plan: Plan, compared: Sequence[Compared]) -> list[Row]:
    """Return the rows of the table ``gaps``, with p-values corrected for all of them."""
    found = [(own, gap, bounds) for own in compared for gap, bounds in zip(own.gaps, own.bounds, strict=True)]
    adjusted = iter(holm([gap.p_value for _, gap, _ in found if gap.p_value is not None]))
    return [
        tables.gap(
            gap,
            judged=gap in own.stated(plan),
            p_holm=None if gap.p_value is None else next(adjusted),
            bounds=bounds,
        )
        for own, gap, bounds in found
    ]


def _spreads(compared: Sequence[Compared]) -> Iterator[tuple[Gap, Dispersion]]:
    for gap in (gap for own in compared if own.grouped.control is None for gap in own.gaps):
        if gap.is_share and len(gap.scored) > 2:
            values, worth = (np.array([getattr(group, name) for group in gap.scored]) for name in ("value", "worth"))
            yield gap, dispersion.dispersion(values, dispersion.rate_variances(values * worth, worth))


def _tables(plan: Plan, compared: Sequence[Compared], model: str, seed: int) -> dict[str, Table]:
    attributes = {grouping.attribute: grouping for grouping in plan.attributes}
    return {
        "by_group": _by_group(plan, compared, model, seed),
        "gaps": _gap_rows(plan, compared),
        "dispersion": tables.dispersions(list(_spreads(compared))),
        "calibration": reliability.table(plan),
        "intersections": [
            row
            for own in compared
            if len(own.grouped.grouping.parts) == 2
            for row in tables.intersections(own.grouped.grouping, attributes, _mapped(own, plan))
        ],
    }


def _mapped(own: Compared, plan: Plan) -> list[GroupMetric]:
    """Return what a heat map shows: metrics of all classes, and of the favourable one where there are two."""
    shown = (None, plan.positive) if len(plan.rows.classes) == 2 else (None,)
    return [each for each in own.measured if each.target.positive in shown and METRICS[each.metric].bound is not None]


def _parts(
    plan: Plan,
    compared: Sequence[Compared],
    made: Mapping[str, Table],
    limits: Limits,
    seed: int,
    legal: Legal,
) -> list[_Part]:
    """Return the chapters in their order."""
    single = compared[: len(plan.attributes)]
    crossed = compared[len(single) : len(single) + len(plan.crossed)]
    checks = [self_check(own.grouped, limits, positive=plan.positive, seed=seed) for own in single]
    return [
        _Part(
            "Gaps",
            [findings.of_gap(gap) for own in single for gap in own.stated(plan)],
            figures.gap_figures(made),
            ("gaps", "dispersion"),
        ),
        _Part("Groups", figures=figures.group_figures(plan, made), tables=("by_group", "calibration")),
        _Part("Worst-off groups and ratios", [finding for own in single for finding in _extremes(own, plan)]),
        _Part(
            "Intersections",
            [finding for own in crossed for finding in _of_intersection(own, plan)],
            figures.intersection_figures(made),
            ("intersections",) if made["intersections"] else (),
        ),
        _Part("Missing values", [_missing_finding(own, plan) for own in single]),
        _Part("The audit checked", checks),
        _Part("Legal tables", legal.findings, tables=list(legal.tables), text=legal.notes),
    ]


def _extremes(own: Compared, plan: Plan) -> Iterator[Finding]:
    for gap in own.stated(plan):
        if gap.is_share and gap.metric.worst:
            yield findings.of_worst(gap)
        if gap.metric.name == "selection_rate":
            yield findings.of_ratio(gap)


def _of_intersection(own: Compared, plan: Plan) -> list[Finding]:
    """Return the gaps that can be measured, or one finding that says why none can."""
    stated = [gap for gap in own.stated(plan) if gap.value is not None]
    return [findings.of_gap(gap) for gap in stated] or [findings.no_intersection(own.gaps[0])]


def _missing_finding(own: Compared, plan: Plan) -> Finding:
    stated = own.stated(plan)
    bounded = [(gap, bounds) for gap, bounds in zip(own.gaps, own.bounds, strict=True) if bounds and gap in stated]
    return findings.of_missing(own.grouped.grouping.attribute, own.grouped.grouping.missing, len(plan.rows), bounded)


def _notes(plan: Plan, positive: str, options: FairnessOptions) -> tuple[str, ...]:
    repeats = plan.rows.units is not None
    units = (
        f" Rows of one unit are not independent: {intervals.KISH}, and units are what is resampled." if repeats else ""
    )
    return (
        f"Rates are for the favourable class {positive}, against all others. Groups with fewer than "
        f"{options.min_group} test {'units' if repeats else 'examples'} are too few to tell: they are shown and not "
        f"compared. With fewer than {options.min_shown}, a group or the cases of a metric in it have no number at all.",
        "An interval for two groups is Newcombe's, for more that of the largest gap among all pairs. Each holds at "
        "95 % by itself; where rules judge several, their intervals are wider. Of the p-values in the table, those "
        f"named p_holm allow for the number of its rows.{units}",
        *plan.omitted,
    )
