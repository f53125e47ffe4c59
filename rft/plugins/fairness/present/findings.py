"""What the section states, in words: gaps, the ratio of the extremes, the worst-off group, and missing values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rft.plugins.fairness.measure.gaps import Gap
from rft.plugins.fairness.measure.group_metrics import UNSETTLED, GroupMetric
from rft.plugins.fairness.measure.small_groups import Share, judged_ratio, ratio_of_shares, worst_share
from rft.plugins.fairness.present.metric_labels import explained, name_of, words_of
from rft.records import Finding, Interval, not_measured
from rft.references import CLOPPER_PEARSON, WESTFALL_YOUNG
from rft.stats import intervals, multiplicity
from rft.stats.gaps import rate_difference, rate_ratio
from rft.stats.gaps.partial_identification import GapBounds

NO_INTERVAL = "No method used here gives an interval of this gap that holds, so no rule can be settled by it."


def of_gap(gap: Gap) -> Finding:
    """Return the finding ``fairness.<metric>_gap.<attribute>``."""
    id = f"fairness.{name_of(gap)}_gap.{gap.attribute}"
    title = f"{_capital(words_of(gap))}: gap by {gap.attribute}"
    if gap.value is None:
        description = f"How far apart groups by {gap.attribute} are in {words_of(gap)}: {explained(gap)}."
        unmeasured = not_measured(id, title, why_not(gap), description, n=_n(gap))
        return unmeasured.model_copy(update=_judged(gap, gap.judging_intervals))
    return Finding(
        id=id,
        title=title,
        status=gap.status,
        value=gap.value,
        unit="fraction" if gap.metric.bound is not None else "nats",
        interval=gap.interval,
        **_judged(gap, gap.judging_intervals),
        n=_n(gap),
        description=_describe(gap),
        caveats=" ".join([*([] if gap.intervals else [NO_INTERVAL]), *_labels_alone(gap), *_left_out(gap)]),
        references=_sources(gap),
    )


def _sources(gap: Gap) -> tuple[str, ...]:
    if not gap.intervals:
        return ()
    return rate_difference.SOURCES if gap.of_two_shares else (WESTFALL_YOUNG,)


def _judged(gap: Gap, at_levels: Sequence[Interval]) -> dict[str, Any]:
    """Return what rules are judged by: the intervals of all groups at each level, and which of them are small."""
    small = tuple(str(group.group) for group in gap.unscored)
    adjusted = multiplicity.adjusted_from_levels(at_levels) if at_levels else ()
    return {"adjusted": adjusted, "small_groups": small, "attributes": (gap.attribute,)}


def _describe(gap: Gap) -> str:
    lowest, highest = gap.scored[0], gap.scored[-1]
    compared = (
        f"{_capital(words_of(gap))} ({explained(gap)}) is {highest.value:.3f} for {highest.group} "
        f"({_cases(highest, gap)}) "
        f"and {lowest.value:.3f} for {lowest.group} ({_cases(lowest, gap)})"
    )
    if len(gap.scored) > 2:
        compared += f", the highest and the lowest of {len(gap.scored)} groups"
    if gap.interval is None:
        return f"{compared}."
    if gap.differs:
        return f"{compared}: {_how_clear(gap)}"
    return f"{compared}: no more than chance in drawing the test examples can explain.{_would_be_found(gap)}"


def _how_clear(gap: Gap) -> str:
    """Return in words how far chance explains a gap whose interval lies above 0."""
    if gap.repeats:
        return f"the same fact as the gap in {gap.repeats}, and counted with it."
    if gap.stands_out:
        return "more than chance in drawing the test examples explains at 95 %."
    return (
        f"more than chance explains at 95 % by itself, but not among the {gap.family} gaps that were compared, of "
        "which some stand out by chance."
    )


def _would_be_found(gap: Gap) -> str:
    found = gap.detectable
    if found is None:
        return ""
    if found.gap is None:
        return (
            f" In such a sample no gap of {gap.smallest.group}, however large, to others at {found.rest:.2f} would be "
            "found in 80 % of cases."
        )
    return (
        f" In such a sample a gap of {found.gap:.2f} would be found in 80 % of cases: {gap.smallest.group} at "
        f"{found.group_rate:.2f}, others at {found.rest:.2f}."
    )


def of_ratio(gap: Gap) -> Finding:
    """Return the finding ``fairness.<metric>_ratio.<attribute>``: the lowest share over the highest.

    The interval holds for all pairs of groups at once; the legal tables state and judge the same one.
    """
    id, title = f"fairness.{name_of(gap)}_ratio.{gap.attribute}", f"{_capital(words_of(gap))}: ratio by {gap.attribute}"
    description = f"The lowest {words_of(gap)} of a group by {gap.attribute}, over the highest."
    if gap.value is None:
        judged = _judged(gap, _judging_ratios(gap) if gap.small_shares else [])
        return not_measured(id, title, why_not(gap), description, n=_n(gap)).model_copy(update=judged)
    lowest, highest = gap.scored[0], gap.scored[-1]
    if not highest.value:
        return not_measured(id, title, "every group's is 0, so their ratio is undefined", description, n=_n(gap))
    return Finding(
        id=id,
        title=title,
        status="info",
        value=(lowest.value or 0.0) / highest.value,
        interval=ratio_of_shares(_shares(gap), intervals.CONFIDENCE_LEVEL),
        **_judged(gap, _judging_ratios(gap)),
        n=_n(gap),
        description=f"{_capital(words_of(gap))} is {lowest.value:.3f} for {lowest.group} and {highest.value:.3f} for "
        f"{highest.group}: the lowest over the highest of {len(gap.scored)} groups.",
        caveats="The two groups are chosen for being the extremes; the interval allows for that."
        + " ".join(["", *_left_out(gap)]),
        references=rate_ratio.SOURCES,
    )


def _judging_ratios(gap: Gap) -> list[Interval]:
    return [judged_ratio(_shares(gap), gap.small_shares, level) for level in multiplicity.ADJUSTED_LEVELS]


def _shares(gap: Gap) -> list[Share]:
    return [Share(*_hits(group)) for group in gap.scored]


def of_worst(gap: Gap) -> Finding:
    """Return the finding ``fairness.worst_<metric>.<attribute>``: the worst-off group, with an exact interval."""
    id, title = (
        f"fairness.worst_{name_of(gap)}.{gap.attribute}",
        f"{_capital(words_of(gap))} of the worst-off group by {gap.attribute}",
    )
    description = f"The {gap.metric.worst} {words_of(gap)} of any group by {gap.attribute}."
    shares = [*_shares(gap), *gap.small_shares]
    lowest = gap.metric.worst == "lowest"
    at_levels = (
        [worst_share(shares, lowest=lowest, level=level) for level in multiplicity.ADJUSTED_LEVELS] if shares else []
    )
    judged = _judged(gap, at_levels)
    if not gap.scored:
        return not_measured(id, title, why_not(gap, at_least=1), description).model_copy(update=judged)
    worst = gap.scored[0 if gap.metric.worst == "lowest" else -1]
    return Finding(
        id=id,
        title=title,
        status="info",
        value=worst.value,
        unit="fraction",
        interval=worst_share(shares[: len(gap.scored)], lowest=lowest, level=intervals.CONFIDENCE_LEVEL),
        **judged,
        n=worst.cases,
        description=f"{worst.group} has the {gap.metric.worst} {words_of(gap)} of {len(gap.scored)} groups by "
        f"{gap.attribute}: {worst.value:.3f} ({_cases(worst, gap)}).",
        caveats=" ".join(_left_out(gap)),
        references=(CLOPPER_PEARSON,),
    )


def of_missing(attribute: str, missing: int, n: int, bounded: Sequence[tuple[Gap, GapBounds]]) -> Finding:
    """Return the finding ``fairness.missing.<attribute>``, with the gaps that the rows without a value allow."""
    allowed = "; ".join(
        f"{words_of(gap)} {gap.value:.3f}, between {bounds.low:.3f} and {bounds.high:.3f}" for gap, bounds in bounded
    )
    description = f"{missing} of {n} test examples have no value of {attribute} and belong to no group."
    return Finding(
        id=f"fairness.missing.{attribute}",
        title=f"Test examples without {attribute}",
        status="warn" if missing else "info",
        value=missing,
        unit="examples",
        deterministic=True,
        n=n,
        description=f"{description} Whatever groups they are in, the gaps are: {allowed}." if allowed else description,
        caveats="The intervals of gaps say nothing about these examples." if missing else "",
    )


def why_not(gap: Gap, *, at_least: int = 2) -> str:
    """Return why there is no gap, with every group that cannot be compared."""
    scored = [f"{group.group} is the only one that can ({_cases(group, gap)})" for group in gap.scored]
    fewer = "fewer than two groups can be compared" if at_least == 2 else "no group can be judged"
    left = [f"{group.group} has {_status(group, gap)}" for group in gap.unscored]
    return f"{fewer}: " + "; ".join([*scored, *left] or ["no example has a group"])


def _labels_alone(gap: Gap) -> list[str]:
    if not gap.follows_from_labels:
        return []
    return [
        f"A group at one end has no case of both labels, so a gap in {words_of(gap)} follows from the labels alone."
    ]


def _left_out(gap: Gap) -> list[str]:
    return [f"{group.group} is left out: it has {_status(group, gap)}." for group in gap.unscored]


def _status(group: GroupMetric, gap: Gap) -> str:
    kind = gap.metric.cases if gap.is_share else "of the rarest kind"
    fewer = f", {group.cases} {'with ' * _repeats(group)}{kind}" if group.cases < group.n else ""
    needed = "min_group asks for" if gap.is_share else "a comparison needs"
    note = f": fewer independent cases than {needed}" if group.status == UNSETTLED else ""
    return f"{group.status} (n = {group.n}{' units' * _repeats(group)}{fewer}{note})"


def _cases(group: GroupMetric, gap: Gap) -> str:
    worth = f", worth {group.worth:.0f} independent cases" if _repeats(group) else ""
    if gap.is_share and _repeats(group):
        return f"n = {group.cases} units with {gap.metric.cases}{worth}"
    if gap.is_share:
        return f"n = {group.cases} {gap.metric.cases}"
    rarest = f", {group.cases} of the rarest kind" if group.cases < group.n else ""
    return f"n = {group.n} {'units' if _repeats(group) else 'examples'}{rarest}{worth}"


def _repeats(group: GroupMetric) -> bool:
    """Whether units of the group have several rows."""
    return group.rows != group.n


def _hits(group: GroupMetric) -> tuple[float, float]:
    assert group.value is not None  # a scored group has one
    return group.value * group.worth, group.worth


def _n(gap: Gap) -> int:
    """Return how many units have a case of the metric in the compared groups."""
    return sum(group.cases if gap.is_share else group.n for group in gap.scored)


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def no_intersection(gap: Gap) -> Finding:
    """Return the finding for an intersection of which no two groups can be compared in any metric."""
    return not_measured(
        f"fairness.intersection.{gap.attribute}",
        f"Gaps by {gap.attribute}",
        why_not(gap),
        f"How far apart groups by {gap.attribute} are.",
        n=_n(gap),
    ).model_copy(update={"attributes": (gap.attribute,)})
