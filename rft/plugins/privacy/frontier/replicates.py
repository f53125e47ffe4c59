"""Intervals for what several heads, trained alike, do on the same test examples. Pure numbers.

Two things vary: the randomness of training, which R heads show, and the choice of test units. Every head is judged on
every example, so the variances of both add up (crossed random effects: Searle, Casella and McCulloch 1992). With three
heads the first is known from two degrees of freedom only: each variance comes with the quantile of Student's t for its
own. In simulations with 2 to 5 heads on 12 to 1,000 units, shares and differences were covered in 92 to 100 %.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri, stdtrit

from rft.records import Interval
from rft.stats import intervals
from rft.stats.intervals import CONFIDENCE_LEVEL, Sample

UPPER_TAIL = 0.5 + CONFIDENCE_LEVEL / 2


@dataclass(frozen=True)
class Estimate:
    """A mean over heads and examples; ``interval`` is None with a single head or unit, which show no variance."""

    value: float
    interval: Interval | None


def rate_over_heads(hits: np.ndarray, units: np.ndarray) -> Estimate:
    """Return the share of hits, with the Wilson interval on as many cases as leave a share with that variance.

    Where all heads agree on all examples the variance is 0, and the interval is that of so many units.

    Args:
        hits: (R, n) bool, of each head on each example; n above 0.
        units: (n,) whose each example is.
    """
    value = float(hits.mean())
    half = _half_width(hits.mean(axis=1), (hits.mean(axis=0) - value) / len(units), units)
    if half is None:
        return Estimate(value, None)
    sample = Sample.from_units(units)
    worth = sample.effective_n
    if half > 0 and 0 < value < 1:
        worth = min(value * (1 - value) * (ndtri(UPPER_TAIL) / half) ** 2, float(len(units)))
    interval = intervals.wilson_interval(value * worth, worth)
    return Estimate(value, interval.model_copy(update={"method": _describe_method("Wilson", len(hits), sample)}))


def rate_difference(
    first: np.ndarray, second: np.ndarray, units: np.ndarray, *, level: float = CONFIDENCE_LEVEL
) -> Estimate:
    """Return the share of hits of one set of heads minus that of another on the same examples.

    Args:
        first, second: (R, n) bool, R of the same size in both.
        units: (n,) whose each example is.
        level: nominal coverage.
    """
    by_example = first.mean(axis=0) - second.mean(axis=0)
    value = float(by_example.mean())
    by_head = first.mean(axis=1) - second.mean(axis=1)
    estimate = _student_t_estimate(
        value, by_head, (by_example - value) / len(units), units, _min_unit_variance(units), level
    )
    if estimate.interval is None:
        return estimate
    inside = {"low": max(estimate.interval.low, -1.0), "high": min(estimate.interval.high, 1.0)}
    return Estimate(value, estimate.interval.model_copy(update=inside))


def difference_of_differences(
    first: np.ndarray, second: np.ndarray, in_one: np.ndarray, units: np.ndarray, *, level: float = CONFIDENCE_LEVEL
) -> Estimate:
    """Return ``rate_difference`` on the examples of one group minus that on all others.

    Args:
        first, second: (R, n) bool.
        in_one: (n,) bool, the group; neither it nor its complement is empty.
        units: (n,) whose each example is.
        level: nominal coverage.
    """
    by_example, by_head, influence = (
        first.mean(axis=0) - second.mean(axis=0),
        np.zeros(len(first)),
        np.zeros(len(units)),
    )
    values, least = [], 0.0
    for mask, sign in ((in_one, 1), (~in_one, -1)):
        values.append(sign * float(by_example[mask].mean()))
        influence[mask] = sign * (by_example[mask] - by_example[mask].mean()) / mask.sum()
        by_head += sign * (first[:, mask].mean(axis=1) - second[:, mask].mean(axis=1))
        least += _min_unit_variance(units[mask])
    return _student_t_estimate(sum(values), by_head, influence, units, least, level)


def _student_t_estimate(
    value: float, by_head: np.ndarray, influence: np.ndarray, units: np.ndarray, least: float, level: float
) -> Estimate:
    half = _half_width(by_head, influence, units, least=least, level=level)
    if half is None:
        return Estimate(value, None)
    method = _describe_method("Student t", len(by_head), Sample.from_units(units), level)
    return Estimate(value, Interval(low=value - half, high=value + half, method=method))


def _min_unit_variance(units: np.ndarray) -> float:
    """Return the variance that remains where heads never differ: as if half an example more differed each way.

    Source: Agresti and Min 2005, Stat. Med. 24:729, for differences of matched proportions.
    """
    return 1 / (intervals.kish_effective_n(units) + 2) ** 2


def _half_width(
    by_head: np.ndarray,
    influence: np.ndarray,
    units: np.ndarray,
    *,
    least: float = 0.0,
    level: float = CONFIDENCE_LEVEL,
) -> float | None:
    """Return half the width of an interval for a mean over heads and examples.

    Args:
        by_head: (R,) its value for each head.
        influence: (n,) what each example adds to the mean beyond its part; they sum to 0.
        units: (n,) whose each example is; what they add is summed up before it is squared.
        least: added to the variance between units.
        level: nominal coverage.
    """
    _, unit = np.unique(units, return_inverse=True)
    heads, n_units = len(by_head), int(unit.max()) + 1
    if heads < 2 or n_units < 2:
        return None
    of_training = float(by_head.var(ddof=1)) / heads
    of_units = n_units / (n_units - 1) * float(np.sum(np.bincount(unit, weights=influence) ** 2)) + least
    tail = 0.5 + level / 2
    return math.sqrt(stdtrit(heads - 1, tail) ** 2 * of_training + stdtrit(n_units - 1, tail) ** 2 * of_units)


def _describe_method(kind: str, heads: int, sample: Sample, level: float = CONFIDENCE_LEVEL) -> str:
    return f"{kind} {100 * level:g} %, variance of {heads} heads and of {sample.units} test units"
