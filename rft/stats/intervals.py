"""Confidence intervals of the statistics that audits report. Nothing here knows tables, models or plugins.

Each interval was chosen because it keeps its coverage in small samples and does not shrink to a point when a model
makes no error; the percentile bootstrap fails in both. Rows of one person are not independent: ``Sample`` says how many
independent cases they are worth, and every interval can be asked for on that number instead of the number of rows.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import betaincinv, ndtri, stdtrit

from rft.records import Interval

CONFIDENCE_LEVEL = 0.95


def wilson_interval(numerator: float, denominator: float, *, level: float = CONFIDENCE_LEVEL) -> Interval:
    """Return the score interval of a binomial proportion (Wilson 1927; Newcombe 1998, Stat. Med. 17:857, method 3).

    Args:
        numerator: 0 to ``denominator``; a fraction when ``denominator`` is an effective number.
        denominator: number of independent cases, above 0.
        level: nominal coverage, between 0 and 1.

    Raises:
        ValueError: when ``denominator`` is not above 0 or ``numerator`` lies outside 0 to ``denominator``.

    >>> interval = wilson_interval(15, 148)
    >>> round(interval.low, 4), round(interval.high, 4)
    (0.0624, 0.1605)
    """
    _check_counts(numerator, denominator)
    share, z = min(max(numerator / denominator, 0.0), 1.0), _normal_quantile(level)
    centre = share + z**2 / (2 * denominator)
    half = z * math.sqrt(share * (1 - share) / denominator + z**2 / (4 * denominator**2))
    scale = 1 + z**2 / denominator
    low = 0.0 if share == 0 else (centre - half) / scale
    high = 1.0 if share == 1 else (centre + half) / scale
    return Interval(low=low, high=high, method=f"Wilson {_format_level(level)}")


def clopper_pearson_interval(numerator: float, denominator: float, *, level: float = CONFIDENCE_LEVEL) -> Interval:
    """Return the exact interval of a binomial proportion: it covers at least at the level, whatever the proportion.

    Wider than Wilson's, and what a verdict should rest on. A fractional denominator is read through the beta
    quantiles, of which whole numbers are a special case (Korn and Graubard 1998, Survey Methodology 24:193).

    Arguments and errors as for ``wilson_interval``. Source: Clopper and Pearson 1934, Biometrika 26:404.

    >>> interval = clopper_pearson_interval(15, 148)
    >>> round(interval.low, 4), round(interval.high, 4)
    (0.0578, 0.1617)
    """
    _check_counts(numerator, denominator)
    low, high = clopper_pearson_ends(numerator, denominator, level=level)
    return Interval(low=float(low), high=float(high), method=f"Clopper-Pearson {_format_level(level)}")


def clopper_pearson_ends(
    numerators: ArrayLike, denominators: ArrayLike, *, level: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return the ends of exact intervals of proportions; numerators and denominators of any shapes that broadcast."""
    tail, denominators = (1 - _check_level(level)) / 2, np.asarray(denominators, dtype=np.float64)
    clipped = np.clip(np.asarray(numerators, dtype=np.float64), 0.0, denominators)
    low, high = (
        betaincinv(clipped, denominators - clipped + 1, tail),
        betaincinv(clipped + 1, denominators - clipped, 1 - tail),
    )
    return np.where(clipped > 0, low, 0.0), np.where(clipped < denominators, high, 1.0)


def newcombe_difference(
    numerator: float,
    denominator: float,
    second_numerator: float,
    second_denominator: float,
    *,
    level: float = CONFIDENCE_LEVEL,
) -> Interval:
    """Return the hybrid score interval of the difference of two independent proportions, first minus other.

    Source: Newcombe 1998, Stat. Med. 17:873, method 10. Arguments as for ``wilson_interval``; the interval lies
    in [-1, 1].

    >>> interval = newcombe_difference(56, 70, 48, 80)
    >>> round(interval.low, 4), round(interval.high, 4)
    (0.0524, 0.3339)
    """
    first, second = (
        wilson_interval(numerator, denominator, level=level),
        wilson_interval(second_numerator, second_denominator, level=level),
    )
    difference = mover_difference(numerator / denominator, first, second_numerator / second_denominator, second)
    return Interval(
        low=max(difference.low, -1.0),
        high=min(difference.high, 1.0),
        method=f"Newcombe hybrid score {_format_level(level)}",
    )


def mover_difference(value: float, interval: Interval, second_value: float, second_interval: Interval) -> Interval:
    """Return the interval of the difference of two independent estimates, first minus other, from that of each.

    Each side of the interval recovers the variance from the limit that lies on that side ("square and add"), so an
    interval that leans to one side gives a difference that does too. With Wilson's it is Newcombe's method 10.

    Args:
        value, second_value: the estimates, each within its interval.
        interval, second_interval: of the same level, which is that of the result.

    Raises:
        ValueError: when an estimate lies outside its interval.

    Source: Zou and Donner 2008, Stat. Med. 27:1693, equation 1.

    >>> interval = mover_difference(0.8, wilson_interval(56, 70), 0.6, wilson_interval(48, 80))
    >>> round(interval.low, 4), round(interval.high, 4)
    (0.0524, 0.3339)
    """
    for estimate, interval_around in ((value, interval), (second_value, second_interval)):
        if not interval_around.low - 1e-9 <= estimate <= interval_around.high + 1e-9:
            raise ValueError(
                f"expected an estimate within its interval, got {estimate} and "
                f"{interval_around.low} to {interval_around.high}"
            )
    below = math.hypot(value - interval.low, second_interval.high - second_value)
    above = math.hypot(interval.high - value, second_value - second_interval.low)
    difference = value - second_value
    return Interval(low=difference - below, high=difference + above, method=f"MOVER on {interval.method}")


def size_interval(difference: Interval) -> Interval:
    """Return the interval of the size of a difference, from that of the difference itself.

    Where the difference lies within its interval, its size is at most the larger end and at least the distance of the
    interval from 0, whichever sign it has. An upper end of the difference alone would not hold for its size.

    >>> size_interval(Interval(low=-0.1, high=0.04, method=""))
    Interval(low=0.0, high=0.1, method='')
    >>> size_interval(Interval(low=-0.3, high=-0.1, method=""))
    Interval(low=0.1, high=0.3, method='')
    """
    low, high = difference.low, difference.high
    return difference.model_copy(update={"low": max(low, -high, 0.0), "high": max(high, -low)})


def mean_interval(
    values: ArrayLike, units: ArrayLike | None = None, *, level: float = CONFIDENCE_LEVEL
) -> Interval | None:
    """Return Student's t interval of a mean, or None when there are fewer than two independent cases.

    With ``units`` the deviations are summed within each unit first (the linearised variance of a ratio under cluster
    sampling: Cochran 1977, Sampling Techniques, section 9A.1); with one row a unit it is the ordinary interval.

    Args:
        values: (N,) finite numbers.
        units: (N,) whose row each is, or None when every row stands for itself.
    """
    values = np.asarray(values, dtype=np.float64)
    sample = Sample.from_row_count(len(values)) if units is None else Sample.from_units(units)
    if sample.units < 2:
        return None
    mean = values.mean()
    deviations = values - mean
    if units is not None:
        deviations = np.bincount(np.unique(units, return_inverse=True)[1], weights=deviations)
    error = math.sqrt(sample.units / (sample.units - 1) * np.sum(deviations**2)) / len(values)
    half = float(stdtrit(sample.units - 1, 0.5 + level / 2)) * error
    method = f"Student t {_format_level(level)}" + (f", {sample.units} units" if sample.repeats else "")
    return Interval(low=float(mean) - half, high=float(mean) + half, method=method)


def clip_interval(interval: Interval, low: float, high: float) -> Interval:
    """Return an interval without the values that its estimate cannot have: those outside ``low`` to ``high``.

    One that lies beyond an end, as the mean of values of 1 does by its rounding, becomes that end.
    """
    ends = {name: min(max(getattr(interval, name), low), high) for name in ("low", "high")}
    return interval.model_copy(update=ends)


@dataclass(frozen=True)
class Sample:
    """How many independent cases some rows are worth.

    Attributes:
        rows: number of rows.
        units: number of distinct units among them.
        effective_n: how many independent cases the rows are worth. 0 when there are no rows.
    """

    rows: int
    units: int
    effective_n: float

    @classmethod
    def from_units(cls, units: ArrayLike) -> Sample:
        """Return the sample of rows that belong to these units, worth Kish's number (see ``kish_effective_n``).

        Args:
            units: (N,) of anything that can be sorted.
        """
        sizes = _unit_sizes(units)
        return cls(rows=int(sizes.sum()), units=len(sizes), effective_n=_kish_of_sizes(sizes))

    @classmethod
    def from_row_count(cls, n: int) -> Sample:
        """Return the sample of ``n`` rows that each stand for themselves."""
        return cls(rows=n, units=n, effective_n=float(n))

    @property
    def repeats(self) -> bool:
        """Whether some unit has more than one row."""
        return self.units < self.rows

    @property
    def units_in_words(self) -> str:
        """Return what the intervals rest on, in words: ``24 units (worth 21.3 independent cases)``."""
        if abs(self.effective_n - self.units) <= 0.05:
            return f"{self.units} units"
        return f"{self.units} units (worth {self.effective_n:.1f} independent cases)"

    def note_units(self, interval: Interval) -> Interval:
        """Return the interval with the number of units in its method, where rows repeat units."""
        if not self.repeats:
            return interval
        return interval.model_copy(update={"method": f"{interval.method}, {self.units_in_words}"})


def kish_effective_n(units: ArrayLike) -> float:
    """Return how many independent cases rows are worth if all rows of a unit always agreed: (sum m)^2 / sum m^2.

    ``m`` is the number of rows of each unit of (N,) ``units``. This is the least that any positive correlation within
    units can leave (Kish 1965, Survey Sampling, with a correlation of 1), so intervals on it are conservative. It is
    the number of rows when no unit repeats, the number of units when all have equally many rows, and fewer when they do
    not.

    >>> kish_effective_n(["a", "b", "c"]), kish_effective_n(["a", "a", "b", "b"])
    (3.0, 2.0)
    """
    return _kish_of_sizes(_unit_sizes(units))


def _unit_sizes(units: ArrayLike) -> np.ndarray:
    """Return (U,) numbers of rows of the units that have any; codes from 0 on are counted without sorting."""
    units = np.asarray(units)
    if units.size and units.dtype.kind == "i" and units.min() >= 0 and units.max() < 4 * units.size:
        counts = np.bincount(units)
        return counts[counts > 0]
    return np.unique(units, return_counts=True)[1]


def _kish_of_sizes(sizes: np.ndarray) -> float:
    return float(sizes.sum() ** 2 / np.sum(sizes.astype(np.float64) ** 2)) if sizes.size else 0.0


def _check_counts(numerator: float, denominator: float) -> None:
    if not denominator > 0 or not -1e-9 * denominator <= numerator <= denominator * (1 + 1e-9):
        raise ValueError(
            f"expected 0 <= numerator <= denominator and denominator > 0, got {numerator} and {denominator}"
        )


def _check_level(level: float) -> float:
    if not 0 < level < 1:
        raise ValueError(f"expected 0 < level < 1, got {level}")
    return level


def _normal_quantile(level: float) -> float:
    return float(ndtri(0.5 + _check_level(level) / 2))


def _format_level(level: float) -> str:
    return f"{100 * level:g} %"
