"""The audit audits itself: an attribute that is shuffled among the units can show no gap, but by chance.

One shuffle proves nothing, since at eight tests one honest audit in three accuses some shuffled attribute. Here the
attribute is shuffled 200 times, and the share of shuffles in which a gap is found is compared with the error rate that
the method promises.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from scipy.stats import binom

from rft.plugins.fairness.measure.gaps import chosen_of, shows_gap
from rft.plugins.fairness.measure.group_metrics import GroupMetric, Limits, measure
from rft.predictions.grouped import ClassTarget, GroupedPredictions
from rft.predictions.table import Grouping
from rft.records import Finding, not_measured

ACCURACY, OF_ALL = "accuracy", ClassTarget(None, None)
SHUFFLES = 200
ALLOWED = 0.06  # the error rate of a largest gap in small groups, by simulation; its nominal level is 0.05
INCOMPATIBLE = 1e-4  # a share of findings that is less likely than this at the allowed rate breaks the audit
MOST_UNITS = 20_000  # of which shuffles are made: more would show nothing else and take minutes


def self_check(grouped: GroupedPredictions, limits: Limits, *, positive: int, seed: int) -> Finding:
    """Return the finding ``fairness.self_check.<attribute>``: how often it shows a gap in accuracy when shuffled."""
    attribute = grouped.grouping.attribute
    id, title = f"fairness.self_check.{attribute}", f"Self-check: {attribute} shuffled"
    description = f"How often the audit finds a gap in accuracy when {attribute} is dealt to the people by chance."
    compared = chosen_of(_measured(grouped, limits, positive, seed))
    if len(compared) < 2:
        return not_measured(id, title, "fewer than two groups can be compared", description)
    rng = np.random.default_rng([seed, SHUFFLES])
    found = []
    for shuffled in _shuffles(_sampled(grouped, compared, rng), rng):
        measured = _measured(shuffled, limits, positive, seed)
        if len(chosen_of(measured)) < 2:
            reason = "people are in several groups, and with one group each fewer than two are large enough"
            return not_measured(id, title, reason, description)
        found.append(shows_gap(shuffled, measured, ACCURACY, OF_ALL, rng))
    times = sum(map(bool, found))
    broken = bool(binom.sf(times - 1, SHUFFLES, ALLOWED) < INCOMPATIBLE)
    verdict = (
        "more often than the method promises: the gaps of this audit cannot be believed"
        if broken
        else "compatible with the 5 % that the method promises"
    )
    return Finding(
        id=id,
        title=title,
        status="fail" if broken else "info",
        value=times / SHUFFLES,
        unit="fraction",
        deterministic=True,
        n=SHUFFLES,
        attributes=(attribute,),
        description=f"With {attribute} dealt to the people by chance, {times} of {SHUFFLES} times a gap in accuracy "
        "was "
        f"found: {verdict}.",
        caveats="Shows that the method invents no gaps on these data, not that it finds the ones that exist.",
    )


def _measured(grouped: GroupedPredictions, limits: Limits, positive: int, seed: int) -> list[GroupMetric]:
    return measure(grouped, ACCURACY, OF_ALL, limits=limits, positive=positive)


def _sampled(grouped: GroupedPredictions, compared: Sequence[int], rng: np.random.Generator) -> GroupedPredictions:
    """Return the rows of the groups that are compared, of so many units as are shuffled."""
    mask = np.isin(grouped.grouping.codes, compared)
    units = np.flatnonzero(mask) if grouped.rows.units is None else grouped.rows.units
    known = np.unique(units[mask] if grouped.rows.units is not None else units)
    if len(known) > MOST_UNITS:
        taken = rng.choice(known, MOST_UNITS, replace=False)
        mask &= np.isin(np.arange(len(mask)) if grouped.rows.units is None else units, taken)
    return GroupedPredictions(grouped.rows.select_rows(mask), grouped.grouping.select_rows(mask))


def _shuffles(grouped: GroupedPredictions, rng: np.random.Generator) -> Iterator[GroupedPredictions]:
    """Yield the rows with the groups of their units dealt anew; a unit in several groups counts for its first."""
    codes, units = grouped.grouping.codes, grouped.rows.units
    own = np.arange(len(codes)) if units is None else np.unique(units, return_inverse=True)[1]
    first = np.empty(own.max() + 1, dtype=codes.dtype)
    first[own[::-1]] = codes[::-1]  # the last write is that of the first row
    for _ in range(SHUFFLES):
        dealt = rng.permutation(first)[own]
        yield GroupedPredictions(
            grouped.rows, Grouping(grouped.grouping.attribute, grouped.names, dealt, grouped.grouping.parts)
        )
