"""What is stated of the error rates of groups of speakers: gaps, and the worst group."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from rft import number_format
from rft.data.remarks import cut_list
from rft.plugins.fairness.present.findings import NO_INTERVAL, SMALL
from rft.plugins.fairness.recognition.compare import ErrorRateGap, GroupErrors
from rft.records import About, Finding, FindingDefinition, Interval
from rft.references import COCHRAN_RATIO, HOLM
from rft.stats import multiplicity
from rft.stats.intervals import CONFIDENCE_LEVEL
from rft.stats.unit_ratio import UnitRatio

GAP_REMEDY = (
    "Listen to the groups that are worse off: was there less such speech in training, or is its recording poorer? Have "
    "the recogniser adapted to it, and audit again."
)
ALIKE = "The speakers of a group all have the same rate, which does not tell how others stray."


def state_gap(gap: ErrorRateGap) -> Finding:
    """Return the finding ``fairness.<rate>_gap.<attribute>``."""
    definition = FindingDefinition(
        f"fairness.{gap.rate.name}_gap.{gap.attribute}",
        f"{gap.rate.title}: gap by {gap.attribute}",
        f"How far apart groups of speakers by {gap.attribute} are in the {gap.rate.label}: {gap.rate.definition}.",
        unit=gap.rate.unit,
        about=About(attributes=(gap.attribute,), metric=gap.rate.name),
        references=(COCHRAN_RATIO, HOLM),
        better="lower",
        remedy=GAP_REMEDY,
    )
    n, small, ratios = _count_speakers(gap), tuple(group.group for group in gap.excluded), gap.ratios
    if ratios is None:
        return definition.state_not_measured(_explain_not_measured(gap), n=n, small_groups=small)
    interval = ratios.confidence_interval()
    # Nothing bounds the rate of a group that is too small: a rule is then not settled by the others.
    adjusted = () if small else multiplicity.adjust_where_defined(ratios.confidence_interval)
    return definition.state_estimate(
        ratios.value,
        interval=interval,
        adjusted=adjusted,
        n=n,
        small_groups=small,
        status="warn" if gap.is_to_review else "info",
        description=_describe_gap(gap, interval),
        caveats=" ".join([*([] if interval else [f"{NO_INTERVAL} {ALIKE}"]), *_list_excluded(gap)]),
    )


def state_worst_group(gap: ErrorRateGap) -> Finding:
    """Return the finding ``fairness.worst_<rate>.<attribute>``: the group with the most errors."""
    definition = FindingDefinition(
        f"fairness.worst_{gap.rate.name}.{gap.attribute}",
        f"{gap.rate.title} of the worst group by {gap.attribute}",
        f"The highest {gap.rate.label} of any group of speakers by {gap.attribute}.",
        unit=gap.rate.unit,
        about=About(attributes=(gap.attribute,), metric=gap.rate.name),
        references=(COCHRAN_RATIO,),
        better="lower",
    )
    small = tuple(group.group for group in gap.excluded)
    if not gap.compared:
        return definition.state_not_measured(_explain_not_measured(gap, at_least=1), small_groups=small)
    group, ratio = gap.compared[-1]
    find_interval = partial(_find_worst_interval, [ratio for _, ratio in gap.compared])
    return definition.state_estimate(
        ratio.value,
        interval=find_interval(CONFIDENCE_LEVEL),
        adjusted=() if small else multiplicity.adjust_where_defined(find_interval),
        n=group.n,
        small_groups=small,
        description=f"{group.group} has the highest {gap.rate.label} of {len(gap.compared)} groups by {gap.attribute}: "
        f"{number_format.format_quantity(ratio.value)} ({_describe_size(group)}).",
        caveats=" ".join(_list_excluded(gap)),
        about=About(attributes=(gap.attribute,), group=group.group, metric=gap.rate.name),
    )


def state_no_intersection(gap: ErrorRateGap) -> Finding:
    """Return the finding for an intersection of which no two groups can be compared."""
    definition = FindingDefinition(
        f"fairness.intersection.{gap.attribute}",
        f"Gaps by {gap.attribute}",
        f"How far apart groups by {gap.attribute} are.",
        about=About(attributes=(gap.attribute,)),
    )
    return definition.state_not_measured(_explain_not_measured(gap), n=_count_speakers(gap))


def _find_worst_interval(ratios: list[UnitRatio], level: float) -> Interval | None:
    """Return the interval of the highest true rate, by Bonferroni's correction; None where a group has none."""
    intervals = [ratio.confidence_interval(1 - (1 - level) / len(ratios)) for ratio in ratios]
    known = [interval for interval in intervals if interval is not None]
    if len(known) < len(ratios):
        return None
    method = f"ratio estimator with Student t {100 * level:g} %"
    if len(ratios) > 1:
        method += f", Bonferroni over {len(ratios)} groups"
    low, high = max(interval.low for interval in known), max(interval.high for interval in known)
    return Interval(low=low, high=high, method=method)


def _count_speakers(gap: ErrorRateGap) -> int:
    return sum(group.n for group, _ in gap.compared)


def _describe_gap(gap: ErrorRateGap, interval: Interval | None) -> str:
    (lowest, low), (highest, high) = gap.compared[0], gap.compared[-1]
    ends = (interval.low, interval.high) if interval else None
    low_written, high_written = (
        number_format.format_quantity(ratio.value, gap.rate.unit, ends) for ratio in (low, high)
    )
    comparison = (
        f"The {gap.rate.label} ({gap.rate.definition}) is {high_written} for {highest.group} "
        f"({_describe_size(highest)}) and {low_written} for {lowest.group} ({_describe_size(lowest)})"
    )
    if len(gap.compared) > 2:
        comparison += f", the highest and the lowest of {len(gap.compared)} groups"
    if interval is None:
        return f"{comparison}."
    if gap.stands_out:
        small = f", {SMALL}" * gap.is_small
        return f"{comparison}: more than chance in drawing the speakers explains at 95 %{small}."
    if gap.differs:
        return (
            f"{comparison}: more than chance explains at 95 % by itself, but not among the {gap.family} gaps that were "
            "compared, of which some stand out by chance."
        )
    return f"{comparison}: no more than chance in drawing the speakers can explain.{_describe_detectable_gap(gap)}"


def _describe_detectable_gap(gap: ErrorRateGap) -> str:
    effect = gap.minimum_detectable_effect
    if effect is None:
        return ""
    smallest, rest = gap.compared[gap.smallest][0].group, number_format.format_fixed(effect.rest, 2)
    if effect.gap is None or effect.group_rate is None:
        return (
            f" With so few speakers no gap of {smallest}, however large, to others at {rest} would be found in 80 % of "
            "cases."
        )
    size, rate = number_format.format_fixed(effect.gap, 2), number_format.format_fixed(effect.group_rate, 2)
    return (
        f" With such speakers a gap of {size} would be found in about 80 % of cases: {smallest} at {rate}, others at "
        f"{rest}."
    )


def _explain_not_measured(gap: ErrorRateGap, *, at_least: int = 2) -> str:
    """Return why there is no gap, with the first groups that cannot be compared."""
    fewer = "fewer than two groups can be compared" if at_least == 2 else "no group can be judged"
    compared = [f"{group.group} is the only one that can ({_describe_size(group)})" for group, _ in gap.compared]
    left = [f"{group.group} is {group.status(gap.rate)}" for group in gap.excluded]
    return f"{fewer}: " + "; ".join(cut_list([*compared, *left]) or ["no utterance has a group"])


def _list_excluded(gap: ErrorRateGap) -> Iterator[str]:
    for group in gap.excluded:
        yield f"{group.group} is left out: {group.status(gap.rate)}."


def _describe_size(group: GroupErrors) -> str:
    return f"{number_format.format_count(group.n)} speakers, {number_format.format_count(len(group.rows))} utterances"
