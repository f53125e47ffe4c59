"""From the predictions of the frontier's heads to its part of the section: rates, costs, and who bears them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from rft.number_format import format_fixed
from rft.plugins.privacy.chapter import PrivacyChapter
from rft.plugins.privacy.frontier import replicates
from rft.plugins.privacy.frontier.heads import (
    LEAST_SQUARES,
    MIN_EXAMPLES_FOR_RATE,
    SGD,
    WITHOUT,
    HeadCondition,
    JudgedHeads,
)
from rft.plugins.privacy.frontier.replicates import Estimate
from rft.records import About, Adjusted, Figure, Finding, FindingDefinition, Interval, Row, Table, lines_figure
from rft.references import AGRESTI_MIN, BAGDASARYAN, MEHTA, SEARLE
from rft.stats import multiplicity
from rft.stats.intervals import CONFIDENCE_LEVEL, size_interval

OK, TOO_FEW = "ok", "too few"


CAPTIONS = {
    "frontier": "Rates on test of heads trained at each epsilon, with 95 % intervals that cover the randomness of "
    "training and the choice of test units. No replicate: the mean over heads. Spent: what the heads' noise spends, "
    "which can be under the epsilon asked for. TPR is a share of examples with the favourable label, FPR of "
    "the others.",
    "frontier_accuracy": "Accuracy on test of heads trained at each epsilon, the mean over replicates; heads without "
    "privacy stand beside each epsilon.",
    "frontier_cost": "Accuracy of the heads without privacy minus that of private ones, on the same test examples, "
    "over all and within each group.",
}
COST_DESCRIPTION = (
    "Accuracy on test that privacy costs at epsilon {epsilon:g}, the epsilon of the frontier that is nearest to the "
    "released model's: {without} without privacy, {private} with it, each the mean of {heads} heads."
)
GAP_DESCRIPTION = (
    "At epsilon {epsilon:g} privacy costs {first} {high} of its accuracy and {last} {low}; the difference is "
    "that between {which}."
)
MORE = " More than chance explains: privacy costs {first} more."
LIMITS = "Heads trained for this comparison, not the released model. Measured on test without noise."
BIASED = "No interval is given for more than two groups, and the largest of many differences is biased upward."
ONE_HEAD = "One replicate shows no variance of training: there is no interval."
CHAPTER = "What privacy costs, and whom"
COST = FindingDefinition(
    "privacy.accuracy_cost",
    "Accuracy that privacy costs",
    "What accuracy on test privacy costs, from heads at several epsilons beside heads without privacy.",
    unit="fraction",
    caveats=LIMITS,
    references=(SEARLE, AGRESTI_MIN),
    better="lower",
)


def explain_missing_frontier(reason: str) -> PrivacyChapter:
    """Return what is said of a frontier that was asked for and could not be made."""
    return PrivacyChapter(CHAPTER, findings=(COST.state_not_measured(reason),), computed_from="train")


def present_frontier(judged: JudgedHeads, epsilon: float, refusal: str = "") -> PrivacyChapter:
    """Return findings, tables and figures.

    Args:
        judged: the heads.
        epsilon: of the released model.
        refusal: why some heads were not trained, empty where all were.
    """
    arm = judged.nearest_condition(epsilon)
    return PrivacyChapter(
        CHAPTER,
        findings=(
            _cost_finding(judged, arm),
            *(_cost_gap_finding(judged, arm, attribute) for attribute in judged.groups),
        ),
        tables={
            "frontier_accuracy": _accuracy_curve(judged),
            "frontier_cost": _cost_table(judged),
            "frontier": [row for condition in judged.conditions for row in _rate_rows(judged, condition)],
        },
        captions=CAPTIONS,
        figures=tuple(_frontier_figures(judged)),
        text=(_describe_frontier(judged), *([f"The frontier is not complete: {refusal}"] if refusal else [])),
        computed_from="train",
    )


def _rate_rows(judged: JudgedHeads, arm: HeadCondition) -> Table:
    """Return the means over heads for all examples and each group, and each head's own rates on all examples."""
    table: Table = []
    for metric, (hits, base) in judged.metric_counts(arm).items():
        for attribute, group, mask in judged.group_masks():
            estimate, status = _estimate_rate(hits, base & mask, judged.units, metric)
            n = int((base & mask).sum())
            if group is None and _is_withheld(judged, metric):
                table.append(_rate_row(arm, None, None, None, metric, None, None, judged.withheld.reason))
                continue
            table.append(_rate_row(arm, None, attribute, group, metric, estimate, n, status))
        if _is_withheld(judged, metric):
            continue
        for number, head in enumerate(hits[:, base], start=1):
            alone = Estimate(float(head.mean()), None) if len(head) else None
            table.append(_rate_row(arm, number, None, None, metric, alone, len(head), OK if len(head) else TOO_FEW))
    return table


def _is_withheld(judged: JudgedHeads, metric: str) -> bool:
    """Whether a rate of all examples rests on those of a class that is withheld."""
    return metric in ("tpr", "fpr") and bool(judged.withheld.classes_of("test"))


def _rate_row(
    arm: HeadCondition,
    replicate: int | None,
    attribute: str | None,
    group: str | None,
    metric: str,
    estimate: Estimate | None,
    n: int | None,
    status: str,
) -> Row:
    return {
        "method": arm.method,
        "epsilon": arm.epsilon,
        "replicate": replicate,
        "attribute": attribute,
        "group": group,
        "metric": metric,
        **_estimate_cells(estimate),
        "n": n,
        "status": status,
        "spent": arm.spent,
    }


def _estimate_rate(hits: np.ndarray, mask: np.ndarray, units: np.ndarray, metric: str) -> tuple[Estimate | None, str]:
    """Return the share of hits among some examples, or None and why there is none."""
    n = int(mask.sum())
    if n < MIN_EXAMPLES_FOR_RATE:
        absent = {"tpr": "positives", "fpr": "negatives"}.get(metric)
        return None, f"undefined: no {absent}" if absent and not n else TOO_FEW
    return replicates.rate_over_heads(hits[:, mask], units[mask]), OK


def _estimate_cells(estimate: Estimate | None) -> Row:
    ends = estimate.interval if estimate else None
    return {
        "value": estimate.value if estimate else None,
        "low": ends.low if ends else None,
        "high": ends.high if ends else None,
    }


def _accuracy_curve(judged: JudgedHeads) -> Table:
    """Return overall accuracies by method and epsilon, for the figure: those without privacy beside each epsilon."""
    table: Table = []
    for arm in judged.private:
        numbers = _estimate_cells(replicates.rate_over_heads(judged.correct_predictions(arm), judged.units))
        table.append({"method": arm.method, "epsilon": arm.epsilon, **numbers})
    numbers = _estimate_cells(replicates.rate_over_heads(judged.correct_predictions(judged.without), judged.units))
    epsilons = sorted({arm.epsilon for arm in judged.private if arm.epsilon is not None})
    return table + [{"method": WITHOUT, "epsilon": epsilon, **numbers} for epsilon in epsilons]


def _cost_table(judged: JudgedHeads) -> Table:
    table: Table = []
    for arm in judged.private:
        for attribute, group, mask in judged.group_masks():
            n = int(mask.sum())
            cost = judged.accuracy_cost(arm, mask) if n >= MIN_EXAMPLES_FOR_RATE else None
            about: Row = {"method": arm.method, "epsilon": arm.epsilon, "attribute": attribute, "group": group}
            table.append(about | _estimate_cells(cost) | {"n": n, "status": OK if cost else TOO_FEW})
    return table


def _cost_finding(judged: JudgedHeads, arm: HeadCondition) -> Finding:
    everybody = np.ones(len(judged.labels), dtype=bool)
    cost = judged.accuracy_cost(arm, everybody)
    heads = len(arm.predictions)
    return COST.state_estimate(
        cost.value,
        interval=cost.interval,
        adjusted=_adjusted_intervals(lambda level: judged.accuracy_cost(arm, everybody, level=level).interval),
        n=len(np.unique(judged.units)),
        description=COST_DESCRIPTION.format(
            epsilon=arm.epsilon,
            without=format_fixed(judged.correct_predictions(judged.without).mean(), 3),
            private=format_fixed(judged.correct_predictions(arm).mean(), 3),
            heads=heads,
        ),
        caveats=ONE_HEAD if heads == 1 else "",
    )


def _cost_gap_finding(judged: JudgedHeads, arm: HeadCondition, attribute: str) -> Finding:
    """Return whom privacy costs most: the largest difference of costs between groups of one attribute."""
    definition = FindingDefinition(
        f"privacy.accuracy_cost_gap.{attribute}",
        f"Difference of the cost between groups by {attribute}",
        f"Whether privacy costs groups by {attribute} alike.",
        unit="fraction",
        about=About(attributes=(attribute,)),
        caveats=LIMITS,
        references=(BAGDASARYAN, SEARLE, AGRESTI_MIN),
        better="lower",
    )
    scored = [(name, mask) for name, mask in judged.attribute_masks(attribute) if mask.sum() >= MIN_EXAMPLES_FOR_RATE]
    if len(scored) < 2:
        reason = f"fewer than two groups by {attribute} have {MIN_EXAMPLES_FOR_RATE} test examples"
        return definition.state_not_measured(reason)
    costs = sorted(((judged.accuracy_cost(arm, mask).value, name) for name, mask in scored), reverse=True)
    (high, first), (low, last) = costs[0], costs[-1]

    def interval_at(level: float) -> Interval | None:
        return (
            _cost_gap_interval(judged, arm, dict(scored)[first], dict(scored)[last], level)
            if len(scored) == 2
            else None
        )

    interval = interval_at(CONFIDENCE_LEVEL)
    more = interval is not None and interval.low > 0
    which = "the two" if len(scored) == 2 else f"the most and the least of {len(scored)} groups by {attribute}"
    description = GAP_DESCRIPTION.format(
        epsilon=arm.epsilon,
        first=first,
        high=format_fixed(high, 3),
        last=last,
        low=format_fixed(low, 3),
        which=which,
    )
    return definition.state_estimate(
        high - low,
        interval=interval,
        adjusted=_adjusted_intervals(interval_at),
        n=int(sum(len(np.unique(judged.units[mask])) for _, mask in scored)),
        status="warn" if more else "info",
        description=description + (MORE.format(first=first) if more else ""),
        caveats=" ".join([*([BIASED] if len(scored) > 2 else []), *_list_left_out(judged, attribute)]),
    )


def _list_left_out(judged: JudgedHeads, attribute: str) -> list[str]:
    few = [
        f"{name} (n = {mask.sum()})"
        for name, mask in judged.attribute_masks(attribute)
        if mask.sum() < MIN_EXAMPLES_FOR_RATE
    ]
    hides = judged.withheld.hides_groups_of(attribute)  # then examples without a value are not counted
    missing = 0 if hides else sum(value is None for value in judged.groups[attribute])
    return [
        *([f"Left out, with fewer than {MIN_EXAMPLES_FOR_RATE} test examples: {', '.join(few)}."] if few else []),
        *([f"{missing} test examples without a value of {attribute} are left out."] if missing else []),
    ]


def _adjusted_intervals(interval_at: Callable[[float], Interval | None]) -> tuple[Adjusted, ...]:
    """Return the intervals at each level; empty where there is none."""
    intervals = [interval for level in multiplicity.ADJUSTED_LEVELS if (interval := interval_at(level)) is not None]
    return multiplicity.adjusted_from_levels(intervals) if intervals else ()


def _cost_gap_interval(
    judged: JudgedHeads, arm: HeadCondition, first: np.ndarray, last: np.ndarray, level: float
) -> Interval | None:
    """Return the interval of how far apart the costs of two groups are, whichever is the higher."""
    either = first | last
    pair = (judged.correct_predictions(judged.without)[:, either], judged.correct_predictions(arm)[:, either])
    difference = replicates.difference_of_differences(*pair, first[either], judged.units[either], level=level).interval
    return size_interval(difference) if difference is not None else None


def _frontier_figures(judged: JudgedHeads) -> Iterator[Figure]:
    method = judged.private[0].method
    yield lines_figure(
        id="frontier",
        lead=True,
        table="frontier_accuracy",
        x="epsilon",
        y="value",
        low="low",
        high="high",
        series="method",
        x_scale="log",
        x_label="epsilon",
        y_label="accuracy on test",
        title="What privacy costs",
        alt="Accuracy against epsilon, for each method of private training and without privacy, with intervals.",
    )
    for attribute in judged.groups:
        of_attribute: Row = {"attribute": attribute, "method": method}
        yield lines_figure(
            id=f"frontier_{attribute}",
            table="frontier",
            x="epsilon",
            y="value",
            low="low",
            high="high",
            series="group",
            where=of_attribute | {"metric": "accuracy", "replicate": None},
            x_scale="log",
            x_label="epsilon",
            y_label="accuracy on test",
            title=f"Accuracy of groups by {attribute}",
            alt=f"Accuracy of each group by {attribute} against epsilon, with intervals.",
        )
        yield lines_figure(
            id=f"frontier_cost_{attribute}",
            table="frontier_cost",
            x="epsilon",
            y="value",
            low="low",
            high="high",
            series="group",
            where=of_attribute,
            x_scale="log",
            x_label="epsilon",
            y_label="accuracy lost to privacy",
            title=f"Whom privacy costs, by {attribute}",
            alt=f"Accuracy that each group by {attribute} loses to privacy against epsilon, with intervals.",
        )


def _describe_frontier(judged: JudgedHeads) -> str:
    heads = len(judged.without.predictions)
    private = len(judged.private) * heads
    both = LEAST_SQUARES in {arm.method for arm in judged.private} and SGD in {arm.method for arm in judged.private}
    beside = (
        f" Under an epsilon of 1 one noised sum can do better than many noised steps ({MEHTA}): both are shown, and "
        "which of the two is released stands in the config."
        if both
        else ""
    )
    return (
        f"The frontier has {private} private heads, {heads} at each epsilon, each with a sample and noise of its own, "
        f"and {heads} heads without privacy on the same features. The released epsilon is the one in the config; who "
        "chooses another by these curves looks at the test examples, and at heads without privacy, which no epsilon "
        f"covers.{beside}"
    )
