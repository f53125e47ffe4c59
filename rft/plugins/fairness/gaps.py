"""The gap of one metric between the groups of one attribute, and the finding that states it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rft import intervals
from rft.intervals import Rate
from rft.plugins.fairness.group_metrics import BASES, OK, GroupRate
from rft.records import Finding, Interval, Row, Status, not_measured

NAMES = {
    "accuracy": "accuracy",
    "selection_rate": "selection rate",
    "tpr": "true positive rate",
    "fpr": "false positive rate",
    "fnr": "false negative rate",
}
EXPLAINED = {
    "accuracy": "the share of a group's examples that get the right class",
    "selection_rate": "the share of a group's examples that are given the favourable class",
    "tpr": "the share that is given the favourable class among a group's examples that have it",
    "fpr": "the share that is given the favourable class among a group's examples that do not have it",
    "fnr": "the share that is denied the favourable class among a group's examples that have it",
}
BIASED = "No interval is given yet for more than two groups, and the largest of many gaps is biased upward."


@dataclass(frozen=True)
class Gap:
    """The difference between the highest and the lowest group, or None where fewer than two groups can be compared.

    Attributes:
        attribute, metric: what is compared.
        scored: the groups that have a rate, lowest first.
        unscored: the groups that have none, with their status.
        missing: rows that have no value of the attribute.
    """

    attribute: str
    metric: str
    scored: tuple[tuple[str, Rate], ...]
    unscored: tuple[GroupRate, ...]
    missing: int

    @classmethod
    def of(cls, attribute: str, metric: str, groups: Sequence[GroupRate], missing: int) -> Gap:
        """Return the gap between these groups, each with this metric."""
        scored = [(group.group, group.rate) for group in groups if group.rate is not None]
        return cls(
            attribute=attribute,
            metric=metric,
            scored=tuple(sorted(scored, key=lambda named: (named[1].value, named[0]))),
            unscored=tuple(group for group in groups if group.status != OK),
            missing=missing,
        )

    @property
    def value(self) -> float | None:
        """Return the difference, 0 or more."""
        return self.scored[-1][1].value - self.scored[0][1].value if len(self.scored) > 1 else None

    @property
    def interval(self) -> Interval | None:
        """Return Newcombe's interval for exactly two groups. It reaches below 0 where they cannot be told apart."""
        if len(self.scored) != 2:
            return None
        return intervals.rate_difference(self.scored[1][1], self.scored[0][1])

    @property
    def status(self) -> Status:
        """Return ``warn`` when the interval lies above 0."""
        if self.value is None:
            return "not_measured"
        return "warn" if self.interval is not None and self.interval.low > 0 else "info"


def finding(gap: Gap) -> Finding:
    """Return the finding ``fairness.<metric>_gap.<attribute>``."""
    id = f"fairness.{gap.metric}_gap.{gap.attribute}"
    title = f"{NAMES[gap.metric].capitalize()} gap by {gap.attribute}"
    n = sum(rate.sample.units for _, rate in gap.scored)
    if gap.value is None:
        meaning = f"How far apart groups by {gap.attribute} are in {NAMES[gap.metric]}: {EXPLAINED[gap.metric]}."
        return not_measured(id, title, _why_not(gap), meaning, n=n)
    two = gap.interval is not None
    return Finding(
        id=id,
        title=title,
        status=gap.status,
        value=gap.value,
        unit="fraction",
        interval=gap.interval,
        n=n,
        meaning=_meaning(gap),
        limits=" ".join(([] if two else [BIASED]) + _left_out(gap)),
        references=(intervals.NEWCOMBE_DIFFERENCE,) if two else (),
    )


def row(gap: Gap) -> Row:
    """Return the row of the table ``gaps``."""
    interval = gap.interval
    return {
        "attribute": gap.attribute,
        "metric": gap.metric,
        "groups": f"{gap.scored[-1][0]} minus {gap.scored[0][0]}" if gap.value is not None else None,
        "n_groups": len(gap.scored),
        "value": gap.value,
        "low": interval.low if interval else None,
        "high": interval.high if interval else None,
        "method": interval.method if interval else None,
        "status": gap.status,
    }


def _meaning(gap: Gap) -> str:
    (lowest, low), (highest, high) = gap.scored[0], gap.scored[-1]
    compared = (
        f"{NAMES[gap.metric].capitalize()} ({EXPLAINED[gap.metric]}) is {high.value:.3f} for {highest} "
        f"({_n(high, gap.metric)}) and {low.value:.3f} for {lowest} ({_n(low, gap.metric)})"
    )
    if gap.interval is None:
        return f"{compared}, the highest and the lowest of {len(gap.scored)} groups by {gap.attribute}."
    if gap.status == "warn":
        return f"{compared}: more than chance in drawing the test examples explains at 95 %."
    return f"{compared}: no more than chance in drawing the test examples can explain."


def _n(rate: Rate, metric: str) -> str:
    units = f" of {rate.sample.units} units" if rate.sample.repeats else ""
    return f"n = {rate.sample.rows} {BASES.get(metric, 'examples')}{units}"


def _why_not(gap: Gap) -> str:
    scored = [f"{name} is the only group with a value ({_n(rate, gap.metric)})" for name, rate in gap.scored]
    return "fewer than two groups can be compared: " + "; ".join(
        [*scored, *(f"{group.group} is {_status(group)}" for group in gap.unscored)] or ["no example has a group"]
    )


def _left_out(gap: Gap) -> list[str]:
    groups = [f"{group.group} is left out: {_status(group)}." for group in gap.unscored]
    missing = f"{gap.missing} test examples without a value of {gap.attribute} are left out."
    return groups + ([missing] if gap.missing else [])


def _status(group: GroupRate) -> str:
    return f"{group.status} (n = {group.n})"
