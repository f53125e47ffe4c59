"""What is told of two models on the same people: findings, tables and notes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from rft.plugins.fairness import FairnessOptions
from rft.plugins.fairness.comparison import PAIRED, Change, NoChange, Pair, changes, rows_of_changes, sides
from rft.plugins.fairness.group_metrics import Limits
from rft.plugins.fairness.plan import Plan
from rft.predictions.grouped import Target
from rft.predictions.table import Rows
from rft.records import Figure, Finding, Interval, Row, Section, not_measured
from rft.stats.classification import METRICS, Ratios
from rft.stats.max_t import MAX_T

CAPTIONS = {
    "overall": "Both models on all test examples",
    "changes": "The gap between each pair of groups for both models, and its change with a paired interval that holds "
    "for all pairs of the attribute at once",
    "sides": "How many test examples of each group the second model treats unlike the first",
}


def section(
    before: pd.DataFrame,
    after: pd.DataFrame,
    *,
    classes: Sequence[str],
    positive: str,
    names: tuple[str, str],
    seed: int,
    options: FairnessOptions | None = None,
) -> Section:
    """Return the section; raises ``Unavailable`` without groups.

    Args:
        before, after: predictions of the two models, the same examples in the same order.
        classes, positive: the classes and the favourable one.
        names: what the two are called.
        seed: of resampling.
        options: which attributes, and how many cases are too few; the defaults when None.
    """
    options = options or FairnessOptions()
    plan = Plan.of(before, classes, options, positive)
    pair = Pair(plan.rows, Rows.of(after, classes))
    limits = Limits(options.min_group, options.shown)
    table: list[Row] = []
    findings: list[Finding] = []
    for grouping in plan.attributes:
        for metric in PAIRED:
            target = Target.of(positive if METRICS[metric].of_class else None, classes)
            found = changes(pair, grouping, metric, target, limits=limits, seed=seed)
            table += [] if isinstance(found, NoChange) else rows_of_changes(grouping.attribute, metric, target, found)
            findings.append(_finding(grouping.attribute, metric, found, names))
    return Section(
        plugin="fairness",
        title="Two models on the same people",
        findings=tuple(findings),
        tables={
            "overall": _overall(pair, plan, classes, positive),
            "changes": table,
            "sides": [row for each in plan.attributes for row in sides(pair, each, plan.positive)],
        },
        captions=CAPTIONS,
        figures=(_FIGURE,) if table else (),
        notes=(
            f"A gap is the metric of the first group minus that of the second; a change is the gap of {names[1]} minus "
            f"that of {names[0]}. A change towards 0 narrows the gap. Rates are for {positive}, against all others.",
            f"Compared are {', '.join(METRICS[metric].words for metric in PAIRED)}, by single attributes: metrics that "
            "rest on the same people for both models. The table overall holds those of all test examples.",
            "Pairs of groups are fixed by their names. The largest gap of either model is not compared: which pair is "
            "the largest is itself drawn by chance, and the difference of two such gaps has no interval that holds.",
        ),
    )


def _overall(pair: Pair, plan: Plan, classes: Sequence[str], positive: str) -> list[Row]:
    rows: list[Row] = []
    for metric in PAIRED:
        target = Target.of(positive if METRICS[metric].of_class else None, classes)
        ratios = Ratios.of(METRICS[metric], classes, target.positive)
        before, after = (
            ratios.value(replace(plan, rows=own).overall().confusion[0]) for own in (pair.before, pair.after)
        )
        defined = bool(np.isfinite(before) and np.isfinite(after))
        rows.append(
            {
                "metric": metric,
                "class": target.name,
                "before": float(before) if defined else None,
                "after": float(after) if defined else None,
                "n": len(plan.rows),
            }
        )
    return rows


def _finding(attribute: str, metric: str, found: Sequence[Change] | NoChange, names: tuple[str, str]) -> Finding:
    """Return the change that is the least likely by chance, among all pairs of groups of an attribute."""
    words = METRICS[metric].words
    id, title = (
        f"fairness.change_of_{metric}_gap.{attribute}",
        f"{words[:1].upper()}{words[1:]}: change of the gap by {attribute}",
    )
    if isinstance(found, NoChange):
        meaning = f"How the gaps in {words} between groups by {attribute} differ between the two models."
        return not_measured(id, title, found.reason, meaning)
    clearest = min(found, key=lambda each: (each.p_value, -abs(each.value)))
    apart = not clearest.low <= 0 <= clearest.high
    pairs = f", the clearest change of {len(found)} pairs" if len(found) > 1 else ""
    return Finding(
        id=id,
        title=title,
        status="warn" if apart and abs(clearest.after) > abs(clearest.before) else "info",
        value=clearest.value,
        unit="fraction",
        interval=Interval(
            low=clearest.low, high=clearest.high, method=f"paired simultaneous max-t 95 %, {len(found)} pairs of groups"
        ),
        n=clearest.n,
        meaning=f"In {words}, {clearest.first} minus {clearest.other} is {_signed(clearest.before)} for {names[0]} and "
        f"{_signed(clearest.after)} for {names[1]}{pairs}: {_told(clearest, apart)}",
        references=(MAX_T,),
    )


def _told(change: Change, apart: bool) -> str:
    """Return whether the gap became narrower or wider, and whether chance may have done it."""
    if not apart:
        return "no more than chance can explain."
    moved = "narrower" if abs(change.after) < abs(change.before) else "wider"
    return f"the gap is {moved}, by more than chance explains at 95 %."


def _signed(value: float) -> str:
    return f"{round(value, 3) + 0.0:+.3f}".replace("-", "−").replace("+0.000", "0.000")


_FIGURE = Figure(
    id="fairness_changes",
    kind="dots",
    table="changes",
    encode={"y": "groups", "x": "change", "low": "low", "high": "high", "label": "n", "facet": "metric"},
    options={"reference": 0.0},
    x_label="change of the gap, with 95 % interval",
    title="Change of each gap",
    alt="For each metric, the change of the gap of each pair of groups as a dot with its interval, beside a line at 0.",
)
