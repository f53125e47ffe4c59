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

LEVEL = 0.95
WILSON = "Wilson 1927, JASA 22:209"
NEWCOMBE_DIFFERENCE = "Newcombe 1998, Stat. Med. 17:873, method 10"
CLOPPER_PEARSON = "Clopper and Pearson 1934, Biometrika 26:404"
KATZ = "Katz et al. 1978, Biometrics 34:469, with one half added as by Pettigrew et al. 1986, Biometrika 73:425"
MOVER = "Zou and Donner 2008, Stat. Med. 27:1693"
KISH = "Kish 1965, Survey Sampling"


def wilson(successes: float, n: float, *, level: float = LEVEL) -> Interval:
    """Return the score interval of a binomial proportion (Wilson 1927; Newcombe 1998, Stat. Med. 17:857, method 3).

    Args:
        successes: 0 to ``n``; a fraction when ``n`` is an effective number.
        n: number of independent cases, above 0.
        level: nominal coverage, between 0 and 1.

    Raises:
        ValueError: when ``n`` is not above 0 or ``successes`` lies outside 0 to ``n``.

    >>> interval = wilson(15, 148)
    >>> round(interval.low, 4), round(interval.high, 4)
    (0.0624, 0.1605)
    """
    _check_counts(successes, n)
    share, z = min(max(successes / n, 0.0), 1.0), _z(level)
    centre = share + z**2 / (2 * n)
    half = z * math.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    scale = 1 + z**2 / n
    low = 0.0 if share == 0 else (centre - half) / scale
    high = 1.0 if share == 1 else (centre + half) / scale
    return Interval(low=low, high=high, method=f"Wilson {_percent(level)}")


def clopper_pearson(successes: float, n: float, *, level: float = LEVEL) -> Interval:
    """Return the exact interval of a binomial proportion: it covers at least at the level, whatever the proportion.

    Wider than Wilson's, and what a verdict should rest on. A fractional ``n`` is read through the beta quantiles, of
    which whole numbers are a special case (Korn and Graubard 1998, Survey Methodology 24:193).

    Arguments and errors as for ``wilson``. Source: Clopper and Pearson 1934, Biometrika 26:404.

    >>> interval = clopper_pearson(15, 148)
    >>> round(interval.low, 4), round(interval.high, 4)
    (0.0578, 0.1617)
    """
    _check_counts(successes, n)
    low, high = clopper_pearson_ends(successes, n, level=level)
    return Interval(low=float(low), high=float(high), method=f"Clopper-Pearson {_percent(level)}")


def clopper_pearson_ends(successes: ArrayLike, n: ArrayLike, *, level: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the ends of exact intervals of proportions; successes and ``n`` of any shapes that broadcast."""
    tail, n = (1 - _checked(level)) / 2, np.asarray(n, dtype=np.float64)
    hits = np.clip(np.asarray(successes, dtype=np.float64), 0.0, n)
    low, high = betaincinv(hits, n - hits + 1, tail), betaincinv(hits + 1, n - hits, 1 - tail)
    return np.where(hits > 0, low, 0.0), np.where(hits < n, high, 1.0)


def newcombe_difference(
    successes: float, n: float, other_successes: float, other_n: float, *, level: float = LEVEL
) -> Interval:
    """Return the hybrid score interval of the difference of two independent proportions, first minus other.

    Source: Newcombe 1998, Stat. Med. 17:873, method 10. Arguments as for ``wilson``; the interval lies in [-1, 1].

    >>> interval = newcombe_difference(56, 70, 48, 80)
    >>> round(interval.low, 4), round(interval.high, 4)
    (0.0524, 0.3339)
    """
    first, other = wilson(successes, n, level=level), wilson(other_successes, other_n, level=level)
    difference = mover_difference(successes / n, first, other_successes / other_n, other)
    return Interval(
        low=max(difference.low, -1.0),
        high=min(difference.high, 1.0),
        method=f"Newcombe hybrid score {_percent(level)}",
    )


def mover_difference(value: float, interval: Interval, other_value: float, other_interval: Interval) -> Interval:
    """Return the interval of the difference of two independent estimates, first minus other, from that of each.

    Each side of the interval recovers the variance from the limit that lies on that side ("square and add"), so an
    interval that leans to one side gives a difference that does too. With Wilson's it is Newcombe's method 10.

    Args:
        value, other_value: the estimates, each within its interval.
        interval, other_interval: of the same level, which is that of the result.

    Raises:
        ValueError: when an estimate lies outside its interval.

    Source: Zou and Donner 2008, Stat. Med. 27:1693, equation 1.

    >>> interval = mover_difference(0.8, wilson(56, 70), 0.6, wilson(48, 80))
    >>> round(interval.low, 4), round(interval.high, 4)
    (0.0524, 0.3339)
    """
    for inside, own in ((value, interval), (other_value, other_interval)):
        if not own.low - 1e-9 <= inside <= own.high + 1e-9:
            raise ValueError(f"expected an estimate within its interval, got {inside} and {own.low} to {own.high}")
    below = math.hypot(value - interval.low, other_interval.high - other_value)
    above = math.hypot(interval.high - value, other_value - other_interval.low)
    difference = value - other_value
    return Interval(low=difference - below, high=difference + above, method=f"MOVER on {interval.method}")


def absolute(difference: Interval) -> Interval:
    """Return the interval of the size of a difference, from that of the difference itself.

    Where the difference lies within its interval, its size is at most the larger end and at least the distance of the
    interval from 0, whichever sign it has. An upper end of the difference alone would not hold for its size.

    >>> absolute(Interval(low=-0.1, high=0.04, method=""))
    Interval(low=0.0, high=0.1, method='')
    >>> absolute(Interval(low=-0.3, high=-0.1, method=""))
    Interval(low=0.1, high=0.3, method='')
    """
    low, high = difference.low, difference.high
    return difference.model_copy(update={"low": max(low, -high, 0.0), "high": max(high, -low)})


def mean_interval(values: ArrayLike, units: ArrayLike | None = None, *, level: float = LEVEL) -> Interval | None:
    """Return Student's t interval of a mean, or None when there are fewer than two independent cases.

    With ``units`` the deviations are summed within each unit first (the linearised variance of a ratio under cluster
    sampling: Cochran 1977, Sampling Techniques, section 9A.1); with one row a unit it is the ordinary interval.

    Args:
        values: (N,) finite numbers.
        units: (N,) whose row each is, or None when every row stands for itself.
    """
    values = np.asarray(values, dtype=np.float64)
    sample = Sample.of_rows(len(values)) if units is None else Sample.of(units)
    if sample.units < 2:
        return None
    mean = values.mean()
    deviations = values - mean
    if units is not None:
        deviations = np.bincount(np.unique(units, return_inverse=True)[1], weights=deviations)
    error = math.sqrt(sample.units / (sample.units - 1) * np.sum(deviations**2)) / len(values)
    half = float(stdtrit(sample.units - 1, 0.5 + level / 2)) * error
    method = f"Student t {_percent(level)}" + (f", {sample.units} units" if sample.repeats else "")
    return Interval(low=float(mean) - half, high=float(mean) + half, method=method)


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
    def of(cls, units: ArrayLike) -> Sample:
        """Return the sample of rows that belong to these units, worth Kish's number (see ``effective_n``).

        Args:
            units: (N,) of anything that can be sorted.
        """
        sizes = _sizes(units)
        return cls(rows=int(sizes.sum()), units=len(sizes), effective_n=_kish(sizes))

    @classmethod
    def of_rows(cls, n: int) -> Sample:
        """Return the sample of ``n`` rows that each stand for themselves."""
        return cls(rows=n, units=n, effective_n=float(n))

    @property
    def repeats(self) -> bool:
        """Whether some unit has more than one row."""
        return self.units < self.rows

    @property
    def worth(self) -> str:
        """Return what the intervals rest on, in words: ``24 units counting as 21.3``."""
        counting = f" counting as {self.effective_n:.1f}" if abs(self.effective_n - self.units) > 0.05 else ""
        return f"{self.units} units{counting}"

    def noted(self, interval: Interval) -> Interval:
        """Return the interval with the number of units in its method, where rows repeat units."""
        if not self.repeats:
            return interval
        return interval.model_copy(update={"method": f"{interval.method}, {self.worth}"})


def effective_n(units: ArrayLike) -> float:
    """Return how many independent cases rows are worth if all rows of a unit always agreed: (sum m)^2 / sum m^2.

    ``m`` is the number of rows of each unit. This is the least that any positive correlation within units can leave
    (Kish 1965, Survey Sampling, with a correlation of 1), so intervals on it are conservative. It is the number of
    rows when no unit repeats, the number of units when all have equally many rows, and fewer when they do not.

    >>> effective_n(["a", "b", "c"]), effective_n(["a", "a", "b", "b"])
    (3.0, 2.0)
    """
    return _kish(_sizes(units))


def _sizes(units: ArrayLike) -> np.ndarray:
    """Return the number of rows of each unit that has any; codes from 0 on are counted without sorting."""
    units = np.asarray(units)
    if units.size and units.dtype.kind == "i" and units.min() >= 0 and units.max() < 4 * units.size:
        counts = np.bincount(units)
        return counts[counts > 0]
    return np.unique(units, return_counts=True)[1]


def _kish(sizes: np.ndarray) -> float:
    return float(sizes.sum() ** 2 / np.sum(sizes.astype(np.float64) ** 2)) if sizes.size else 0.0


def _check_counts(successes: float, n: float) -> None:
    if not n > 0 or not -1e-9 * n <= successes <= n * (1 + 1e-9):
        raise ValueError(f"expected 0 <= successes <= n and n > 0, got successes={successes}, n={n}")


def _checked(level: float) -> float:
    if not 0 < level < 1:
        raise ValueError(f"expected 0 < level < 1, got {level}")
    return level


def _z(level: float) -> float:
    return float(ndtri(0.5 + _checked(level) / 2))


def _percent(level: float) -> str:
    return f"{100 * level:g} %"
