"""How evenly a probe is right over the groups of an attribute."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from rft.disclosure.withheld import MISSING, NOTHING, Withheld
from rft.records import Interval, NotMeasured
from rft.stats.cross_validation import OutOfFold
from rft.stats.rates import Rate, gap_interval_of_rates

MIN_UNITS_PER_GROUP = 10  # units of a group that is scored


@dataclass(frozen=True)
class Gap:
    """The accuracy of each group of an attribute, and the largest difference between two.

    Attributes:
        attribute: what the groups differ in.
        scored: the groups with a rate, lowest first.
        too_few: the groups with fewer than ``MIN_UNITS_PER_GROUP`` units, and how many each has; None where that is
            withheld.
    """

    attribute: str
    scored: tuple[tuple[str, Rate], ...]
    too_few: tuple[tuple[str, int | None], ...]

    @classmethod
    def from_probe(cls, attribute: str, probe: OutOfFold, groups: np.ndarray, withheld: Withheld = NOTHING) -> Gap:
        """Return the gap of out-of-fold predictions; ``groups`` is (n,) strings, None where missing and left out."""
        known = {str(name): groups == name for name in sorted({name for name in groups if name is not None})}
        counts = [
            {
                name: count(members)
                for name, members in (*known.items(), (MISSING, np.array([name is None for name in groups])))
            }
            for count in (np.sum, lambda members: len(np.unique(probe.units[members])))
        ]
        hidden = withheld.find_small_groups(*counts)
        units = counts[1]
        enough = {
            name: members
            for name, members in known.items()
            if units[name] >= MIN_UNITS_PER_GROUP and name not in hidden
        }
        rates = [
            (name, Rate.from_rows(probe.is_correct[members], probe.units[members])) for name, members in enough.items()
        ]
        return cls(
            attribute=attribute,
            scored=tuple(sorted(rates, key=lambda named: (named[1].value, named[0]))),
            too_few=(
                *((name, None if name in hidden else units[name]) for name in known if name not in enough),
                *((name, None) for name in withheld.groups_of(attribute)),
            ),
        )

    @property
    def value(self) -> float | None:
        """Return the highest accuracy minus the lowest; None where fewer than two groups are scored."""
        return self.scored[-1][1].value - self.scored[0][1].value if len(self.scored) > 1 else None

    @property
    def interval(self) -> Interval | None:
        """Return the interval for exactly two groups; the largest of many gaps is biased upward and has none."""
        if len(self.scored) != 2:
            return None
        return gap_interval_of_rates(self.scored[1][1], self.scored[0][1])

    @property
    def groups(self) -> str | None:
        """Return which two groups the gap lies between, in words."""
        return f"{self.scored[-1][0]} minus {self.scored[0][0]}" if len(self.scored) > 1 else None


def measure_gaps(
    probe: OutOfFold | NotMeasured, groups: Mapping[str, np.ndarray], withheld: Withheld = NOTHING
) -> tuple[Gap, ...]:
    """Return the gap of each attribute; none without out-of-fold predictions."""
    if isinstance(probe, NotMeasured):
        return ()
    return tuple(Gap.from_probe(attribute, probe, values, withheld) for attribute, values in groups.items())
