"""What is told of two models on the same people: findings, tables and notes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from rft.errors import Unavailable
from rft.plugins import RunPair
from rft.plugins.chapter_content import ChapterContent
from rft.plugins.fairness import FairnessOptions
from rft.plugins.fairness.measure.group_metrics import SampleSizeRules
from rft.plugins.fairness.measure.plan import ComparisonPlan
from rft.plugins.fairness.paired.change import (
    PAIRED,
    GapChange,
    PairedChanges,
    PairedPredictions,
    count_changed_decisions,
    measure_changes,
    rows_of_changes,
)
from rft.plugins.fairness.present import withheld_tables
from rft.plugins.fairness.present.columns import COLUMNS
from rft.predictions.grouped import ClassTarget
from rft.predictions.table import PredictionArrays
from rft.records import (
    About,
    Adjusted,
    Finding,
    FindingDefinition,
    Interval,
    NotMeasured,
    Row,
    Section,
    dots_figure,
    select_columns,
)
from rft.references import WESTFALL_YOUNG
from rft.stats import multiplicity
from rft.stats.scores.classification import METRICS, Ratios

CAPTIONS = {
    "overall": "Both models on all test examples",
    "changes": "The gap between each pair of groups for both models, and how its size changed, with a paired interval "
    "that holds for all pairs of the attribute at once. Sides: whether the other group is the higher one now",
    "sides": "How many test examples of each group the second model treats unlike the first",
}


def compare_models(runs: RunPair, *, verdicts: bool = False) -> Section:
    """Return ``describe_changes`` as a section, by the stricter ``min_group_size`` of the runs.

    Raises:
        Unavailable: there are no groups.
    """
    content = describe_changes(runs, FairnessOptions(min_group_size=_join_group_sizes(runs)), verdicts=verdicts)
    return Section(
        plugin="fairness",
        title=content.title,
        findings=tuple(content.findings),
        tables=dict(content.tables),
        columns=select_columns(COLUMNS, content.tables),
        captions=dict(content.captions),
        figures=tuple(content.figures),
        notes=tuple(content.text),
    )


def _join_group_sizes(runs: RunPair) -> int:
    """Return the largest of the bounds below which the runs compared no group; the default where one says nothing."""
    default = FairnessOptions().min_group_size
    tables = [config.get("fairness") for config in runs.configs]
    sizes = [table.get("min_group_size", default) if isinstance(table, dict) else default for table in tables]
    return max((size for size in sizes if isinstance(size, int)), default=default)


def describe_changes(runs: RunPair, options: FairnessOptions, *, verdicts: bool = False) -> ChapterContent:
    """Return how the gaps changed between two models; raises ``Unavailable`` without groups.

    Args:
        runs: the predictions of the two models.
        options: which attributes, and how many cases are too few.
        verdicts: whether rules may judge the findings, which takes intervals at stricter levels.
    """
    classes, positive, names = runs.classes, runs.positive, runs.names
    if positive is None:
        raise Unavailable("the runs name no favourable class (data.positive), so their gaps have no direction")
    plan = ComparisonPlan.from_frame(runs.before, classes, options, positive, runs.withheld)
    pair = PairedPredictions(plan.rows, PredictionArrays.from_frame(runs.after, classes))
    size_rules = SampleSizeRules(options.min_group_size, options.reported_size)
    table: list[Row] = []
    findings: list[Finding] = []
    for grouping in plan.attributes:
        for metric in PAIRED:
            target = ClassTarget.from_class(positive if METRICS[metric].of_class else None, classes)
            levels = multiplicity.ADJUSTED_LEVELS if verdicts else multiplicity.ADJUSTED_LEVELS[:1]
            paired = measure_changes(
                pair, grouping, metric, target, size_rules=size_rules, seed=runs.seed, levels=levels
            )
            if isinstance(paired, PairedChanges):
                table += rows_of_changes(grouping.attribute, metric, target, paired.changes)
            findings.append(_state_change(_about_change(grouping.attribute, metric, plan), paired, names))
    return ChapterContent(
        title="Two models on the same people",
        findings=tuple(findings),
        tables={
            "overall": _tabulate_overall(pair, plan, classes, positive),
            "changes": table,
            "sides": _tabulate_changed_decisions(pair, plan),
        },
        captions=CAPTIONS,
        figures=(_FIGURE,) if table else (),
        text=_write_notes(positive, names),
    )


def _tabulate_changed_decisions(pair: PairedPredictions, plan: ComparisonPlan) -> list[Row]:
    rows: list[Row] = []
    for grouping in plan.attributes:
        changed = list(count_changed_decisions(pair, grouping, plan.positive))
        rows += withheld_tables.clear_decision_changes(changed, grouping, plan)
    return rows


def _write_notes(positive: str, names: tuple[str, str]) -> tuple[str, ...]:
    return (
        f"A gap is the metric of the first group minus that of the second; its change is its size for {names[1]} "
        f"minus its size for {names[0]}: below 0 where it narrows, whichever group is ahead. Rates are for "
        f"{positive}, against all others.",
        f"Compared are {', '.join(METRICS[metric].label for metric in PAIRED)}, by single attributes: metrics that "
        "rest on the same people for both models. The table overall holds those of all test examples.",
        "Pairs of groups are fixed by their names. The largest gap of either model is not compared: which pair is "
        "the largest is itself drawn by chance, and the difference of two such gaps has no interval that holds.",
    )


def _tabulate_overall(
    pair: PairedPredictions, plan: ComparisonPlan, classes: Sequence[str], positive: str
) -> list[Row]:
    rows: list[Row] = []
    for metric in PAIRED:
        target = ClassTarget.from_class(positive if METRICS[metric].of_class else None, classes)
        ratios = Ratios.from_metric(METRICS[metric], classes, target.positive)
        before, after = (
            ratios.metric_value(replace(plan, rows=predictions).pool_predictions().confusion[0])
            for predictions in (pair.before, pair.after)
        )
        hidden = withheld_tables.rests_on_withheld_class(metric, target.name, plan)
        defined = bool(np.isfinite(before) and np.isfinite(after)) and not hidden
        rows.append(
            {
                "metric": metric,
                "class": target.name,
                "before": float(before) if defined else None,
                "after": float(after) if defined else None,
                "n": plan.rows.n,
            }
        )
    return rows


def _about_change(attribute: str, metric: str, plan: ComparisonPlan) -> About:
    single_classes = METRICS[metric].list_single_classes(plan.rows.classes, plan.positive)
    return About(attributes=(attribute,), metric=metric, classes=single_classes)


def _state_change(about: About, paired: PairedChanges | NotMeasured, names: tuple[str, str]) -> Finding:
    """Return the change of the gap that widened most, among all pairs of groups of an attribute."""
    (attribute,), metric = about.attributes, about.metric or ""
    words = METRICS[metric].label
    definition = FindingDefinition(
        f"fairness.change_of_{metric}_gap.{attribute}",
        f"{words[:1].upper()}{words[1:]}: change of the gap by {attribute}",
        f"How the gaps in {words} between groups by {attribute} differ between the two models.",
        unit="fraction",
        about=About(attributes=(attribute,), metric=metric),
        references=(WESTFALL_YOUNG,),
        better="lower",
    )
    if isinstance(paired, NotMeasured):
        return definition.state_not_measured(paired.reason)
    widest = max(paired.changes, key=lambda change: (change.value, -change.p_value))
    intervals = _intervals_of_largest(paired.changes)
    return definition.state_estimate(
        widest.value,
        interval=intervals[0],
        adjusted=_judging_intervals(intervals, paired.small_groups),
        n=widest.n,
        small_groups=paired.small_groups,
        status="warn" if intervals[0].low > 0 else "info",
        description=_describe_change(widest, words, names, pairs=len(paired.changes)),
        caveats=" ".join(filter(None, (_of_which_pair(len(paired.changes)), _left_out(paired.small_groups)))),
    )


def _intervals_of_largest(compared: Sequence[GapChange]) -> list[Interval]:
    """Return intervals of the largest true change: where all pairs are held, it lies between the largest ends."""
    return [
        at_level[0].model_copy(
            update={
                "low": max(interval.low for interval in at_level),
                "high": max(interval.high for interval in at_level),
            }
        )
        for at_level in zip(*(change.intervals for change in compared), strict=True)
    ]


def _judging_intervals(intervals: Sequence[Interval], small_groups: Sequence[str]) -> tuple[Adjusted, ...]:
    """Return the intervals for verdicts; a group that is too small to be compared may have changed by anything."""
    if len(intervals) < len(multiplicity.ADJUSTED_LEVELS):
        return ()
    return multiplicity.adjusted_from_levels(
        [interval.model_copy(update={"high": 1.0}) if small_groups else interval for interval in intervals]
    )


def _left_out(small_groups: Sequence[str]) -> str:
    return f"Too small to be compared: {', '.join(small_groups)}." if small_groups else ""


def _of_which_pair(pairs: int) -> str:
    return "The interval is that of the largest change of any pair, which may be another one." if pairs > 1 else ""


def _describe_change(change: GapChange, words: str, names: tuple[str, str], *, pairs: int) -> str:
    """Return both gaps, whether the gap became narrower or wider, and whether it changed sides."""
    among = f", the pair of {pairs} whose gap grew most or shrank least" if pairs > 1 else ""
    gaps = (
        f"In {words}, {change.first} minus {change.second} is {_format_signed(change.before)} for {names[0]} and "
        f"{_format_signed(change.after)} for {names[1]}{among}"
    )
    higher = change.first if change.after > 0 else change.second
    side = f" It changed sides: {higher} has the higher one now." if change.reversed else ""
    if change.interval.low <= 0 <= change.interval.high:
        return f"{gaps}: its size changed by no more than chance can explain.{side}"
    moved = "narrower" if change.value < 0 else "wider"
    return f"{gaps}: the gap is {moved}, by more than chance explains at 95 %.{side}"


def _format_signed(value: float) -> str:
    return f"{round(value, 3) + 0.0:+.3f}".replace("-", "−").replace("+0.000", "0.000")


_FIGURE = dots_figure(
    id="fairness_changes",
    lead=True,
    table="changes",
    y="groups",
    x="change",
    low="low",
    high="high",
    label="n",
    facet="metric",
    reference=0.0,
    x_label="change of the size of the gap, with 95 % interval",
    title="Change of each gap",
    alt="For each metric, how the size of the gap of each pair of groups changed, as a dot with its interval, beside a "
    "line at 0.",
)
