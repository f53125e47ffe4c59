"""Intervals for verdicts in which several estimates are judged together, by Bonferroni's correction.

How many estimates a policy judges is only known when it is applied, perhaps long after the run and without its data.
So findings carry their interval at each level that may be asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from numpy.typing import ArrayLike

from rft.records import Adjusted, Interval
from rft.stats.intervals import CONFIDENCE_LEVEL, mean_interval

# Between two of them the next larger one is used.
JUDGED_ESTIMATE_COUNTS = (1, 2, 3, 4, 5, 6, 8, 10, 15, 20, 30, 50, 100)
ADJUSTED_LEVELS = tuple(1 - (1 - CONFIDENCE_LEVEL) / rules for rules in JUDGED_ESTIMATE_COUNTS)


def adjust_interval(interval_at: Callable[[float], Interval]) -> tuple[Adjusted, ...]:
    """Return the intervals of one estimate at each level, from a function of the level."""
    return adjusted_from_levels([interval_at(level) for level in ADJUSTED_LEVELS])


def adjust_mean_interval(values: ArrayLike, units: ArrayLike | None = None) -> tuple[Adjusted, ...]:
    """Return the intervals of a mean of (N,) values at each level; empty with fewer than two independent cases.

    Arguments as for ``intervals.mean_interval``.
    """
    return adjust_where_defined(lambda level: mean_interval(values, units, level=level))


def adjust_where_defined(interval_at: Callable[[float], Interval | None]) -> tuple[Adjusted, ...]:
    """Return the intervals of one estimate at each level; empty where there is none at some level."""
    at_levels = [interval_at(level) for level in ADJUSTED_LEVELS]
    known = [interval for interval in at_levels if interval is not None]
    return adjusted_from_levels(known) if len(known) == len(ADJUSTED_LEVELS) else ()


def adjusted_from_levels(intervals: Sequence[Interval]) -> tuple[Adjusted, ...]:
    """Return what a finding carries, from the intervals at each of ``ADJUSTED_LEVELS``."""
    adjusted = []
    for rules, interval in zip(JUDGED_ESTIMATE_COUNTS, intervals, strict=True):
        noted = f"{interval.method}, adjusted for {rules} judged estimates" if rules > 1 else interval.method
        adjusted.append(Adjusted(rules=rules, interval=interval.model_copy(update={"method": noted})))
    return tuple(adjusted)
