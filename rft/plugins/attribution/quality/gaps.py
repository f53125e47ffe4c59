"""Are explanations worse for some? How far apart groups are in the deletion test of a method."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from typing import NamedTuple

import numpy as np

from rft.disclosure.withheld import MISSING, Withheld
from rft.number_format import format_fixed
from rft.plugins.attribution.group_means import PREDICTED, Memberships
from rft.plugins.attribution.modality_words import METHOD_NAMES, Wording
from rft.records import About, Finding, FindingDefinition, Interval
from rft.stats import multiplicity
from rft.stats.intervals import CONFIDENCE_LEVEL, mean_interval, mover_difference, size_interval

MIN_PER_GROUP = 30


class _Group(NamedTuple):
    """One group of examples with a usable map: its name, their gains (M,), and whose example each is (M,) or None."""

    name: str
    gains: np.ndarray
    units: np.ndarray | None

    @property
    def mean(self) -> float:
        """Of the gains."""
        return float(self.gains.mean())

    def interval(self, level: float) -> Interval | None:
        """Return that of the mean; None with fewer than two independent examples."""
        return mean_interval(self.gains, self.units, level=level)


def gap_findings(
    method: str,
    gains: np.ndarray,
    memberships: Memberships,
    units: np.ndarray | None,
    withheld: Withheld,
    words: Wording,
) -> Iterator[Finding]:
    """Yield for each attribute the largest gap between groups in the deletion test of a method.

    Its interval is of all pairs of groups together (Bonferroni), by Student's t of each group's mean.

    Args:
        method: its name.
        gains: (M,) of the sound maps; none where no example could be tested.
        memberships: attribute -> (M,) group of each of these examples; all together, and by predicted class, are left
            out.
        units: (M,) whose example each is, or None.
        withheld: what may not leave the machine.
        words: of the modality.
    """
    for attribute, names in memberships.items():
        if attribute not in (None, PREDICTED):
            yield _state_gap(method, str(attribute), _list_groups(gains, names, units, withheld), words)


def _list_groups(gains: np.ndarray, values: np.ndarray, units: np.ndarray | None, withheld: Withheld) -> list[_Group]:
    """Return the groups that may be shown, by their names."""
    if not len(gains):
        return []
    names = np.array([MISSING if value is None else str(value) for value in values], dtype=object)
    members = {name: names == name for name in sorted(set(names))}
    hidden = withheld.find_small_groups({name: int(member.sum()) for name, member in members.items()})
    return [
        _Group(name, gains[member], None if units is None else units[member])
        for name, member in members.items()
        if name != MISSING and name not in hidden
    ]


def _state_gap(method: str, attribute: str, groups: list[_Group], words: Wording) -> Finding:
    definition = FindingDefinition(
        f"attribution.deletion_gap.{method}.{attribute}",
        f"Deletion test, gap by {attribute}: {METHOD_NAMES[method]}",
        f"How far apart groups by {attribute} are in the deletion test: whether {words.maps} mark what decides less "
        "well for some.",
        unit="share of the lead",
        about=About(attributes=(attribute,)),
        better="lower",
    )
    large = [group for group in groups if len(group.gains) >= MIN_PER_GROUP]
    pairs = list(combinations(large, 2))
    intervals = [_difference(*pair, 1 - (1 - CONFIDENCE_LEVEL) / len(pairs)) for pair in pairs]
    n = sum(len(group.gains) for group in large)
    if not pairs or None in intervals:
        return definition.state_not_measured(
            f"{len(large)} groups have {MIN_PER_GROUP} explained {words.many} with usable {words.maps}, of two units "
            "or more, and a gap is between two: raise samples of [attribution]",
            n=n,
        )
    first, second = max(pairs, key=lambda pair: abs(pair[0].mean - pair[1].mean))

    def interval_at(level: float) -> Interval | None:
        difference = _difference(first, second, 1 - (1 - level) / len(pairs))
        return difference and size_interval(difference)

    interval = interval_at(CONFIDENCE_LEVEL)
    assert interval is not None  # that of each pair is there
    low, high = sorted((first, second), key=lambda group: group.mean)
    found = interval.low > 0
    sides = [
        f"{format_fixed(group.mean, 2)} for {group.name} ({len(group.gains)} {words.many})" for group in (high, low)
    ]
    surely = f"The {words.maps} are surely less faithful for the latter."
    said = surely if found else "Chance in drawing them may explain it."
    return definition.state_estimate(
        high.mean - low.mean,
        interval=interval,
        adjusted=multiplicity.adjust_where_defined(interval_at),
        n=n,
        small_groups=tuple(group.name for group in groups if group not in large),
        status="warn" if found else "info",
        caveats=f"{' and '.join(sides)}, the farthest apart of {len(large)} groups. {said}",
    )


def _difference(first: _Group, second: _Group, level: float) -> Interval | None:
    intervals = first.interval(level), second.interval(level)
    if intervals[0] is None or intervals[1] is None:
        return None
    return mover_difference(first.mean, intervals[0], second.mean, intervals[1])
