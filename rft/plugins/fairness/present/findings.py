"""What the section states, in words: gaps, the ratio of the extremes, the worst group, and missing values."""

from __future__ import annotations

from collections.abc import Sequence

from rft import number_format
from rft.data.remarks import cut_list
from rft.plugins.fairness.measure.gaps import Gap
from rft.plugins.fairness.measure.group_metrics import INCONCLUSIVE, TOO_FEW, GroupMetric, detail_status
from rft.plugins.fairness.measure.small_groups import (
    GroupRate,
    judge_ratio,
    ratio_interval_of_rates,
    worst_rate_interval,
)
from rft.plugins.fairness.present.metric_labels import define_metric, metric_id, metric_label
from rft.records import About, Adjusted, Finding, FindingDefinition, Interval
from rft.references import CLOPPER_PEARSON, WESTFALL_YOUNG
from rft.stats import intervals, multiplicity
from rft.stats.gaps import rate_difference, rate_ratio
from rft.stats.gaps.partial_identification import GapBounds
from rft.stats.gaps.small import SMALL_GAP

GAP_REMEDY = (
    "Look at the examples of the groups that are worse off: are they few, mislabelled, of poorer quality? "
    "Mend that, and have the model trained again."
)
SMALL = f"but small: below {SMALL_GAP:g}, and no rate or its rest less than four fifths of the other"
NO_INTERVAL = "No method used here gives an interval of this gap that holds, so no rule can be settled by it."


def state_gap(gap: Gap) -> Finding:
    """Return the finding ``fairness.<metric>_gap.<attribute>``."""
    definition = FindingDefinition(
        f"fairness.{metric_id(gap)}_gap.{gap.attribute}",
        f"{_capitalize(metric_label(gap))}: gap by {gap.attribute}",
        f"How far apart groups by {gap.attribute} are in {metric_label(gap)}: {define_metric(gap)}.",
        unit="fraction" if gap.metric.bound is not None else "nats",
        about=_about_gap(gap),
        references=_references_of_gap(gap),
        better="lower",
        remedy=GAP_REMEDY,
    )
    n, adjusted, small = _count_denominators(gap), _adjust_intervals(gap.judging_intervals), _small_groups(gap)
    if gap.value is None:
        return definition.state_not_measured(explain_not_measured(gap), n=n, adjusted=adjusted, small_groups=small)
    return definition.state_estimate(
        gap.value,
        interval=gap.interval,
        adjusted=adjusted,
        n=n,
        small_groups=small,
        status="warn" if gap.status == "warn" else "info",
        description=_describe_gap(gap),
        caveats=" ".join([*([] if gap.intervals else [NO_INTERVAL]), *_explain_by_labels(gap), *_list_excluded(gap)]),
    )


def _references_of_gap(gap: Gap) -> tuple[str, ...]:
    if not gap.intervals:
        return ()
    return rate_difference.SOURCES if gap.of_two_shares else (WESTFALL_YOUNG,)


def _about_gap(gap: Gap, group: str | None = None) -> About:
    return About(attributes=(gap.attribute,), group=group, metric=gap.metric.name, classes=gap.single_classes)


def _adjust_intervals(at_levels: Sequence[Interval]) -> tuple[Adjusted, ...]:
    """Return what rules are judged by, the intervals of all groups at each level; empty where there are none."""
    return multiplicity.adjusted_from_levels(at_levels) if at_levels else ()


def _small_groups(gap: Gap) -> tuple[str, ...]:
    return tuple(str(group.group) for group in gap.excluded)


def _describe_gap(gap: Gap) -> str:
    lowest, highest = gap.compared[0], gap.compared[-1]
    low, high = (_write_rate(group, gap) for group in (lowest, highest))
    comparison = (
        f"{_capitalize(metric_label(gap))} ({define_metric(gap)}) is {high} for {highest.group} "
        f"({_describe_denominator(highest, gap)}) "
        f"and {low} for {lowest.group} ({_describe_denominator(lowest, gap)})"
    )
    if len(gap.compared) > 2:
        comparison += f", the highest and the lowest of {len(gap.compared)} groups"
    if gap.interval is None:
        return f"{comparison}."
    if gap.differs:
        return f"{comparison}: {_describe_evidence(gap)}"
    return f"{comparison}: no more than chance in drawing the test examples can explain.{_describe_detectable_gap(gap)}"


def _write_rate(group: GroupMetric, gap: Gap) -> str:
    """Return the metric of a compared group, with the decimals of the interval of its gap."""
    ends = (gap.interval.low, gap.interval.high) if gap.interval else None
    return number_format.format_quantity(group.value or 0.0, "fraction", ends)


def _describe_evidence(gap: Gap) -> str:
    """Return in words how far chance explains a gap whose interval lies above 0."""
    if gap.repeats:
        return f"the same fact as the gap in {gap.repeats}, and counted with it."
    if gap.stands_out:
        return f"more than chance in drawing the test examples explains at 95 %{f', {SMALL}' * gap.is_small}."
    return (
        f"more than chance explains at 95 % by itself, but not among the {gap.family} gaps that were compared, of "
        "which some stand out by chance."
    )


def _describe_detectable_gap(gap: Gap) -> str:
    effect = gap.minimum_detectable_effect
    if effect is None:
        return ""
    rest = number_format.format_fixed(effect.rest, 2)
    if effect.gap is None:
        return (
            f" In such a sample no gap of {gap.smallest.group}, however large, to others at "
            f"{rest} would be found in 80 % of cases."
        )
    assert effect.group_rate is not None, "it has one where it has a gap"
    size, rate = number_format.format_fixed(effect.gap, 2), number_format.format_fixed(effect.group_rate, 2)
    return (
        f" In such a sample a gap of {size} would be found in 80 % of cases: {gap.smallest.group} at {rate}, "
        f"others at {rest}."
    )


def state_ratio(gap: Gap) -> Finding:
    """Return the finding ``fairness.<metric>_ratio.<attribute>``: the lowest share over the highest.

    The interval holds for all pairs of groups at once; the legal tables state and judge the same one.
    """
    definition = FindingDefinition(
        f"fairness.{metric_id(gap)}_ratio.{gap.attribute}",
        f"{_capitalize(metric_label(gap))}: ratio by {gap.attribute}",
        f"The lowest {metric_label(gap)} of a group by {gap.attribute}, over the highest.",
        caveats="The two groups are chosen for being the extremes; the interval allows for that.",
        references=rate_ratio.SOURCES,
        better="higher",
    )
    n, small = _count_denominators(gap), _small_groups(gap)
    if gap.value is None:
        adjusted = _adjust_intervals(_judging_ratios(gap) if gap.small_rates else [])
        reason = explain_not_measured(gap)
        return definition.state_not_measured(reason, n=n, about=_about_gap(gap), adjusted=adjusted, small_groups=small)
    lowest, highest = gap.compared[0], gap.compared[-1]
    if not highest.value:
        return definition.state_not_measured("every group's is 0, so their ratio is undefined", n=n)
    return definition.state_estimate(
        (lowest.value or 0.0) / highest.value,
        interval=ratio_interval_of_rates(_rates_of_compared(gap), intervals.CONFIDENCE_LEVEL),
        adjusted=_adjust_intervals(_judging_ratios(gap)),
        n=n,
        small_groups=small,
        description=f"{_capitalize(metric_label(gap))} is {_write_rate(lowest, gap)} for {lowest.group} and "
        f"{_write_rate(highest, gap)} for {highest.group}: the lowest over the highest of {len(gap.compared)} groups.",
        caveats=" ".join(_list_excluded(gap)),
        about=_about_gap(gap),
    )


def _judging_ratios(gap: Gap) -> list[Interval]:
    return [judge_ratio(_rates_of_compared(gap), gap.small_rates, level) for level in multiplicity.ADJUSTED_LEVELS]


def _rates_of_compared(gap: Gap) -> list[GroupRate]:
    return [GroupRate(*_numerator_and_denominator(group)) for group in gap.compared]


def state_worst_group(gap: Gap) -> Finding:
    """Return the finding ``fairness.worst_<metric>.<attribute>``: the worst group, with an exact interval."""
    definition = FindingDefinition(
        f"fairness.worst_{metric_id(gap)}.{gap.attribute}",
        f"{_capitalize(metric_label(gap))} of the worst group by {gap.attribute}",
        f"The {gap.metric.worst} {metric_label(gap)} of any group by {gap.attribute}.",
        unit="fraction",
        about=_about_gap(gap),
        references=(CLOPPER_PEARSON,),
        better=gap.metric.direction,
    )
    rates = [*_rates_of_compared(gap), *gap.small_rates]
    lowest = gap.metric.worst == "lowest"
    at_levels = (
        [worst_rate_interval(rates, lowest=lowest, level=level) for level in multiplicity.ADJUSTED_LEVELS]
        if rates
        else []
    )
    adjusted, small = _adjust_intervals(at_levels), _small_groups(gap)
    if not gap.compared:
        reason = explain_not_measured(gap, at_least=1)
        return definition.state_not_measured(reason, adjusted=adjusted, small_groups=small)
    worst = gap.compared[0 if lowest else -1]
    assert worst.value is not None, "what is compared has a value"
    return definition.state_estimate(
        worst.value,
        interval=worst_rate_interval(rates[: len(gap.compared)], lowest=lowest, level=intervals.CONFIDENCE_LEVEL),
        adjusted=adjusted,
        n=worst.n_denominator,
        small_groups=small,
        description=f"{worst.group} has the {gap.metric.worst} {metric_label(gap)} of {len(gap.compared)} groups by "
        f"{gap.attribute}: {_write_rate(worst, gap)} ({_describe_denominator(worst, gap)}).",
        caveats=" ".join(_list_excluded(gap)),
        about=_about_gap(gap, str(worst.group)),
    )


def state_missing_values(attribute: str, missing: int, n: int, bounded: Sequence[tuple[Gap, GapBounds]]) -> Finding:
    """Return the finding ``fairness.missing.<attribute>``, with the gaps that the rows without a value allow."""
    allowed = "; ".join(
        f"{metric_label(gap)} {number_format.format_fixed(value, 3)}, between "
        f"{number_format.format_fixed(bounds.low, 3)} and {number_format.format_fixed(bounds.high, 3)}"
        for gap, bounds in bounded
        if (value := gap.value) is not None
    )
    description = f"{missing} of {n} test examples have no value of {attribute} and belong to no group."
    definition = FindingDefinition(
        f"fairness.missing.{attribute}",
        f"Test examples without {attribute}",
        f"{description} Whatever groups they are in, the gaps are: {allowed}." if allowed else description,
        unit="examples",
        caveats="The intervals of gaps say nothing about these examples." if missing else "",
    )
    return definition.state_count(missing, n=n, status="warn" if missing else "info")


def explain_not_measured(gap: Gap, *, at_least: int = 2) -> str:
    """Return why there is no gap, with the first groups that cannot be compared."""
    compared = [
        f"{group.group} is the only one that can ({_describe_denominator(group, gap)})" for group in gap.compared
    ]
    fewer = "fewer than two groups can be compared" if at_least == 2 else "no group can be judged"
    left = [f"{group.group} is {_describe_status(group, gap)}" for group in gap.excluded]
    if small := [group for group in gap.excluded if group.status in (INCONCLUSIVE, TOO_FEW)]:
        key = " (fairness.min_group_size)" * gap.is_share
        fewer = f"{fewer}, which takes {small[0].compared_from} independent cases of each{key}"
    return f"{fewer}: " + "; ".join(cut_list([*compared, *left]) or ["no example has a group"])


def _explain_by_labels(gap: Gap) -> list[str]:
    if not gap.follows_from_labels:
        return []
    return [
        f"A group at one end has no case of both labels, so a gap in {metric_label(gap)} follows from the labels alone."
    ]


def _list_excluded(gap: Gap) -> list[str]:
    return [
        f"{group.group} is left out: {_describe_status(group, gap, needed=_describe_needed(group, gap))}."
        for group in gap.excluded
    ]


def _describe_needed(group: GroupMetric, gap: Gap) -> str:
    """Return how many cases would do: those of a group that is inconclusive are shown, of one with too few not."""
    if group.status == TOO_FEW:
        return f", shown from {group.shown_from} on"
    if group.status != INCONCLUSIVE:
        return ""
    if _has_repeats(group):
        return f", compared from {group.compared_from} independent cases on"
    counted = _name_counted(gap) if group.n_denominator < group.n else "examples"
    return f", compared from {group.compared_from} {counted} on"


def _name_counted(gap: Gap) -> str:
    """Return what a metric counts of a group: the cases of its denominator."""
    return gap.metric.denominator_label if gap.is_share else "of the rarest kind"


def _describe_status(group: GroupMetric, gap: Gap, *, needed: str = "") -> str:
    kind = f"{'with ' * _has_repeats(group)}{_name_counted(gap)}"
    fewer = f", {group.n_denominator} {kind}" if group.n_denominator < group.n else ""
    return detail_status(group.status, f"n = {group.n}{' units' * _has_repeats(group)}{fewer}{needed}")


def _describe_denominator(group: GroupMetric, gap: Gap) -> str:
    effective = f", worth {group.effective_n:.0f} independent cases" if _has_repeats(group) else ""
    if gap.is_share and _has_repeats(group):
        return f"n = {group.n_denominator} units with {gap.metric.denominator_label}{effective}"
    if gap.is_share:
        return f"n = {group.n_denominator} {gap.metric.denominator_label}"
    rarest = f", {group.n_denominator} of the rarest kind" if group.n_denominator < group.n else ""
    return f"n = {group.n} {'units' if _has_repeats(group) else 'examples'}{rarest}{effective}"


def _has_repeats(group: GroupMetric) -> bool:
    """Whether units of the group have several rows."""
    return group.rows != group.n


def _numerator_and_denominator(group: GroupMetric) -> tuple[float, float]:
    assert group.value is not None  # a scored group has one
    return group.value * group.effective_n, group.effective_n


def _count_denominators(gap: Gap) -> int:
    """Return how many units have a case of the metric in the compared groups."""
    return sum(group.n_denominator if gap.is_share else group.n for group in gap.compared)


def _capitalize(text: str) -> str:
    return text[:1].upper() + text[1:]


def state_no_intersection(gap: Gap) -> Finding:
    """Return the finding for an intersection of which no two groups can be compared in any metric."""
    definition = FindingDefinition(
        f"fairness.intersection.{gap.attribute}",
        f"Gaps by {gap.attribute}",
        f"How far apart groups by {gap.attribute} are.",
        about=About(attributes=(gap.attribute,)),
    )
    return definition.state_not_measured(explain_not_measured(gap), n=_count_denominators(gap))
